"""Write a recipe as TOML, from its values: the opposite of reading one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import tomli_w
from attrs import NOTHING, Factory, fields

from purekernel.recipe.join import DISCARD
from purekernel.recipe.keys import Key, Named, Table
from purekernel.recipe.kinds import Array, Kind, Text, TextOrFalse
from purekernel.recipe.model import Recipe
from purekernel.recipe.parents import EXTENDS
from purekernel.recipe.schema import tables

Convert = Callable[[Kind, str, str], str | None]
"""Called with the kind of a text, the text, and its key such as ``overlay[0].path``. Returns the
text to write; ``None`` to leave it out."""


def recipe_values(recipe: Recipe, convert: Convert) -> dict[str, Any]:
    """Return the tables and keys that give ``recipe``, as a recipe file writes them.

    Lists and the files that the recipe extends are joined. What has its default is left out.

    Args:
        recipe: the recipe; passes and layers in memory are not written.
        convert: changes texts.
    """
    top, *inner = tables()
    values = _keys(top, recipe, "", convert)
    for table in inner:
        *outer, own_name = table.path
        value = getattr(recipe, table.attribute)
        if table.repeated:
            found: Any = [
                _keys(table, item, f"{table.name}[{at}].", convert) for at, item in enumerate(value)
            ]
        elif table.names is not None:
            found = {
                item.name: _keys(table, item, f"{table.name}.{item.name}.", convert)
                for item in value
            }
        elif value is None:
            found = None
        else:
            moved = [each for each in table.keys.values() if each.table]
            found = _keys(table, value, f"{table.name}.", convert)
            for key in moved:
                _add(found, key, recipe, f"{table.name}.", convert)
        if found:
            holder = values
            for name in outer:
                holder = holder.setdefault(name, {})
            holder[own_name] = found
    return values


def _keys(table: Table, source: Any, label: str, convert: Convert) -> dict[str, Any]:
    """Return the keys of one table with the values that ``source`` has."""
    found: dict[str, Any] = {}
    for key in table.keys.values():
        if not key.table and key.attribute and key.name not in (EXTENDS, DISCARD):
            _add(found, key, source, label, convert)
    return found


def _add(found: dict[str, Any], key: Key, source: Any, label: str, convert: Convert) -> None:
    value = getattr(source, key.attribute)
    default = _defaults(type(source)).get(key.attribute, NOTHING)
    if value is None or (default is not NOTHING and value == default):
        return
    written = _written(key.kind, value, label + key.name, convert)
    if written is not None:
        found[key.name] = written


def _defaults(model: type) -> Mapping[str, Any]:
    """Return the default of each attribute that does not depend on others."""
    defaults = {}
    for attribute in fields(model):
        default: Any = attribute.default
        if isinstance(default, Factory):  # type: ignore[arg-type]  # a function to type checkers
            if default.takes_self:
                continue
            default = default.factory()
        if default is not NOTHING:
            defaults[attribute.name] = default
    return defaults


def _written(kind: Kind, value: Any, label: str, convert: Convert) -> Any:
    """Return a value as a recipe writes it; ``None`` if nothing of it is written."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Named):
        value = value.name
    if isinstance(value, frozenset):
        value = sorted(value)
    if isinstance(value, tuple | list):
        item_kind = kind.item if isinstance(kind, Array) else kind
        items = [_written(item_kind, each, label, convert) for each in value]
        kept = [each for each in items if each is not None]
        return None if items and not kept else kept
    if isinstance(kind, TextOrFalse) and value == "":
        return False
    if isinstance(kind, Text) and not isinstance(value, str):  # a size
        value = str(value)
    return convert(kind, value, label) if isinstance(value, str) else value


def build_recipe(values: Mapping[str, Any], header: str) -> bytes:
    """Return the recipe with these tables and keys as TOML, after a comment."""
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    text = f"{comment}\n{tomli_w.dumps(values)}"
    return text.encode("utf-8", "surrogateescape")
