"""Show values, names and types in messages, and suggest the nearest known word."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable
from typing import Any

from purekernel.similar import find_similar

# A longer value does not fit on a line of a message.
MAX_SHOWN_CHARACTERS = 60

TYPE_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "a table",
}
"""Words for the types of JSON Schema."""

_BARE_KEY = re.compile("[A-Za-z0-9_-]+")

# The user and password before a URL's host name.
_CREDENTIALS = re.compile(r"//[^/\s]*@")


def to_toml(value: Any) -> str:
    """Return a string, number, boolean, or an array or table of these as a recipe writes it."""
    if isinstance(value, dict):
        pairs = (f"{to_toml_key(key)} = {to_toml(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(to_toml, value))}]"
    # TOML has the escapes of JSON, and allows no DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def to_toml_key(name: str) -> str:
    """Return a key as a recipe writes it: in quotes only where it needs them."""
    return name if _BARE_KEY.fullmatch(name) else to_toml(name)


def describe(value: Any) -> str:
    """Return the kind of ``value`` in words; for a number or boolean, the value itself."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        is_tables = bool(value) and all(isinstance(item, dict) for item in value)
        return "an array of tables" if is_tables else "an array"
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return "a date or time"
    return show(value) if isinstance(value, int | float) else "a value that TOML does not have"


def show(value: Any) -> str:
    """Return ``value`` as a recipe writes it, shortened, without passwords in URLs."""
    if isinstance(value, list | dict) or not isinstance(value, str | int | float):
        return describe(value)
    if value == "":
        return "empty"
    text = without_credentials(value) if isinstance(value, str) else value
    shown = json.dumps(text, ensure_ascii=False)
    if len(shown) > MAX_SHOWN_CHARACTERS:
        return f"{shown[:MAX_SHOWN_CHARACTERS]}…"
    return shown


def show_name(name: str) -> str:
    """Return a key or name in single quotes, shortened."""
    cut = len(name) > MAX_SHOWN_CHARACTERS
    return f"{name[:MAX_SHOWN_CHARACTERS]!r}…" if cut else repr(name)


def without_credentials(text: str) -> str:
    """Return ``text`` without the user and password of a URL."""
    return _CREDENTIALS.sub("//…@", text)


def nearest(word: str, known: Iterable[str], *, closeness: float = 0.6) -> str | None:
    """Return the word in ``known`` that is closest to ``word``; ``None`` if none is close.

    Case does not matter, and underscores and hyphens are equal.

    Args:
        word: the word that the user wrote.
        known: the valid words.
        closeness: the lowest similarity that counts, from 0 to 1.
    """
    plain = {_plain(name): name for name in known}
    matches = find_similar(_plain(word), plain, closeness=closeness)
    return plain[matches[0]] if matches else None


def either(names: Iterable[str]) -> str:
    """Return ``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
