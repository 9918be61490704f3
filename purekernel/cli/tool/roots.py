"""What tools that change a root file system have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from purekernel.cli.parameters import Place, Size
from purekernel.errors import UsageError

if TYPE_CHECKING:
    from purekernel.tools.roots import Root
    from purekernel.tree import Tree

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--drop-boot",
        is_flag=True,
        help="Write an ISO even if it boots in more ways than can be written (UEFI, USB, early "
        "microcode); report what is dropped.",
    ),
    click.option(
        "-o",
        "--output",
        type=Place(),
        help="Where the changed archive or ISO goes.  [default: in the old one's place]",
    ),
    click.option(
        "--timestamp",
        type=click.IntRange(0, 0xFFFFFFFF),
        envvar="SOURCE_DATE_EPOCH",
        show_envvar=True,
        help="The time of what is made in an archive, in seconds since 1970, UTC.  "
        "[default: the newest in it]",
    ),
    click.option(
        "--max-unpacked",
        type=Size(),
        help="What the root file system may unpack to, such as 4G.  [default: 1G]",
    ),
)


def change_options(command: Command) -> Command:
    """Add the options of tools that change a root file system."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_place(
    place: str,
    *,
    timestamp: int | None = None,
    drop_boot: bool = False,
    max_unpacked: int | None = None,
) -> Root:
    """Return the root file system at ``place``, and tell people what of it was not read."""
    from purekernel.cli.terminal import say_warning  # noqa: PLC0415
    from purekernel.formats.limits import limits_of  # noqa: PLC0415
    from purekernel.tools.roots import open_root  # noqa: PLC0415  # longer than --help may take

    limits = limits_of(max_unpacked)
    root = open_root(place, timestamp=timestamp, drop_boot=drop_boot, limits=limits)
    for note in root.notes:
        say_warning(note)
    return root


def save(root: Root, changed: Tree, output: Path | None) -> None:
    """Write ``changed`` where ``root`` lies or to ``output``, if there is anything to write."""
    from purekernel.cli.terminal import say_warning  # noqa: PLC0415  # longer than --help may take

    if changed != root.tree or output is not None:
        for note in root.save(changed, output):
            say_warning(note)


def refuse_output(output: Path | None, option: str) -> None:
    """Refuse ``--output`` beside an option by which nothing is written."""
    if output is not None:
        raise UsageError(
            f"with {option} nothing is written", hint="leave out --output, or the other"
        )
