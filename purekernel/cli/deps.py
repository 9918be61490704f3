"""Run ``purekernel deps``: show what extensions depend on, or what depends on them."""

from __future__ import annotations

from typing import Any

import click

from purekernel.cli.gathering import mirror_options
from purekernel.cli.parameters import IntegerRange
from purekernel.cli.printer import Printer, reports


@click.command("deps", short_help="Show what extensions depend on.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--reverse", is_flag=True, help="Show what depends on each NAME instead.")
@click.option(
    "--depth",
    type=IntegerRange(min=1),
    metavar="LEVELS",
    help="Draw so many levels below each NAME; 1 for direct dependencies.  [default: 49]",
)
@mirror_options
@click.option("--dot", is_flag=True, help="Print the graph for Graphviz.")
@reports
def deps_command(printer: Printer, /, *, dot: bool, **options: Any) -> None:
    """Draw the tree of dependencies of each NAME, with sizes.

    An extension that is drawn already is marked "shared", one that the mirror does not have
    "missing", and one that depends on itself "loop". A tree is drawn 50 levels deep; "more
    below" marks its end. Exit status 1 if any is missing.

    \b
    Examples:
      purekernel deps vim
      purekernel deps --reverse ncursesw
      purekernel deps parted nano --dot | dot -Tsvg > deps.svg
    """  # noqa: D301  # click keeps the line breaks after a backspace
    if dot and printer.as_json:
        raise click.UsageError("--dot and --json exclude each other")
    from purekernel.cli.lookups import show_dependencies  # noqa: PLC0415  # too slow for --help

    show_dependencies(printer, dot=dot, **options)
