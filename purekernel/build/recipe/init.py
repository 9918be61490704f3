"""Put a new recipe where the user wants it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from purekernel.build.recipe.check import check_recipe
from purekernel.build.recipe.template import PLAIN, PROJECT_HINT, Said, say_razor, write_recipe
from purekernel.errors import OutputError, ProjectError, UsageError
from purekernel.formats.toml import parse_toml
from purekernel.host.read import is_folder
from purekernel.host.write import Output, publish


def init_recipe(
    path: Path, *, project: Path | None = None, minimal: bool = False, force: bool = False
) -> Output:
    """Write a recipe to go on from, whole or not at all.

    Args:
        path: the file; its folder is made where it is missing.
        project: the folder of a Razor-Microkernel project to build from.
        minimal: leave out the keys that nothing is said of.
        force: replace what is there.

    Raises:
        OutputError: something is there already, or it cannot be written.
        ProjectError: ``project`` is no such project.
        UsageError: the project's path is none that a recipe can say.
    """
    said = PLAIN if project is None else _razor(project, path)
    content = _encode(write_recipe(said, minimal=minimal), project)
    check_recipe(parse_toml(content, source=str(path)))
    if os.path.lexists(path) and not force:
        raise OutputError(
            f"{path} is there already", hint="give --force to replace it, or name another"
        )

    def write(stream: BinaryIO) -> None:
        stream.write(content)

    try:
        (output,) = publish(path.parent, {path.name: write})
    except OutputError as error:
        raise OutputError(error.message, hint="name another folder or file") from None
    return output


def _razor(project: Path, recipe: Path) -> Said:
    if not is_folder(project):
        raise ProjectError(f"{project} is no folder", hint=PROJECT_HINT)
    return say_razor(_seen_from(recipe, project), lambda name: (project / name).is_file())


def _seen_from(recipe: Path, project: Path) -> str:
    """Return the path of ``project`` as ``recipe`` has to say it."""
    if project.is_absolute():
        return project.as_posix()
    return Path(os.path.relpath(project, recipe.parent)).as_posix()


def _encode(text: str, project: Path | None) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the path {str(project)!r} is not text", hint="give the project's folder another name"
        ) from None
