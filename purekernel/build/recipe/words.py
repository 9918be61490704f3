"""How values, kinds and names are put into messages."""

from __future__ import annotations

import datetime
import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

# What a person can take in at a glance.
MAX_SHOWN_CHARACTERS = 60

# Comparing longer words takes long, and no key is that long.
MAX_COMPARED_CHARACTERS = 64

_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "a table",
}

# User and password before a host's name.
_CREDENTIALS = re.compile(r"//[^/\s]*@")


def kind_words(json_type: str) -> str:
    """Return the words for a type of JSON schema's."""
    return _KINDS[json_type]


def describe(value: Any) -> str:
    """Say what kind of value this is; of numbers and truths, which."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        is_tables = bool(value) and all(isinstance(item, dict) for item in value)
        return "an array of tables" if is_tables else "an array"
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return "a date or time"
    return show(value)


def show(value: Any) -> str:
    """Return ``value`` as a recipe has it, cut short, without passwords of URLs."""
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
    """Return a key or name in single quotes, cut short."""
    cut = len(name) > MAX_SHOWN_CHARACTERS
    return f"{name[:MAX_SHOWN_CHARACTERS]!r}…" if cut else repr(name)


def without_credentials(text: str) -> str:
    """Return ``text`` with the user and password of a URL taken out."""
    return _CREDENTIALS.sub("//…@", text)


def nearest(word: str, known: Iterable[str], *, closeness: float = 0.6) -> str | None:
    """Return which of ``known`` is most like ``word``, case and underscores aside, if one is.

    Args:
        word: what was written.
        known: what could have been meant.
        closeness: how much alike they must be, from 0 to 1.
    """
    if len(word) > MAX_COMPARED_CHARACTERS:
        return None
    plain = {_plain(name): name for name in known}
    found = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=closeness)
    return plain[found[0]] if found else None


def either(names: Iterable[str]) -> str:
    """Return ``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
