"""Read scripts of GRUB as far as plain text goes.

A script is not run. Variables have the values that the script assigns to them in plain text, all of
them where there are several; conditions may be true or not.

Source: the GRUB manual, "Writing full configuration files directly"; GRUB's grub-core/script,
yylex.l and parser.y.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product, takewhile

from attrs import field

from purekernel.records import frozen

# Words of these bytes alone mean themselves.
_PLAIN = re.compile(rb"[A-Za-z0-9_./,:=+@%^~()-]+")

# Reserved words, by what they do. A word in quotes is never one.
_OPENING = frozenset((b"if", b"while", b"until", b"for"))
_CONTINUING = frozenset((b"then", b"else", b"elif", b"do"))
_CLOSING = frozenset((b"fi", b"done"))
_FUNCTION = b"function"
_RESERVED = _OPENING | _CONTINUING | _CLOSING | {_FUNCTION, b"case", b"esac", b"in", b"select"}

_BLANKS = re.compile(rb"(?:[ \t\r]|\\\r?\n)+")
_COMMENT = re.compile(rb"#[^\n]*")
# GRUB knows more operators than its grammar has. They are errors.
_OPERATOR = re.compile(rb"[\n;{}]")
_NAME = rb"(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?#*@])"
_VARIABLE = re.compile(rb"\$(?:(" + _NAME + rb")|\{(" + _NAME + rb")\})")
_BARE = re.compile(rb"[^{}|&$;<> \t\n'\"\\]+")
_SINGLE = re.compile(rb"'([^']*)'")
_DOUBLE = re.compile(rb'\$?"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:\r?\n|(.))", re.DOTALL)
_IN_DOUBLE = re.compile(rb'\\([$"\\])|(\\\r?\n)|([^$\\]+|.)', re.DOTALL)

_ASSIGNMENT = re.compile(rb"([A-Za-z_][A-Za-z0-9_]*)=")

# A variable with more values is unknown.
_MOST_VALUES = 16
# A script that nests deeper is not read.
_MOST_DEPTH = 64


def quote_word(text: bytes) -> bytes:
    """Return ``text`` as one word of a GRUB script, in single quotes if it needs quotes."""
    if _PLAIN.fullmatch(text) and text not in _RESERVED:
        return text
    return b"'" + text.replace(b"'", rb"'\''") + b"'"


def quote_parameter(word: bytes) -> bytes:
    """Return a word of a kernel's command line as a word of the command ``linux``.

    GRUB itself adds the quotes that the kernel needs around blanks. A quote that it finds in a
    word, it hands to the kernel with a backslash, which the kernel does not know.
    """
    return quote_word(word.replace(b'"', b""))


@frozen(kw_only=True)
class Word:
    """A word of a script.

    Attributes:
        start: where it starts in the file.
        end: where it ends.
        parts: its parts: whether one is a variable, and its text, or the name of the variable.
    """

    start: int
    end: int
    parts: tuple[tuple[bool, bytes], ...]

    @property
    def text(self) -> bytes | None:
        """The text, if it has no variable."""
        if self.variables:
            return None
        return b"".join(text for _is_variable, text in self.parts)

    @property
    def tail(self) -> bytes:
        """The text after the last variable."""
        after = takewhile(lambda part: not part[0], reversed(self.parts))
        return b"".join(reversed([text for _is_variable, text in after]))

    @property
    def head(self) -> bytes:
        """The text before the first variable."""
        return b"".join(text for _is, text in takewhile(lambda part: not part[0], self.parts))

    @property
    def variables(self) -> frozenset[bytes]:
        """The names of its variables."""
        return frozenset(text for is_variable, text in self.parts if is_variable)


@frozen(kw_only=True)
class Command:
    """A command.

    Attributes:
        words: its words, the name of the command first.
        block: the index of the command in whose block it is, such as ``menuentry``; ``None``
            outside blocks.
        is_certain: whether it runs in any case: it is in no condition, loop or function.
    """

    words: tuple[Word, ...]
    block: int | None
    is_certain: bool

    @property
    def name(self) -> bytes | None:
        """The name of the command, if it has no variable."""
        return self.words[0].text

    @property
    def start(self) -> int:
        """Where it starts in the file."""
        return self.words[0].start

    @property
    def end(self) -> int:
        """Where its last word ends."""
        return self.words[-1].end


@frozen(kw_only=True)
class Assignment:
    """A command that gives a variable a value.

    Attributes:
        name: the name of the variable.
        word: the word ``NAME=VALUE``.
        value: the value, as a word.
        block: the index of the command in whose block it is.
    """

    name: bytes
    word: Word
    value: Word
    block: int | None


@frozen(kw_only=True)
class GrubScript:
    """A script.

    Attributes:
        data: its bytes.
        commands: its commands, also those in blocks, in order.
        stopped: where reading stopped, because GRUB would refuse what follows; ``None`` if all was
            read.
    """

    data: bytes = field(repr=False)
    commands: tuple[Command, ...]
    stopped: int | None = None

    def line(self, offset: int) -> int:
        """Return the number of a line, counted from 1."""
        return self.data.count(b"\n", 0, offset) + 1

    @cached_property
    def assignments(self) -> tuple[Assignment, ...]:
        """All commands that give a variable a value."""
        return tuple(filter(None, map(_assignment, self.commands)))

    @cached_property
    def values(self) -> Mapping[bytes, frozenset[bytes] | None]:
        """The values that variables may have; ``None`` for one that is not known."""
        known: dict[bytes, frozenset[bytes] | None] = {}
        for each in self.assignments:
            before, text = known.get(each.name, frozenset()), each.value.text
            if before is None or text is None or len(before) >= _MOST_VALUES:
                known[each.name] = None
            else:
                known[each.name] = before | {text}
        for command in self.commands:
            # Commands that set a variable to what only GRUB knows.
            words = [word.text or b"" for word in command.words]
            if words[0] in (b"read", b"for"):
                known.update(dict.fromkeys(words[1:2]))
            for option in (word for word in words if word.startswith(b"--set=")):
                known[option.removeprefix(b"--set=")] = None
        return known

    def texts(self, word: Word) -> frozenset[bytes] | None:
        """Return all texts that a word may have; ``None`` if that is not known."""
        choices: list[Sequence[bytes]] = []
        count = 1
        for is_variable, text in word.parts:
            values = self.values.get(text) if is_variable else frozenset([text])
            if not values:
                return None
            choices.append(sorted(values))
            count *= len(values)
            if count > _MOST_VALUES:
                return None
        return frozenset(map(b"".join, product(*choices)))


def parse_grub_script(data: bytes) -> GrubScript:
    """Return the script in ``data``; no file is invalid, but may be read in part."""
    return _Parser(data).parse()


def is_assignment(command: Command) -> bool:
    """Return whether a command only gives a variable a value."""
    return _assignment(command) is not None


def _assignment(command: Command) -> Assignment | None:
    words = command.words
    if words[0].text == b"set" and len(words) > 1:
        words = words[1:]
    word = words[0]
    is_variable, text = word.parts[0] if word.parts else (True, b"")
    match = None if is_variable else _ASSIGNMENT.match(text)
    if match is None:
        return None
    value = Word(
        start=word.start, end=word.end, parts=((False, text[match.end() :]), *word.parts[1:])
    )
    return Assignment(name=match[1], word=word, value=value, block=command.block)


class _StopError(Exception):
    """GRUB would refuse the script at this offset."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


