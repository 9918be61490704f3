"""Read a recipe from ``purekernel.toml``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import evolve

from purekernel.errors import LimitError, PurekernelError, RecipeError, raise_all
from purekernel.formats.text import MOST_BYTES
from purekernel.formats.toml import TomlDocument, TomlPath, parse_toml
from purekernel.host.read import is_folder, load_file
from purekernel.input import Input, Limits
from purekernel.recipe.check import check_recipe
from purekernel.recipe.defaults import RECIPE_NAME
from purekernel.recipe.keys import Key, Table
from purekernel.recipe.kinds import EXTENSION_NAME, GEM, IMAGE_PATH, Array, Kind
from purekernel.recipe.lists import parse_extension_list, parse_gem_list, parse_path_list
from purekernel.recipe.model import Named, Recipe
from purekernel.recipe.schema import tables

Read = Callable[[Path], bytes]
"""Returns the content of a file on the host."""


Lists = dict[TomlPath, tuple[Named, ...]]
"""Maps the path of each key that names a list to the entries of the list."""


_Parse = Callable[..., tuple[Named, ...]]

# The parsers of lists, by the kind of their items.
_PARSERS: dict[Kind, _Parse] = {
    EXTENSION_NAME: parse_extension_list,
    GEM: parse_gem_list,
    IMAGE_PATH: parse_path_list,
}


def read_text_file(path: Path) -> bytes:
    """Return the content of a recipe, list or settings file.

    The file may also be a fifo: users write ``-b <(grep -v ssh builtin.lst)``.

    Raises:
        InputError: the file cannot be read.
        RecipeError: the file is too large.
    """
    try:
        return load_file(path, limits=Limits(unpacked_bytes=MOST_BYTES), streams=True)
    except LimitError:
        raise RecipeError(
            f"{path} has more than {MOST_BYTES} bytes", hint="check that this is the right file"
        ) from None


def load_recipe(
    path: str | os.PathLike[str], *, read: Read = read_text_file, defer_lists: bool = False
) -> Recipe:
    """Return the recipe in the file at ``path``, with the entries of its lists.

    Args:
        path: path of a recipe, or of a folder with a ``purekernel.toml``. Paths in the recipe are
            relative to its folder.
        read: reads the recipe and its lists.
        defer_lists: see :func:`parse_recipe`.

    Raises:
        InputError: the file cannot be read.
        RecipeError: the recipe or one of its lists has an error; the message names file and line.
        CombinedError: there are several errors.
    """
    path = Path(path)
    if is_folder(path):
        path /= RECIPE_NAME
    recipe = parse_recipe(
        read(path), source=str(path), folder=path.parent, read=read, defer_lists=defer_lists
    )
    return evolve(recipe, path=path)


# Read the list files that a recipe names.


def read_lists(
    document: TomlDocument,
    *,
    folder: Path,
    read: Read,
    errors: list[PurekernelError],
    faults: list[PurekernelError],
) -> Lists:
    """Return the entries of each list that a recipe names.

    Args:
        document: the recipe. It may break the schema, so that errors in its lists are reported
            together with its own.
        folder: folder that the lists' paths are relative to.
        read: reads a list.
        errors: receives an error for each list that cannot be read.
        faults: receives an error for each wrong line of a list; the other lines still count.
    """
    lists: Lists = {}
    for path, name, parse in _named_lists(document.values):
        try:
            content = read(folder / name)
        except PurekernelError as error:
            message = f"{document.place(path)}: {error.message}"
            hint = "give the path of the list relative to the recipe's folder"
            errors.append(RecipeError(message, hint=hint))
            continue
        try:
            lists[path] = parse(content, source=name, errors=faults)
        except PurekernelError as error:
            errors.append(error)
    return lists


def _named_lists(values: dict[str, Any]) -> Iterator[tuple[TomlPath, str, _Parse]]:
    """Yield the path of each key that names a list, the list's file name, and its parser."""
    for table in tables()[1:]:
        value = values.get(table.name)
        items: dict[TomlPath, Any] = {(table.name,): value}
        if table.repeated and isinstance(value, list):
            items = {(table.name, index): item for index, item in enumerate(value)}
        for path, item in items.items():
            for key in table.keys.values() if isinstance(item, dict) else ():
                if key.list_key is not None and isinstance(key.kind, Array):
                    name = item.get(key.list_key.name)
                    if isinstance(name, str) and name and "\0" not in name:
                        yield (*path, key.list_key.name), name, _PARSERS[key.kind.item]


