"""Read TOML into values, and find the line of each key, table and item.

``tomllib`` gives the values of a text, but not their lines. A scanner reads the same text to find
where keys, values, tables and arrays begin and end. What it finds in a text that is not TOML is
used only to word the error.

Source: TOML 1.0.0; from 1.1.0, inline tables may contain line ends and comments.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from typing import Any

from attrs import define, field

from purekernel.errors import RecipeError
from purekernel.formats.text import MOST_BYTES, decode_text
from purekernel.input import Input
from purekernel.records import frozen

TomlPath = tuple[str | int, ...]
"""The keys and indices that lead to a value, such as ``("overlay", 0, "path")``."""

# A recipe is nested four deep. tomllib recurses a few times for each level, and copies whole paths.
MAX_DEPTH = 32

# The limit of keys, tables and items. Tiny Core has about 3,000 extensions in all.
MAX_VALUES = 50_000

# A date with nanoseconds has 35 characters. Converting a very long number takes quadratic time.
MAX_BARE_CHARACTERS = 100

_BLANKS = re.compile(r"[ \t]*+")
# Python before 3.11.5 can match repeated possessive groups wrongly (gh-100061, gh-106052), so
# groups are repeated greedily. Their alternatives begin with different characters: nothing is
# tried twice.
_GAP = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\[^\n])*"|'[^'\n]*+'""")
# The closing quotes of a string over several lines may follow two quotes of the string itself.
_STRING = re.compile(
    r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*"""(?:""?)?'
    r"|'''(?:[^']|'(?!''))*'''(?:''?)?"
    r'|"(?!"")(?:[^"\\\n]|\\[^\n])*"'
    r"|'(?!'')[^'\n]*+'"
)
# A number, a date, true or false. A date may have a blank before its time.
_BARE = re.compile(r"""[0-9]{4}-[0-9]{2}-[0-9]{2}[ ][0-9][^\s,\]}#]*+|[^\s,\[\]{}#"'=]++""")

# The end of tomllib's messages.
_POSITION = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")

_QUOTES = 'put text in quotes ("4.x") and arrays in brackets (["bash.tcz"])'
_BACKSLASH = "write each backslash twice, or put the text in single quotes"
_CLOSE = "close the quotes; put text of several lines in three quotes"
_KEYS = "write a key, '=' and a value on a line; keep a table in braces on one line"
_TABLES = "write [name] on a line of its own, or [[name]] if there may be several"
_RULES = "see the rules of TOML at https://toml.io"
_ONCE = "define it once"
_WRONG_FILE = "check that this is the right file"

_DEFINED = "a key or table of that name is already defined"

# The start of each of tomllib's messages, our message for it, and the hint.
_FAULTS = (
    ("Illegal character '\\n'", "a string must end on the line on which it begins", _CLOSE),
    ("Unterminated string", "a string is not closed", _CLOSE),
    ("Expected \"'", "a string is not closed", _CLOSE),
    ("Illegal character", "TOML does not allow this character", _RULES),
    ("Found invalid character", "TOML does not allow this character", _RULES),
    ("Invalid value", "the value is missing or invalid", _QUOTES),
    ("Invalid date or datetime", "the date does not exist", _QUOTES),
    ("Invalid statement", "expected a key, a table or a comment", _KEYS),
    ("Invalid initial character for a key part", "a key is missing", _KEYS),
    ("Expected '=' after a key", "'=' and a value must follow the key", _KEYS),
    ("Expected newline or end of document", "unexpected text follows the value", _QUOTES),
    ("Expected ']' at the end of a table", "']' must follow the table's name", _TABLES),
    ("Expected ']]' at the end of an array", "']]' must follow the table's name", _TABLES),
    ("Unescaped '\\' in a string", "a backslash begins an invalid escape", _BACKSLASH),
    ("Invalid hex value", "a backslash begins an invalid escape", _BACKSLASH),
    ("Escaped character is not", "an escape does not stand for a character", _BACKSLASH),
    ("Cannot overwrite a value", _DEFINED, _ONCE),
    ("Cannot declare", _DEFINED, _ONCE),
    ("Cannot redefine namespace", _DEFINED, _ONCE),
    ("Cannot mutate immutable", "a table in braces or an array cannot be extended", _TABLES),
    ("Duplicate inline table key", _DEFINED, _ONCE),
)
_DUPLICATES = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate inline")


