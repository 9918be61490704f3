"""Define the kinds of values that the keys of a recipe can have.

Each kind checks values, and gives its rules in JSON Schema.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from attrs import evolve

from purekernel.formats.tinycore import (
    EXTENSION_NAME_WORDS,
    LISTED_NAME,
    MAX_CHARACTERS,
    parse_extension_name,
)
from purekernel.records import frozen

Schema = dict[str, Any]
"""A JSON schema, draft 2020-12."""


def _unchanged(value: Any) -> Any:
    return value


def _is_none(_value: str) -> bool:
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "": lambda _value: True,
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and value == int(value),
    "array": lambda value: isinstance(value, list),
}


@frozen(kw_only=True, eq=False)
class Kind:
    """The values that a key can have.

    A check has two steps, because their messages differ: the type, then the other rules. Both
    follow JSON Schema: ``1.0`` is an integer, ``true`` is not a number, and neither are NaN and
    infinity.

    Attributes:
        words: the valid values, in words.
        definition: name of the kind in the JSON schema's definitions; empty to repeat the rules
            at each key.
        is_host_path: whether a value that is no URL is a path on the host. A relative one starts at
            the folder of the file that gives it.
        is_mirror_name: whether such a path without a slash can be a name on a mirror. It starts at
            no folder, also in a file that a recipe extends.
        is_part: returns whether such a path is none, but names a part of another input, as
            ``base:PATH`` does.
        convert: returns the model's value for a valid value of a recipe.
    """

    words: str = ""
    definition: str = ""
    is_host_path: bool = False
    is_mirror_name: bool = False
    is_part: Callable[[str], bool] = _is_none
    convert: Callable[[Any], Any] = _unchanged

    json_type = ""

    def has_type(self, value: Any) -> bool:
        """Return whether ``value`` has the right type."""
        return _TYPES[self.json_type](value)

    def accepts(self, _value: Any, /) -> bool:
        """Return whether a value of the right type follows the other rules."""
        return True

    def rules(self) -> Schema:
        """Return the kind's own JSON schema."""
        keywords = {"type": self.json_type, **self._keywords(), "x-words": self.words}
        return {name: value for name, value in keywords.items() if value not in ("", None)}

    def _keywords(self) -> Schema:
        """Return the schema's keywords for :meth:`accepts`; ``None`` for one that is not used."""
        return {}

    def schema(self) -> Schema:
        """Return the JSON schema of a key: a reference if the kind has a definition."""
        return {"$ref": f"#/$defs/{self.definition}"} if self.definition else self.rules()


@frozen(kw_only=True, eq=False)
class Text(Kind):
    """Text.

    Attributes:
        pattern: regular expression for the whole text, in the syntax that Python and JavaScript
            share; begins with ``^`` and ends with ``$``.
        min_length: the least number of characters.
        max_length: the greatest number of characters; ``None`` if the pattern limits it.
        secret: whether messages must not show the value.
    """

    pattern: str
    min_length: int = 0
    max_length: int | None = None
    secret: bool = False

    json_type = "string"

    def accepts(self, value: str, /) -> bool:
        """Return whether the text has an allowed length and matches the pattern."""
        # The length first: it bounds the time that the pattern takes.
        fits = self.max_length is None or len(value) <= self.max_length
        return fits and len(value) >= self.min_length and bool(re.fullmatch(self.pattern, value))

    def _keywords(self) -> Schema:
        return {
            "minLength": self.min_length or None,
            "maxLength": self.max_length,
            "pattern": self.pattern,
            "writeOnly": self.secret or None,
        }


@frozen(kw_only=True, eq=False)
class TextOrFalse(Kind):
    """Text, or ``false`` to leave something out, which the model expresses as empty text."""

    text: Text

    def accepts(self, value: Any, /) -> bool:
        """Return whether the value is ``False``, or text that the kind of text accepts."""
        return value is False or (self.text.has_type(value) and self.text.accepts(value))

    def _keywords(self) -> Schema:
        return {"anyOf": [self.text.schema(), {"const": False}]}


@frozen(kw_only=True, eq=False)
class Number(Kind):
    """A number from ``minimum`` to ``maximum``."""

    minimum: float
    maximum: float

    json_type = "number"

    def accepts(self, value: float, /) -> bool:
        """Return whether the number is in the range."""
        return self.minimum <= value <= self.maximum

    def _keywords(self) -> Schema:
        return {"minimum": self.minimum, "maximum": self.maximum}


@frozen(kw_only=True, eq=False)
class Whole(Number):
    """A whole number from ``minimum`` to ``maximum``."""

    convert: Callable[[Any], Any] = int

    json_type = "integer"


@frozen(kw_only=True, eq=False)
class Flag(Kind):
    """``true`` or ``false``."""

    json_type = "boolean"


@frozen(kw_only=True, eq=False)
class Choice(Kind):
    """One of several words."""

    choices: tuple[str, ...]

    @classmethod
    def of(cls, kind: type[Enum]) -> Choice:
        """Return the choice among the values of ``kind``."""
        return cls(choices=tuple(member.value for member in kind), convert=kind)

    def accepts(self, value: Any, /) -> bool:
        """Return whether the value is one of the words."""
        return value in self.choices

    def _keywords(self) -> Schema:
        return {"enum": list(self.choices)}


@frozen(kw_only=True, eq=False)
class Array(Kind):
    """An array.

    Attributes:
        item: the kind of each item.
        min_items: the least number of items.
        convert: returns the model's value for the converted items.
    """

    item: Kind
    min_items: int = 0
    convert: Callable[[Iterable[Any]], Any] = tuple

    json_type = "array"

    def accepts(self, value: Sequence[Any], /) -> bool:
        """Return whether there are enough items; they are checked one by one."""
        return len(value) >= self.min_items

    def _keywords(self) -> Schema:
        return {"minItems": self.min_items or None, "items": self.item.schema()}


