"""``purekernel init``: write a recipe to go on from."""

from __future__ import annotations

from pathlib import Path

import click

from purekernel.cli.parameters import Place

FILE_NAME = "purekernel.toml"


@click.command("init", short_help="Write a recipe to go on from.")
@click.argument("path", type=Place(), default=Path())
@click.option(
    "--from-razor",
    "project",
    metavar="DIR",
    type=Place(),
    help="A Razor-Microkernel checkout: build from it, with its lists.",
)
@click.option("--minimal", is_flag=True, help="Only what is needed, without the other keys.")
@click.option("--force", is_flag=True, help="Replace a recipe that is there already.")
def init_command(*, path: Path, project: Path | None, minimal: bool, force: bool) -> None:
    """Write a commented recipe to PATH: a folder, or a file that ends in .toml.

    Without PATH it is purekernel.toml in the current folder. The recipe says what an image is
    made of; lines that begin with '#' are examples of all else that it may say.

    \b
    Examples:
      purekernel init
      purekernel init --minimal my-core
      purekernel init --from-razor ../Razor-Microkernel
    """  # noqa: D301  # click reads the backspace as "keep these lines"
    # What these import takes longer than --help may.
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.recipe.init import init_recipe  # noqa: PLC0415

    target = path if path.suffix == ".toml" else path / FILE_NAME
    init_recipe(target, project=project, minimal=minimal, force=force)
    named = target.parent if target.name == FILE_NAME else target
    command = "purekernel build" if named == Path() else f"purekernel build --recipe {named}"
    say(f"{target} written\n  look through it, then run '{command}'")
