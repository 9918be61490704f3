from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from purekernel.errors import PurekernelError
from purekernel.fetch.model import Download
from purekernel.plan.placing import place_extensions
from purekernel.plan.plan import ExtensionPlan, PackagePlan
from purekernel.recipe.keys import Named
from purekernel.repos.tinycore import Extension, ExtensionGraph
from purekernel.tree import File, Metadata, Tree

NEEDS = {
    "a.tcz": ["b.tcz"],
    "b.tcz": ["c.tcz"],
    "c.tcz": [],
    "d.tcz": ["c.tcz"],
    "m-3.0.3-tinycore.tcz": [],
}


def plan(**lists: tuple[str, ...]) -> ExtensionPlan:
    graph = ExtensionGraph(
        roots=tuple(NEEDS),
        extensions={
            name: Extension(name=name, file=Download(name=name, urls=())) for name in NEEDS
        },
        needs={name: tuple(needs) for name, needs in NEEDS.items()},
    )
    return ExtensionPlan(graph=graph, kernel="3.0.3-tinycore", **lists)


def base(*paths: bytes) -> Any:
    iso = Tree()
    for path in paths:
        iso.add_parents(path)
        iso.add(path, File(metadata=Metadata(mode=0o444), content=b""))
    return SimpleNamespace(iso=iso)


def placed(
    planned: ExtensionPlan,
    *,
    ondemand: Sequence[str] = (),
    copied: Sequence[str] = (),
    copy_all: str | None = None,
    disc: Sequence[bytes] = (),
    packages: Mapping[str, str] | None = None,
) -> tuple[ExtensionPlan, list[str]]:
    errors: list[PurekernelError] = []
    found = place_extensions(
        planned,
        PackagePlan(names=packages or {}),
        lambda: base(*disc),
        errors,
        ondemand=[Named(name=name, place=f"line of {name}") for name in ondemand],
        copied=[Named(name=name, place=f"line of {name}") for name in copied],
        copy_all=copy_all,
    )
    return found, [str(error) for error in errors]


def test_medium_leaves_out_what_is_loaded_before_or_merged() -> None:
    planned = plan(merged=("c.tcz",), builtin=("b.tcz",), cde=("a.tcz", "d.tcz"), tce=("b.tcz",))
    assert planned.medium_order(planned.cde) == ("a.tcz", "d.tcz")
    assert planned.medium_order(planned.tce) == ()
    assert plan(cde=("a.tcz",)).medium_order(("a.tcz",)) == ("c.tcz", "b.tcz", "a.tcz")


def test_extension_at_two_places_gives_a_note() -> None:
    planned = plan(merged=("a.tcz",), builtin=("c.tcz", "d.tcz"), cde=("c.tcz", "d.tcz"))
    found, errors = placed(planned)
    assert errors == []
    assert found.notes == (
        "c.tcz is left out of builtin: it is merged into the root file system",
        "c.tcz is left out of cde: it is merged into the root file system",
        "d.tcz is left out of cde: it is builtin, and loaded before",
    )


def test_extension_in_cde_and_tce_is_in_both_without_a_note() -> None:
    found, errors = placed(plan(cde=("c.tcz",), tce=("c.tcz",)))
    assert (found.notes, errors) == ((), [])
    assert found.medium_order(found.cde) == found.medium_order(found.tce) == ("c.tcz",)


def test_names_on_demand_and_to_copy_are_resolved() -> None:
    found, errors = placed(
        plan(cde=("a.tcz", "m-3.0.3-tinycore.tcz"), tce=("d.tcz",)),
        ondemand=["m-KERNEL.tcz", "d.deb"],
        copied=["c.tcz"],
        packages={"d.deb": "d.tcz"},
    )
    assert errors == []
    assert found.ondemand == ("m-3.0.3-tinycore.tcz", "d.tcz")
    assert found.copied == ("c.tcz",)


def test_name_that_is_nowhere_is_an_error_with_its_line() -> None:
    _found, errors = placed(plan(cde=("a.tcz",)), ondemand=["b.tcz"], copied=["d.tcz"])
    assert errors == [
        "line of b.tcz: b.tcz is not listed under cde or tce, or on the base's disc",
        "line of d.tcz: d.tcz is not among the extensions in cde and tce, or on the base's disc",
    ]


def test_misspelt_name_gets_the_nearest() -> None:
    planned = plan(cde=("m-3.0.3-tinycore.tcz", "a.tcz"))
    _found, (error,) = placed(planned, ondemand=["m-3.0.3-tinycor.tcz"])
    assert error.endswith("on the base's disc; did you mean m-3.0.3-tinycore.tcz?")


def test_names_on_the_disc_of_the_base_are_known() -> None:
    disc = [b"cde/optional/x.tcz"]
    found, errors = placed(plan(), ondemand=["x.tcz"], copied=["x.tcz"], disc=disc)
    assert (found.ondemand, found.copied, errors) == (("x.tcz",), ("x.tcz",), [])


def test_copying_all_of_nothing_is_an_error() -> None:
    (error,) = placed(plan(), copy_all="line 3")[1]
    assert error == (
        "line 3: there are no extensions to copy: neither cde nor tce lists any, and the base has "
        "no disc with any"
    )
    assert placed(plan(), copy_all="line 3", disc=[b"cde/onboot.lst"])[1] == []
    assert placed(plan(tce=("c.tcz",)), copy_all="line 3")[1] == []


def test_dependency_of_an_extension_at_boot_is_loaded_at_boot() -> None:
    found, errors = placed(plan(cde=("a.tcz", "c.tcz")), ondemand=["c.tcz"])
    assert errors == []
    assert found.notes == ("c.tcz in cde is loaded at boot all the same: a.tcz depends on it",)
