"""Draw a plan: what would be fetched, from where, with which digests, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from purekernel.cli.drawing import Drawn, megabytes
from purekernel.fetch.urls import redact
from purekernel.plan.plan import BASE
from purekernel.repos.tinycore import resolve_kernel

if TYPE_CHECKING:
    from purekernel.fetch.wanted import Wanted
    from purekernel.plan import Plan


def draw_plan(plan: Plan, sizes: Mapping[Wanted, int | None], writes: Iterable[str]) -> Drawn:
    """Return ``plan`` as a tree.

    Args:
        plan: what was decided.
        sizes: how many bytes its files have, where that is known.
        writes: the files that would be written.
    """
    recipe = plan.recipe

    def file(wanted: Wanted, note: str = "") -> Drawn:
        return _file(wanted, sizes.get(wanted), note)

    wanted = set(plan.wanted())

    def extensions(names: Iterable[str], asked: Iterable[str]) -> Iterator[Drawn]:
        for name in names:
            extension = plan.graph.extensions[name]
            drawn = file(extension.package, "" if name in asked else "needed")
            sides = [side for side, one in extension.sides.items() if one in wanted]
            beside = Drawn(text=f"beside it: {' '.join(sides)}")
            yield evolve(drawn, below=(*drawn.below, *([beside] if sides else [])))

    def cuts() -> Iterator[Drawn]:
        for cut in plan.cuts:
            package = plan.cut_from[resolve_kernel(cut.extension.name, plan.kernel)].package
            drawn = file(package)
            names = tuple(Drawn(text=one.name) for one in cut.files)
            yield evolve(drawn, below=(*drawn.below, *names))

    parts = [
        *_part("base", [file(plan.files[role].wanted) for role in (BASE,) if role in plan.files]),
        *_part("project", [] if plan.project is None else [Drawn(text=plan.project.source)]),
        *_part("loaded at boot", extensions(plan.builtin_order(), plan.builtin)),
        *_part("unpacked into the root", extensions(plan.merged_order(), plan.merged)),
        *_part("in the image's mirror", extensions(plan.mirror_order(), plan.mirror)),
        *_part("cut out", cuts()),
        *_part("gems", [file(gem.wanted) for gem in plan.gems]),
        *_part(
            "also fetched",
            [
                file(planned.wanted, role)
                for role, planned in sorted(plan.files.items())
                if role != BASE
            ],
        ),
        *_part(
            "laid over", [Drawn(text=one.path) for one in recipe.overlays if one.path is not None]
        ),
        *_part("accounts", [Drawn(text=account.name) for account in recipe.accounts]),
        *_part("to know", [Drawn(text=note) for note in plan.notes]),
        *_part("writes", [Drawn(text=name) for name in writes]),
    ]
    total = _total([(one, sizes.get(one)) for one in plan.wanted()])
    flavour = f" ({plan.flavour.value})" if plan.flavour is not None else ""
    return Drawn(text=f"{recipe.source}{flavour}: {total}", below=tuple(parts))


def _part(title: str, below: Iterable[Drawn]) -> list[Drawn]:
    found = tuple(below)
    return [Drawn(text=title, below=found)] if found else []


def _total(files: list[tuple[Wanted, int | None]]) -> str:
    """Return how many files there are, and their size as far as it is known."""
    known = [size for _wanted, size in files if size is not None]
    beside = sum(size is None and wanted.optional for wanted, size in files)
    unknown = len(files) - len(known) - beside
    words = ["1 file" if len(files) == 1 else f"{len(files)} files"]
    if known:
        words.append(megabytes(sum(known)))
    if unknown:
        words.append(f"{unknown} of unknown size")
    if beside:
        words.append(f"{beside} small ones that may be missing")
    return ", ".join(words)


def _file(wanted: Wanted, size_bytes: int | None, note: str) -> Drawn:
    digest = ""
    if wanted.sha256 is not None:
        digest = f"sha256:{wanted.sha256}"
    elif wanted.md5 is not None:
        digest = f"md5:{wanted.md5}"
    place = redact(wanted.urls[0]) if wanted.urls else ""
    words = (wanted.name, megabytes(size_bytes), f"({note})" if note else "")
    below = tuple(Drawn(text=text) for text in (place, digest) if text)
    return Drawn(text="  ".join(word for word in words if word), below=below)