def parse_recipe(
    data: bytes,
    *,
    source: str,
    folder: Path,
    read: Read = read_text_file,
    defer_lists: bool = False,
) -> Recipe:
    """Return the recipe in ``data``, with the entries of its lists.

    Args:
        data: content of a ``purekernel.toml``.
        source: the file's name, for messages.
        folder: folder that relative paths are relative to.
        read: reads the recipe's lists.
        defer_lists: put errors in lines of lists into the recipe's ``faults``, so that the
            caller can report them together with other errors.

    Raises:
        RecipeError: the recipe or one of its lists has an error; the message names file and line.
        CombinedError: there are several errors.
    """
    document = parse_toml(Input(data, name=source))
    errors: list[PurekernelError] = []
    try:
        check_recipe(document)
    except PurekernelError as error:
        errors.append(error)
    faults: list[PurekernelError] = []
    lists = read_lists(document, folder=folder, read=read, errors=errors, faults=faults)
    if errors or not defer_lists:
        raise_all([*errors, *faults])
    recipe = _RecipeReader(document, lists).recipe(folder)
    return evolve(recipe, faults=tuple(faults))


class _RecipeReader:
    """Converts a recipe without problems to values."""

    def __init__(self, document: TomlDocument, lists: Lists) -> None:
        self._document = document
        self._lists = lists

    def recipe(self, folder: Path) -> Recipe:
        values = self._document.values
        top, *inner = tables()
        found = self._attributes(top.keys.values(), values, (), "")
        places = {**found.pop("places"), "": self._document.source}
        for table in inner:
            if table.name in values:
                path, value = (table.name,), values[table.name]
                found[table.attribute] = self._table(table, value)
                moved = [key for key in table.keys.values() if key.table]
                found |= self._attributes(moved, value, path, table.label)
                places |= found.pop("places", {})
        return Recipe(source=self._document.source, folder=folder, places=places, **found)

    def _table(self, table: Table, value: Any) -> Any:
        """Return the value of the recipe's attribute for a table's key."""
        path = (table.name,)
        if table.repeated:
            return tuple(self._values(table, item, (*path, at)) for at, item in enumerate(value))
        if table.names:
            return tuple(
                self._values(table, item, (*path, name), name=name) for name, item in value.items()
            )
        return self._values(table, value, path)

    def _values(self, table: Table, values: dict[str, Any], path: TomlPath, **more: str) -> Any:
        """Return the model's object for one table."""
        label = table.header(path)
        keys = [key for key in table.keys.values() if not key.table]
        found = self._attributes(keys, values, path, label)
        found["places"][""] = f"{self._document.place(path)}, {label}"
        return table.model(**more, **found)

    def _attributes(
        self, keys: Iterable[Key], values: dict[str, Any], path: TomlPath, label: str
    ) -> dict[str, Any]:
        """Return the model's attributes that a table gives, and their places."""
        found: dict[str, Any] = {}
        places: dict[str, str] = {}
        under = f" under {label}" if label else ""
        for key in keys:
            listed = key.list_key.name if key.list_key else ""
            if key.attribute and (key.name in values or listed in values):
                given = key.name if key.name in values else listed
                places[key.attribute] = f"{self._document.place((*path, given))}, {given}{under}"
                found[key.attribute] = self._value(key, values.get(key.name), path, under)
        return {**found, "places": places}

    def _value(self, key: Key, value: Any, table: TomlPath, under: str) -> Any:
        """Return the model's value for a key; that of an array with the items of its list first."""
        kind, path = key.kind, (*table, key.name)
        if not isinstance(kind, Array):
            return self._item(key, kind, value, path, under)
        items = [
            self._item(key, kind.item, item, (*path, index), under)
            for index, item in enumerate(value or ())
        ]
        listed = self._lists.get((*table, key.list_key.name), ()) if key.list_key else ()
        return kind.convert([*listed, *items])

    def _item(self, key: Key, kind: Kind, value: Any, path: TomlPath, under: str) -> Any:
        converted = kind.convert(value)
        if not key.named:
            return converted
        return Named(name=converted, place=f"{self._document.place(path)}, {key.name}{under}")
