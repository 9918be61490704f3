"""Run ``purekernel init``: write a recipe to start from."""

from __future__ import annotations

from pathlib import Path

import click

from purekernel.cli.parameters import PathParameter
from purekernel.cli.printer import Printer, reports

FILE_NAME = "purekernel.toml"


@click.command("init", short_help="Write a recipe to start from.")
@click.argument("path", type=PathParameter(), default=Path())
@click.option(
    "--from-razor",
    "project",
    metavar="DIR",
    type=PathParameter(),
    help="Build from this Razor-Microkernel checkout, with its lists.",
)
@click.option("--minimal", is_flag=True, help="Write only the needed keys.")
@click.option("--force", is_flag=True, help="Replace an existing recipe.")
@reports
def init_command(
    printer: Printer, *, path: Path, project: Path | None, minimal: bool, force: bool
) -> None:
    """Write a commented recipe to PATH: a folder, or a file that ends in .toml.

    Without PATH, write purekernel.toml in the current folder. The recipe describes an image;
    lines that begin with '#' are examples of the other keys.

    \b
    Examples:
      purekernel init
      purekernel init --minimal my-core
      purekernel init --from-razor ../Razor-Microkernel
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.recipe.init import init_recipe  # noqa: PLC0415  # too slow for --help

    target = path if path.suffix == ".toml" else path / FILE_NAME
    init_recipe(target, project=project, minimal=minimal, force=force)
    recipe = target.parent if target.name == FILE_NAME else target
    command = "purekernel build" if recipe == Path() else f"purekernel build --recipe {recipe}"
    printer.document["recipe"] = str(target)
    printer.text(f"{target} written", f"  edit it, then run '{command}'")
