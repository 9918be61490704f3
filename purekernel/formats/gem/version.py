"""Parse and compare versions of gems, and requirements: ``>= 1.7.7``, ``~> 1.0, != 1.0.3``.

Source: Gem::Version and Gem::Requirement, https://docs.ruby-lang.org/en/master/Gem/Version.html and
https://docs.ruby-lang.org/en/master/Gem/Requirement.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from enum import Enum
from functools import cached_property, total_ordering
from itertools import zip_longest

from attrs import field

from purekernel.records import frozen

# Numbers and words separated by dots; a dash begins a prerelease. RubyGems 1.8 and older do not
# support the dash, but it is replaced when a gem is pushed.
VERSION_PATTERN = r"[0-9]+(?:\.[0-9a-zA-Z]+)*(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"

# Gem servers accept file names of at most 255 bytes.
MAX_VERSION_CHARS = 200

# The characters that \s matches in Ruby; it matches many more in Python.
BLANKS = " \t\r\n\f\v"

_VERSION = re.compile(VERSION_PATTERN)
_SEGMENT = re.compile(r"[0-9]+|[a-z]+", re.IGNORECASE | re.ASCII)
_LETTER = re.compile(r"[a-zA-Z]")

Segments = tuple[int | str, ...]


@total_ordering
class GemVersion:
    """A version, such as ``1.7.7`` or ``2.0.0.rc1``. Immutable.

    Versions that differ only in trailing zeros are equal: ``1.0`` equals ``1.0.0``.

    Attributes:
        text: the version as RubyGems writes it: without blanks, with ``.pre.`` for ``-``.
    """

    def __init__(self, text: str) -> None:
        """Parse ``text``.

        Raises:
            ValueError: it is not a version.
        """
        stripped = text.strip(BLANKS)
        # RubyGems accepts "1-a-", but not "1.pre.a.pre.", which it writes for it.
        self.text = stripped.replace("-", ".pre.")
        if len(self.text) > MAX_VERSION_CHARS or not (
            _VERSION.fullmatch(stripped) and _VERSION.fullmatch(self.text)
        ):
            raise ValueError(f"{stripped[:40]!r} is not a version of a gem")

    @cached_property
    def segments(self) -> Segments:
        """The numbers and words of the version; 1, 0, rc, 1 for ``1.0.rc1``."""
        parts = _SEGMENT.findall(self.text)
        return tuple(int(part) if part.isdigit() else part for part in parts)

    @cached_property
    def canonical_segments(self) -> Segments:
        """The segments without zeros at the end, and without zeros before the first word."""
        numbers, rest = _split(self.segments)
        return _without_zeros(numbers) + _without_zeros(rest)

    @property
    def prerelease(self) -> bool:
        """Whether the version is a prerelease, which has a letter."""
        return _LETTER.search(self.text) is not None

    def release(self) -> GemVersion:
        """Return the release of a prerelease: ``1.2.0`` for ``1.2.0.rc1``."""
        return self._numbers if self.prerelease else self

    def bump(self) -> GemVersion:
        """Return the lowest version that ``~>`` excludes: ``1.6`` for ``1.5.3``."""
        return self._bumped

    # These two are kept, because a resolution compares with them very often.

    @cached_property
    def _numbers(self) -> GemVersion:
        return _joined(_split(self.segments)[0])

    @cached_property
    def _bumped(self) -> GemVersion:
        numbers = _split(self.segments)[0]
        kept = numbers[:-1] if len(numbers) > 1 else numbers
        return _joined((*kept[:-1], kept[-1] + 1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GemVersion):
            return NotImplemented
        return self.canonical_segments == other.canonical_segments

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, GemVersion):
            return NotImplemented
        pairs = zip_longest(self.canonical_segments, other.canonical_segments, fillvalue=0)
        for mine, theirs in pairs:
            if mine == theirs:
                continue
            # A word sorts before a number, and before a missing segment.
            if isinstance(mine, str):
                return not isinstance(theirs, str) or mine < theirs
            return isinstance(theirs, int) and mine < theirs
        return False

    def __hash__(self) -> int:
        return hash(self.canonical_segments)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"GemVersion({self.text!r})"


def _split(segments: Segments) -> tuple[tuple[int, ...], Segments]:
    """Return the numbers before the first word, and the segments from there on."""
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


def _joined(numbers: tuple[int, ...]) -> GemVersion:
    # Without the constructor, because an incremented number may exceed its length limit.
    version = GemVersion.__new__(GemVersion)
    version.text = ".".join(map(str, numbers))
    return version


# Requirements of real gems have two clauses, rarely three.
MAX_CLAUSES = 100


class Operator(Enum):
    """The comparison of a version with that of a clause."""

    EQUAL = "="
    UNEQUAL = "!="
    ABOVE = ">"
    BELOW = "<"
    AT_LEAST = ">="
    AT_MOST = "<="
    PESSIMISTIC = "~>"


_COMPARISONS = {
    Operator.EQUAL: operator.eq,
    Operator.UNEQUAL: operator.ne,
    Operator.ABOVE: operator.gt,
    Operator.BELOW: operator.lt,
    Operator.AT_LEAST: operator.ge,
    Operator.AT_MOST: operator.le,
}

CLAUSE_PATTERN = rf"(=|!=|>=|<=|~>|>|<)?[{BLANKS}]*({VERSION_PATTERN})"
_CLAUSE = re.compile(CLAUSE_PATTERN)


@frozen(kw_only=True)
class Clause:
    """One comparison of a requirement.

    Attributes:
        operator: the comparison.
        version: the version to compare with. Clauses are equal only if versions are written alike:
            ``~> 1.0`` and ``~> 1.0.0`` admit different versions.
    """

    operator: Operator
    version: GemVersion = field(eq=lambda version: version.text)

    def admits(self, version: GemVersion) -> bool:
        """Return whether the comparison holds for ``version``."""
        if self.operator is Operator.PESSIMISTIC:
            return version >= self.version and version.release() < self.version.bump()
        return bool(_COMPARISONS[self.operator](version, self.version))

    def __str__(self) -> str:
        return f"{self.operator.value} {self.version}"


@frozen(kw_only=True)
class GemRequirement:
    """Clauses that must all hold.

    Attributes:
        clauses: the distinct clauses in their order; never empty.
    """

    clauses: tuple[Clause, ...]

    @classmethod
    def parse(cls, text: str) -> GemRequirement:
        """Parse clauses separated by commas or ``&``.

        A version without an operator means ``=``; an empty text means ``>= 0``.

        Raises:
            ValueError: a clause is malformed.
        """
        if not text.strip(BLANKS):
            return ANY
        return cls.of(re.split(r"[,&]", text))

    @classmethod
    def of(cls, texts: Iterable[str]) -> GemRequirement:
        """Parse a list of clauses.

        Raises:
            ValueError: a clause is malformed, or there are none or too many.
        """
        clauses = tuple(dict.fromkeys(map(parse_clause, texts)))
        if not 0 < len(clauses) <= MAX_CLAUSES:
            raise ValueError(f"a requirement has 1 to {MAX_CLAUSES} clauses, not {len(clauses)}")
        return cls(clauses=clauses)

    @property
    def prerelease(self) -> bool:
        """Whether a clause has a prerelease, so that prereleases are accepted."""
        return any(clause.version.prerelease for clause in self.clauses)

    def admits(self, version: GemVersion) -> bool:
        """Return whether all clauses hold for ``version``, even if it is a prerelease."""
        return all(clause.admits(version) for clause in self.clauses)

    def accepts(self, version: GemVersion) -> bool:
        """Return whether ``version`` is accepted: prereleases only if a clause has one."""
        return (self.prerelease or not version.prerelease) and self.admits(version)

    def __str__(self) -> str:
        return ", ".join(map(str, self.clauses))


def parse_clause(text: str) -> Clause:
    """Parse one clause, such as ``~> 1.0``.

    Raises:
        ValueError: the clause is malformed.
    """
    match = _CLAUSE.fullmatch(text.strip(BLANKS))
    if match is None:
        raise ValueError(f"{text.strip(BLANKS)[:40]!r} is not a requirement on a version")
    return Clause(operator=Operator(match[1] or "="), version=GemVersion(match[2]))


ANY = GemRequirement(clauses=(parse_clause(">= 0"),))
"""The requirement that all versions meet; it does not accept prereleases."""

# The text that Psych once wrote for syck's "default key", which is a bare '='.
DEFAULT_KEY = re.compile(r"#<YAML::Syck::DefaultKey[^>]*>|#<Syck::DefaultKey[^>]*>")
