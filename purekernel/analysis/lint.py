"""Check a whole image, and tell its own findings from those of its base."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve, field

from purekernel.analysis.attributes import check_attributes
from purekernel.analysis.check import check_image
from purekernel.analysis.contents import Contents, Part, read_contents
from purekernel.analysis.findings import (
    BASE,
    BUILD,
    IMAGE,
    FileOwner,
    Finding,
    OwnerKind,
    Severity,
    list_findings,
    sort_findings,
)
from purekernel.analysis.known_bases import find_known_bases
from purekernel.analysis.menus import check_menus
from purekernel.analysis.origins import Origin, OriginKind, OriginMap, parse_origins
from purekernel.analysis.secrets import check_keys
from purekernel.analysis.selection import parse_selection
from purekernel.analysis.system import OwnedFiles, Subject, View
from purekernel.errors import PurekernelError
from purekernel.formats.detect import FileKind
from purekernel.input import DEFAULT_LIMITS, Input, Limits, Report, ignore_note, limits_of
from purekernel.records import frozen
from purekernel.tree import File, Tree

# The origins of an image's files, as a build with ``embed = true`` writes them.
ORIGINS = b"boot/purekernel/origins.json"

_OWNER_KINDS = {
    OriginKind.BASE: OwnerKind.BASE,
    OriginKind.EXTENSION: OwnerKind.EXTENSION,
    OriginKind.PACKAGE: OwnerKind.PACKAGE,
    OriginKind.GEM: OwnerKind.GEM,
    OriginKind.OVERLAY: OwnerKind.OVERLAY,
    OriginKind.EDIT: OwnerKind.BUILD,
    OriginKind.GENERATED: OwnerKind.BUILD,
}


@frozen(kw_only=True)
class Lint:
    """The findings of an image.

    Attributes:
        findings: those of the image itself, the worst first.
        base: those that its base has too; their owner is the base.
        bases: the names of the known bases that it may be made from.
        faults: what could not be read, and why.
    """

    findings: tuple[Finding, ...] = ()
    base: tuple[Finding, ...] = ()
    bases: tuple[str, ...] = ()
    faults: tuple[PurekernelError, ...] = field(default=(), repr=False)

    def lines(self, *, with_base: bool = False) -> list[str]:
        """Return a line for each finding, and lines with the numbers."""
        lines = list_findings(self.findings)
        counts = [(each, self._count(each)) for each in Severity]
        lines.append(
            ", ".join(with_plural(count, each.value) for each, count in counts if count)
            or ("no findings in what could be read" if self.faults else "no findings")
        )
        if self.base:
            name = f" ({' or '.join(self.bases)})" if self.bases else ""
            more = "" if with_base else "; --base shows them"
            lines.append(f"{with_plural(len(self.base), 'finding')} in the base itself{name}{more}")
        return [*lines, *(list_findings(self.base) if with_base else ())]

    def json(self, *, with_base: bool = False) -> dict[str, object]:
        """Return the findings for JSON; docs/json.md explains the keys."""
        return {
            "findings": [
                finding.json() for finding in (*self.findings, *(self.base if with_base else ()))
            ],
            "base": {"names": list(self.bases), "findings": len(self.base)},
        }

    def _count(self, severity: Severity) -> int:
        return sum(finding.severity is severity for finding in self.findings)


def with_plural(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 error``, ``2 errors``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def lint_and_select(
    address: str,
    *,
    base: str | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    max_unpacked: int | None = None,
    note: Report = ignore_note,
) -> tuple[Lint, list[str]]:
    """Return the findings of an image that count, and the entries to ignore that apply to none.

    Args:
        address: the address of the image.
        base: the address of its base, as for :func:`lint_image`.
        select: codes to report, or starts of codes; all by default.
        ignore: codes to leave out, each perhaps with a colon and a path or pattern.
        max_unpacked: the limit of what is unpacked, in bytes; ``None`` for the default.
        note: called with what the readers drop or replace, a line each.

    Raises:
        UsageError: a code does not exist.
        InputError, MissingPathError: nothing is at an address.
    """
    selection = parse_selection(select, ignore)
    limits = limits_of(max_unpacked, report=note)
    found = lint_image(address, base=base, limits=limits)
    own, unused = selection.apply(found.findings)
    stock, unused_there = selection.apply(found.base)
    return (
        evolve(found, findings=own, base=stock),
        [text for text in unused if text in unused_there],
    )


def lint_image(address: str, *, base: str | None = None, limits: Limits = DEFAULT_LIMITS) -> Lint:
    """Return the findings of an image.

    Args:
        address: the address of the image.
        base: the address of what the image was made from; what it has too is no finding of the
            image. By default, the bases of Tiny Core that are known, and what the image says of
            the origins of its files.
        limits: the limits of all that is read of each.

    Raises:
        InputError, MissingPathError: nothing is at an address.
    """
    return lint_contents(read_contents(address, limits=limits), base=base, limits=limits)


def lint_contents(
    contents: Contents, *, base: str | None = None, limits: Limits = DEFAULT_LIMITS
) -> Lint:
    """Return the findings of an image that was read; see :func:`lint_image`."""
    found, faults = check_contents(contents, limits)
    known: set[str] = set()
    names: list[str] = []
    faults = [*contents.faults, *faults]
    if base is not None:
        other = read_contents(base, limits=limits)
        more, other_faults = check_contents(other, limits)
        known.update(finding.digest for finding in more)
        names.append(base)
        faults += [*other.faults, *other_faults]
    elif contents.root is not None:
        for each in find_known_bases(contents.root):
            known.update(each.findings)
            names.append(each.name)
    own = [each for each in found if each.owner != BASE and each.digest not in known]
    ours = set(own)
    return Lint(
        findings=sort_findings(own),
        base=sort_findings(evolve(each, owner=BASE) for each in found if each not in ours),
        bases=tuple(dict.fromkeys(names)),
        faults=tuple(faults),
    )


def check_contents(
    contents: Contents, limits: Limits = DEFAULT_LIMITS
) -> tuple[list[Finding], list[PurekernelError]]:
    """Return all findings of an image, those of its base too, and what could not be checked."""
    faults: list[PurekernelError] = []
    root_owner, disc_owner = _owners(contents, faults)
    findings: list[Finding] = []
    initrds = [part for part in contents.parts if part.kind is FileKind.CPIO]
    if contents.root is None or any(map(contents.fault_of, initrds)):
        # It is not known what else these files will see.
        for part in _lone_parts(contents):
            owned = _owned(part)
            findings += [*check_attributes(owned), *check_keys(owned)]
    else:
        subject = Subject(
            root=contents.root,
            disc=contents.disc,
            owner_of=root_owner,
            kernel=contents.kernel,
            words=_words(contents),
            limits=limits,
        )
        try:
            findings += check_image(subject)
        except PurekernelError as error:  # a part that is read when it is needed
            faults.append(error)
    findings += check_menus(contents, disc_owner)
    return findings, faults


def _owners(
    contents: Contents, faults: list[PurekernelError]
) -> tuple[Callable[[bytes], FileOwner], Callable[[bytes], FileOwner]]:
    """Return whose files of the root file system and of the disc are."""
    node = contents.disc.get(ORIGINS)
    if isinstance(node, File):
        try:
            origins = parse_origins(Input(node.content, name=ORIGINS.decode()))
        except PurekernelError as error:
            faults.append(error.within(contents.address))
        else:
            return _owner_by(origins.root), _owner_by(origins.disc)
    return _unknown_owner, _unknown_owner


def _unknown_owner(_path: bytes) -> FileOwner:
    return IMAGE


def _owner_by(origins: OriginMap) -> Callable[[bytes], FileOwner]:
    def owner_of(path: bytes) -> FileOwner:
        return to_owner(origins.find(path))

    return owner_of


def to_owner(origin: Origin | None) -> FileOwner:
    """Return the owner in findings for where a file comes from."""
    if origin is None:
        return IMAGE
    kind = _OWNER_KINDS[origin.kind]
    if kind is OwnerKind.BASE:
        return BASE
    return BUILD if origin.kind is OriginKind.GENERATED else FileOwner(kind, origin.name)


def _words(contents: Contents) -> Sequence[str]:
    """Return the words of the kernel line of all entries that boot Linux."""
    return [
        word.decode("utf-8", "replace")
        for menu in contents.menus
        for entry in menu.menu.found
        if entry.kernel is not None
        for word in entry.words
    ]


def _lone_parts(contents: Contents) -> list[Part]:
    return [part for part in contents.parts if part.tree.entries(b"") and part.iso is None]


def _owned(part: Part) -> OwnedFiles:
    tree: Tree = part.tree
    nodes = dict(tree.walk())
    is_extension = part.kind is FileKind.SQUASHFS
    name = part.place.rpartition("/")[2]
    return OwnedFiles(
        owner=FileOwner(OwnerKind.EXTENSION, name) if is_extension and name else IMAGE,
        files={path: node for path, node in nodes.items() if isinstance(node, File)},
        nodes=nodes,
        view=View([tree]),
        is_mounted=is_extension,
    )
