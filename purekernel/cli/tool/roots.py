"""Define the options of tools that change a root file system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from purekernel.cli.parameters import IntegerRange, PathParameter, Size
from purekernel.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--drop-boot",
        is_flag=True,
        help="Write an ISO even if it loses boot methods (UEFI, USB, early microcode); report what "
        "is dropped.",
    ),
    click.option(
        "-o",
        "--output",
        type=PathParameter(),
        help="The path of the changed archive or ISO.  [default: replace the old one]",
    ),
    click.option(
        "--timestamp",
        type=IntegerRange(0, 0xFFFFFFFF),
        envvar="SOURCE_DATE_EPOCH",
        show_envvar=True,
        help="The time of new files in an archive, in seconds since 1970, UTC.  "
        "[default: the newest in it]",
    ),
    click.option(
        "--max-unpacked",
        type=Size(),
        help="The maximum unpacked size of the root file system, such as 4G; of an ISO, with its "
        "own files.  [default: 2G, and 1G for each]",
    ),
)


def change_options(command: Command) -> Command:
    """Add the options of tools that change a root file system to ``command``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def refuse_output(output: Path | None, option: str) -> None:
    """Refuse ``--output`` together with an option that writes nothing."""
    if output is not None:
        raise UsageError(f"{option} and --output exclude each other", hint="leave out one of them")
