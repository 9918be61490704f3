"""Versions of gems, ordered as RubyGems orders them.

Source: Gem::Version, https://docs.ruby-lang.org/en/master/Gem/Version.html
"""

from __future__ import annotations

import re
from functools import cached_property, total_ordering
from itertools import zip_longest

# Numbers and words parted by dots; what follows a dash is a prerelease. (RubyGems 1.8 and
# older do not know the dash; whoever pushes a gem has it replaced.)
VERSION_PATTERN = r"[0-9]+(?:\.[0-9a-zA-Z]+)*(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"

# RubyGems' servers take names of files of at most 255 bytes.
MAX_VERSION_CHARS = 200

# What Ruby's \s matches, in place of Python's, which has many more.
BLANKS = " \t\r\n\f\v"

_VERSION = re.compile(VERSION_PATTERN)
_SEGMENT = re.compile(r"[0-9]+|[a-z]+", re.IGNORECASE | re.ASCII)
_LETTER = re.compile(r"[a-zA-Z]")

Segments = tuple[int | str, ...]


@total_ordering
class Version:
    """One version, such as ``1.7.7`` or ``2.0.0.rc1``.

    Versions that differ only in zeros at the end are equal and hash alike: ``1.0`` is
    ``1.0.0``. Immutable.

    Attributes:
        text: as RubyGems writes it: without blanks around it, ``-`` replaced by ``.pre.``.
    """

    def __init__(self, text: str) -> None:
        """Read ``text``.

        Raises:
            ValueError: it is no version.
        """
        stripped = text.strip(BLANKS)
        if len(stripped) > MAX_VERSION_CHARS or _VERSION.fullmatch(stripped) is None:
            raise ValueError(f"{stripped[:40]!r} is no version of a gem")
        self.text = stripped.replace("-", ".pre.")

    @cached_property
    def segments(self) -> Segments:
        """The numbers and words that it is made of; ``1.0.rc1`` is 1, 0, rc, 1."""
        parts = _SEGMENT.findall(self.text)
        return tuple(int(part) if part.isdigit() else part for part in parts)

    @cached_property
    def canonical_segments(self) -> Segments:
        """The segments without zeros at the end, and before the first word."""
        numbers, rest = _split(self.segments)
        return _without_zeros(numbers) + _without_zeros(rest)

    @property
    def prerelease(self) -> bool:
        """Whether it holds a letter."""
        return _LETTER.search(self.text) is not None

    def release(self) -> Version:
        """Return the version that it leads up to: ``1.2.0`` for ``1.2.0.rc1``."""
        return _joined(_split(self.segments)[0]) if self.prerelease else self

    def bump(self) -> Version:
        """Return the first version that ``~>`` leaves out: for ``1.5.3`` it is ``1.6``."""
        numbers = _split(self.segments)[0]
        kept = numbers[:-1] if len(numbers) > 1 else numbers
        return _joined((*kept[:-1], kept[-1] + 1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self.canonical_segments == other.canonical_segments

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        pairs = zip_longest(self.canonical_segments, other.canonical_segments, fillvalue=0)
        for mine, theirs in pairs:
            if mine == theirs:
                continue
            # A word is a prerelease of what has a number, or nothing, in its place.
            if isinstance(mine, str):
                return not isinstance(theirs, str) or mine < theirs
            return isinstance(theirs, int) and mine < theirs
        return False

    def __hash__(self) -> int:
        return hash(self.canonical_segments)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Version({self.text!r})"


def _split(segments: Segments) -> tuple[tuple[int, ...], Segments]:
    """Return the numbers before the first word, and all from there on."""
    numbers: list[int] = []
    for segment in segments:
        if isinstance(segment, str):
            break
        numbers.append(segment)
    return tuple(numbers), segments[len(numbers) :]


def _without_zeros(segments: Segments) -> Segments:
    end = len(segments)
    while end and segments[end - 1] == 0:
        end -= 1
    return segments[:end]


def _joined(numbers: tuple[int, ...]) -> Version:
    # Not through the constructor: one more than nines has a digit more than is let in.
    version = Version.__new__(Version)
    version.text = ".".join(map(str, numbers))
    return version
