r"""Replace what regular expressions match, in a bounded number of steps.

The syntax is that of Python's :mod:`re` without what needs backtracking over a text that was
already read: characters, ``.``, sets such as ``[^a-z]`` and ``[[:space:]]``, ``\d \s \w`` and
``\D \S \W`` (of ASCII), ``\t``, ``\n``, ``\r``, ``^`` and ``$`` at the start and end of each line,
``\b`` and ``\B``, groups ``(...)`` and ``(?:...)``, ``|``, the repeats ``* + ? {2} {2,} {2,5}``,
each with ``?`` behind it to match as little as possible, and ``(?i)`` at the start to ignore case.
References back, looking ahead and looking behind are refused. The first match counts that Python
finds, too.

Python's own engine tries the ways in which repeats can match one after the other, which takes a
time exponential in the length of the text for ``(a+)+$``. This one remembers which instruction it
has tried at which character, and does not try it again. So a search takes at most the product of
both lengths; and all searches in a text together have a limit of steps.

Source: the documentation of Python's re; Russ Cox, "Regular Expression Matching: the Virtual
Machine Approach", for the instructions, and RE2's bitstate.cc for what is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from attrs import define, field

from purekernel.errors import UsageError
from purekernel.records import frozen
from purekernel.rootfs.expressions.syntax import (
    CONTROLS,
    HINT,
    Node,
    Parser,
)

# A repeat such as {100} repeats its instructions.
MAX_INSTRUCTIONS = 4000

# Some seconds. An edit of a usual file takes some thousand.
MAX_STEPS = 5_000_000
# What is remembered of one search takes up to 100 MB.
MAX_REMEMBERED = 1_000_000

_WORD = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")

# Instructions, each with two operands.
_TEXT, _SET, _SPLIT, _SAVE, _JUMP, _START, _END, _BOUNDARY, _INSIDE, _MATCH = range(10)
_ASSERTIONS = {"^": _START, "$": _END, "b": _BOUNDARY, "B": _INSIDE}

_Code = list[tuple[int, Any, Any]]


@frozen(kw_only=True)
class Match:
    """A match in a text.

    Attributes:
        start: index of its first character.
        end: index behind its last character.
        groups: start and end of each group, from 1; ``None`` for one that has no part in it.
    """

    start: int
    end: int
    groups: tuple[tuple[int, int] | None, ...]


@frozen(kw_only=True, eq=False)
class Expression:
    """A parsed expression.

    Attributes:
        text: the source of the expression.
        groups: the number of its groups.
    """

    text: str
    groups: int
    _code: _Code = field(repr=False)
    # Finds where a match may begin; None if it may begin anywhere.
    _beginning: re.Pattern[str] | None = field(repr=False)
    # Whether no match has a newline.
    _in_line: bool = field(repr=False)

    def find_all(self, text: str) -> Iterator[Match]:
        """Yield the matches in ``text`` that do not overlap, from the first on.

        Raises:
            UsageError: the search takes too many steps.
        """
        searching = _Search(self._code, text)
        start = 0
        while start <= len(text):
            match = self._find(searching, start)
            if match is None:
                return
            yield match
            start = match.end + (match.end == match.start)

    def _find(self, searching: _Search, start: int) -> Match | None:
        text = searching.text
        only_lines = self._code[0][0] == _START
        searching.tried.clear()
        while start <= len(text):
            if only_lines and start and text[start - 1] != "\n":
                start = text.find("\n", start) + 1
                if not start:
                    return None
            if self._beginning is not None:
                first = self._beginning.search(text, start)
                if first is None:
                    return None
                if first.start() > start:
                    start = first.start()
                    continue
            found = searching.match(start)
            if found is not None:
                end, saved = found
                return Match(start=start, end=end, groups=_groups(saved, self.groups))
            if self._in_line and text.startswith("\n", start):
                searching.tried.clear()
            start += 1
        return None


@define
class _Search:
    """A search through one text; all its attempts together have a limit of steps."""

    code: _Code
    text: str
    tried: set[int] = field(factory=set)
    steps: int = 0

    def match(  # noqa: C901, PLR0912  # a branch for each instruction
        self, start: int
    ) -> tuple[int, Any] | None:
        """Return the end of the match that begins at ``start``, and its groups; or ``None``."""
        code, text, tried, size = self.code, self.text, self.tried, len(self.code)
        length, steps = len(text), self.steps
        # Where to go on if an attempt fails: instruction, index in the text, groups so far.
        pending: list[tuple[int, int, Any]] = [(0, start, None)]
        while pending:
            at, index, saved = pending.pop()
            if steps > MAX_STEPS or len(tried) > MAX_REMEMBERED:
                raise UsageError("the regular expression takes too many steps", hint=HINT)
            while True:
                steps += 1
                kind, first, second = code[at]
                at += 1
                if kind == _TEXT:
                    if not text.startswith(first, index):
                        break
                    index += second
                elif kind == _SET:
                    if index == length or not first[text[index]]:
                        break
                    index += 1
                elif kind == _SPLIT:
                    # All loops and alternatives pass here, so this also ends empty loops.
                    state = index * size + at
                    if state in tried:
                        break
                    tried.add(state)
                    pending.append((second, index, saved))
                    at = first
                elif kind == _JUMP:
                    at = first
                elif kind == _SAVE:
                    saved = (first, index, saved)
                elif kind == _MATCH:
                    self.steps = steps
                    return index, saved
                elif not _holds(kind, text, index):
                    break
        self.steps = steps
        return None


def _holds(kind: int, text: str, index: int) -> bool:
    # What follows the last newline is no line, if it is empty.
    if kind == _START:
        return not index or (text[index - 1] == "\n" and index < len(text))
    if kind == _END:
        return text.startswith("\n", index) if index < len(text) else not text.endswith("\n")
    before = index > 0 and text[index - 1] in _WORD
    behind = index < len(text) and text[index] in _WORD
    return (before != behind) == (kind == _BOUNDARY)


def _groups(saved: Any, count: int) -> tuple[tuple[int, int] | None, ...]:
    """Return the groups; each end that was saved last counts, with the start before it."""
    ends: dict[int, int] = {}
    starts: dict[int, int] = {}
    while saved is not None:
        slot, index, saved = saved
        number, is_end = divmod(slot, 2)
        if is_end:
            ends.setdefault(number, index)
        elif number in ends:
            starts.setdefault(number, index)
    return tuple(
        (starts[number], ends[number]) if number in starts else None
        for number in range(1, count + 1)
    )


# Compile nodes to instructions.


def parse_expression(text: str) -> Expression:
    """Parse a regular expression.

    Raises:
        UsageError: its syntax is wrong or not supported, or it is too large.
    """
    parser = Parser(text)
    node = parser.parse()
    code: _Code = []
    _emit(node, code)
    code.append((_MATCH, None, None))
    return Expression(
        text=text,
        groups=parser.groups,
        code=code,
        beginning=_first_characters(code),
        in_line=not any(map(_has_newline, code)),
    )


def _has_newline(instruction: tuple[int, Any, Any]) -> bool:
    kind, first, _second = instruction
    return (kind == _TEXT and "\n" in first) or (kind == _SET and first["\n"])


def _emit(node: Node, code: _Code) -> None:
    """Append the instructions of ``node``."""
    if len(code) > MAX_INSTRUCTIONS:
        raise UsageError(
            f"the regular expression repeats too much: it has more than {MAX_INSTRUCTIONS} "
            "instructions",
            hint=HINT,
        )
    kind = node[0]
    if kind == "text":
        code.append((_TEXT, node[1], len(node[1])))
    elif kind == "set":
        code.append((_SET, node[1], None))
    elif kind == "assertion":
        code.append((_ASSERTIONS[node[1]], None, None))
    elif kind == "sequence":
        for item in node[1]:
            _emit(item, code)
    elif kind == "group":
        code.append((_SAVE, 2 * node[2], None))
        _emit(node[1], code)
        code.append((_SAVE, 2 * node[2] + 1, None))
    elif kind == "choice":
        _emit_choice(node[1], code)
    else:
        _kind, inner, least, most, lazy = node
        _emit_repeat(inner, least, most, lazy, code)


def _emit_choice(choices: list[Node], code: _Code) -> None:
    jumps: list[int] = []
    for choice in choices[:-1]:
        split = len(code)
        code.append((_SPLIT, split + 1, None))
        _emit(choice, code)
        jumps.append(len(code))
        code.append((_JUMP, None, None))
        code[split] = (_SPLIT, split + 1, len(code))
    _emit(choices[-1], code)
    for jump in jumps:
        code[jump] = (_JUMP, len(code), None)


def _emit_repeat(node: Node, least: int, most: int | None, lazy: bool, code: _Code) -> None:
    for _ in range(least):
        start = len(code)
        _emit(node, code)
        if len(code) == start:
            return  # nothing, however often it is repeated
    if most is None:
        if least:
            # What was emitted last is the body of the loop.
            code.append(_split(start, len(code) + 1, lazy))
            return
        split = len(code)
        code.append((_SPLIT, None, None))
        _emit(node, code)
        code.append((_JUMP, split, None))
        code[split] = _split(split + 1, len(code), lazy)
        return
    splits: list[int] = []
    for _ in range(most - least):
        splits.append(len(code))
        code.append((_SPLIT, None, None))
        _emit(node, code)
    for split in splits:
        code[split] = _split(split + 1, len(code), lazy)


def _split(into: int, past: int, lazy: bool) -> tuple[int, int, int]:
    return (_SPLIT, past, into) if lazy else (_SPLIT, into, past)


def _first_characters(code: _Code) -> re.Pattern[str] | None:
    """Return an expression of Python for the first character; ``None`` if there may be none."""
    ranges: list[tuple[int, int]] = []
    seen: set[int] = set()
    pending = [0]
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        kind, first, second = code[at]
        if kind == _MATCH:
            return None
        if kind == _TEXT:
            ranges.append((ord(first[0]), ord(first[0])))
        elif kind == _SET and first.ranges:
            if first.ignores_case and any(last > 127 for _first, last in first.ranges):
                return None
            ranges += first.ranges
        elif kind == _SPLIT:
            pending += (first, second)
        elif kind == _JUMP:
            pending.append(first)
        elif kind != _SET:
            pending.append(at + 1)
    if not ranges:
        return None
    members = (f"{re.escape(chr(low))}-{re.escape(chr(high))}" for low, high in ranges)
    return re.compile(f"[{''.join(members)}]")


# Replacements.


def parse_replacement(text: str, expression: Expression) -> tuple[str | int, ...]:
    r"""Parse the text that replaces a match: ``\1`` is a group, ``\0`` the whole match.

    ``\n``, ``\t`` and ``\r`` are characters, and ``\\`` is a backslash.

    Returns:
        Texts, and numbers of groups.

    Raises:
        UsageError: an escape is unknown, or the expression has no group of that number.
    """
    parts: list[str | int] = []
    for plain, escape in re.findall(r"([^\\]+)|(\\.?)", text, re.DOTALL):
        character = escape[1:]
        if plain:
            parts.append(plain)
        elif character in ("t", "n", "r"):
            parts.append(CONTROLS[character])
        elif character == "\\":
            parts.append(character)
        elif character in tuple("0123456789"):
            number = int(character)
            if number > expression.groups:
                raise UsageError(
                    f"the replacement names group {number}, and the expression has "
                    f"{expression.groups}",
                    hint="count the opening brackets; write (?:…) for brackets that are no group",
                )
            parts.append(number)
        else:
            raise UsageError(
                f"the replacement has the unknown escape '{escape}'",
                hint=r"write \\ for a backslash, \0 for the match, \1 to \9 for its groups",
            )
    return tuple(parts)


def expand(match: Match, text: str, replacement: tuple[str | int, ...]) -> str:
    """Return what replaces ``match`` in ``text``; a group without a part in it is empty."""
    spans = ((match.start, match.end), *match.groups)
    parts: list[str] = []
    for part in replacement:
        if isinstance(part, str):
            parts.append(part)
        elif (span := spans[part]) is not None:
            parts.append(text[span[0] : span[1]])
    return "".join(parts)
