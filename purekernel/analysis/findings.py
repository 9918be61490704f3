"""Define a finding: something in an image that will not work, or may not, and what to do about it.

Every check reports with this model, and so do the outputs that show its results. A code keeps its
meaning for good; docs/findings.md explains each.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from purekernel.records import frozen
from purekernel.tree import display


class Severity(Enum):
    """How much a finding matters."""

    ERROR = "error"
    """A file will not run, or the image will not boot."""
    WARNING = "warning"
    """Something probably does not work."""
    NOTE = "note"
    """Something cannot be told, or matters only in some uses of the image."""


class OwnerKind(Enum):
    """Where a file of an image comes from."""

    BASE = "base"
    EXTENSION = "extension"
    OVERLAY = "overlay"
    BUILD = "build"


@frozen
class FileOwner:
    """Where a file of an image comes from.

    Attributes:
        kind: the kind of source.
        name: file name of the extension, or path or URL of the overlay; else a few words.
    """

    kind: OwnerKind
    name: str


BASE = FileOwner(OwnerKind.BASE, "the base")
BUILD = FileOwner(OwnerKind.BUILD, "this build")


@frozen
class Rule:
    """A kind of finding.

    Attributes:
        severity: how much findings of this kind matter.
        title: what is wrong, in a few words.
    """

    severity: Severity
    title: str


RULES = {
    "PK101": Rule(Severity.ERROR, "program or library for another machine"),
    "PK102": Rule(Severity.ERROR, "needed library is missing"),
    "PK103": Rule(Severity.ERROR, "library is older than what is needed"),
    "PK104": Rule(Severity.ERROR, "dynamic loader is missing"),
    "PK105": Rule(Severity.WARNING, "program or library is damaged"),
    "PK106": Rule(Severity.NOTE, "needed library is in a folder that is not searched"),
    "PK110": Rule(Severity.ERROR, "extension is damaged"),
    "PK201": Rule(Severity.ERROR, "kernel modules for another kernel"),
    "PK202": Rule(
        Severity.ERROR, "kernel module was built for another kernel than its folder says"
    ),
    "PK301": Rule(Severity.ERROR, "interpreter of a command or start script is missing"),
    "PK302": Rule(Severity.NOTE, "interpreter of another script is missing"),
    "PK401": Rule(Severity.ERROR, "the boot waits for zram, which the kernel lacks"),
    "PK402": Rule(Severity.NOTE, "unknown whether the kernel has zram, which the boot waits for"),
}
"""The kinds of findings: PK1.. programs, PK2.. kernel modules, PK3.. scripts, PK4.. the boot."""

_ORDER = {severity: number for number, severity in enumerate(Severity)}


@frozen(kw_only=True)
class Finding:
    """Something in an image that will not work, or may not.

    Attributes:
        code: its kind, a key of :data:`RULES`.
        owner: where the file comes from.
        path: path of the file in the image, without a leading slash; empty for the image itself.
        message: what is wrong, one sentence without a full stop.
        remedy: what to do about it, likewise.
        subject: what is missing or does not fit: the name of a library, version, interpreter,
            machine or kernel release; empty if there is none.
    """

    code: str
    owner: FileOwner
    path: bytes
    message: str
    remedy: str
    subject: str = ""

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        return RULES[self.code].severity

    @property
    def sort_key(self) -> tuple[object, ...]:
        """The order of findings: the worst first, then by code, owner and path."""
        owner = self.owner
        return (
            _ORDER[self.severity], self.code, owner.kind.value, owner.name, self.path, self.subject,
        )  # fmt: skip


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings without duplicates, the worst first."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: finding.sort_key))


def group_findings(findings: Iterable[Finding]) -> list[str]:
    """Return a line for each code and owner: an example, how many more there are, and a remedy."""
    groups: dict[tuple[str, FileOwner], list[Finding]] = {}
    for finding in sort_findings(findings):
        groups.setdefault((finding.code, finding.owner), []).append(finding)
    lines = []
    for (code, owner), found in groups.items():
        first, more = found[0], len(found) - 1
        others = f" (and {more} more)" if more else ""
        lines.append(
            f"{code} {first.severity.value}: {owner.name}: {first.message}{others}: {first.remedy}"
        )
    return lines


def shown(path: bytes) -> str:
    """Return a path in the image for a message: quoted, with its leading slash."""
    return display(b"/" + path)
