from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pytest
from attrs import field

from purekernel.errors import CombinedError, DependencyError, LimitError
from purekernel.fetch.model import Download
from purekernel.formats.debian import PackageRecord, parse_choice
from purekernel.formats.debian.control import parse_stanza
from purekernel.formats.debian.relation import show_relations
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.repos import steps
from purekernel.repos.debian import (
    ListedPackage,
    PackageCandidate,
    PackageResolution,
    PackageRules,
    resolve_packages,
)
from purekernel.repos.debian import resolve as module
from tests.debs import control


@frozen
class Known:
    """A repository of packages given by their fields."""

    records: list[PackageRecord] = field(factory=list)

    def add(self, name: str, version: str = "1", architecture: str = "i386", **fields: str) -> None:
        values = {key.replace("_", "-"): value for key, value in fields.items()}
        text = control(name, version, architecture, values)
        self.records.append(PackageRecord.of(parse_stanza(Input(text, name="Packages"))))

    def named(self, name: str) -> Sequence[PackageCandidate]:
        return [_candidate(record) for record in self.records if record.name == name]

    def providing(self, name: str) -> Sequence[PackageCandidate]:
        return [
            _candidate(record)
            for record in self.records
            if name in [provided for provided, _version in record.provides]
        ]


def _candidate(record: PackageRecord) -> PackageCandidate:
    return PackageCandidate(record=record, download=Download(name=record.file_name, urls=()))


def resolve(known: Known, *names: str, **rules: object) -> PackageResolution:
    listed = [
        ListedPackage(choice=parse_choice(name, source="list"), place=f"list, line {number}")
        for number, name in enumerate(names, start=1)
    ]
    made = {"architecture": "i386", **rules}
    return resolve_packages(listed, known, PackageRules(**made)).complete()  # type: ignore[arg-type]


def versions(resolution: PackageResolution) -> dict[str, str]:
    return {
        package.extension: (
            f"{package.candidate.record.version} {package.candidate.record.architecture}"
        )
        for package in resolution.packages.values()
    }


def needs(resolution: PackageResolution) -> dict[str, tuple[str, ...]]:
    return {name: package.needs for name, package in resolution.packages.items()}


def messages(known: Known, *names: str, **rules: object) -> list[str]:
    with pytest.raises((DependencyError, CombinedError)) as caught:
        resolve(known, *names, **rules)
    error = caught.value
    several: Iterable[Exception] = error.errors if isinstance(error, CombinedError) else [error]
    return [str(error) for error in several]


@pytest.mark.parametrize(
    "fields",
    [
        {"Provides": "virtual", "Depends": "virtual (= 1), virtual (= 2)"},
        {"Provides": ", ".join(f"v{i}" for i in range(90)), "Depends": "v0 (= 1)"},
        {"Depends": " | ".join(f"missing{i}" for i in range(90))},
    ],
    ids=["providers", "provided-names", "alternatives"],
)
def test_resolution_of_too_many_steps_is_refused(
    fields: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known()
    for number in range(60):
        depends = f"p{number + 1}, {fields['Depends']}"
        known.add(f"p{number}", **{**fields, "Depends": depends})
    known.add("p60")
    monkeypatch.setattr(steps, "MAX_STEPS", 3000)
    with pytest.raises(LimitError) as caught:
        resolve(known, "p0.deb", follow=True)
    assert re.fullmatch(
        r"the dependencies of the package p\d+: expected at most 3000 steps to select all "
        "packages, got more",
        str(caught.value),
    )
    assert "another packages index" in caught.value.hint


def test_newest_version_of_the_architecture_is_selected() -> None:
    known = Known()
    known.add("tool", "1.9")
    known.add("tool", "1.10")
    known.add("tool", "2", "amd64")
    known.add("data", "3", "all")
    found = resolve(known, "tool.deb", "data.deb")
    assert versions(found) == {"tool.tcz": "1.10 i386", "data.tcz": "3 all"}
    assert found.listed == ("tool.tcz", "data.tcz")


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("tool=1.9.deb", "1.9 i386"),
        ("tool_1.9.deb", "1.9 i386"),
        ("tool_1.9_i386.deb", "1.9 i386"),
        ("tool:amd64.deb", "2 amd64"),
        ("tool:amd64=2.deb", "2 amd64"),
        ("tool=3.deb", "1:3 i386"),
        ("tool=1:3.deb", "1:3 i386"),
    ],
)
def test_requested_version_or_architecture_is_selected(name: str, version: str) -> None:
    known = Known()
    for one in ("1.9", "1.10", "1:3"):
        known.add("tool", one)
    known.add("tool", "2", "amd64")
    assert versions(resolve(known, name)) == {"tool.tcz": version}


def test_unfollowed_dependencies_are_recorded() -> None:
    known = Known()
    known.add("tool", Depends="libc6 (>= 2.7), liba | libb, libc")
    known.add("libc")
    found = resolve(known, "tool.deb", "libc.deb", extensions={"libc6": ()})
    tool = found.packages["tool.tcz"]
    assert tool.needs == ("libc.tcz",)
    assert show_relations(tool.in_image) == "libc6 (>= 2.7)"
    assert show_relations(tool.left) == "liba | libb"


