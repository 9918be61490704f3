"""Run ``purekernel schema``: print the JSON schema of recipes."""

from __future__ import annotations

import click

from purekernel.cli.printer import Printer, reports


@click.command("schema", short_help="Print the JSON schema of recipes.")
@reports
def schema_command(printer: Printer) -> None:
    """Print the JSON schema of purekernel.toml, for editors and other programs.

    \b
    Example:
      purekernel schema > purekernel.schema.json
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.recipe.schema import schema_text  # noqa: PLC0415  # too slow for --help

    printer.json_text(schema_text().rstrip("\n"))
