"""What packages need of one another: ``libc6 (>= 2.7), perl:any | python3``.

Source: Debian Policy, 7.1, "Syntax of relationship fields"; deb-control(5).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from attrs import frozen

from purekernel.errors import FormatError
from purekernel.formats.debian.names import ARCHITECTURE, PACKAGE
from purekernel.formats.debian.version import DebianVersion

# The largest metapackages depend on some thousand; the longest alternatives are a dozen.
MAX_RELATIONS = 10_000

# The single ones are of before 1996, and mean "or equal" (Debian Policy, 7.1).
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
    """One package that would do.

    Attributes:
        name: of the package, or of what packages provide.
        qualifier: what stands behind a colon: ``any``, or an architecture.
        operator: how its version must compare; empty where any would do.
        version: what it is compared with.
        architectures: where this counts; ``!`` before one means elsewhere. Empty is everywhere.
    """

    name: str
    qualifier: str = ""
    operator: str = ""
    version: DebianVersion | None = None
    architectures: tuple[str, ...] = ()

    def admits(self, version: DebianVersion) -> bool:
        """Say whether a package of that version would do."""
        if self.version is None:
            return True
        return bool(_OPERATORS[self.operator](version, self.version))

    def counts_on(self, architecture: str) -> bool:
        """Say whether this is needed on an architecture at all."""
        if not self.architectures:
            return True
        if self.architectures[0].startswith(_NOT):
            return not any(_matches(one[1:], architecture) for one in self.architectures)
        return any(_matches(one, architecture) for one in self.architectures)

    def __str__(self) -> str:
        qualifier = f":{self.qualifier}" if self.qualifier else ""
        version = f" ({self.operator} {self.version})" if self.version is not None else ""
        where = f" [{' '.join(self.architectures)}]" if self.architectures else ""
        return f"{self.name}{qualifier}{version}{where}"


Alternatives = tuple[Relation, ...]
"""Packages of which any would do, the preferred one first."""


def parse_relations(text: str, *, source: str) -> tuple[Alternatives, ...]:
    """Return what a field such as ``Depends`` asks for: all of these, each in one way or another.

    Raises:
        FormatError: a part is none such, or there are too many.
    """
    found: list[Alternatives] = []
    count = 0
    for group in text.split(","):
        if not group.strip():
            continue  # dpkg takes a comma at the end
        alternatives = tuple(parse_relation(one, source=source) for one in group.split("|"))
        found.append(alternatives)
        count += len(alternatives)
        if count > MAX_RELATIONS:
            raise FormatError(
                source=source, expected=f"at most {MAX_RELATIONS} packages", got="more"
            )
    return tuple(found)


def parse_relation(text: str, *, source: str) -> Relation:
    """Return what one part, such as ``libc6 (>= 2.7)``, asks for.

    Raises:
        FormatError: it is none such.
    """
    match = _RELATION.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError("no relation")
        version = None if match["version"] is None else DebianVersion(match["version"])
        architectures = tuple(_architectures(match["architectures"] or ""))
    except ValueError:
        raise FormatError(
            source=source,
            expected="a package, and perhaps what its version must be: libc6 (>= 2.7)",
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
    """Return alternatives as a control file has them."""
    return " | ".join(map(str, alternatives))


def show_relations(groups: tuple[Alternatives, ...]) -> str:
    """Return what :func:`parse_relations` reads the same from again."""
    return ", ".join(map(show_alternatives, groups))


def _architectures(text: str) -> Iterator[str]:
    words = text.split()
    if len({word.startswith(_NOT) for word in words}) > 1:
        raise ValueError("some are negated and some are not")
    for word in words:
        if not re.fullmatch(ARCHITECTURE, word.removeprefix(_NOT)):
            raise ValueError("no architecture")
        yield word


def _matches(pattern: str, architecture: str) -> bool:
    """Say whether an architecture is one that ``any``, ``linux-any`` or its own name means.

    Source: Debian Policy, 11.1.1; of other kernels than Linux an image can have nothing.
    """
    return pattern in (architecture, _ANY, "linux-any", f"any-{architecture}")