@frozen(kw_only=True)
class TomlDocument:
    """The content of a TOML file.

    Attributes:
        source: the name of the file, for messages.
        values: the values as tomllib returns them.
        lines: maps the path of each key, table and item to the line, counted from 1, on which
            it is first named.
        sources: maps the paths that other files give, where files were joined, to their names.
    """

    source: str
    values: dict[str, Any]
    lines: dict[TomlPath, int] = field(repr=False)
    sources: dict[TomlPath, str] = field(factory=dict, repr=False)

    def line(self, path: TomlPath) -> int:
        """Return the line of the value at ``path``, or of the nearest value that contains it.

        Args:
            path: keys and indices. Each item of an array has its own line.
        """
        return self.origin(path)[1]

    def origin(self, path: TomlPath) -> tuple[str, int]:
        """Return the file and line of the value at ``path``; see :meth:`line`."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.sources.get(path, self.source), self.lines.get(path, 1)

    def place(self, path: TomlPath) -> str:
        """Return the file and line of the value at ``path``, for messages."""
        source, line = self.origin(path)
        return f"{source}, line {line}"


def parse_toml(
    file: Input, *, most_bytes: int = MOST_BYTES, max_values: int = MAX_VALUES
) -> TomlDocument:
    """Return the values in ``file``, which is text in UTF-8, and their lines.

    Args:
        file: the file.
        most_bytes: the limit of its size.
        max_values: the limit of keys, tables and items.

    Raises:
        RecipeError: the file is not TOML, or exceeds a limit; the message names the line.
    """
    # The scanner comes first: it bounds what tomllib, which recurses and copies paths, is given.
    scan = scan_toml(file, most_bytes=most_bytes, max_values=max_values)
    try:
        values = tomllib.loads(scan.text)
    except (ValueError, RecursionError) as error:
        raise _explain_fault(file, error, scan) from None
    return TomlDocument(source=file.name, values=values, lines=scan.lines)


def _fail(file: Input, line: int, message: str, hint: str) -> RecipeError:
    return RecipeError(f"{file.name}, line {line}: {message}", hint=hint)


def _explain_fault(file: Input, error: ValueError | RecursionError, scan: TomlScan) -> RecipeError:
    """Return our error for an error that ``tomllib`` raised."""
    message = str(error)
    position = _POSITION.search(message)
    fault = message[: position.start()] if position else message
    at_end = position is None or position[1] is None
    line = int(position[1]) if position and position[1] else scan.text.count("\n") + 1
    if scan.duplicate and fault.startswith(_DUPLICATES):
        duplicate = scan.duplicate
        message = f"{duplicate.words} is already defined on line {duplicate.first}"
        return _fail(file, duplicate.line, message, _ONCE)
    if fault.startswith(("Unclosed", "Expected '}'")) and scan.unclosed is not None:
        return _unclosed(file, fault, line=line, opened=scan.unclosed, at_end=at_end)
    if at_end and scan.stopped is not None:
        line = scan.stopped
    for start, words, hint in _FAULTS:
        if fault.startswith(start):
            return _fail(file, line, words, hint)
    words = f"{fault[:1].lower()}{fault[1:]}" if isinstance(error, ValueError) else "too deep"
    return _fail(file, line, words, _RULES)


def _unclosed(file: Input, fault: str, *, line: int, opened: int, at_end: bool) -> RecipeError:
    mark, kind = ("}", "table") if "table" in fault else ("]", "array")
    if at_end:
        message = f"the {kind} that begins here is not closed"
        return _fail(file, opened, message, f"close it with '{mark}'")
    begins = "" if opened == line else f" in the {kind} that begins on line {opened}"
    hint = f"put a comma between the items, and '{mark}' after the last"
    return _fail(file, line, f"a comma or '{mark}' is missing{begins}", hint)


@frozen(kw_only=True)
class _Duplicate:
    """A key or table that a text defines more than once.

    Attributes:
        words: the key, or the table in its brackets.
        line: the line of the second definition.
        first: the line of the first definition.
    """

    words: str
    line: int
    first: int


@frozen(kw_only=True)
class TomlScan:
    """The positions that the scanner found in a file.

    Attributes:
        text: the decoded text.
        lines: maps each path to the line, counted from 1, on which it is first named.
        duplicate: the first key or table that is defined twice.
        stopped: the line at which the scanner gave up; ``None`` if it read the whole text.
        unclosed: the line of the innermost bracket that was open there.
    """

    text: str
    lines: dict[TomlPath, int]
    duplicate: _Duplicate | None
    stopped: int | None
    unclosed: int | None


def scan_toml(
    file: Input, *, most_bytes: int = MOST_BYTES, max_values: int = MAX_VALUES
) -> TomlScan:
    """Return the positions in ``file``, up to the first fault.

    Raises:
        RecipeError: the file is not UTF-8, or exceeds a limit.
    """
    text = decode_text(file, most_bytes=most_bytes)
    scanner = _Scanner(file, text, max_values)
    stopped = unclosed = None
    try:
        scanner.read()
    except _StopError:
        stopped, unclosed = scanner.line, scanner.unclosed
    return TomlScan(
        text=text,
        lines=scanner.lines,
        duplicate=scanner.duplicate,
        stopped=stopped,
        unclosed=unclosed,
    )


class _StopError(Exception):
    """Report that the text is not TOML from here on."""


@define(kw_only=True)
class _Bracket:
    """An array or inline table that is still open, and the number of its items so far."""

    path: TomlPath
    closing: str
    line: int
    items: int = 0


class _Scanner:
    """A text and the position of the reader in it."""

    def __init__(self, file: Input, text: str, max_values: int) -> None:
        self._file = file
        self._text = text
        self._max_values = max_values
        self._position = 0
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._header: TomlPath = ()
        self._open: list[_Bracket] = []
        # The number of elements of each array of tables.
        self._elements: dict[TomlPath, int] = {}
        # The positions of the values of keys, and of the headers of tables outside arrays.
        self._definitions: dict[TomlPath, int] = {}
        self.lines: dict[TomlPath, int] = {}
        self.duplicate: _Duplicate | None = None

    def read(self) -> None:
        """Read the whole text.

        Raises:
            _StopError: the text is not TOML.
            RecipeError: the text exceeds a limit.
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
        """The line of the current position."""
        return self._line(self._position)

    @property
    def unclosed(self) -> int | None:
        """The line of the innermost open bracket."""
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
            self._define(path, f"[{'.'.join(key)}]", start)
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
        self._define(path, repr(".".join(key)), start)
        self._skip(_BLANKS)
        return path

    def _parts(self) -> tuple[str, ...]:
        """Read the parts of a dotted key."""
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
        """Read a value and everything inside it."""
        while True:
            start = self._position
            self._note(path, start)
            closing = {"[": "]", "{": "}"}.get(self._text[start : start + 1])
            if closing:
                self._position += 1
                self._open.append(_Bracket(path=path, closing=closing, line=self._line(start)))
                self._skip(_GAP)
            else:
                self._read_scalar()
            following = self._after_value(just_opened=closing is not None)
            if following is None:
                return
            path = following

    def _after_value(self, *, just_opened: bool) -> TomlPath | None:
        """Read closing brackets; return the path of the next value, or ``None`` after the last."""
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
            self._take(_STRING)
            return
        size = len(self._take(_BARE))
        if size > MAX_BARE_CHARACTERS:
            message = (
                f"a value without quotes has {size} characters; a number or date has at most "
                f"{MAX_BARE_CHARACTERS}"
            )
            raise _fail(self._file, self._line(start), message, "put text in quotes")

    def _note(self, path: TomlPath, position: int) -> None:
        if path in self.lines:
            return
        if len(path) > MAX_DEPTH:
            raise self._too_deep(position)
        if len(self.lines) == self._max_values:
            message = f"there are more than {self._max_values} keys and items"
            raise _fail(self._file, self._line(position), message, _WRONG_FILE)
        self.lines[path] = self._line(position)

    def _define(self, path: TomlPath, words: str, position: int) -> None:
        """Record that ``path`` gets its value or header here."""
        first = self._definitions.setdefault(path, position)
        if first != position and self.duplicate is None:
            self.duplicate = _Duplicate(
                words=words, line=self._line(position), first=self._line(first)
            )

    def _too_deep(self, position: int) -> RecipeError:
        message = f"keys and brackets are nested more than {MAX_DEPTH} deep"
        return _fail(self._file, self._line(position), message, _WRONG_FILE)

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
    """Return the key that is written as ``raw`` in the text."""
    if "\\" in raw and raw.startswith('"'):
        try:
            return next(iter(tomllib.loads(f"{raw} = 0")))
        except ValueError:
            raise _StopError from None
    return raw[1:-1] if raw[0] in "\"'" else raw
