"""Join a recipe and the files that it extends to one document, which knows where each value is.

The files come in the order of :mod:`purekernel.recipe.parents`. Of a key, the last value counts;
tables are joined key by key; arrays and repeated tables are continued. See docs/extends.md.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field

from purekernel.errors import PurekernelError, RecipeError
from purekernel.formats.toml import TomlDocument, TomlPath
from purekernel.recipe.check import MAX_ERRORS, given_among
from purekernel.recipe.keys import Key, Table, value_at
from purekernel.recipe.kinds import Array, Kind
from purekernel.recipe.lists import Lists
from purekernel.recipe.parents import EXTENDS, RecipeFile, in_folder
from purekernel.recipe.schema import tables
from purekernel.recipe.words import nearest, show_name
from purekernel.records import frozen

DISCARD = "discard"

# A key of this ending holds the digest of the file that the key before it names.
_DIGEST = "-sha256"


def rebase(file: RecipeFile) -> RecipeFile:
    """Return ``file`` with its relative paths as paths from the recipe's folder.

    What is not a valid recipe is left as it is.
    """
    top, *inner = tables()
    values = _rebased(top.keys, file.document.values, file.folder)
    for table in inner:
        # The table that holds this one comes before it, so that this is its copy.
        *outer, name = table.path
        holder = value_at(values, outer)
        value = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(value, list):
            holder[name] = [_rebased(table.keys, item, file.folder) for item in value]
        elif isinstance(value, dict) and table.names:
            holder[name] = {
                each: _rebased(table.keys, item, file.folder) for each, item in value.items()
            }
        elif value is not None:
            holder[name] = _rebased(table.keys, value, file.folder)
    document = file.document
    return RecipeFile(
        document=TomlDocument(source=document.source, values=values, lines=document.lines),
        folder=file.folder,
    )


def _rebased(keys: Mapping[str, Key], values: Any, folder: str) -> Any:
    """Return the values of a table with its relative paths as paths from the recipe's folder."""
    if not isinstance(values, dict):
        return values
    return {
        name: _rebased_value(keys[name].kind, value, folder) if name in keys else value
        for name, value in values.items()
    }


def _rebased_value(kind: Kind, value: Any, folder: str) -> Any:
    if isinstance(kind, Array) and isinstance(value, list):
        return [_rebased_value(kind.item, item, folder) for item in value]
    if kind.is_host_path and isinstance(value, str) and value:
        is_name = kind.is_mirror_name and "/" not in value and "\\" not in value
        return value if is_name or kind.is_part(value) else in_folder(folder, value)
    return value


def join(
    files: Sequence[tuple[RecipeFile, Lists]], errors: list[PurekernelError]
) -> tuple[TomlDocument, Lists]:
    """Return the document that ``files`` make together, and the lists that it still names.

    The entries of lists become items of their arrays, except in repeated tables.

    Args:
        files: the files in order, the recipe last, with paths from the recipe's folder; and the
            entries of their lists.
        errors: receives an error for each item of ``discard`` that has nothing to discard.
    """
    joined = _Joined()
    for file, lists in files:
        _Joiner(joined, file.document, lists).join(errors)
    recipe = files[-1][0].document
    last = _Joiner(joined, recipe, {})
    for name in (EXTENDS, DISCARD):
        if name in recipe.values:
            last.put(joined.values, (name,), recipe.values[name], (name,))
    document = TomlDocument(
        source=recipe.source, values=joined.values, lines=joined.lines, sources=joined.sources
    )
    return document, joined.lists


@frozen(kw_only=True)
class _Joined:
    """The values so far, the line and file of each, and the lists that repeated tables name."""

    values: dict[str, Any] = field(factory=dict)
    lines: dict[TomlPath, int] = field(factory=dict)
    sources: dict[TomlPath, str] = field(factory=dict)
    lists: Lists = field(factory=dict)


