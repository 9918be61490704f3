"""What init runs on the consoles: ``etc/inittab``, edited by structure.

A line is ``id:runlevels:action:process``. Lines that no edit touches keep their bytes, and so
do the other words of one that an edit touches. Source: init/init.c and loginutils/getty.c of
busybox; Core's own etc/inittab and sbin/autologin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from attrs import evolve, frozen

from purekernel.errors import TreeError, UsageError
from purekernel.tree import display

CONSOLE = b"tty1"
# Core's script that logs somebody in at the first time, and asks from then on.
AUTOLOGIN = b"/sbin/autologin"

HINT = "look at etc/inittab in the base image and in the overlays"

# The letters of busybox's getty that take a value, from the same word or the next.
VALUED = b"HIflt"

# An entry that runs getty, up to the end of that word. A minus there makes it a log-in shell.
_LEAD = re.compile(rb"(?:[^#:][^:]*)?:[^:]*:[^:]*:[ \t]*-?(?:[^ \t]*/)?getty(?=[ \t\r]|$)")
_WORD = re.compile(rb"[ \t]+[^ \t\r]+")
_SPEEDS = re.compile(rb"[0-9]+(?:,[0-9]+)*")
_TTY = re.compile(r"[A-Za-z][A-Za-z0-9]{0,31}")

# Those that termios(3) has names for.
BAUDS = (
    *(300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200),
    *(230_400, 460_800, 921_600),
)


@frozen(kw_only=True)
class Getty:
    """A line that runs getty, taken apart.

    Attributes:
        lead: all up to the word ``getty``.
        words: what follows, each with the blanks before it.
        options: how many of the words are options and their values.
        end: what is left: blanks, a carriage return.
    """

    lead: bytes
    words: tuple[bytes, ...]
    options: int
    end: bytes

    @property
    def raw(self) -> bytes:
        """The line as it stands."""
        return self.lead + b"".join(self.words) + self.end

    @property
    def arguments(self) -> list[bytes]:
        """What follows the options: the speeds, the terminal, and of what type it is."""
        return [word.strip() for word in self.words[self.options :]]

    def option(self, letter: bytes) -> bytes | None:
        """Return the value of an option, empty for one that has none; ``None`` if not given.

        The last counts, as it does to getopt(3).
        """
        found: bytes | None = None
        given = iter(self.words[: self.options])
        for word in given:
            flags, valued, value = _split(word)
            if valued and not value:
                value = next(given, b"").strip()
            if letter in flags:
                found = b""
            if letter == valued:
                found = value
        return found

    def with_option(self, *words: bytes) -> Getty:
        """Return the line with ``words`` as its last options."""
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
    """Return an inittab whose ``tty1`` logs in by itself, or asks who is there.

    As the original's sed did for its debug flavour, ``-nl /sbin/autologin`` goes before the
    speed. A line that is as it should be keeps its bytes.

    Raises:
        TreeError: no line runs getty on ``tty1``, or one does with a log-in program of
            somebody else's.

    Source: build-bundle-file.sh of Razor-Microkernel.
    """
    return _edit(data, CONSOLE, _with_autologin if on else _without_autologin)


def add_getty(data: bytes, tty: str, baud: int) -> bytes:
    """Return an inittab that lets people log in on ``tty``, a serial line.

    Where a line does that already it gets the speed ``baud``; otherwise one comes below the
    last getty, or at the end. It has ``-L``: no carrier is waited for.

    Raises:
        UsageError: that is no name of a terminal, or no speed.

    Source: examples/inittab of busybox.
    """
    if _TTY.fullmatch(tty) is None:
        raise UsageError(f"{tty!r} is no name of a terminal", hint="give one such as ttyS0")
    if baud not in BAUDS:
        known = ", ".join(map(str, BAUDS))
        raise UsageError(f"no serial line runs at {baud} baud", hint=f"give one of {known}")
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


def _edit(data: bytes, tty: bytes, change: Callable[[Getty], Getty]) -> bytes:
    """Change every line that runs getty on ``tty``."""
    lines = data.split(b"\n")
    found = False
    for index, getty in _gettys(lines):
        if tty in getty.arguments:
            lines[index] = change(getty).raw
            found = True
    if not found:
        raise TreeError(f"no line of etc/inittab runs getty on {tty.decode()}", hint=HINT)
    return b"\n".join(lines)


def _gettys(lines: list[bytes]) -> Iterator[tuple[int, Getty]]:
    for index, line in enumerate(lines):
        lead = _LEAD.match(line)
        if lead is None:
            continue
        words = tuple(_WORD.findall(line, lead.end()))
        end = lead.end() + sum(map(len, words))
        yield (
            index,
            Getty(lead=lead[0], words=words, options=_count_options(words), end=line[end:]),
        )


def _count_options(words: tuple[bytes, ...]) -> int:
    """Return how many of ``words`` stand before the first that is an argument.

    So does ``--``; long options, which other gettys have, are passed over with what follows.
    """
    count = 0
    while count < len(words) and re.match(rb"[ \t]*-(?!-)", words[count]):
        _flags, letter, value = _split(words[count])
        count += 2 if letter and not value else 1
    return min(count, len(words))


def _split(word: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the letters without values of ``-word``, the one with a value, and that."""
    letters = word.strip()[1:]
    for index, letter in enumerate(letters):
        if letter in VALUED:
            return letters[:index], letters[index : index + 1], letters[index + 1 :]
    return letters, b"", b""


def _with_autologin(getty: Getty) -> Getty:
    program = getty.option(b"l")
    if program not in (None, AUTOLOGIN):
        raise TreeError(
            f"getty on tty1 runs {display(program or b'')} already, not {display(AUTOLOGIN)}",
            hint=HINT,
        )
    if program is None:
        return getty.with_option(b"-nl", AUTOLOGIN)
    return getty if getty.option(b"n") is not None else getty.with_option(b"-n")


def _without_autologin(getty: Getty) -> Getty:
    return getty.without_options(b"nl") if getty.option(b"l") == AUTOLOGIN else getty


def _with_speed(getty: Getty, tty: bytes, speed: bytes) -> Getty:
    """Give the line one speed, unless that is among those which it tries."""
    words = list(getty.words)
    place = getty.options + getty.arguments.index(tty)
    for index in range(getty.options, len(words)):
        word = words[index].strip()
        if _SPEEDS.fullmatch(word):
            if speed not in word.split(b","):
                words[index] = words[index].replace(word, speed)
            break
    else:
        words.insert(place, b" " + speed)
    return evolve(getty, words=tuple(words))
