"""Read the lists that a recipe names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from purekernel.build.recipe.lists import parse_extension_list, parse_gem_list, parse_path_list
from purekernel.build.recipe.model import Named
from purekernel.errors import PurekernelError, RecipeError
from purekernel.formats.toml import TomlDocument, TomlPath

Read = Callable[[Path], bytes]
"""Returns what a file on the host holds."""

Lists = dict[TomlPath, tuple[Named, ...]]
"""For the path of each key that names a list, what is in it."""

_Parse = Callable[..., tuple[Named, ...]]


def read_lists(
    document: TomlDocument,
    *,
    folder: Path,
    read: Read,
    errors: list[PurekernelError],
    faults: list[PurekernelError],
) -> Lists:
    """Return what is in each list that a recipe names.

    Args:
        document: the recipe, which need not follow the schema: what is wrong in its lists can
            be told besides.
        folder: what the lists' paths are relative to.
        read: reads a list.
        errors: takes why a list cannot be read.
        faults: takes what is wrong with lines of lists, whose others count all the same.
    """
    lists: Lists = {}
    for path, name, parse in _named(document.values):
        try:
            content = read(folder / name)
        except PurekernelError as error:
            message = f"{document.place(path)}: {error.message}"
            hint = "a list's path is taken from the recipe's folder"
            errors.append(RecipeError(message, hint=hint))
            continue
        try:
            lists[path] = parse(content, source=name, errors=faults)
        except PurekernelError as error:
            errors.append(error)
    return lists


def _named(values: dict[str, Any]) -> Iterator[tuple[TomlPath, str, _Parse]]:
    """Yield the path of each key that names a list, the file, and what reads it."""
    cuts = values.get("cut")
    count = len(cuts) if isinstance(cuts, list) else 0
    places: list[tuple[TomlPath, _Parse]] = [
        (("extensions", "builtin-list"), parse_extension_list),
        (("extensions", "mirror-list"), parse_extension_list),
        *((("cut", index, "list"), parse_path_list) for index in range(count)),
        (("gems", "list"), parse_gem_list),
    ]
    for path, parse in places:
        name = _at(values, path)
        if isinstance(name, str) and name and "\0" not in name:
            yield path, name, parse


def _at(value: Any, path: TomlPath) -> Any:
    """Return what is at ``path``; ``None`` where nothing is, or something else on the way."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        else:
            value = value[key] if isinstance(value, list) and isinstance(key, int) else None
    return value
