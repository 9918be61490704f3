"""Run ``purekernel show``: print a recipe joined with the files that it extends."""

from __future__ import annotations

from pathlib import Path

import click

from purekernel.cli.parameters import PathParameter
from purekernel.cli.printer import Printer, reports


@click.command("show", short_help="Print a recipe joined with the files that it extends.")
@click.option(
    "--recipe",
    type=PathParameter(),
    help="The recipe.  [default: purekernel.toml in the current folder]",
)
@click.option(
    "--secrets", is_flag=True, help="Print passwords and the tokens in URLs, which are left out."
)
@reports
def show_command(printer: Printer, *, recipe: Path | None, secrets: bool) -> None:
    """Print the effective recipe as TOML, with the file and line of each key.

    Entries of lists are items of their arrays. The result builds the same image when it is saved
    in the recipe's folder. --json has the values and their origins.

    \b
    Examples:
      purekernel show
      purekernel show --recipe images/kiosk.toml
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.recipe.show import show_recipe  # noqa: PLC0415  # too slow for --help

    shown = show_recipe(recipe, secrets=secrets)
    printer.document |= {
        "files": shown.files,
        "recipe": shown.values,
        "origins": [
            {"path": origin.path, "file": origin.file, "line": origin.line}
            for origin in shown.origins
        ],
    }
    printer.text(*shown.text.rstrip("\n").split("\n"))
