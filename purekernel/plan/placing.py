"""Plan which extensions of a disc or partition load at boot, on demand, and into memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from attrs import evolve

from purekernel.errors import PurekernelError, RecipeError
from purekernel.formats.tinycore import TCZ
from purekernel.plan.plan import ExtensionPlan, PackagePlan
from purekernel.recipe.keys import Named
from purekernel.repos.tinycore import resolve_kernel
from purekernel.repos.tinycore.placement import CDE, OPTIONAL
from purekernel.similar import find_similar
from purekernel.tree.path import join

if TYPE_CHECKING:
    from purekernel.formats.core_iso import Base


def place_extensions(
    planned: ExtensionPlan,
    packages: PackagePlan,
    base: Callable[[], Base],
    errors: list[PurekernelError],
    *,
    ondemand: Iterable[Named],
    copied: Iterable[Named],
    copy_all: str | None,
) -> ExtensionPlan:
    """Return the plan with what is loaded on demand and copied into memory, and with notes.

    Args:
        planned: the plan so far.
        packages: names of the extensions that Debian packages become.
        base: returns the base, whose disc may have extensions. Called only if needed.
        errors: receives an error for each name that is neither on the disc nor the partition.
        ondemand: the names to load on demand.
        copied: the names to copy into memory.
        copy_all: where all are to be copied; ``None`` if they are not.
    """
    graph = planned.graph
    dependencies = {*graph.order(planned.cde), *graph.order(planned.tce)}

    def names(listed: Iterable[Named], known: Collection[str], where: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for item in listed:
            name = resolve_kernel(packages.names.get(item.name, item.name), planned.kernel)
            found[name] = None
            if name not in known and not _is_on_disc(base(), name):
                errors.append(_nowhere(name, known, where).within(item.place))
        return tuple(found)

    if copy_all is not None and not (planned.cde or planned.tce) and CDE not in base().iso:
        errors.append(
            RecipeError(
                "there are no extensions to copy: neither cde nor tce lists any, and the base has "
                "no disc with any",
                hint="list extensions under cde or tce, or delete it",
            ).within(copy_all)
        )
    chosen = evolve(
        planned,
        ondemand=names(ondemand, {*planned.cde, *planned.tce}, "listed under cde or tce"),
        copied=names(copied, dependencies, "among the extensions in cde and tce"),
    )
    return evolve(chosen, notes=(*planned.notes, *_notes(chosen)))


def _nowhere(name: str, known: Collection[str], where: str) -> RecipeError:
    """Return the error for an extension that is not ``where`` it must be."""
    # Without the ending, which makes short names similar.
    plain = {each.removesuffix(TCZ): each for each in sorted(known)}
    message = f"{name} is not {where}, or on the base's disc"
    near = find_similar(name.removesuffix(TCZ), plain)
    if near:
        nearest = plain[near[0]]
        return RecipeError(f"{message}; did you mean {nearest}?", hint=f"write {nearest}")
    return RecipeError(message, hint="list it under cde or tce too, or delete it here")


def _is_on_disc(base: Base, name: str) -> bool:
    return join(CDE, join(OPTIONAL, name.encode())) in base.iso


def _notes(planned: ExtensionPlan) -> Iterator[str]:
    """Yield a note for each listed extension that is not where, or not used as, it is listed."""
    merged, graph = planned.merged_order(), planned.graph
    builtin = {name for name in graph.order(planned.builtin) if name not in merged}
    media = {"cde": planned.cde, "tce": planned.tce}
    for where, listed in {"builtin": planned.builtin, **media}.items():
        for name in listed:
            if name in merged:
                yield f"{name} is left out of {where}: it is merged into the root file system"
            elif where in media and name in builtin:
                yield f"{name} is left out of {where}: it is builtin, and loaded before"
    for where, listed in media.items():
        at_boot = [name for name in listed if name not in planned.ondemand]
        loaded = graph.order(at_boot)
        for name in planned.ondemand:
            if name in loaded and name in listed:
                parent = next(each for each in at_boot if name in graph.order([each]))
                yield f"{name} in {where} is loaded at boot all the same: {parent} depends on it"
