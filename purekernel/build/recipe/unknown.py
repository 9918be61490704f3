"""Say what was probably meant by a key that a recipe cannot have."""

from __future__ import annotations

from typing import Any

from purekernel.build.recipe.schema import Table, tables
from purekernel.build.recipe.words import either, nearest, show_name

# From here on a key is surely another misspelt, even where a table elsewhere has it.
_SURELY = 0.8


def unknown_key(table: str, key: str, value: Any, known: list[str]) -> tuple[str, str]:
    """Return a message and a hint for a key that a table does not have.

    Args:
        table: the words for the table.
        key: the key.
        value: its value.
        known: the keys that the table has.
    """
    top = tables()[0]
    inner = {found.key: found for found in tables()[1:]}
    at_top = set(top.keys) <= set(known)
    thing = f"table [{key}]" if at_top and _is_table(value) else f"key {show_name(key)}"
    message = f"{table} has no {thing}"

    def words(name: str) -> str:
        return inner[name].label if at_top and name in inner else repr(name)

    if near := nearest(key, known, closeness=_SURELY):
        return f"{message}; the nearest is {words(near)}", f"write {words(near)}"
    homes = [found for found in tables() if key in found.keys and set(found.keys) != set(known)]
    if homes:
        return f"{message}; it belongs {_places(homes)}", "move it there"
    if near := nearest(key, known):
        return f"{message}; the nearest is {words(near)}", f"write {words(near)}"
    return message, f"it has {', '.join(map(words, known))}"


def _is_table(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(isinstance(item, dict) for item in items)


def _places(homes: list[Table]) -> str:
    return either(f"in {home.label}" if home.label else "before the first table" for home in homes)