@frozen(kw_only=True, eq=False)
class CheckedFile(Kind):
    """The path of a file, or a table with its path and SHA-256; the model has the path only."""

    path: Text
    sha256: Text
    convert: Callable[[Any], Any] = lambda value: value["path"] if type(value) is dict else value

    def accepts(self, value: Any, /) -> bool:
        """Return whether the value is a path, or a table of a path and a digest."""
        if not isinstance(value, dict):
            return self.path.has_type(value) and self.path.accepts(value)
        kinds = {"path": self.path, "sha256": self.sha256}
        return value.keys() == kinds.keys() and all(
            kind.has_type(value[name]) and kind.accepts(value[name]) for name, kind in kinds.items()
        )

    def _keywords(self) -> Schema:
        properties = {"path": self.path.schema(), "sha256": self.sha256.schema()}
        checked = {
            "type": "object",
            "additionalProperties": False,
            "required": list(properties),
            "properties": properties,
        }
        return {"anyOf": [self.path.schema(), checked]}


_SIZE_PATTERN = r"^([0-9]{1,15})\s*([KMGTkmgt]?)(?:[Ii]?[Bb])?$"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int | None:
    """Return the number of bytes that ``text`` gives, such as ``500M``; ``None`` if it gives none.

    The suffixes K, M, G and T are powers of 1024; ``B`` and ``iB`` may follow them.
    """
    match = re.fullmatch(_SIZE_PATTERN, text)
    return None if match is None else int(match[1]) * _UNITS[match[2].upper()]


def once(items: Iterable[Any]) -> tuple[Any, ...]:
    """Return each of ``items`` once, at its first position."""
    return tuple(dict.fromkeys(items))


# The kinds that several keys have.

_NAME_PATTERN = "^[0-9A-Za-z][0-9A-Za-z.+~_-]{0,63}$"
# No blank at either end, and no control characters.
_PLACE_PATTERN = r"^[^\u0000-\u0020\u007f]([^\u0000-\u001f\u007f]*[^\u0000-\u0020\u007f])?$"
LINE_PATTERN = r"^[^\u0000-\u001f\u007f]*$"

FLAG = Flag()
IMAGE_NAME = Text(
    pattern=_NAME_PATTERN,
    words="letters, digits and . + ~ _ -, beginning with a letter or digit, at most 64",
)
KERNEL_RELEASE = Text(pattern=_NAME_PATTERN, words='a kernel release, such as "3.0.3-tinycore"')
PLACE = Text(
    pattern=_PLACE_PATTERN,
    max_length=2048,
    words="a URL or a path",
    definition="place",
    is_host_path=True,
)
# A name without a slash is a file of the mirror, unless there is such a file beside the recipe.
MIRROR_PLACE = evolve(PLACE, is_mirror_name=True)
PLACES = Array(item=PLACE, definition="places")
PLACE_OR_FALSE = TextOrFalse(
    text=PLACE,
    words="a URL or a path, or false to leave it out",
    definition="place-or-false",
    is_host_path=True,
    convert=lambda value: value or "",
)
PATH = Text(
    pattern=_PLACE_PATTERN,
    max_length=2048,
    words="a path",
    definition="path",
    is_host_path=True,
)
IMAGE_PATH = Text(
    pattern=r"^(?!/)(?!(.*/)?\.\.(/|$))[^\u0000-\u001f\u007f]+$",
    max_length=2048,
    words="a path in the extension, without a leading slash or '..'",
    definition="image-path",
)
SHA256 = Text(
    pattern="^[0-9A-Fa-f]{64}$",
    words="64 hexadecimal digits",
    definition="sha256",
    convert=str.lower,
)
EXAMPLE_SHA256 = "0" * 64
EXTENSION_NAME = Text(
    pattern=f"^(?:{LISTED_NAME})$",
    max_length=MAX_CHARACTERS,
    words=EXTENSION_NAME_WORDS,
    definition="extension-name",
    convert=parse_extension_name,
)
EXTENSION_NAMES = Array(item=EXTENSION_NAME, definition="extension-names", convert=once)
GEM = Text(
    pattern=r"^[0-9A-Za-z_][^\u0000-\u001f\u007f]*$",
    max_length=1000,
    words='a gem name, optionally with version requirements, such as "json_pure >= 1.7.7"',
    definition="gem",
)
SECONDS = Number(
    minimum=0.001,
    maximum=604800,
    words="a number of seconds, from 0.001 to 604800",
    definition="seconds",
)
SHORT_FIELD = Text(
    pattern=LINE_PATTERN,
    max_length=32,
    words="text on one line, of at most 32 characters",
    definition="short-field",
)
LONG_FIELD = Text(
    pattern=LINE_PATTERN,
    max_length=128,
    words="text on one line, of at most 128 characters",
    definition="long-field",
)
SIZE = Text(
    pattern=_SIZE_PATTERN,
    max_length=24,
    words='a number of bytes with an optional suffix K, M, G or T, such as "512M"',
    definition="size",
    convert=parse_size,
)
ID = Whole(
    minimum=0, maximum=4294967294, words="a whole number from 0 to 4294967294", definition="id"
)
ABSOLUTE_PATH = Text(
    pattern=r"^/[^\u0000-\u001f:\u007f]*$",
    max_length=1024,
    words="a path that begins with a slash and contains no colon",
    definition="absolute-path",
)
CHECKED_FILE = CheckedFile(
    path=PATH,
    sha256=SHA256,
    words="a path, or a table with a path and its sha256",
    definition="checked-file",
)