def test_followed_dependencies_are_included() -> None:
    known = Known()
    known.add("tool", Depends="liba (>= 1), missing | libb", Pre_Depends="dpkg")
    known.add("liba", "1", Depends="libb")
    known.add("liba", "2", Depends="libb, tool")
    known.add("libb", Depends="liba")
    found = resolve(known, "tool.deb", follow=True, extensions={"dpkg": ("dpkg-tools.tcz",)})
    assert needs(found) == {
        "tool.tcz": ("dpkg-tools.tcz", "liba.tcz", "libb.tcz"),
        "liba.tcz": ("libb.tcz", "tool.tcz"),
        "libb.tcz": ("liba.tcz",),
    }
    assert versions(found)["liba.tcz"] == "2 i386"


def test_substitute_or_listed_alternative_is_preferred_to_the_first() -> None:
    known = Known()
    known.add("tool", Depends="first | second, third | fourth, fifth | sixth")
    for name in ("first", "third", "fifth", "sixth"):
        known.add(name)
    found = resolve(
        known,
        "tool.deb",
        "sixth.deb",
        follow=True,
        extensions={"second": ("mapped.tcz", "too.tcz")},
        brought=frozenset({"fourth.tcz"}),
    )
    assert found.packages["tool.tcz"].needs == (
        "mapped.tcz", "too.tcz", "fourth.tcz", "sixth.tcz",
    )  # fmt: skip


def test_virtual_package_is_satisfied_by_a_provider() -> None:
    known = Known()
    known.add("tool", Depends="awk, editor (>= 2), mta")
    known.add("mawk", Provides="awk")
    known.add("gawk", Provides="awk")
    known.add("ed", Provides="editor")
    known.add("vi", Provides="editor (= 3)")
    known.add("mta", "0", "amd64")
    known.add("postfix", Provides="mta")
    found = resolve(known, "tool.deb", "mawk.deb", follow=True)
    # A selected provider is preferred to the first one in alphabetical order.
    assert found.packages["tool.tcz"].needs == ("mawk.tcz", "vi.tcz", "postfix.tcz")


def test_foreign_package_depends_on_its_own_architecture() -> None:
    known = Known()
    known.add("tool", "1", "amd64", Depends="liba, perl:any, libd:i386, liba [i386]")
    for architecture in ("i386", "amd64"):
        known.add("liba", "1", architecture)
        known.add("perl", "1", architecture)
        known.add("libd", "1", architecture)
    found = resolve(known, "tool:amd64.deb", follow=True)
    assert versions(found) == {
        "tool.tcz": "1 amd64", "liba.tcz": "1 amd64", "perl.tcz": "1 amd64",
        "libd.tcz": "1 i386",
    }  # fmt: skip


def test_all_errors_are_reported_with_their_chains() -> None:
    known = Known()
    known.add("tool", Depends="liba")
    known.add("liba", "2", Depends="libb (>= 3) | libx, nothing")
    known.add("libb", "1")
    known.add("postfix", Provides="mta")
    found = messages(
        known, "tool.deb", "absent.deb", "tool=9.deb", "mta.deb", "libb:arm64.deb", follow=True
    )
    assert found == [
        "list, line 2: no mirror has absent.deb: no packages index has absent",
        ("list, line 3: tool=9 conflicts with tool (list, line 1): both become tool.tcz"),
        (
            "list, line 4: no mirror has mta.deb: no package is called mta; it is provided by "
            "postfix"
        ),
        (
            "list, line 5: no mirror has libb:arm64.deb: no match for arm64; available: "
            "libb 1 (i386)"
        ),
        (
            "list, line 1: no mirror has libb (>= 3) | libx, which is needed: "
            "tool → liba → libb (>= 3) | libx: no match for i386; available: libb 1 (i386); "
            "no packages index has libx"
        ),
        (
            "list, line 1: no mirror has nothing, which is needed: tool → liba → nothing: "
            "no packages index has nothing"
        ),
    ]


def test_selected_version_that_does_not_match_is_an_error() -> None:
    known = Known()
    known.add("tool", Depends="liba (= 1)")
    known.add("liba", "1")
    known.add("liba", "2")
    assert messages(known, "liba.deb", "tool.deb", follow=True) == [
        "list, line 2: tool → liba (= 1): liba 2 (i386) is already selected"
    ]


def test_extension_and_package_of_the_same_name_are_an_error() -> None:
    known = Known()
    known.add("tool")
    assert messages(known, "tool.deb", brought=frozenset({"tool.tcz"})) == [
        "list, line 1: tool.deb becomes tool.tcz, which is listed as well"
    ]


def test_skipped_dependency_is_not_looked_up() -> None:
    known = Known()
    known.add("tool", Depends="liba")
    found = resolve(known, "tool.deb", follow=True, skip=frozenset({"liba.tcz"}))
    assert list(found.packages) == ["tool.tcz"]


@pytest.mark.slow
def test_chain_of_400_dependencies_is_resolved() -> None:
    known = Known()
    for number in range(400):
        known.add(f"p{number}", Depends=f"p{number + 1}, p0")
    known.add("p400")
    found = resolve(known, "p0.deb", follow=True, extensions={"libc6": ()})
    assert len(found.packages) == 401


@pytest.mark.parametrize("count", [5, 6])
def test_number_of_packages_is_limited(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PACKAGES", 5)
    known = Known()
    for number in range(count):
        known.add(f"p{number}", Depends=f"p{(number + 1) % count}")
    if count == 5:
        assert len(resolve(known, "p0", follow=True).packages) == 5
        return
    with pytest.raises(LimitError) as caught:
        resolve(known, "p0", follow=True)
    assert str(caught.value) == "the packages: expected at most 5 of them, got more"
    assert caught.value.hint == ("shorten the lists, or do not follow the dependencies of packages")
