"""Draw a plan: what would be fetched, from where, with which digests, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from purekernel.cli.drawing import Drawn, megabytes
from purekernel.sources.urls import redact

if TYPE_CHECKING:
    from purekernel.build.planning import Plan
    from purekernel.sources.wanted import Wanted


def draw_plan(plan: Plan, writes: Iterable[str]) -> Drawn:
    """Return ``plan`` as a tree.

    Args:
        plan: what was decided.
        writes: the files that would be written.
    """
    recipe = plan.recipe
    parts = [
        *_part(
            "base", [_file(plan.files[role].wanted) for role in ("base",) if role in plan.files]
        ),
        *_part("project", [] if plan.project is None else [Drawn(text=plan.project.source)]),
        *_part("loaded at boot", _extensions(plan, plan.builtin_order(), set(plan.builtin))),
        *_part("unpacked into the root", _extensions(plan, plan.merged_order(), set(plan.merged))),
        *_part("in the image's mirror", _extensions(plan, plan.mirror_order(), set(plan.mirror))),
        *_part("cut out", _cuts(plan)),
        *_part("gems", [_file(gem.wanted) for gem in plan.gems]),
        *_part(
            "also fetched",
            [
                _file(file.wanted, note=role)
                for role, file in sorted(plan.files.items())
                if role != "base"
            ],
        ),
        *_part(
            "laid over", [Drawn(text=one.path) for one in recipe.overlays if one.path is not None]
        ),
        *_part("accounts", [Drawn(text=account.name) for account in recipe.accounts]),
        *_part("to know", [Drawn(text=note) for note in plan.notes]),
        *_part("writes", [Drawn(text=name) for name in writes]),
    ]
    wanted = plan.wanted()
    known = [one.size_bytes for one in wanted if one.size_bytes is not None]
    total = f"{len(wanted)} files"
    if known:
        total += f", {megabytes(sum(known))}"
        if len(known) < len(wanted):
            total += f" and {len(wanted) - len(known)} of unknown size"
    flavour = f" ({plan.flavour.value})" if plan.flavour is not None else ""
    return Drawn(text=f"{recipe.source}{flavour}: {total}", below=tuple(parts))


def _part(title: str, below: Iterable[Drawn]) -> list[Drawn]:
    found = tuple(below)
    return [Drawn(text=title, below=found)] if found else []


def _extensions(plan: Plan, names: Iterable[str], asked: set[str]) -> list[Drawn]:
    return [
        _file(plan.graph.extensions[name].package, note="" if name in asked else "needed")
        for name in names
    ]


def _cuts(plan: Plan) -> list[Drawn]:
    return [
        Drawn(text=cut.extension.name, below=tuple(Drawn(text=one.name) for one in cut.files))
        for cut in plan.cuts
    ]


def _file(wanted: Wanted, *, note: str = "") -> Drawn:
    digest = ""
    if wanted.sha256 is not None:
        digest = f"sha256:{wanted.sha256}"
    elif wanted.md5 is not None:
        digest = f"md5:{wanted.md5}"
    place = redact(wanted.urls[0]) if wanted.urls else ""
    words = (wanted.name, megabytes(wanted.size_bytes), f"({note})" if note else "")
    below = tuple(Drawn(text=text) for text in (place, digest) if text)
    return Drawn(text="  ".join(word for word in words if word), below=below)
