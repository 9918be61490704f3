"""Draw plans and dependencies as trees of text."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from attrs import evolve, field

from purekernel.cli.terminal import megabytes
from purekernel.fetch.urls import redact
from purekernel.plan.bases import is_base_role
from purekernel.recipe.changes import describe_changes
from purekernel.recipe.efi import EFI_ROLE
from purekernel.records import frozen
from purekernel.repos.tinycore import KERNEL, resolve_kernel

if TYPE_CHECKING:
    from purekernel.fetch.model import Download
    from purekernel.plan import Plan

# How deep a tree of dependencies is drawn. Real trees are up to ten deep. The guides of each line
# grow with its depth: the tree of a chain of thousands would have hundreds of megabytes.
MAX_DEPTH = 50

# A branch, the last branch, and the indents below a branch and below the last branch.
UNICODE = ("├── ", "└── ", "│   ", "    ")
ASCII = ("|-- ", "`-- ", "|   ", "    ")


@frozen(kw_only=True)
class Drawn:
    """A line of a tree, and the branches below it."""

    text: str
    below: tuple[Drawn, ...] = field(default=())


def draw(top: Drawn, guides: tuple[str, str, str, str] = UNICODE) -> Iterator[str]:
    """Yield the lines of a tree; the first has no guide."""
    branch, last_branch, beside, under = guides
    yield top.text
    pending = [(one, "", one is top.below[-1]) for one in reversed(top.below)]
    while pending:
        node, indent, last = pending.pop()
        yield indent + (last_branch if last else branch) + node.text
        deeper = indent + (under if last else beside)
        pending.extend((one, deeper, one is node.below[-1]) for one in reversed(node.below))


def guides() -> tuple[str, str, str, str]:
    """Return Unicode guides if stdout can encode them, else ASCII."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "".join(UNICODE).encode(encoding)
    except UnicodeEncodeError:
        return ASCII
    return UNICODE


# Dependencies of extensions, as a tree or for Graphviz.


def draw_graph(
    roots: Iterable[str],
    below: Mapping[str, Sequence[str]],
    sizes: Mapping[str, int],
    *,
    missing: Iterable[str] = (),
    depth: int = MAX_DEPTH,
) -> tuple[Drawn, ...]:
    """Return the trees of ``roots``.

    An extension below several is drawn in full the first time, and marked "shared" afterwards.
    Missing extensions and loops are marked as well, and so are extensions too deep for those below
    them to be drawn.

    Args:
        roots: the names at the top of a tree each.
        below: for each extension, what it depends on, or what depends on it.
        sizes: the known sizes, in bytes.
        missing: the names that no mirror has.
        depth: how many levels to draw below each root, at most :data:`MAX_DEPTH`.
    """
    missing = set(missing)
    depth = min(depth, MAX_DEPTH)
    shown: set[str] = set()
    # With a stack of its own: a long chain would exceed the recursion limit.
    trees: list[Drawn] = []
    for root in roots:
        above: set[str] = set()
        pending: list[_Open] = [_Open(root)]
        done: Drawn | None = None
        while pending:
            here = pending[-1]
            if done is not None:
                here.below.append(done)
                done = None
            if not here.entered:
                here.entered = True
                mark = _mark(here.name, above, missing, shown)
                here.text = _text(here.name, sizes.get(here.name), mark)
                names = below.get(here.name, ())
                if not mark and names and len(pending) > depth:
                    here.text = _text(here.name, sizes.get(here.name), "more below")
                elif not mark:
                    shown.add(here.name)
                    here.left = list(reversed(names))
            if here.left:
                above.add(here.name)
                pending.append(_Open(here.left.pop()))
                continue
            done = Drawn(text=here.text, below=tuple(here.below))
            pending.pop()
            if here.below:
                above.discard(here.name)
        if done is not None:
            trees.append(done)
    return tuple(trees)


