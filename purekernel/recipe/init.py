"""Write a new recipe with explained keys."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from purekernel.errors import OutputError, ProjectError, UsageError
from purekernel.formats.toml import parse_toml
from purekernel.host.read import exists, is_file, is_folder
from purekernel.host.write import Output, publish
from purekernel.input import Input
from purekernel.recipe.check import check_recipe
from purekernel.recipe.keys import Key, Table
from purekernel.recipe.schema import tables
from purekernel.recipe.words import to_toml

WIDTH = 92


Said = Mapping[tuple[str, str], Any]
"""The values of a recipe, by the key of the table (empty for none) and the key in it."""


PLAIN: Said = {
    ("", "name"): "my-core",
    ("core", "version"): "4.x",
    ("core", "arch"): "x86",
    ("extensions", "builtin"): ["bash.tcz"],
}
PROJECT_HINT = "name the top folder of a Razor-Microkernel checkout"


# Keys that a short recipe shows as examples.
SUGGESTED = (("mirrors", "tinycore"), ("overlay", "path"), ("boot", "append"))
_TITLE = "Recipe of an image for purekernel."


_ABOUT = (
    "A line that begins with '#' and no blank after it is an example: delete the '#' to use it. "
    "Relative paths are relative to the folder of this file."
)
_ABOUT_ALL = "Editors that support JSON Schema can complete the keys: see 'purekernel schema'."
_ABOUT_SHORT = "'purekernel init' without --minimal writes a recipe that explains all keys."


# The list files of a Razor-Microkernel project, by the keys that name them.
_RAZOR_LISTS = {
    ("extensions", "builtin-list"): "additional-build-files/builtin-extensions.lst",
    ("extensions", "mirror-list"): "additional-build-files/mirror-extensions.lst",
    ("cut", "list"): "additional-build-files/util-linux-exec.lst",
    ("gems", "list"): "opt/gems/gem.list",
}


# A folder with any of these files is a Razor-Microkernel project.
_RAZOR_SIGNS = ("build-bundle-file.sh", "rz_mk_init.rb", *_RAZOR_LISTS.values())


# Write recipes as a starting point. The model's descriptions explain each key.


def say_razor(project: str, has: Callable[[str], bool]) -> Said:
    """Return the values of a recipe for a Razor-Microkernel project.

    Args:
        project: path of the project's folder as the recipe names it, with slashes.
        has: returns whether the project has a file, by its path in the project.

    Raises:
        ProjectError: the folder is not a Razor-Microkernel project.
    """
    if not any(map(has, _RAZOR_SIGNS)):
        raise ProjectError(
            f"{project} is not a Razor-Microkernel project: it must have one of "
            f"{', '.join(_RAZOR_SIGNS)}",
            hint=PROJECT_HINT,
        )
    lists = {
        key: f"{project.rstrip('/')}/{path}" for key, path in _RAZOR_LISTS.items() if has(path)
    }
    cut = {("cut", "extension"): "util-linux.tcz"} if ("cut", "list") in lists else {}
    return {("", "flavour"): "dev", ("razor", "project"): project, **cut, **lists}


def write_recipe(values: Said, *, minimal: bool = False) -> str:
    """Return a recipe with ``values``; unless ``minimal``, it explains all other keys."""
    about = f"{_ABOUT} {_ABOUT_SHORT if minimal else _ABOUT_ALL}"
    paragraphs = [f"{_comment(_TITLE)}\n#\n{_comment(about)}"]
    for table in tables():
        shown = {
            name: (table.name, name) in values
            for name in table.keys
            if not minimal or (table.name, name) in (*values, *SUGGESTED)
        }
        if shown and table.name:
            paragraphs.append(_header(table, empty=not any(shown.values())))
        for name, is_given in shown.items():
            key = table.keys[name]
            value = values[table.name, name] if is_given else key.examples[0]
            mark = "" if is_given else "#"
            paragraphs.append(f"{_comment(_explain(key))}\n{mark}{name} = {to_toml(value)}")
    return "\n\n".join(paragraphs) + "\n"


def _header(table: Table, *, empty: bool) -> str:
    """Return the header of a table; it is commented out if the table must not be empty."""
    is_example = empty and (table.repeated or table.names or table.required)
    return f"{_comment(table.description)}\n{'#' if is_example else ''}{table.label}"


def _explain(key: Key) -> str:
    default = "" if key.default is None else f" The default is {to_toml(key.default)}."
    return key.description + default


def _comment(words: str) -> str:
    return textwrap.fill(
        words,
        width=WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def init_recipe(
    path: Path, *, project: Path | None = None, minimal: bool = False, force: bool = False
) -> Output:
    """Write a new recipe, completely or not at all.

    Args:
        path: path of the file; a missing folder is created.
        project: folder of a Razor-Microkernel project to build from.
        minimal: leave out keys without a value, except for a few examples.
        force: replace an existing file.

    Raises:
        OutputError: ``path`` already exists, or cannot be written.
        ProjectError: ``project`` is not a Razor-Microkernel project.
        UsageError: a recipe cannot contain the project's path.
    """
    values = PLAIN if project is None else _razor(project, path)
    content = _encode(write_recipe(values, minimal=minimal), project)
    check_recipe(parse_toml(Input(content, name=str(path))))
    if exists(path) and not force:
        raise OutputError(
            f"{path} already exists", hint="give --force to replace it, or choose another name"
        )

    try:
        (output,) = publish(path.parent, {path.name: content})
    except OutputError as error:
        raise OutputError(error.message, hint="choose another folder or file") from None
    return output


def _razor(project: Path, recipe: Path) -> Said:
    if not is_folder(project):
        raise ProjectError(f"{project} is not a folder", hint=PROJECT_HINT)
    return say_razor(_project_path(recipe, project), lambda name: is_file(project / name))


def _project_path(recipe: Path, project: Path) -> str:
    """Return the path of ``project`` to write into ``recipe``."""
    if project.is_absolute():
        return project.as_posix()
    try:
        return Path(os.path.relpath(project, recipe.parent)).as_posix()
    except ValueError:  # on Windows, a path on another drive
        return project.resolve().as_posix()


def _encode(text: str, project: Path | None) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the path {str(project)!r} is not valid UTF-8", hint="rename the project's folder"
        ) from None
