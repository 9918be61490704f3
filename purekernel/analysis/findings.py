"""Define a finding: something in an image that will not work, or may not, and what to do about it.

Every check reports with this model, and so do the outputs that show its results. A code keeps its
meaning for good; docs/findings.md explains each.
"""

from __future__ import annotations

import hashlib
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
    PACKAGE = "package"
    GEM = "gem"
    OVERLAY = "overlay"
    BUILD = "build"
    IMAGE = "image"
    """Unknown: the image does not say."""


@frozen
class FileOwner:
    """Where a file of an image comes from.

    Attributes:
        kind: the kind of source.
        name: file name of the extension, name of the package or gem, or path or URL of the
            overlay; else a few words.
    """

    kind: OwnerKind
    name: str


BASE = FileOwner(OwnerKind.BASE, "the base")
BUILD = FileOwner(OwnerKind.BUILD, "this build")
IMAGE = FileOwner(OwnerKind.IMAGE, "the image")


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
    "PK501": Rule(Severity.WARNING, "target of a symbolic link is missing"),
    "PK502": Rule(Severity.WARNING, "command or start script is not executable"),
    "PK503": Rule(Severity.WARNING, "wrong owner in /usr/local/tce.installed"),
    "PK504": Rule(Severity.WARNING, "wrong owner in /home/tc"),
    "PK505": Rule(Severity.WARNING, "extension is not loaded, because it counts as loaded"),
    "PK601": Rule(Severity.ERROR, "boot menu names a missing file"),
    "PK602": Rule(Severity.ERROR, "the first program, /init, is missing or cannot run"),
    "PK603": Rule(Severity.WARNING, "/dev/console is missing"),
    "PK604": Rule(Severity.NOTE, "firmware that a kernel module asks for is missing"),
    "PK701": Rule(Severity.WARNING, "account with an empty password"),
    "PK702": Rule(Severity.WARNING, "account with a well-known password"),
    "PK703": Rule(Severity.WARNING, "host key of SSH in the image"),
    "PK704": Rule(Severity.WARNING, "program that runs with the rights of its owner (setuid)"),
    "PK705": Rule(Severity.WARNING, "file that any user may change"),
}
"""The kinds of findings: PK1.. programs, PK2.. kernel modules, PK3.. scripts, PK4.. the wait for
zram, PK5.. files, PK6.. what the boot needs, PK7.. security.
"""

# Compression of kernel modules.
_PACKED = (b".gz", b".xz", b".zst")

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
        state: what else must be equal in another image for this to be the same finding, such as
            a digest of the file; empty if path and subject say it all.
    """

    code: str
    owner: FileOwner
    path: bytes
    message: str
    remedy: str
    subject: str = ""
    state: str = ""

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that tell this finding from all others, in any image.

        A kernel module that is unpacked or packed in another way is the same module.
        """
        path = self.path
        for ending in _PACKED:
            path = path.removesuffix(ending)
        parts = (self.code, self.subject, self.state)
        texts = [part.encode("utf-8", "surrogateescape") for part in parts]
        return hashlib.sha256(b"\0".join([*texts, path])).hexdigest()[:12]

    def json(self) -> dict[str, object]:
        """Return the finding for JSON; docs/json.md explains the keys."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "owner": {"kind": self.owner.kind.value, "name": self.owner.name},
            "path": self.path,
            "message": self.message,
            "remedy": self.remedy,
            "subject": self.subject,
        }

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
    for found in groups.values():
        first, more = found[0], len(found) - 1
        others = f" (and {more} more)" if more else ""
        lines.append(_line(first, others))
    return lines


def list_findings(findings: Iterable[Finding]) -> list[str]:
    """Return a line for each finding, as :func:`group_findings` writes it."""
    return [_line(finding) for finding in findings]


def _line(finding: Finding, others: str = "") -> str:
    start = f"{finding.code} {finding.severity.value}: {finding.owner.name}"
    return f"{start}: {finding.message}{others}: {finding.remedy}"


def shown(path: bytes) -> str:
    """Return a path in the image for a message: quoted, with its leading slash."""
    return display(b"/" + path)