class _Open:
    """A tree whose branches are still being drawn."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entered = False
        self.text = ""
        self.left: list[str] = []
        self.below: list[Drawn] = []


def _mark(name: str, above: set[str], missing: set[str], shown: set[str]) -> str:
    if name in missing:
        return "set --kernel-release to select one" if name.endswith(KERNEL) else "missing"
    if name in above:
        return "loop"
    return "shared" if name in shown else ""


def _text(name: str, size_bytes: int | None, mark: str) -> str:
    parts = (name, megabytes(size_bytes), f"({mark})" if mark else "")
    return "  ".join(part for part in parts if part)


def graph_as_dot(
    names: Iterable[str],
    needs: Mapping[str, Sequence[str]],
    sizes: Mapping[str, int],
    *,
    missing: Iterable[str],
    loops: Iterable[tuple[str, str]],
) -> Iterator[str]:
    """Yield the lines of the graph in Graphviz's language.

    Args:
        names: the extensions.
        needs: what each depends on directly.
        sizes: the known sizes, in bytes.
        missing: the names that no mirror has.
        loops: the edges that close cycles.

    Source: https://graphviz.org/doc/info/lang.html
    """
    loops = set(loops)
    yield "digraph extensions {"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    counts: dict[str, int] = {}
    for need in chain.from_iterable(needs.values()):
        counts[need] = counts.get(need, 0) + 1
    for name in sorted(names):
        size = megabytes(sizes.get(name))
        label = f"{name}\\n{size}" if size else name
        style = ", style=bold" if counts.get(name, 0) > 1 else ""
        yield f'  "{name}" [label="{label}"{style}];'
    for name in sorted(missing):
        yield f'  "{name}" [label="{name}\\nmissing", style=dashed, color=red];'
    for name, needed in sorted(needs.items()):
        for need in needed:
            style = " [color=red, constraint=false]" if (name, need) in loops else ""
            yield f'  "{name}" -> "{need}"{style};'
    yield "}"


# A plan: what would be fetched, its sources and digests, and what would be written.


def draw_plan(plan: Plan, sizes: Mapping[Download, int | None], writes: Iterable[str]) -> Drawn:
    """Return ``plan`` as a tree.

    Args:
        plan: the plan.
        sizes: the sizes of its files, in bytes; ``None`` where unknown.
        writes: the files that would be written.
    """
    recipe, planned = plan.recipe, plan.extensions

    def file(download: Download, note: str = "") -> Drawn:
        return _file(download, sizes.get(download), note)

    downloads = set(plan.downloads())

    def extensions(names: Iterable[str], asked: Iterable[str]) -> Iterator[Drawn]:
        for name in names:
            extension = planned.graph.extensions[name]
            drawn = file(extension.file, "" if name in asked else "dependency")
            suffixes = [suffix for suffix, one in extension.companions.items() if one in downloads]
            beside = Drawn(text=f"beside it: {' '.join(suffixes)}")
            yield evolve(drawn, below=(*drawn.below, *([beside] if suffixes else [])))

    def cuts() -> Iterator[Drawn]:
        for cut in planned.cuts:
            package = planned.cut_from[resolve_kernel(cut.extension.name, planned.kernel)].file
            drawn = file(package)
            names = tuple(Drawn(text=one.name) for one in cut.files)
            yield evolve(drawn, below=(*drawn.below, *names))

    def loaders() -> Iterator[Drawn]:
        for wanted in recipe.efi.sources(recipe.efi_files):
            name = planned.efi_from.get(wanted.part[0]) if wanted.part else None
            known = plan.files.get(wanted.role)
            if known is not None:
                drawn = file(known.download)
            elif name is not None:
                drawn = file(planned.cut_from[name].file)
            else:
                drawn = Drawn(text="base")
            inner = Drawn(text=redact(wanted.text))
            yield evolve(drawn, below=(*drawn.below, inner))

    source = plan.conventions.source
    base_roles = [role for role in plan.files if is_base_role(role)]
    parts = [
        *_part("base", [file(plan.files[role].download) for role in base_roles]),
        *_part("project", [] if source is None else [Drawn(text=source)]),
        *_part("loaded at boot", extensions(planned.builtin_order(), planned.builtin)),
        *_part(
            "unpacked into the root",
            extensions(planned.merged_order(), planned.merged),
        ),
        *_part("on the disc", extensions(planned.medium_order(planned.cde), planned.cde)),
        *_part("for a partition", extensions(planned.medium_order(planned.tce), planned.tce)),
        *_part(
            "in the image's mirror",
            extensions(planned.mirror_order(), planned.mirror),
        ),
        *_part("cut out", cuts()),
        *_part("boots by UEFI", loaders()),
        *_part("gems", [file(gem.download) for gem in plan.gems.releases]),
        *_part(
            "also fetched",
            [
                file(other.download, role)
                for role, other in sorted(plan.files.items())
                if role not in base_roles and not role.startswith(EFI_ROLE)
            ],
        ),
        *_part(
            "overlays", [Drawn(text=one.path) for one in recipe.overlays if one.path is not None]
        ),
        *_part("files of the ISO", [Drawn(text=one.path) for one in recipe.iso_files]),
        *_part("accounts", [Drawn(text=account.name) for account in recipe.accounts]),
        *_part("changes", [Drawn(text=words) for words in describe_changes(recipe)]),
        *_part("notes", [Drawn(text=note) for note in plan.notes]),
        *_part("writes", [Drawn(text=name) for name in writes]),
    ]
    total = _total([(one, sizes.get(one)) for one in plan.downloads()])
    flavour = f" ({plan.flavour.value})" if plan.flavour is not None else ""
    return Drawn(text=f"{recipe.source}{flavour}: {total}", below=tuple(parts))


def _part(title: str, below: Iterable[Drawn]) -> list[Drawn]:
    drawn = tuple(below)
    return [Drawn(text=title, below=drawn)] if drawn else []


def _total(files: list[tuple[Download, int | None]]) -> str:
    """Return the number of files and their total known size."""
    known = [size for _download, size in files if size is not None]
    beside = sum(size is None and download.optional for download, size in files)
    unknown = len(files) - len(known) - beside
    words = ["1 file" if len(files) == 1 else f"{len(files)} files"]
    if known:
        words.append(megabytes(sum(known)))
    if unknown:
        words.append(f"{unknown} of unknown size")
    if beside:
        words.append(f"{beside} small optional files")
    return ", ".join(words)


def _file(download: Download, size_bytes: int | None, note: str) -> Drawn:
    digest = ""
    if download.sha256 is not None:
        digest = f"sha256:{download.sha256}"
    elif download.md5 is not None:
        digest = f"md5:{download.md5}"
    place = redact(download.urls[0]) if download.urls else ""
    words = (download.name, megabytes(size_bytes), f"({note})" if note else "")
    below = tuple(Drawn(text=text) for text in (place, digest) if text)
    return Drawn(text="  ".join(word for word in words if word), below=below)
