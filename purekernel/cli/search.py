"""Run ``purekernel search``: find extensions by words or by a file."""

from __future__ import annotations

from typing import Any

import click

from purekernel.cli.gathering import mirror_options
from purekernel.cli.printer import Printer, reports


@click.command("search", short_help="Find extensions by words, or by a file in them.")
@click.argument("words", metavar="[WORD]...", nargs=-1)
@click.option(
    "--file",
    metavar="FILE",
    help="Find the extensions that have this file: a name (libssl.so.1.1), the end of a path "
    "(bin/vim), or a pattern (libssl.so*).",
)
@mirror_options
@reports
def search_command(
    printer: Printer, /, *, words: tuple[str, ...], file: str | None, **options: Any
) -> None:
    """List the extensions whose name or tags contain all WORDs, the best matches first.

    Exit status 1 if there are none.

    \b
    Examples:
      purekernel search editor
      purekernel search wireless firmware --core 15.x --arch x86_64
      purekernel search --file libssl.so.1.1
    """  # noqa: D301  # click keeps the line breaks after a backspace
    if not words and file is None:
        raise click.UsageError("give a WORD or --file")
    if any(not word.strip() for word in words) or (file is not None and not file.strip("./ ")):
        raise click.UsageError("a WORD and the value of --file must not be empty")
    from purekernel.cli.lookups import show_search  # noqa: PLC0415  # too slow for --help

    show_search(printer, words=words, file=file, **options)
