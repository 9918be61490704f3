"""Run ``purekernel info``: describe extensions."""

from __future__ import annotations

from typing import Any

import click

from purekernel.cli.gathering import mirror_options
from purekernel.cli.printer import Printer, reports


@click.command("info", short_help="Describe extensions.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--files", is_flag=True, help="Also list the files of each NAME.")
@mirror_options
@reports
def info_command(printer: Printer, /, *, files: bool, **options: Any) -> None:
    """Describe each NAME: version, licence, size, dependencies, what depends on it, and so on.

    What the mirror does not say is left out. Exit status 1 if it does not have a NAME.

    \b
    Examples:
      purekernel info nano
      purekernel info --files bash --core 15.x --arch x86_64
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.cli.lookups import show_info  # noqa: PLC0415  # too slow for --help

    show_info(printer, files=files, **options)
