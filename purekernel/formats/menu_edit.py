"""Say how the entries of a boot menu change, for the editors of all menus.

An editor keeps all bytes of a file that do not change. What it changes is a list of splices.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Flag, auto

from attrs import field

from purekernel.records import frozen

# These programs start like a Linux kernel, but their arguments are not those of Linux: memdisk of
# Syslinux, grub.exe of GRUB4DOS, memtest86, iPXE.
_OTHER_PROGRAMS = re.compile(rb"(?:memdisk|memtest)[^/]*|[^/]*\.(?:exe|lkrn|krn)", re.IGNORECASE)

# A word of a command line: blanks inside double quotes belong to it, as for the kernel.
WORD = re.compile(rb'(?:"[^"]*(?:"|\Z)|[^\s"])+')

# The kernel takes the words after it as arguments of the first program.
_END_OF_PARAMETERS = b"--"


class Part(Flag):
    """What of a menu a change concerns."""

    LINUX = auto()
    INITRDS = auto()
    TIMEOUT = auto()
    DEFAULT = auto()


@frozen(kw_only=True)
class Unclear:
    """A place of a menu that was not understood.

    Attributes:
        line: the number of its line.
        reason: what is not known, for messages.
        concerns: the changes that may have to be made there.
    """

    line: int
    reason: str
    concerns: Part


@frozen(kw_only=True)
class FoundEntry:
    """An entry of a menu.

    Attributes:
        names: by what a user may name it: its label, id, title, or name of its file.
        title: what the menu shows.
        kernel: the path of the Linux kernel that it boots, as the menu names it; ``None`` if it
            boots none.
        initrds: the paths of the initrds, as the menu names them.
        words: the words of the kernel's command line.
    """

    names: tuple[bytes, ...]
    title: bytes
    kernel: bytes | None = None
    initrds: tuple[bytes, ...] = ()
    words: tuple[bytes, ...] = ()


@frozen(kw_only=True)
class EntryEdit:
    """A change of an entry that boots a Linux kernel.

    Attributes:
        drop: says whether to delete a word of the command line.
        add: the words to add to it.
        initrds: returns the paths that replace those of the initrds, all as the menu names them.
    """

    drop: Callable[[bytes], bool] = field(default=lambda _word: False)
    add: tuple[bytes, ...] = ()
    initrds: Callable[[Sequence[bytes]], Sequence[bytes]] = field(default=lambda paths: paths)


@frozen(kw_only=True)
class Splice:
    """A change of bytes.

    Attributes:
        start: where the old bytes start.
        end: where they end.
        new: the bytes that replace them.
    """

    start: int
    end: int
    new: bytes


@frozen(kw_only=True)
class Span:
    """A word of a command line, and where it stands.

    Attributes:
        start: where it starts in the file.
        end: where it ends.
        text: what it means; ``None`` if that is not known.
    """

    start: int
    end: int
    text: bytes | None


def splice(data: bytes, splices: Iterable[Splice]) -> bytes:
    """Return ``data`` with changes that do not overlap."""
    parts: list[bytes] = []
    done = 0
    for each in sorted(splices, key=lambda each: (each.start, each.end)):
        parts += (data[done : each.start], each.new)
        done = each.end
    return b"".join((*parts, data[done:]))


def edit_words(
    before: int, words: Sequence[Span], edit: EntryEdit, quote: Callable[[bytes], bytes]
) -> list[Splice]:
    """Return the splices that change a command line.

    Words are added at its end, or before a word ``--``, after which the kernel reads no parameters.

    Args:
        before: where what is in front of the first word ends.
        words: the words of the command line.
        edit: the change.
        quote: writes a word as the menu's language wants it.
    """
    splices: list[Splice] = []
    ends = [before, *(word.end for word in words)]
    for index, word in enumerate(words):
        if word.text is not None and edit.drop(word.text):
            if index == 0 and before == word.start and len(words) > 1:
                ends[1] = words[1].start  # the blanks after it
            splices.append(Splice(start=ends[index], end=max(word.end, ends[index + 1]), new=b""))
    texts = [word.text for word in words]
    last = texts.index(_END_OF_PARAMETERS) if _END_OF_PARAMETERS in texts else len(words)
    added = b"".join(b" " + quote(word) for word in edit.add)
    if added:
        splices.append(Splice(start=ends[last], end=ends[last], new=added))
    return splices


def split_words(line: bytes) -> tuple[bytes, ...]:
    """Return the words of a kernel command line. Blanks inside double quotes part no words."""
    return tuple(WORD.findall(line))


def is_other_program(path: bytes) -> bool:
    """Return whether the file at ``path`` is no Linux kernel, though it starts like one."""
    return _OTHER_PROGRAMS.fullmatch(path.rpartition(b"/")[2]) is not None
