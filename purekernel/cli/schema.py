"""Run ``purekernel schema``: print the JSON schema of recipes."""

from __future__ import annotations

import click


@click.command("schema", short_help="Print the JSON schema of recipes.")
def schema_command() -> None:
    """Print the JSON schema of purekernel.toml, for editors and other programs.

    \b
    Example:
      purekernel schema > purekernel.schema.json
    """  # noqa: D301  # click keeps the line breaks after a backspace
    # These imports are too slow for --help.
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.recipe.schema import schema_text  # noqa: PLC0415

    say(schema_text().rstrip("\n"))