def _tokens(data: bytes) -> Iterator[tuple[int, bytes | Word]]:
    """Yield where a token starts, and the token: an operator or a word.

    Raises:
        _StopError: GRUB would refuse what follows.
    """
    offset, end = 0, len(data)
    while offset < end:
        if match := _BLANKS.match(data, offset) or _COMMENT.match(data, offset):
            offset = match.end()
        elif match := _OPERATOR.match(data, offset):
            yield offset, match[0]
            offset = match.end()
        else:
            word = _word(data, offset)
            yield offset, word
            offset = word.end


def _word(data: bytes, start: int) -> Word:
    parts: list[tuple[bool, bytes]] = []
    offset = start
    while True:
        if match := _BARE.match(data, offset):
            # GRUB deletes carriage returns.
            text = (
                match[0].rstrip(b"\r") if data[match.end() : match.end() + 1] in b"\n" else match[0]
            )
            parts.append((False, text.replace(b"\r", b"")))
            offset += len(text)
            if len(text) != len(match[0]):
                break
        elif match := _SINGLE.match(data, offset):
            parts.append((False, match[1].replace(b"\r", b"")))
            offset = match.end()
        elif match := _DOUBLE.match(data, offset):
            parts += _in_double(match[1].replace(b"\r", b""))
            offset = match.end()
        elif match := _VARIABLE.match(data, offset):
            parts.append((True, match[1] or match[2]))
            offset = match.end()
        elif match := _ESCAPE.match(data, offset):
            parts.append((False, match[1] or b""))
            offset = match.end()
        else:
            break
    if offset == start:
        raise _StopError(start)
    return Word(start=start, end=offset, parts=tuple(parts))


