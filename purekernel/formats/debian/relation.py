"""Parse relations between packages, such as ``libc6 (>= 2.7), perl:any | python3``.

Source: Debian Policy, 7.1, "Syntax of relationship fields"; deb-control(5).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from purekernel.errors import FormatError
from purekernel.formats.debian.names import ARCHITECTURE, PACKAGE, DebianVersion
from purekernel.records import frozen

# The largest metapackages depend on about a thousand; the longest alternatives have a dozen.
MAX_RELATIONS = 10_000

# "<" and ">" are from before 1996 and mean "or equal" (Debian Policy, 7.1).
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">>": operator.gt,
    "<": operator.le,
    ">": operator.ge,
}

_RELATION = re.compile(
    rf"(?P<name>{PACKAGE})(?::(?P<qualifier>{ARCHITECTURE}))?"
    r"(?:\s*\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s()]+)\s*\))?"
    r"(?:\s*\[(?P<architectures>[^\[\]]*)\])?"
)
_NOT = "!"
_ANY = "any"


@frozen(kw_only=True)
class Relation:
    """A package that satisfies a dependency.

    Attributes:
        name: the name of a package, or a name that packages provide.
        qualifier: the text after a colon: ``any``, or an architecture.
        operator: the comparison of its version; empty for any version.
        version: the version to compare with.
        architectures: the architectures that have this relation; ``!`` before each excludes it.
            Empty for all.
    """

    name: str
    qualifier: str = ""
    operator: str = ""
    version: DebianVersion | None = None
    architectures: tuple[str, ...] = ()

    def admits(self, version: DebianVersion) -> bool:
        """Return whether a package of that version satisfies the relation."""
        if self.version is None:
            return True
        return bool(_OPERATORS[self.operator](version, self.version))

    def counts_on(self, architecture: str) -> bool:
        """Return whether the architecture has this relation."""
        if not self.architectures:
            return True
        if self.architectures[0].startswith(_NOT):
            return not any(_matches(pattern[1:], architecture) for pattern in self.architectures)
        return any(_matches(pattern, architecture) for pattern in self.architectures)

    def __str__(self) -> str:
        qualifier = f":{self.qualifier}" if self.qualifier else ""
        version = f" ({self.operator} {self.version})" if self.version is not None else ""
        architectures = f" [{' '.join(self.architectures)}]" if self.architectures else ""
        return f"{self.name}{qualifier}{version}{architectures}"


Alternatives = tuple[Relation, ...]
"""Packages of which one is needed, the preferred one first."""


def parse_relations(text: str, *, source: str) -> tuple[Alternatives, ...]:
    """Return the relations in a field such as ``Depends``; all of the groups are needed.

    Args:
        text: the value of the field.
        source: the stanza and field, for messages.

    Raises:
        FormatError: a relation is malformed, or there are too many.
    """
    groups: list[Alternatives] = []
    count = 0
    for group in text.split(","):
        if not group.strip():
            continue  # dpkg accepts a comma at the end
        alternatives = tuple(parse_relation(part, source=source) for part in group.split("|"))
        groups.append(alternatives)
        count += len(alternatives)
        if count > MAX_RELATIONS:
            raise FormatError(
                source=source, expected=f"at most {MAX_RELATIONS} packages", got="more"
            )
    return tuple(groups)


def parse_relation(text: str, *, source: str) -> Relation:
    """Return one relation, such as ``libc6 (>= 2.7)``.

    Raises:
        FormatError: it is malformed.
    """
    match = _RELATION.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError("not a relation")
        version = None if match["version"] is None else DebianVersion(match["version"])
        architectures = tuple(_architectures(match["architectures"] or ""))
    except ValueError:
        raise FormatError(
            source=source,
            expected="a package, with or without a version: libc6 (>= 2.7)",
            got=repr(text.strip()[:80]),
        ) from None
    return Relation(
        name=match["name"],
        qualifier=match["qualifier"] or "",
        operator=match["operator"] or "",
        version=version,
        architectures=architectures,
    )


def show_alternatives(alternatives: Alternatives) -> str:
    """Return alternatives in the notation of control files."""
    return " | ".join(map(str, alternatives))


def show_relations(groups: tuple[Alternatives, ...]) -> str:
    """Return relations in the notation of control files, for :func:`parse_relations`."""
    return ", ".join(map(show_alternatives, groups))


def _architectures(text: str) -> Iterator[str]:
    words = text.split()
    if len({word.startswith(_NOT) for word in words}) > 1:
        raise ValueError("only some architectures are negated")
    for word in words:
        if not re.fullmatch(ARCHITECTURE, word.removeprefix(_NOT)):
            raise ValueError("not an architecture")
        yield word


def _matches(pattern: str, architecture: str) -> bool:
    """Return whether ``pattern`` is the architecture, ``any``, ``linux-any`` or the like.

    Source: Debian Policy, 11.1.1. Patterns for other kernels than Linux match nothing.
    """
    return pattern in (architecture, _ANY, "linux-any", f"any-{architecture}")