class _Joiner:
    """Joins one more file to the values."""

    def __init__(self, joined: _Joined, document: TomlDocument, lists: Lists) -> None:
        self._joined = joined
        self._document = document
        self._lists = lists

    def join(self, errors: list[PurekernelError]) -> None:
        """Join the whole file."""
        self._discard(errors)
        by_name = {table.name: table for table in tables()[1:]}
        for name, value in self._document.values.items():
            path, table = (name,), by_name.get(name)
            if name in (EXTENDS, DISCARD):
                continue
            if table is None or table.repeated or not isinstance(value, dict):
                self._join_plain(path, value)
                continue
            holder = self._table(self._joined.values, path)
            if table.names is None:
                self._join_table(holder, path, value, table)
                continue
            for inner, item in value.items():
                if isinstance(item, dict):
                    known = self._table(holder, (*path, inner))
                    self._join_table(known, (*path, inner), item, table)
                else:
                    self._join(holder, (*path, inner), item, (*path, inner))

    def put(self, holder: Any, path: TomlPath, value: Any, origin: TomlPath) -> None:
        """Set the value at ``path``, in its ``holder``, to ``value`` from ``origin``."""
        value = copy.deepcopy(value)
        if isinstance(holder, list):
            holder.append(value)
        else:
            self._forget(path, holder.get(path[-1]))
            holder[path[-1]] = value
        self._place(path, value, origin)

    def _join(self, holder: dict[str, Any], path: TomlPath, value: Any, origin: TomlPath) -> None:
        """Join a value to that of the same key: continue arrays and tables, replace all else."""
        known = holder.get(str(path[-1]))
        if isinstance(known, list) and isinstance(value, list):
            for index, item in enumerate(value):
                self.put(known, (*path, len(known)), item, (*origin, index))
        elif isinstance(known, dict) and isinstance(value, dict):
            for name, item in value.items():
                self._join(known, (*path, name), item, (*origin, name))
        else:
            self.put(holder, path, value, origin)

    def _join_plain(self, path: tuple[str], value: Any) -> None:
        """Join a key of the recipe itself, or a repeated table."""
        known = self._joined.values.get(path[0])
        offset = len(known) if isinstance(known, list) else 0
        self._join(self._joined.values, path, value, path)
        for (name, *rest), entries in self._lists.items():
            if name == path[0] and rest and isinstance(rest[0], int):
                self._joined.lists[name, rest[0] + offset, *rest[1:]] = entries

    def _table(self, holder: dict[str, Any], path: TomlPath) -> dict[str, Any]:
        """Return the table at ``path``; make it if it is missing."""
        name = str(path[-1])
        if not isinstance(holder.get(name), dict):
            self.put(holder, path, {}, path)
        self._place_one(path, path)
        table: dict[str, Any] = holder[name]
        return table

    def _join_table(
        self, known: dict[str, Any], path: TomlPath, values: dict[str, Any], table: Table
    ) -> None:
        """Join the keys of a table to those ``known``."""
        for group in (table.exclusive, table.one_of):
            given = given_among(table, group, values)
            self._drop(known, path, [name for name in group if given and name not in given])
        replaced = [name for name, value in values.items() if not isinstance(value, list)]
        self._drop(known, path, [name + _DIGEST for name in replaced])
        arrays = {
            key.list_key.name: key.name for key in table.keys.values() if key.list_key is not None
        }
        for name, array in arrays.items():
            if name in values:
                self._join_list(known, (*path, array), (*path, name))
        for name, value in values.items():
            if name not in arrays:
                self._join(known, (*path, name), value, (*path, name))

    def _join_list(self, holder: dict[str, Any], path: TomlPath, origin: TomlPath) -> None:
        """Continue the array at ``path`` with the entries of a list."""
        known = holder.setdefault(str(path[-1]), [])
        if not isinstance(known, list):
            return  # the check reports it
        if not known:
            self._place_one(path, origin)
        for item in self._lists.get(origin, ()):
            at = (*path, len(known))
            known.append(item.name)
            source, _comma, line = item.place.rpartition(", line ")
            self._joined.sources[at], self._joined.lines[at] = source, int(line)

    def _discard(self, errors: list[PurekernelError]) -> None:
        """Discard what the file wants discarded."""
        given = self._document.values.get(DISCARD)
        for index, item in enumerate(given if isinstance(given, list) else ()):
            if not isinstance(item, str):
                continue  # the check reports it
            *outer, last = item.split(".")
            holder: Any = value_at(self._joined.values, outer)
            if isinstance(holder, dict) and last in holder:
                self._drop(holder, tuple(outer), [last])
                continue
            self._refuse_discard(index, item, errors)

    def _refuse_discard(self, index: int, item: str, errors: list[PurekernelError]) -> None:
        """Append an error for an item of ``discard`` that has nothing to discard."""
        if len(errors) >= MAX_ERRORS:  # a hostile file can have thousands
            return
        near = nearest(item, [".".join(path) for path in _keys(self._joined.values)])
        message = f"no file that this one extends gives {show_name(item)}"
        errors.append(
            RecipeError(
                f"{self._document.place((DISCARD, index))}, {DISCARD}: {message}"
                + (f"; did you mean {near!r}?" if near else ""),
                hint="correct it, or delete it",
            )
        )

    def _drop(self, holder: dict[str, Any], path: TomlPath, names: Iterable[str]) -> None:
        """Delete the keys ``names`` of the table ``holder`` at ``path``."""
        for name in names:
            self._forget((*path, name), holder.pop(name, None))

    def _place(self, path: TomlPath, value: Any, origin: TomlPath) -> None:
        """Record file and line of a value, and of everything inside it."""
        self._place_one(path, origin)
        for name, item in _inside(value):
            self._place((*path, name), item, (*origin, name))

    def _place_one(self, path: TomlPath, origin: TomlPath) -> None:
        source, line = self._document.origin(origin)
        self._joined.sources[path], self._joined.lines[path] = source, line

    def _forget(self, path: TomlPath, value: Any) -> None:
        """Delete the places and lists of what was at ``path``."""
        self._joined.lines.pop(path, None)
        self._joined.sources.pop(path, None)
        self._joined.lists.pop(path, None)
        for name, item in _inside(value):
            self._forget((*path, name), item)


def _inside(value: Any) -> Iterable[tuple[str | int, Any]]:
    """Return the items of a table or array with their keys."""
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _keys(values: Mapping[str, Any], outer: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    """Yield the path of each key and table."""
    for name, value in values.items():
        yield (*outer, name)
        if isinstance(value, dict):
            yield from _keys(value, (*outer, name))