def _in_double(text: bytes) -> Iterator[tuple[bool, bytes]]:
    """Yield the parts of a text that was in double quotes."""
    offset = 0
    yield False, b""
    while offset < len(text):
        if match := _VARIABLE.match(text, offset):
            yield True, match[1] or match[2]
        else:
            match = _IN_DOUBLE.match(text, offset)
            assert match is not None  # noqa: S101  # the last branch takes any byte
            yield False, match[1] or match[3] or b""
        offset = match.end()


@frozen(kw_only=True)
class _Frame:
    """What a reserved word or a brace opened."""

    closed_by: bytes
    block: int | None
    is_certain: bool


class _Parser:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._commands: list[Command] = []
        self._frames = [_Frame(closed_by=b"", block=None, is_certain=True)]
        self._words: list[Word] = []
        self._in_function_head = False

    def parse(self) -> GrubScript:
        stopped = None
        try:
            for offset, token in _tokens(self._data):
                if isinstance(token, Word):
                    self._take_word(token)
                else:
                    self._take_operator(token, offset)
            self._end_command()
            if len(self._frames) > 1 or self._in_function_head:
                stopped = len(self._data)
        except _StopError as error:
            stopped = error.offset
        return GrubScript(data=self._data, commands=tuple(self._commands), stopped=stopped)

    def _take_word(self, word: Word) -> None:
        raw = self._data[word.start : word.end]
        if self._words or self._in_function_head:
            self._words.append(word)
        elif raw in _OPENING:
            if raw == b"for":
                # "for NAME in WORDS" is kept as a command.
                self._words.append(word)
            self._open(_Frame(closed_by=_closing(raw), block=self._block, is_certain=False), word)
        elif raw in _CLOSING:
            self._close(raw, word.start)
        elif raw == _FUNCTION:
            self._in_function_head = True
        elif raw not in _CONTINUING:
            self._words.append(word)

    def _take_operator(self, token: bytes, offset: int) -> None:
        if token == b"{":
            self._take_brace(offset)
            return
        if self._in_function_head:
            if token != b"\n":
                raise _StopError(offset)
            return
        self._end_command()
        if token == b"}":
            self._close(token, offset)

    def _take_brace(self, offset: int) -> None:
        if not self._words:
            raise _StopError(offset)
        if self._in_function_head:
            self._words.clear()
            self._in_function_head = False
            frame = _Frame(closed_by=b"}", block=None, is_certain=False)
        else:
            block = len(self._commands)
            self._end_command()
            frame = _Frame(closed_by=b"}", block=block, is_certain=self._frames[-1].is_certain)
        self._open(frame, offset)

    @property
    def _block(self) -> int | None:
        return self._frames[-1].block

    def _open(self, frame: _Frame, at: Word | int) -> None:
        self._frames.append(frame)
        if len(self._frames) > _MOST_DEPTH:
            raise _StopError(at if isinstance(at, int) else at.start)

    def _close(self, token: bytes, offset: int) -> None:
        if self._frames[-1].closed_by != token:
            raise _StopError(offset)
        self._frames.pop()

    def _end_command(self) -> None:
        if self._words:
            frame = self._frames[-1]
            self._commands.append(
                Command(words=tuple(self._words), block=frame.block, is_certain=frame.is_certain)
            )
            self._words.clear()


def _closing(opening: bytes) -> bytes:
    return b"fi" if opening == b"if" else b"done"
