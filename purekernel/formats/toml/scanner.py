"""Find the line of each key, table and item in a TOML text.

``tomllib`` says what a text means and not where. This reads the same text only as far as
that takes: where keys, values, tables and arrays begin and end. It goes on while it
understands, and what it makes of a text that is no TOML means nothing.

Source: TOML 1.0.0, and of 1.1.0 that inline tables may have line ends and comments.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left

from attrs import define, frozen

from purekernel.errors import RecipeError

TomlPath = tuple[str | int, ...]

# A recipe is four deep. tomllib recurses a few times for each, and copies whole paths.
MAX_DEPTH = 32

# Keys, tables and items; all of Tiny Core has some 3,000 extensions.
MAX_VALUES = 50_000

# A date with nanoseconds has 35 characters; digits without end are slow to make a number of.
MAX_BARE_CHARACTERS = 100

_BLANKS = re.compile(r"[ \t]*+")
# Python before 3.11.5 can match repeated possessive groups wrongly (gh-100061, gh-106052), so
# groups are repeated greedily. Their alternatives begin with different characters: nothing is
# tried twice.
_GAP = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\[^\n])*"|'[^'\n]*+'""")
# Each closing mark of a text over several lines may have two quotes of the text before it.
_TEXT = re.compile(
    r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*"""(?:""?)?'
    r"|'''(?:[^']|'(?!''))*'''(?:''?)?"
    r'|"(?!"")(?:[^"\\\n]|\\[^\n])*"'
    r"|'(?!'')[^'\n]*+'"
)
# A number, a date, true or false. A date may have a blank before its time.
_BARE = re.compile(r"""[0-9]{4}-[0-9]{2}-[0-9]{2}[ ][0-9][^\s,\]}#]*+|[^\s,\[\]{}#"'=]++""")


@frozen(kw_only=True)
class Twice:
    """A key or table that a text has more than once.

    Attributes:
        words: the key, or the table in its brackets.
        line: where it is said again.
        first: where it was said first.
    """

    words: str
    line: int
    first: int


@frozen(kw_only=True)
class Scan:
    """What was found in a text.

    Attributes:
        lines: for each path the line, counted from 1, on which it is first named.
        twice: the first that is there twice.
        stopped: the line of what was not understood, behind which nothing was read.
        unclosed: the line of the innermost bracket that was open there.
    """

    lines: dict[TomlPath, int]
    twice: Twice | None
    stopped: int | None
    unclosed: int | None


def scan_toml(text: str, *, source: str) -> Scan:
    """Return what is found in ``text``, whether it is TOML or not.

    Raises:
        RecipeError: it goes over a bound.
    """
    scanner = _Scanner(text, source)
    stopped = unclosed = None
    try:
        scanner.read()
    except _StopError:
        stopped, unclosed = scanner.line, scanner.unclosed
    return Scan(lines=scanner.lines, twice=scanner.twice, stopped=stopped, unclosed=unclosed)


class _StopError(Exception):
    """Say that the text does not go on as TOML does."""


@define(kw_only=True)
class _Open:
    """An array or inline table that is not closed yet, and how many items it has so far."""

    path: TomlPath
    closing: str
    line: int
    items: int = 0


