"""Edit ``etc/inittab``, which lists what init runs on the consoles.

A line is ``id:runlevels:action:process``. Unchanged lines keep their bytes, and so do the unchanged
words of a changed line. Source: init/init.c and loginutils/getty.c of
busybox; Core's own etc/inittab and sbin/autologin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from attrs import evolve

from purekernel.errors import TreeError, UsageError
from purekernel.records import frozen
from purekernel.tree import display

CONSOLE = b"tty1"
# Core's script that logs in without a prompt the first time, and asks from then on.
AUTOLOGIN = b"/sbin/autologin"

HINT = "check etc/inittab in the base image and in the overlays"

# Options of busybox's getty with a value, in the same word or the next.
VALUED = b"HIflt"

# An entry that runs getty, up to the end of that word. A leading minus makes it a log-in shell.
_LEAD = re.compile(rb"(?:[^#:][^:]*)?:[^:]*:[^:]*:[ \t]*-?(?:[^ \t]*/)?getty(?=[ \t]|$)")
_WORD = re.compile(rb"[ \t]+[^ \t]+")
_BLANKS = b" \t"
_SPEEDS = re.compile(rb"[0-9]+(?:,[0-9]+)*")
_TTY = re.compile(r"[A-Za-z][A-Za-z0-9]{0,31}")

# The speeds of termios(3), in baud.
BAUDS = (
    *(300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200),
    *(230_400, 460_800, 921_600),
)


@frozen(kw_only=True)
class Getty:
    """The parts of a line that runs getty.

    Attributes:
        lead: the text up to and including the word ``getty``.
        words: the following words, each with the blanks before it.
        options: the number of words that are options and their values.
        end: the rest: blanks, a carriage return.
    """

    lead: bytes
    words: tuple[bytes, ...]
    options: int
    end: bytes

    @property
    def raw(self) -> bytes:
        """The whole line."""
        return self.lead + b"".join(self.words) + self.end

    @property
    def arguments(self) -> list[bytes]:
        """The words after the options: speeds, terminal and type of terminal."""
        return [word.strip(_BLANKS) for word in self.words[self.options :]]

    def option(self, letter: bytes) -> bytes | None:
        """Return the value of an option, empty if it takes none; ``None`` if not given.

        The last one counts, as in getopt(3).
        """
        found: bytes | None = None
        given = iter(self.words[: self.options])
        for word in given:
            flags, valued, value = _split(word)
            if valued and not value:
                value = next(given, b"").strip(_BLANKS)
            if letter in flags:
                found = b""
            if letter == valued:
                found = value
        return found

    def with_option(self, *words: bytes) -> Getty:
        """Return the line with ``words`` appended to its options."""
        blank = tuple(b" " + word for word in words)
        before, after = self.words[: self.options], self.words[self.options :]
        return evolve(self, words=before + blank + after, options=self.options + len(words))

    def without_options(self, letters: bytes) -> Getty:
        """Return the line without the options ``letters`` and their values."""
        kept: list[bytes] = []
        given = iter(self.words[: self.options])
        for word in given:
            flags, letter, value = _split(word)
            follower = [next(given, b"")] if letter and not value else []
            flags = bytes(flag for flag in flags if flag not in letters)
            if letter in letters:
                letter, value, follower = b"", b"", []
            if flags or letter:
                blanks = word[: word.index(b"-")]
                kept += [blanks + b"-" + flags + letter + value, *follower]
        return evolve(self, words=(*kept, *self.words[self.options :]), options=len(kept))


def set_autologin(data: bytes, on: bool) -> bytes:
    """Return an inittab with automatic log-in on ``tty1`` turned on or off.

    As the original's sed does for its debug flavour, ``-nl /sbin/autologin`` goes before the speed.
    A line that is already correct keeps its bytes.

    Raises:
        TreeError: no line runs getty on ``tty1``, or one has another log-in program.

    Source: build-bundle-file.sh of Razor-Microkernel.
    """
    return _edit(data, CONSOLE, _with_autologin if on else _without_autologin)


def add_getty(data: bytes, tty: str, baud: int) -> bytes:
    """Return an inittab that runs getty on ``tty``, a serial line.

    An existing line gets the speed ``baud``. Otherwise a line is added after the last getty, or at
    the end. It has ``-L``: getty does not wait for a carrier.

    Raises:
        UsageError: the name of the terminal or the speed is invalid.

    Source: examples/inittab of busybox.
    """
    if _TTY.fullmatch(tty) is None:
        raise UsageError(
            f"{tty!r}: not a valid name of a terminal", hint="give a name such as ttyS0"
        )
    if baud not in BAUDS:
        known = ", ".join(map(str, BAUDS))
        raise UsageError(
            f"the speed must be supported by serial lines, got {baud} baud",
            hint=f"give one of {known}",
        )
    name, speed = tty.encode(), b"%d" % baud
    lines = data.split(b"\n")
    gettys = dict(_gettys(lines))
    if any(name in getty.arguments for getty in gettys.values()):
        return _edit(data, name, lambda getty: _with_speed(getty, name, speed))
    ending = b"\r" if lines[0].endswith(b"\r") else b""
    added = name + b"::respawn:/sbin/getty -L " + speed + b" " + name + b" vt100" + ending
    if not gettys and lines[-1]:
        lines.append(b"")
    place = max(gettys) + 1 if gettys else len(lines) - 1
    return b"\n".join([*lines[:place], added, *lines[place:]])


def set_login_program(data: bytes, tty: str, program: bytes | None) -> bytes:
    """Return an inittab whose getty on ``tty`` runs ``program``, without asking for a name.

    With ``None``, it asks for a name, and runs login.

    Raises:
        TreeError: no line runs getty on ``tty``.
    """

    def change(getty: Getty) -> Getty:
        has_name = getty.option(b"n") is not None
        if getty.option(b"l") == program and has_name == (program is not None):
            return getty
        plain = getty.without_options(b"nl")
        return plain if program is None else plain.with_option(b"-nl", program)

    return _edit(data, tty.encode(), change)


def _edit(data: bytes, tty: bytes, change: Callable[[Getty], Getty]) -> bytes:
    """Apply ``change`` to every line that runs getty on ``tty``."""
    lines = data.split(b"\n")
    found = False
    for index, getty in _gettys(lines):
        if tty in getty.arguments:
            lines[index] = change(getty).raw
            found = True
    if not found:
        raise TreeError(f"etc/inittab: no line runs getty on {tty.decode()}", hint=HINT)
    return b"\n".join(lines)


def _gettys(lines: list[bytes]) -> Iterator[tuple[int, Getty]]:
    for index, line in enumerate(lines):
        # A carriage return before other text is part of a word, as for init.
        body = line.rstrip(b" \t\r")
        lead = _LEAD.match(body)
        if lead is None:
            continue
        words = tuple(_WORD.findall(body, lead.end()))
        yield (
            index,
            Getty(lead=lead[0], words=words, options=_count_options(words), end=line[len(body) :]),
        )


def _count_options(words: tuple[bytes, ...]) -> int:
    """Return the number of ``words`` before the first argument.

    ``--`` and long options, which other gettys have, also count as the first argument.
    """
    count = 0
    while count < len(words) and re.match(rb"[ \t]*-(?!-)", words[count]):
        _flags, letter, value = _split(words[count])
        count += 2 if letter and not value else 1
    return min(count, len(words))


def _split(word: bytes) -> tuple[bytes, bytes, bytes]:
    """Split ``-word`` into letters without a value, a letter with a value, and its value."""
    letters = word.strip(_BLANKS)[1:]
    for index, letter in enumerate(letters):
        if letter in VALUED:
            return letters[:index], letters[index : index + 1], letters[index + 1 :]
    return letters, b"", b""


def _with_autologin(getty: Getty) -> Getty:
    program = getty.option(b"l")
    if program not in (None, AUTOLOGIN):
        raise TreeError(
            f"etc/inittab: the log-in program of getty on tty1 must be {display(AUTOLOGIN)}, "
            f"got {display(program or b'')}",
            hint=HINT,
        )
    if program is None:
        return getty.with_option(b"-nl", AUTOLOGIN)
    return getty if getty.option(b"n") is not None else getty.with_option(b"-n")


def _without_autologin(getty: Getty) -> Getty:
    return getty.without_options(b"nl") if getty.option(b"l") == AUTOLOGIN else getty


def _with_speed(getty: Getty, tty: bytes, speed: bytes) -> Getty:
    """Set the speed of the line, unless it already tries that speed."""
    words = list(getty.words)
    place = getty.options + getty.arguments.index(tty)
    for index in range(getty.options, len(words)):
        word = words[index].strip(_BLANKS)
        if _SPEEDS.fullmatch(word):
            if speed not in word.split(b","):
                words[index] = words[index].replace(word, speed)
            break
    else:
        words.insert(place, b" " + speed)
    return evolve(getty, words=tuple(words))
