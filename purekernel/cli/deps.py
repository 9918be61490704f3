"""Run ``purekernel deps``: show what extensions depend on."""

from __future__ import annotations

from typing import Any

import click

from purekernel.cli.gathering import config_option, store_options
from purekernel.cli.parameters import PathParameter
from purekernel.cli.printer import Printer, reports


@click.command("deps", short_help="Show what extensions depend on.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--mirror",
    "mirrors",
    metavar="PLACE",
    multiple=True,
    help="A mirror of Tiny Core: a URL or folder that holds 4.x/x86/tcz. Repeatable.  "
    "[default: the recipe's]",
)
@click.option(
    "--core", metavar="VERSION", help="The version of Core.  [default: the recipe's, or 4.x]"
)
@click.option("--arch", metavar="ARCH", help="x86 or x86_64.  [default: the recipe's, or x86]")
@click.option("--kernel", metavar="RELEASE", help="The release to replace KERNEL in names with.")
@click.option(
    "--recipe",
    type=PathParameter(),
    help="The recipe whose mirrors to ask.  [default: purekernel.toml here, if it exists]",
)
@config_option
@store_options
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
      purekernel deps parted nano --dot | dot -Tsvg > deps.svg
    """  # noqa: D301  # click keeps the line breaks after a backspace
    if dot and printer.as_json:
        raise click.UsageError("--dot and --json exclude each other")
    from purekernel.cli.plan_inputs import show_dependencies  # noqa: PLC0415  # too slow for --help

    show_dependencies(printer, dot=dot, **options)