class _Scanner:
    """A text, and how far it is read."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._position = 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._header: TomlPath = ()
        self._open: list[_Open] = []
        # How many elements each array of tables has.
        self._elements: dict[TomlPath, int] = {}
        # Where keys got values, and tables that are no elements had their headers.
        self._said: dict[TomlPath, int] = {}
        self.lines: dict[TomlPath, int] = {}
        self.twice: Twice | None = None

    def read(self) -> None:
        """Read the whole text.

        Raises:
            _StopError: something is not understood.
            RecipeError: something goes over a bound.
        """
        while True:
            self._skip(_GAP)
            if self._position == len(self._text):
                return
            if self._eat("[["):
                self._read_header("]]")
            elif self._eat("["):
                self._read_header("]")
            else:
                self._read_value(self._read_key(self._header))

    @property
    def line(self) -> int:
        """The line that is being read."""
        return self._line(self._position)

    @property
    def unclosed(self) -> int | None:
        """The line of the innermost bracket that is open."""
        return self._open[-1].line if self._open else None

    def _read_header(self, closing: str) -> None:
        start = self._position
        key = self._parts()
        if not self._eat(closing):
            raise _StopError
        path: TomlPath = ()
        for index, part in enumerate(key):
            path = (*path, part)
            self._note(path, start)
            is_element = closing == "]]" and index == len(key) - 1
            if is_element:
                self._elements[path] = self._elements.get(path, 0) + 1
            if path in self._elements:
                path = (*path, self._elements[path] - 1)
        if closing == "]":
            self._say(path, f"[{'.'.join(key)}]", start)
        self._note(path, start)
        self._header = path

    def _read_key(self, table: TomlPath) -> TomlPath:
        """Read a key of ``table`` and its equals sign; return its path."""
        start = self._position
        key = self._parts()
        if not self._eat("="):
            raise _StopError
        path = table
        for part in key:
            path = (*path, part)
            self._note(path, start)
        self._say(path, repr(".".join(key)), start)
        self._skip(_BLANKS)
        return path

    def _parts(self) -> tuple[str, ...]:
        """Read the parts of a key, parted by dots."""
        parts: list[str] = []
        while True:
            self._skip(_BLANKS)
            start = self._position
            raw = self._take(_KEY_PART)
            parts.append(_key_name(raw))
            if len(parts) > MAX_DEPTH:
                raise self._too_deep(start)
            self._skip(_BLANKS)
            if not self._eat("."):
                return tuple(parts)

    def _read_value(self, path: TomlPath) -> None:
        """Read a value whole, with all that is in it."""
        while True:
            start = self._position
            self._note(path, start)
            closing = {"[": "]", "{": "}"}.get(self._text[start : start + 1])
            if closing:
                self._position += 1
                self._open.append(_Open(path=path, closing=closing, line=self._line(start)))
                self._skip(_GAP)
            else:
                self._read_scalar()
            following = self._after_value(just_opened=closing is not None)
            if following is None:
                return
            path = following

    def _after_value(self, *, just_opened: bool) -> TomlPath | None:
        """Close what closes here; return the path of the value that follows, if one does."""
        wants_comma = not just_opened
        while self._open:
            self._skip(_GAP)
            innermost = self._open[-1]
            if wants_comma and self._eat(","):
                wants_comma = False
            elif self._eat(innermost.closing):
                self._open.pop()
                wants_comma = True
            elif wants_comma:
                raise _StopError
            elif innermost.closing == "}":
                return self._read_key(innermost.path)
            else:
                innermost.items += 1
                return (*innermost.path, innermost.items - 1)
        return None

    def _read_scalar(self) -> None:
        start = self._position
        if self._text[start : start + 1] in ('"', "'"):
            self._take(_TEXT)
            return
        size = len(self._take(_BARE))
        if size > MAX_BARE_CHARACTERS:
            raise RecipeError(
                f"{self._source}, line {self._line(start)}: a value without quotes has {size} "
                f"characters; a number or date has at most {MAX_BARE_CHARACTERS}",
                hint="put text in quotes",
            )

    def _note(self, path: TomlPath, position: int) -> None:
        if path in self.lines:
            return
        if len(path) > MAX_DEPTH:
            raise self._too_deep(position)
        if len(self.lines) == MAX_VALUES:
            raise RecipeError(
                f"{self._source}, line {self._line(position)}: there are more than {MAX_VALUES} "
                "keys and items",
                hint="check that this is the file you mean",
            )
        self.lines[path] = self._line(position)

    def _say(self, path: TomlPath, words: str, position: int) -> None:
        """Remember that ``path`` is given its value or header here."""
        first = self._said.setdefault(path, position)
        if first != position and self.twice is None:
            self.twice = Twice(words=words, line=self._line(position), first=self._line(first))

    def _too_deep(self, position: int) -> RecipeError:
        return RecipeError(
            f"{self._source}, line {self._line(position)}: keys and brackets lie more than "
            f"{MAX_DEPTH} deep",
            hint="check that this is the file you mean",
        )

    def _line(self, position: int) -> int:
        return bisect_left(self._line_ends, position) + 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._position)
        if match is not None:
            self._position = match.end()

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        if match is None:
            raise _StopError
        self._position = match.end()
        return match[0]

    def _eat(self, mark: str) -> bool:
        if not self._text.startswith(mark, self._position):
            return False
        self._position += len(mark)
        return True


def _key_name(raw: str) -> str:
    """Return the key that ``raw`` means, as it stands in the text."""
    if "\\" in raw and raw.startswith('"'):
        try:
            return next(iter(tomllib.loads(f"{raw} = 0")))
        except ValueError:
            raise _StopError from None
    return raw[1:-1] if raw[0] in "\"'" else raw
