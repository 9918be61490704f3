"""Check whether what a build adds to an image will run."""

from __future__ import annotations

from attrs import evolve

from purekernel.analysis.check import check_image
from purekernel.analysis.findings import (
    BASE,
    BUILD,
    FileOwner,
    Finding,
    OwnerKind,
    Severity,
    sort_findings,
)
from purekernel.analysis.menus import check_disc_menus
from purekernel.analysis.selection import parse_selection
from purekernel.analysis.system import Subject
from purekernel.errors import FindingError, inside, raise_all
from purekernel.input import Input, Limits
from purekernel.recipe.composition import Composition
from purekernel.recipe.findings import FindingChoice
from purekernel.tree import Tree, display


def find_findings(
    composition: Composition, root: Tree, disc: Tree, *, limits: Limits
) -> tuple[tuple[Finding, ...], list[str]]:
    """Return the findings of an image that is not packed yet, and notes about ignored ones.

    Args:
        composition: what the image is composed of.
        root: its root file system, complete but for the finishing passes.
        disc: the files of the ISO.
        limits: limits on what is read.

    Raises:
        CombinedError: the recipe is strict, and findings are errors.
        FindingError: the same, for one finding.
    """
    base = composition.base
    stock = base.initramfs.tree
    subject = Subject(
        root=root,
        disc=disc,
        tce=Tree() if composition.tce is None else composition.tce,
        stock_root=stock,
        stock_disc=base.iso,
        origins=_origins(composition, stock),
        kernel=Input(base.kernel.content, name=display(base.kernel_path)[1:-1], limits=limits),
        # With a boot loader, they are in its menu.
        words=() if base.boot else tuple((composition.recipe.boot.append or "").split()),
        limits=limits,
    )
    choice = composition.recipe.findings
    found = [
        *check_image(subject, composition.suggest),
        *check_disc_menus(disc, base.iso, base.boot, lambda _path: BUILD),
    ]
    findings, notes = _select(sort_findings(found), choice)
    if choice.strict:
        raise_all(
            FindingError(
                f"{finding.code}: {finding.owner.name}: {finding.message}", hint=finding.remedy
            )
            for finding in findings
            if finding.severity is Severity.ERROR
        )
    return findings, notes


def _origins(composition: Composition, stock: Tree) -> list[tuple[FileOwner, Tree]]:
    """Return the owners of files with their files, from the least important on."""
    extensions = [
        (FileOwner(OwnerKind.EXTENSION, name), tree) for name, tree in composition.extensions
    ]
    layers = composition.layers[composition.made_layers :]
    return [
        (BASE, stock),
        *((FileOwner(OwnerKind.OVERLAY, part.source), part.tree) for part in composition.parts),
        # Of several extensions, the first one's file is in the image.
        *reversed(extensions),
        *((FileOwner(OwnerKind.OVERLAY, layer.source), layer.tree) for layer in layers),
    ]


def _select(
    findings: tuple[Finding, ...], choice: FindingChoice
) -> tuple[tuple[Finding, ...], list[str]]:
    """Return the findings that count, and notes about entries that apply to none."""
    place = choice.place("ignore")
    with inside(choice.place("select")):
        selected = parse_selection(select=choice.select)
    with inside(place):
        selection = evolve(parse_selection(ignore=choice.ignore), select=selected.select)
    kept, unused = selection.apply(findings)
    return kept, [
        f"{place}: {text} applies to no finding" if place else f"{text} applies to no finding"
        for text in unused
    ]
