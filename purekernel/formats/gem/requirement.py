"""Requirements on versions of gems: ``>= 1.7.7``, ``~> 1.0, != 1.0.3``.

Source: Gem::Requirement, https://docs.ruby-lang.org/en/master/Gem/Requirement.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from enum import Enum

from attrs import field, frozen

from purekernel.formats.gem.version import BLANKS, VERSION_PATTERN, Version

# Requirements of real gems have two clauses, seldom three.
MAX_CLAUSES = 100


class Operator(Enum):
    """How a version compares with the one that a clause names."""

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
    """One comparison.

    Attributes:
        operator: what must hold between a version and that of the clause.
        version: what is compared with. Clauses are equal when this is written alike:
            ``~> 1.0`` and ``~> 1.0.0`` admit different versions.
    """

    operator: Operator
    version: Version = field(eq=lambda version: version.text)

    def admits(self, version: Version) -> bool:
        """Say whether the comparison holds for ``version``."""
        if self.operator is Operator.PESSIMISTIC:
            return version >= self.version and version.release() < self.version.bump()
        return bool(_COMPARISONS[self.operator](version, self.version))

    def __str__(self) -> str:
        return f"{self.operator.value} {self.version}"


@frozen(kw_only=True)
class Requirement:
    """Clauses that must all hold.

    Attributes:
        clauses: each once, in the order in which they were given; never empty.
    """

    clauses: tuple[Clause, ...]

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Read clauses parted by commas or ``&``; a version alone means ``=``, nothing ``>= 0``.

        Raises:
            ValueError: a clause is malformed.
        """
        if not text.strip(BLANKS):
            return ANY
        return cls.of(re.split(r"[,&]", text))

    @classmethod
    def of(cls, texts: Iterable[str]) -> Requirement:
        """Read clauses given one by one.

        Raises:
            ValueError: one is malformed, or there are none or very many.
        """
        clauses = tuple(dict.fromkeys(map(parse_clause, texts)))
        if not 0 < len(clauses) <= MAX_CLAUSES:
            raise ValueError(f"a requirement has 1 to {MAX_CLAUSES} clauses, not {len(clauses)}")
        return cls(clauses=clauses)

    @property
    def prerelease(self) -> bool:
        """Whether it names a prerelease, and so asks for prereleases too."""
        return any(clause.version.prerelease for clause in self.clauses)

    def admits(self, version: Version) -> bool:
        """Say whether all clauses hold for ``version``, be it a prerelease or not."""
        return all(clause.admits(version) for clause in self.clauses)

    def accepts(self, version: Version) -> bool:
        """Say whether ``version`` would be taken: prereleases only where one is named."""
        return (self.prerelease or not version.prerelease) and self.admits(version)

    def __str__(self) -> str:
        return ", ".join(map(str, self.clauses))


def parse_clause(text: str) -> Clause:
    """Read one clause, such as ``~> 1.0``.

    Raises:
        ValueError: it is malformed.
    """
    match = _CLAUSE.fullmatch(text.strip(BLANKS))
    if match is None:
        raise ValueError(f"{text.strip(BLANKS)[:40]!r} is no requirement on a version")
    return Clause(operator=Operator(match[1] or "="), version=Version(match[2]))


ANY = Requirement(clauses=(parse_clause(">= 0"),))
"""Met by every version, and by prereleases only where these are asked for otherwise."""
