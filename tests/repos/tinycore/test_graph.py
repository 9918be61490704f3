from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import CombinedError, DependencyError, LimitError
from purekernel.fetch.model import Download
from purekernel.repos.tinycore import (
    Extension,
    ExtensionGraph,
    graph,
    refuse_missing,
    resolve_extensions,
    resolve_kernel,
)


class Known:
    """A repository of extensions given as a dictionary."""

    def __init__(self, needs: Mapping[str, Sequence[str]]) -> None:
        self._needs = needs

    def describe(self, names: Sequence[str]) -> list[Extension[Download] | None]:
        return [
            Extension(
                name=name,
                dependencies=tuple(self._needs[name]),
                file=Download(name=name, urls=()),
            )
            if name in self._needs
            else None
            for name in names
        ]


def resolve(
    needs: Mapping[str, Sequence[str]],
    *roots: str,
    kernel: str | None = None,
    skip: Sequence[str] = (),
    follow: bool = True,
) -> ExtensionGraph:
    return resolve_extensions(roots, Known(needs), kernel=kernel, skip=skip, follow=follow)


def test_dependencies_come_first_and_once() -> None:
    needs = {"a": ["c", "b"], "b": ["d"], "c": ["d"], "d": [], "e": []}
    found = resolve(needs, "e", "a", "b")
    assert found.roots == ("e", "a", "b")
    assert found.order(found.roots) == ("e", "d", "c", "b", "a")
    assert found.order(["b"]) == ("d", "b")
    assert found.missing == ()
    assert found.loops == ()


def test_dependencies_are_ignored_without_follow() -> None:
    found = resolve({"a": ["b"], "b": []}, "a", follow=False)
    assert found.order(["a"]) == ("a",)
    assert set(found.extensions) == {"a"}


def test_cycles_are_recorded_and_visited_once() -> None:
    needs = {"a": ["b"], "b": ["c", "d"], "c": ["a"], "d": ["d"]}
    found = resolve(needs, "a")
    assert found.order(["a"]) == ("c", "d", "b", "a")
    assert found.loops == (("c", "a"), ("d", "d"))


def test_missing_extension_is_reported_with_shortest_chain() -> None:
    needs = {"a": ["b", "x"], "b": ["c"], "c": ["x", "y"]}
    found = resolve(needs, "a", "z")
    assert [(missing.name, missing.chain) for missing in found.missing] == [
        ("z", ("z",)),
        ("x", ("a", "x")),
        ("y", ("a", "b", "c", "y")),
    ]
    with pytest.raises(CombinedError) as caught:
        refuse_missing(found, {"z": "list, line 2", "a": "list, line 1"})
    assert [str(error) for error in caught.value.errors] == [
        "list, line 2: no mirror has z",
        "list, line 1: no mirror has x, which is needed: a → x",
        "list, line 1: no mirror has y, which is needed: a → b → c → y",
    ]
    hints = [error.hint for error in caught.value.errors]
    assert hints[0] == "correct the name, or leave it out with --skip z"
    assert hints[1].startswith("leave it out with --skip x (in a recipe: skip under [extensions])")
    with pytest.raises(DependencyError, match=r"^no mirror has x$"):
        refuse_missing(resolve({}, "x"))
    refuse_missing(resolve({"a": []}, "a"))


def test_skipped_names_are_left_out() -> None:
    needs = {"a": ["b", "x"], "b": ["x"], "x": ["y"], "y": []}
    found = resolve(needs, "a", "x", skip=["x", "unheard-of"])
    assert set(found.extensions) == {"a", "b"}
    assert found.needs == {"a": ("b",), "b": ()}
    assert found.skipped == {"x"}


def test_kernel_is_replaced_by_the_release() -> None:
    assert resolve_kernel("wireless-KERNEL.tcz", "3.0.3-tinycore") == "wireless-3.0.3-tinycore.tcz"
    assert resolve_kernel("wireless-KERNEL.tcz", None) == "wireless-KERNEL.tcz"
    assert resolve_kernel("KERNEL.tcz", "1") == "KERNEL.tcz"
    needs = {"tools.tcz": ["drivers-KERNEL.tcz"], "drivers-1-tc.tcz": []}
    found = resolve(needs, "tools.tcz", kernel="1-tc")
    assert found.needs["tools.tcz"] == ("drivers-1-tc.tcz",)
    assert resolve(needs, "drivers-KERNEL.tcz", kernel="1-tc").roots == ("drivers-1-tc.tcz",)
    for skip in ("drivers-KERNEL.tcz", "drivers-2.tcz"):
        assert resolve(needs, "tools.tcz", kernel="2", skip=[skip]).missing == ()
    missing = resolve(needs, "tools.tcz", kernel="2").missing
    assert missing[0].chain == ("tools.tcz", "drivers-2.tcz")


def test_too_many_extensions_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MAX_EXTENSIONS", 3)
    needs = {f"n{number}": [f"n{number + 1}"] for number in range(9)}
    message = r"n2\.dep: expected at most 3 extensions, with all that they depend on, got more"
    with pytest.raises(LimitError, match=message):
        resolve(needs, "n0")


def test_chain_to_a_missing_extension_is_shortened() -> None:
    needs = {f"n{number}": [f"n{number + 1}"] for number in range(100)}
    (missing,) = resolve(needs, "n0").missing
    chain = [*(f"n{number}" for number in range(10)), "…", *(f"n{n}" for n in range(92, 101))]
    assert list(missing.chain) == chain


@pytest.mark.slow
def test_chain_of_5000_extensions_is_resolved() -> None:
    needs = {str(number): [str(number + 1)] for number in range(5000)}
    needs["5000"] = ["0"]
    found = resolve(needs, "0")
    assert len(found.order(["0"])) == 5001
    assert found.loops == (("5000", "0"),)


NAMES = [f"n{number}" for number in range(8)]
GRAPHS = st.fixed_dictionaries({name: st.lists(st.sampled_from(NAMES)) for name in NAMES})


@pytest.mark.slow
@given(GRAPHS, st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
def test_order_is_topological_without_cycle_edges(
    needs: dict[str, list[str]], roots: list[str]
) -> None:
    found = resolve(needs, *roots)
    order = found.order(roots)
    assert len(set(order)) == len(order)
    assert set(order) == set(found.extensions)
    place = {name: index for index, name in enumerate(order)}
    for name in order:
        for need in needs[name]:
            if (name, need) not in found.loops:
                assert place[need] < place[name]
    # Each recorded edge closes a cycle: a path leads from its end back to its start.
    for start, end in found.loops:
        assert start in found.order([end])
