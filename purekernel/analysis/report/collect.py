"""Collect what the page shows of an image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from attrs import field

from purekernel.analysis.contents import Contents, read_contents
from purekernel.analysis.diff.compare import compare, place_of
from purekernel.analysis.diff.model import Change, ChangeKind, Comparison, FactChange
from purekernel.analysis.findings import RULES, Finding, Severity
from purekernel.analysis.lint import Lint, lint_contents, with_plural
from purekernel.analysis.origins import Origin, OriginKind
from purekernel.analysis.report.extensions import Extension, find_extensions
from purekernel.analysis.report.origins import OriginFinder
from purekernel.analysis.report.page import write_page
from purekernel.analysis.report.space import Space, columns, measure
from purekernel.errors import PurekernelError
from purekernel.formats.bzimage import kernel_release
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.records import frozen
from purekernel.tree.path import escape
from purekernel.version import __version__

# A page is for people. Of longer lists, the first are shown, and how many more there are.
MOST_ROWS = 5_000


# What of the origins is a component that others made.
_COMPONENTS = (
    OriginKind.BASE, OriginKind.EXTENSION, OriginKind.PACKAGE, OriginKind.GEM,
    OriginKind.OVERLAY,
)  # fmt: skip


@frozen(kw_only=True, eq=False)
class Report:
    """A page about an image.

    Attributes:
        page: the page, HTML.
        entries: how many files, folders and others of the image it shows.
        hidden: how many more are shown only as parts of others.
        findings: how many findings it shows.
        faults: what of the image could not be read, and why.
    """

    page: bytes = field(repr=False)
    entries: int
    hidden: int
    findings: int
    faults: tuple[PurekernelError, ...]

    def json(self) -> dict[str, object]:
        """Return the keys of the JSON document that are about the image."""
        return {"entries": self.entries, "hidden": self.hidden, "findings": self.findings}


def make_report(
    address: str, *, against: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> Report:
    """Return a page about the image at an address; the same image gives the same bytes.

    Args:
        address: the address of the image.
        against: the address of an earlier image to compare with.
        limits: the limits of all that is read, together.

    Raises:
        InputError, MissingPathError: nothing is at an address.
    """
    contents = read_contents(address, limits=limits)
    title = _own_name(address)
    finder = OriginFinder(contents)
    space = measure(contents, title, finder.find)
    extensions, unread = find_extensions(contents)
    faults = [*contents.faults, *finder.faults, *unread]
    lint = lint_contents(contents, limits=limits)
    findings = lint.findings
    faults += [fault for fault in lint.faults if str(fault) not in map(str, faults)]
    comparison = None
    if against is not None:
        found = compare(against, address, limits=limits)
        faults += [fault for fault in found.faults if str(fault) not in map(str, faults)]
        comparison = _comparison(found)
    document = {
        "version": 1,
        "tool": f"purekernel {__version__}",
        "title": title,
        "facts": _facts(contents, space),
        "space": columns(space),
        "sources": [_source(origin) for origin in space.sources],
        "hasOrigins": finder.is_embedded,
        "extensions": [_extension(extension) for extension in extensions],
        "comparison": comparison,
        **_limited("findings", [_finding(finding) for finding in findings]),
        "findingsCounts": {
            severity.value: count
            for severity in Severity
            if (count := sum(finding.severity is severity for finding in findings))
        },
        "findingsNote": _note_of_base(lint),
        **_limited("components", list(_components(extensions, space.sources))),
        "componentsNote": "",
        **_limited("faults", [_text(str(fault)) for fault in faults]),
    }
    return Report(
        page=write_page(document, title),
        entries=len(space.names),
        hidden=space.hidden,
        findings=len(findings),
        faults=tuple(faults),
    )


def _limited(key: str, rows: list[object]) -> dict[str, object]:
    """Return the first rows of a table, and how many there are."""
    return {key: rows[:MOST_ROWS], f"{key}Count": len(rows)}


def _own_name(address: str) -> str:
    shown = address.replace("\\", "/").rstrip("/").rpartition("/")[2] or address
    return escape(os.fsencode(shown))


def _facts(contents: Contents, space: Space) -> list[list[str | int]]:
    """Return pairs of a name and a value; a number is a size in bytes."""
    top = contents.parts[0]
    facts: list[list[str | int]] = []
    kinds = [kind.description for kind in (top.kind, top.compression) if kind is not None]
    facts.append(["Kind", ", ".join(map(_without_article, kinds)) or "folder"])
    facts.append(["Size", space.packed[0]])
    facts.append(["Unpacked", space.raw[0]])
    files = sum(each in "fa" for each in space.kinds)
    facts.append(["Files", f"{files:,}"])
    if contents.kernel is not None:
        release = kernel_release(contents.kernel.data)
        facts.append(["Kernel", "unknown" if release is None else _text(release)])
    if contents.extensions:
        facts.append(["Extensions", f"{len(contents.extensions):,}"])
    if top.file is not None:
        facts.append(["SHA-256", hashlib.sha256(top.file.data).hexdigest()])
    return facts


def _without_article(words: str) -> str:
    return words.removeprefix("a ").removeprefix("an ")


def _source(origin: Origin | None) -> dict[str, str]:
    if origin is None:
        return {"kind": "unknown", "name": "", "version": ""}
    return {
        "kind": origin.kind.value, "name": _text(origin.name), "version": _text(origin.version),
    }  # fmt: skip


def _extension(extension: Extension) -> dict[str, object]:
    return {
        "name": extension.name,
        "place": extension.place,
        "loading": extension.loading.value,
        "bytes": extension.packed_bytes,
        "files": extension.files,
        "needs": list(extension.needs),
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "title": RULES[finding.code].title,
        "owner": _text(finding.owner.name),
        "path": escape(finding.path),
        "message": _text(finding.message),
        "remedy": _text(finding.remedy),
    }


def _note_of_base(lint: Lint) -> str:
    if not lint.base:
        return ""
    names = f" ({' or '.join(lint.bases)})" if lint.bases else ""
    found = with_plural(len(lint.base), "finding")
    return f"{found} in the base itself{_text(names)} are left out; lint --base shows them."


def _comparison(found: Comparison) -> dict[str, object]:
    changes = [_change(change) for change in found.changes]
    costs = [change.cost for change in found.changes if change.cost is not None]
    return {
        "old": _own_name(found.old.address),
        "oldBytes": found.old.size_bytes,
        "newBytes": found.new.size_bytes,
        "isEstimate": any(cost.is_estimate for cost in costs),
        "counts": {kind.value: found.count(kind) for kind in ChangeKind},
        "facts": [_fact(fact) for fact in found.facts][:MOST_ROWS],
        **_limited("changes", list(changes)),
    }


def _fact(fact: FactChange) -> list[str]:
    """Return what changed, and the old and the new value."""
    old, new = (
        _text(value if value is not None else ", ".join(items) or "none")
        for value, items in ((fact.old, fact.removed), (fact.new, fact.added))
    )
    return [_text(fact.subject), old, new]


def _change(change: Change) -> dict[str, object]:
    old_path = None if change.old_path is None else escape(change.old_path)
    what = ", ".join(aspect.value for aspect in change.aspects)
    return {
        "kind": change.kind.value,
        "path": place_of(change),
        "oldPath": old_path,
        "what": what or (f"{change.names:,} names" if change.names > 1 else ""),
        "more": None if change.cost is None else change.cost.more_bytes,
    }


def _components(
    extensions: Iterable[Extension], sources: Iterable[Origin | None]
) -> Iterable[dict[str, str]]:
    """Yield the extensions, then what else files come from that has a version or a name."""
    names = {extension.name for extension in extensions}
    for extension in extensions:
        yield {
            "name": extension.name, "kind": "extension", "version": extension.version,
            "licence": extension.licence,
        }  # fmt: skip
    for origin in sources:
        if origin is not None and origin.kind in _COMPONENTS and origin.name not in names:
            yield {**_source(origin), "licence": ""}


def _text(text: str) -> str:
    """Return text of an image, printable."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
