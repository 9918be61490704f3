"""Read a recipe from ``purekernel.toml``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import evolve

from purekernel.errors import LimitError, PurekernelError, RecipeError, raise_all, split_errors
from purekernel.formats.text import MOST_BYTES
from purekernel.formats.toml import TomlDocument, TomlPath, parse_toml
from purekernel.host.read import is_folder, load_file
from purekernel.input import Input, Limits
from purekernel.recipe.check import check_recipe
from purekernel.recipe.defaults import RECIPE_NAME
from purekernel.recipe.join import DISCARD, join, rebase
from purekernel.recipe.keys import Key, Named, Table, value_at
from purekernel.recipe.kinds import Array, Kind
from purekernel.recipe.lists import Lists, Read, read_lists
from purekernel.recipe.model import Recipe
from purekernel.recipe.parents import RecipeFile, find_files
from purekernel.recipe.schema import tables
from purekernel.records import frozen


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
    path = _file_of(path)
    recipe = parse_recipe(
        read(path), source=str(path), folder=path.parent, read=read, defer_lists=defer_lists
    )
    return evolve(recipe, path=path)


def load_joined(
    path: str | os.PathLike[str], *, read: Read = read_text_file
) -> tuple[TomlDocument, tuple[str, ...]]:
    """Return the joined document of the recipe at ``path``, which is valid, and the files' names.

    In the document, the entries of lists are items of their arrays, except in repeated tables.
    Raises as :func:`load_recipe`.
    """
    path = _file_of(path)
    reading = _read(read(path), source=str(path), folder=path.parent, read=read)
    reading.recipe(path.parent, defer_lists=False)  # raises the errors
    document, _lists = join(reading.files, [])
    return document, tuple(file.document.source for file, _lists in reading.files)


def _file_of(path: str | os.PathLike[str]) -> Path:
    """Return the path of a recipe, given that or the path of its folder."""
    path = Path(path)
    return path / RECIPE_NAME if is_folder(path) else path


def parse_recipe(
    data: bytes,
    *,
    source: str,
    folder: Path,
    read: Read = read_text_file,
    defer_lists: bool = False,
) -> Recipe:
    """Return the recipe in ``data``, joined with the files that it extends.

    Args:
        data: content of a ``purekernel.toml``.
        source: the file's name, for messages.
        folder: folder that relative paths are relative to.
        read: reads the files that the recipe extends, and lists.
        defer_lists: put errors in lines of lists into the recipe's ``faults``, so that the
            caller can report them together with other errors.

    Raises:
        RecipeError: the recipe, a file that it extends, or a list has an error; the message names
            file and line.
        CombinedError: there are several errors.
    """
    reading = _read(data, source=source, folder=folder, read=read)
    return reading.recipe(folder, defer_lists=defer_lists)


@frozen(kw_only=True)
class _Reading:
    """What was read of a recipe and the files that it extends.

    Attributes:
        files: the files in the order in which they are joined, with their lists.
        document: what they say together.
        lists: the lists that the document names.
        errors: errors in them.
        faults: errors in lines of lists.
    """

    files: list[tuple[RecipeFile, Lists]]
    document: TomlDocument
    lists: Lists
    errors: list[PurekernelError]
    faults: list[PurekernelError]

    def recipe(self, folder: Path, *, defer_lists: bool) -> Recipe:
        """Return the recipe. Raises as :func:`parse_recipe`."""
        if self.errors or not defer_lists:
            raise_all([*self.errors, *self.faults])
        recipe = _RecipeReader(self.document, self.lists).recipe(folder)
        return evolve(recipe, faults=tuple(self.faults))


def _read(data: bytes, *, source: str, folder: Path, read: Read) -> _Reading:
    """Read a recipe, the files that it extends, and their lists; check and join them."""
    document = parse_toml(Input(data, name=source))
    errors: list[PurekernelError] = []
    faults: list[PurekernelError] = []
    found = find_files(document, folder=folder, read=read, errors=errors)
    is_complete = not errors
    is_alone = len(found) == 1 and DISCARD not in document.values
    files: list[tuple[RecipeFile, Lists]] = []
    for each in found:
        file = rebase(each)
        try:
            # Other files, also those that are missing, may give what this one lacks.
            check_recipe(file.document, partial=not (is_alone and is_complete))
        except PurekernelError as error:
            errors.append(error)
        lists = read_lists(file.document, folder=folder, read=read, errors=errors, faults=faults)
        files.append((file, lists))
    if not is_alone:
        document, lists = join(files, errors)
        if is_complete:
            _check_joined(document, errors)
    return _Reading(files=files, document=document, lists=lists, errors=errors, faults=faults)


def _check_joined(document: TomlDocument, errors: list[PurekernelError]) -> None:
    """Check a joined document; leave out errors at places where one is known."""
    known = {error.location for error in split_errors(errors)}
    try:
        check_recipe(document)
    except PurekernelError as error:
        errors += [each for each in split_errors([error]) if each.location not in known]


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
            path, value = table.path, value_at(values, table.path)
            if value is not None:
                found[table.attribute] = self._table(table, value)
                moved = [key for key in table.keys.values() if key.table]
                found |= self._attributes(moved, value, path, table.label)
                places |= found.pop("places", {})
        return Recipe(source=self._document.source, folder=folder, places=places, **found)

    def _table(self, table: Table, value: Any) -> Any:
        """Return the value of the recipe's attribute for a table's key."""
        path = table.path
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
