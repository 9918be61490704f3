"""Put a new recipe where the user wants it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from purekernel.errors import OutputError, ProjectError, UsageError
from purekernel.formats.toml import parse_toml
from purekernel.host.read import is_folder
from purekernel.host.write import Output, publish
from purekernel.recipe.check import check_recipe
from purekernel.recipe.schema import Schema, Table, tables, to_toml

WIDTH = 92


Said = Mapping[tuple[str, str], Any]
"""What a recipe says: for the key of a table (empty for none) and a key in it, the value."""


PLAIN: Said = {
    ("", "name"): "my-core",
    ("core", "version"): "4.x",
    ("core", "arch"): "x86",
    ("extensions", "builtin"): ["bash.tcz"],
}
PROJECT_HINT = "name the top folder of a Razor-Microkernel checkout"


# What a short recipe shows besides what it says.
SUGGESTED = (("mirrors", "tinycore"), ("overlay", "path"), ("boot", "append"))
_TITLE = "What an image is made of, for purekernel."


_ABOUT = (
    "A line that begins with '#' and no blank behind it is an example, and means nothing until "
    "the '#' is taken away. Relative paths are taken from the folder of this file."
)
_ABOUT_ALL = "Editors that know JSON schemas help with the keys: see 'purekernel schema'."
_ABOUT_SHORT = "'purekernel init' without --minimal writes a recipe with all keys explained."


# Where a Razor-Microkernel project has its lists, and which keys name them.
_RAZOR_LISTS = {
    ("extensions", "builtin-list"): "additional-build-files/builtin-extensions.lst",
    ("extensions", "mirror-list"): "additional-build-files/mirror-extensions.lst",
    ("cut", "list"): "additional-build-files/util-linux-exec.lst",
    ("gems", "list"): "opt/gems/gem.list",
}


# Any of these makes a folder such a project.
_RAZOR_SIGNS = ("build-bundle-file.sh", "rz_mk_init.rb", *_RAZOR_LISTS.values())


# Write recipes for people to go on from, each key explained by the schema's own words.


def say_razor(project: str, has: Callable[[str], bool]) -> Said:
    """Return what a recipe for a Razor-Microkernel project says.

    Args:
        project: the project's folder as the recipe is to name it, with slashes.
        has: whether the project has a file, by its path in the project.

    Raises:
        ProjectError: it is none.
    """
    if not any(map(has, _RAZOR_SIGNS)):
        raise ProjectError(
            f"{project} is no Razor-Microkernel project: it has none of {', '.join(_RAZOR_SIGNS)}",
            hint=PROJECT_HINT,
        )
    lists = {
        place: f"{project.rstrip('/')}/{path}" for place, path in _RAZOR_LISTS.items() if has(path)
    }
    cut = {("cut", "extension"): "util-linux.tcz"} if ("cut", "list") in lists else {}
    return {("", "flavour"): "dev", ("razor", "project"): project, **cut, **lists}


def write_recipe(said: Said, *, minimal: bool = False) -> str:
    """Return a recipe that says ``said``, and explains all other keys unless ``minimal``."""
    about = f"{_ABOUT} {_ABOUT_SHORT if minimal else _ABOUT_ALL}"
    paragraphs = [f"{_comment(_TITLE)}\n#\n{_comment(about)}"]
    for table in tables():
        shown = {
            key: (table.key, key) in said
            for key in table.keys
            if not minimal or (table.key, key) in (*said, *SUGGESTED)
        }
        if shown and table.key:
            paragraphs.append(_header(table, empty=not any(shown.values())))
        for key, is_said in shown.items():
            schema = table.keys[key]
            value = said[table.key, key] if is_said else schema["examples"][0]
            mark = "" if is_said else "#"
            paragraphs.append(f"{_comment(_explain(schema))}\n{mark}{key} = {to_toml(value)}")
    return "\n\n".join(paragraphs) + "\n"


def _header(table: Table, *, empty: bool) -> str:
    """Return a table's header, which is an example where there is no such table yet."""
    is_one_of_many = table.label != f"[{table.key}]"
    is_example = empty and (is_one_of_many or "required" in table.schema)
    return f"{_comment(table.schema['description'])}\n{'#' if is_example else ''}{table.label}"


def _explain(schema: Schema) -> str:
    words: str = schema["description"]
    return f"{words} By default {to_toml(schema['default'])}." if "default" in schema else words


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
