r"""Parse regular expressions into nodes.

Source: the documentation of Python's re; regex(7) for the named classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from purekernel.errors import UsageError

MAX_CHARACTERS = 1000
MAX_REPEATS = 1000
MAX_DEPTH = 50

HINT = "write it in a simpler way, or use find for a text that is always the same"

Node = tuple[Any, ...]
"""A kind, and its operands: text, set, assertion, sequence, choice, group or repeat."""

_LAST = 0x10FFFF
Ranges = tuple[tuple[int, int], ...]

_CLASSES: dict[str, Ranges] = {
    "d": ((48, 57),),
    "s": ((9, 13), (32, 32)),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
}
# Source: regex(7), for the C locale.
_POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": ((48, 57),),
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}

_REPEAT = re.compile(r"\*|\+|\?|\{(?!\})([0-9]{0,6})(,([0-9]{0,6}))?\}")
_NAMED = re.compile(r"\[:([^\]:]*):\]")


class Members(dict[str, bool]):
    """Whether a set has a character, computed when it is first asked for."""

    def __init__(self, ranges: Ranges, *, ignores_case: bool) -> None:
        self.ranges = ranges
        self.ignores_case = ignores_case

    def __missing__(self, character: str) -> bool:
        variants = {character}
        # The ranges have both cases of ASCII already.
        if self.ignores_case and not character.isascii():
            others = (character.lower(), character.upper())
            variants |= {other for other in others if len(other) == 1 and not other.isascii()}
        found = any(
            first <= ord(variant) <= last for variant in variants for first, last in self.ranges
        )
        self[character] = found
        return found


class Parser:
    """Reads an expression into nodes.

    Attributes:
        groups: the number of groups that were read.
    """

    def __init__(self, text: str) -> None:
        """Prepare to read ``text``.

        Raises:
            UsageError: it is too long.
        """
        if len(text) > MAX_CHARACTERS:
            raise UsageError(
                f"a regular expression must have at most {MAX_CHARACTERS} characters, "
                f"got {len(text)}",
                hint=HINT,
            )
        self._ignores_case = text.startswith("(?i)")
        self._text = text
        self._at = 4 if self._ignores_case else 0
        self._depth = 0
        self.groups = 0

    def parse(self) -> Node:
        """Return the node of the whole expression.

        Raises:
            UsageError: the syntax is wrong or not supported.
        """
        node = self._alternatives()
        if self._at < len(self._text):
            raise self._error("a ')' without its '('", self._at)
        return node

    def _error(self, problem: str, at: int) -> UsageError:
        return UsageError(
            f"the regular expression {self._text!r} has {problem} at character {at + 1}",
            hint="docs/editing.md has the syntax; a backslash in front makes a character ordinary",
        )

    def _alternatives(self) -> Node:
        choices = [self._sequence()]
        while self._next_is("|"):
            self._at += 1
            choices.append(self._sequence())
        return choices[0] if len(choices) == 1 else ("choice", choices)

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            items.append(self._repeated())
        return ("sequence", _joined(items))

    def _repeated(self) -> Node:
        start = self._at
        node = self._single()
        is_repeated = False
        while (repeat := _REPEAT.match(self._text, self._at)) is not None:
            if is_repeated or node[0] == "assertion":
                raise self._error(f"nothing to repeat before {repeat[0]!r}", self._at)
            least, most = _bounds(repeat)
            if max(least, most or 0) > MAX_REPEATS or (most is not None and most < least):
                raise self._error(f"a repeat that is not from 0 to {MAX_REPEATS}", self._at)
            self._at = repeat.end()
            lazy = self._next_is("?")
            self._at += lazy
            if self._next_is("+"):
                raise self._error("a possessive repeat, which is not supported,", start)
            node, is_repeated = ("repeat", node, least, most, lazy), True
        return node

    def _single(self) -> Node:
        start = self._at
        character = self._text[start]
        self._at += 1
        if character == "(":
            return self._group(start)
        if character == "[":
            return self._set(start)
        if character == ".":
            return self._ranges(_complement(((10, 10),)))
        if character in "^$":
            return ("assertion", character)
        if character in "*+?":
            raise self._error(f"nothing to repeat before {character!r}", start)
        if character == "\\":
            return self._escape(start)
        return self._character(character)

    def _group(self, start: int) -> Node:
        number = 0
        if self._text.startswith("?:", self._at):
            self._at += 2
        elif self._next_is("?"):
            raise self._error("a group '(?', which is not supported except '(?:',", start)
        else:
            self.groups += 1
            number = self.groups
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} groups in one another", start)
        node = self._alternatives()
        self._depth -= 1
        if not self._next_is(")"):
            raise self._error("a '(' without its ')'", start)
        self._at += 1
        return ("group", node, number) if number else node

    def _escape(self, start: int) -> Node:
        if self._at == len(self._text):
            raise self._error("a backslash with nothing behind it", start)
        character = self._text[self._at]
        self._at += 1
        if character in "bB":
            return ("assertion", character)
        if (ranges := _class(character)) is not None:
            return self._ranges(ranges)
        return self._character(self._escaped(character, start))

    def _escaped(self, character: str, start: int) -> str:
        """Return the character that an escape stands for."""
        if character in CONTROLS:
            return CONTROLS[character]
        if character.isalnum():
            words = "a reference back" if character.isdecimal() else f"the escape '\\{character}'"
            raise self._error(f"{words}, which is not supported,", start)
        return character

    def _set(self, start: int) -> Node:
        negated = self._next_is("^")
        self._at += negated
        ranges: list[tuple[int, int]] = []
        first = self._at
        while not self._next_is("]") or self._at == first:
            if self._at >= len(self._text):
                raise self._error("a '[' without its ']'", start)
            member = self._member()
            if isinstance(member, str):
                member = self._range(member)
            ranges += member
        self._at += 1
        found = tuple(ranges)
        if negated and self._ignores_case:
            found = _both_cases(found)
        return self._ranges(_complement(found) if negated else found)

    def _range(self, low: str) -> Ranges:
        """Return the range that begins with ``low``, or only that character."""
        start = self._at
        ends = self._text[start + 1 : start + 2] in ("]", "")
        if not self._next_is("-") or ends:
            return ((ord(low), ord(low)),)
        self._at += 1
        high = self._member()
        if not isinstance(high, str) or high < low:
            raise self._error("a range whose end is not behind its start", start)
        return ((ord(low), ord(high)),)

    def _member(self) -> str | Ranges:
        """Return the next character of a set, or the class that it names."""
        start = self._at
        named = _NAMED.match(self._text, start)
        if named is not None:
            if named[1] not in _POSIX:
                raise self._error(f"the unknown class {named[0]}", start)
            self._at = named.end()
            return _POSIX[named[1]]
        character = self._text[start]
        self._at += 1
        if character != "\\":
            return character
        if self._at == len(self._text):
            raise self._error("a backslash with nothing behind it", start)
        escaped = self._text[self._at]
        self._at += 1
        ranges = _class(escaped)
        return self._escaped(escaped, start) if ranges is None else ranges

    def _character(self, character: str) -> Node:
        if self._ignores_case and character.lower() != character.upper():
            return self._ranges(((ord(character), ord(character)),))
        return ("text", character)

    def _ranges(self, ranges: Ranges) -> Node:
        if self._ignores_case:
            ranges = _both_cases(ranges)
        return ("set", Members(ranges, ignores_case=self._ignores_case))

    def _next_is(self, character: str) -> bool:
        return self._text.startswith(character, self._at)


def _bounds(repeat: re.Match[str]) -> tuple[int, int | None]:
    simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    if repeat[0] in simple:
        return simple[repeat[0]]
    least = int(repeat[1] or 0)
    if repeat[2] is None:
        return least, least
    return least, int(repeat[3]) if repeat[3] else None


def _class(character: str) -> Ranges | None:
    ranges = _CLASSES.get(character.lower())
    if ranges is None:
        return None
    return ranges if character.islower() else _complement(ranges)


def _complement(ranges: Ranges) -> Ranges:
    found: list[tuple[int, int]] = []
    start = 0
    for first, last in sorted(ranges):
        if first > start:
            found.append((start, first - 1))
        start = max(start, last + 1)
    return (*found, *(((start, _LAST),) if start <= _LAST else ()))


def _both_cases(ranges: Ranges) -> Ranges:
    """Return ``ranges`` with the other case of each letter of ASCII in them."""
    found = list(ranges)
    for low, high, distance in ((65, 90, 32), (97, 122, -32)):
        for first, last in ranges:
            if first <= high and last >= low:
                found.append((max(first, low) + distance, min(last, high) + distance))
    return tuple(found)


def _joined(items: Iterable[Node]) -> list[Node]:
    """Return ``items`` with characters in a row joined to one text."""
    joined: list[Node] = []
    for item in items:
        if item[0] == "text" and joined and joined[-1][0] == "text":
            joined[-1] = ("text", joined[-1][1] + item[1])
        else:
            joined.append(item)
    return joined
