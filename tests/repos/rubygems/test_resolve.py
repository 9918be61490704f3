from __future__ import annotations

import itertools
import random
import re
from collections.abc import Collection, Mapping

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from purekernel.errors import CombinedError, DependencyError, LimitError, PurekernelError
from purekernel.fetch.model import Download
from purekernel.formats.detect import FileKind
from purekernel.formats.gem import (
    GemDependency,
    GemRequirement,
    GemVersion,
    ListedGem,
    parse_listed_gem,
)
from purekernel.formats.gem.compact import GemRelease
from purekernel.repos.rubygems import GemCandidate, GemEdge, GemResolution, resolve_gems


class Known:
    """A repository of releases in the form ``razor 0.9: facter >= 1, json ~> 1 < 2 @ruby``."""

    def __init__(self, text: str) -> None:
        self.asked: list[list[str]] = []
        self.gems: dict[str, tuple[GemCandidate, ...]] = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            head, _, needs = line.partition(":")
            head, _, ruby = head.partition("@")
            name, _, number = head.strip().partition(" ")
            version, _, platform = number.strip().partition("-")
            self.gems.setdefault(name, ())
            if version:
                self.gems[name] += (_candidate(name, version, platform or "ruby", needs, ruby),)

    def versions(self, names: Collection[str]) -> Mapping[str, tuple[GemCandidate, ...]]:
        self.asked.append(sorted(names))
        return {name: self.gems[name] for name in names if name in self.gems}


def _candidate(name: str, version: str, platform: str, needs: str, ruby: str) -> GemCandidate:
    found = [parse_listed_gem(need, place="") for need in needs.split(",") if need.strip()]
    return GemCandidate(
        name=name,
        release=GemRelease(
            version=GemVersion(version),
            platform=platform,
            dependencies=tuple(
                GemDependency(name=gem.name, requirement=gem.requirement) for gem in found
            ),
            required_ruby=GemRequirement.parse(ruby),
        ),
        download=Download(
            name=f"{name}-{version}.gem", urls=(f"http://x/{name}",), kind=FileKind.TAR
        ),
    )


def wishes(*lines: str) -> list[ListedGem]:
    return [
        parse_listed_gem(line, place=f"list, line {number}")
        for number, line in enumerate(lines, start=1)
    ]


def resolve(
    known: str, *lines: str, ruby: str | None = None, rubygems: str | None = None
) -> GemResolution:
    return resolve_gems(
        wishes(*lines),
        Known(known),
        ruby=GemVersion(ruby) if ruby else None,
        rubygems=GemVersion(rubygems) if rubygems else None,
    )


def names(resolution: GemResolution) -> list[str]:
    return [gem.file_name.removesuffix(".gem") for gem in resolution.gems]


def several(resolution: GemResolution) -> tuple[str, ...]:
    """Return the names of gems with more than one selected version."""
    names = [gem.name for gem in resolution.gems]
    return tuple(sorted({name for name in names if names.count(name) > 1}))


def wrong(
    known: str, *lines: str, ruby: str | None = None, rubygems: str | None = None
) -> list[str]:
    with pytest.raises(PurekernelError) as caught:
        resolve(known, *lines, ruby=ruby, rubygems=rubygems)
    error = caught.value
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    assert all(isinstance(error, DependencyError) for error in errors)
    assert {error.hint for error in errors} == {
        "correct the list, or name a gem server that has it"
    }
    return [str(error) for error in errors]


PLAIN = """
facter 1.5.0
facter 1.7.0
facter 1.6.0
facter 2.0.0.rc1
razor 0.8: facter < 1.6
razor 0.9: facter >= 1.5 < 1.7, json_pure >= 1.7
json_pure 1.7.7: ruby-ext
ruby-ext 1.0
ruby-ext 1.0-java
ruby-ext 1.1-java
"""


def test_newest_releases_are_selected_with_dependencies() -> None:
    resolution = resolve(PLAIN, "razor")
    assert names(resolution) == ["facter-1.6.0", "json_pure-1.7.7", "razor-0.9", "ruby-ext-1.0"]
    razor = resolution.gems[2]
    assert razor.download == Download(
        name="razor-0.9.gem", urls=("http://x/razor",), kind=FileKind.TAR
    )
    assert razor.dependencies == (
        GemEdge(
            name="facter",
            requirement=GemRequirement.parse(">= 1.5, < 1.7"),
            version=GemVersion("1.6.0"),
        ),
        GemEdge(
            name="json_pure",
            requirement=GemRequirement.parse(">= 1.7"),
            version=GemVersion("1.7.7"),
        ),
    )
    assert resolution.listed == ((wishes("razor")[0], GemVersion("0.9")),)
    assert several(resolution) == ()


def test_empty_list_selects_nothing() -> None:
    assert resolve(PLAIN) == GemResolution(gems=(), listed=())


def test_version_that_meets_all_requirements_is_preferred() -> None:
    # The list alone selects 1.7.0.
    resolution = resolve(PLAIN, "facter", "razor")
    assert "facter-1.6.0" in names(resolution)
    assert "facter-1.7.0" not in names(resolution)
    assert [str(version) for _, version in resolution.listed] == ["1.6.0", "0.9"]


def test_conflicting_requirements_select_several_versions() -> None:
    resolution = resolve(PLAIN, "facter >= 1.7", "razor", "facter = 1.5.0")
    assert names(resolution)[:3] == ["facter-1.5.0", "facter-1.6.0", "facter-1.7.0"]
    assert several(resolution) == ("facter",)
    razor = next(gem for gem in resolution.gems if gem.name == "razor")
    assert str(razor.dependencies[0].version) == "1.6.0"
    assert [str(version) for _, version in resolution.listed] == ["1.7.0", "0.9", "1.5.0"]


def test_name_listed_twice_selects_one_version() -> None:
    assert names(resolve(PLAIN, "facter >= 1.5", "facter < 1.7", "facter < 1.7")) == [
        "facter-1.6.0"
    ]


def test_prerelease_is_selected_only_if_named() -> None:
    assert names(resolve(PLAIN, "facter >= 2.0.0.a")) == ["facter-2.0.0.rc1"]
    assert names(resolve(PLAIN, "facter >= 2.0.0.a", "facter >= 1")) == ["facter-2.0.0.rc1"]
    assert names(resolve(PLAIN, "facter")) == ["facter-1.7.0"]


def test_gem_is_processed_after_its_dependents() -> None:
    # The list alone selects c 2, which has a dependency of its own.
    known = "a 1: b\nb 1: c < 2\nc 1\nc 2: rare\nrare 1\n"
    assert names(resolve(known, "c", "a")) == ["a-1", "b-1", "c-1"]


def test_dependencies_of_a_dropped_release_are_not_selected() -> None:
    # a 2 is processed first, and depends on the newest x and on a missing gem; b requires a 1.
    known = "a 1: x < 2\na 2: x >= 2, gone\nb 1: a < 2\nx 1\nx 2\n"
    resolution = resolve(known, "a", "b")
    assert names(resolution) == ["a-1", "b-1", "x-1"]
    assert several(resolution) == ()


def test_cycle_is_resolved() -> None:
    known = "a 1: b\nb 1: c, a\nc 1: a, c\n"
    assert names(resolve(known, "b")) == ["a-1", "b-1", "c-1"]


def test_late_requirement_in_a_cycle_is_met() -> None:
    known = "a 1: b\na 2: b\nb 1: a < 2\n"
    assert names(resolve(known, "a")) == ["a-1", "b-1"]
    known = "a 1: b\na 2: b\nb 1: a = 1\nroot 1: a >= 2\n"
    resolution = resolve(known, "root")
    assert names(resolution) == ["a-1", "a-2", "b-1", "root-1"]


def test_cycle_of_a_dropped_release_does_not_add_gems() -> None:
    known = "r 1: y\nr 2: x, y\ns 1: r < 2\nx 1: y\ny 1: x\n"
    assert names(resolve(known, "r", "s")) == ["r-1", "s-1", "x-1", "y-1"]


def test_longest_of_equal_versions_is_selected() -> None:
    assert names(resolve("a 1.0\na 1.0.0\na 1\n", "a = 1")) == ["a-1.0.0"]


def test_gems_are_looked_up_in_batches() -> None:
    known = Known(PLAIN)
    resolve_gems(wishes("razor", "facter"), known)
    assert known.asked == [["facter", "razor"], ["json_pure"], ["ruby-ext"]]


# Versions of Ruby and RubyGems

OLD_RUBY = """
json 1.8.6 @>= 1.8.6
json 2.7.0 @>= 2.3
json 1.7.0
new 1.0 @>= 2.0
both 1.0 @>= 1.8.7, < 5
app 1.0: json
app 2.0: json >= 2
"""


def test_release_for_other_ruby_is_skipped() -> None:
    assert names(resolve(OLD_RUBY, "json", ruby="1.8.7")) == ["json-1.8.6"]
    assert names(resolve(OLD_RUBY, "json", ruby="2.3.0")) == ["json-2.7.0"]
    assert names(resolve(OLD_RUBY, "json")) == ["json-2.7.0"]


def test_error_names_the_newest_release_that_runs() -> None:
    assert wrong(OLD_RUBY, "app", "json ~> 2.0", "new", ruby="1.8.7") == [
        (
            "list, line 1: app-2.0 → json >= 2: no matching release runs on Ruby 1.8.7: 2.7.0 "
            "needs Ruby >= 2.3; the newest that runs on it is 1.8.6"
        ),
        (
            "list, line 2: json ~> 2.0: no matching release runs on Ruby 1.8.7: 2.7.0 "
            "needs Ruby >= 2.3; the newest that runs on it is 1.8.6"
        ),
        (
            "list, line 3: new: no matching release runs on Ruby 1.8.7: 1.0 needs Ruby >= 2.0; "
            "no other release runs on it either"
        ),
    ]


def test_release_that_old_rubygems_cannot_read_is_skipped() -> None:
    assert names(resolve(OLD_RUBY, "both", ruby="1.8.7")) == ["both-1.0"]
    assert names(resolve(OLD_RUBY, "both", ruby="1.8.7", rubygems="1.8.25")) == ["both-1.0"]
    assert wrong(OLD_RUBY, "both", ruby="1.8.7", rubygems="1.8.24") == [
        (
            "list, line 1: both: no matching release runs on Ruby 1.8.7 and RubyGems 1.8.24: 1.0 "
            "needs Ruby >= 1.8.7, < 5, which RubyGems 1.8.24 cannot read; no other release runs "
            "on it either"
        )
    ]


def test_required_rubygems_version_is_respected() -> None:
    known = Known("a 1\na 2\n")
    older, newer = known.gems["a"]
    release = GemRelease(version=GemVersion("2"), required_rubygems=GemRequirement.parse(">= 2"))
    known.gems["a"] = older, GemCandidate(name="a", release=release, download=newer.download)
    taken = resolve_gems(wishes("a"), known, rubygems=GemVersion("1.8.24"))
    assert names(taken) == ["a-1"]
    with pytest.raises(DependencyError, match=r"RubyGems 1\.8\.24: 2 needs RubyGems >= 2; the"):
        resolve_gems(wishes("a >= 2"), known, rubygems=GemVersion("1.8.24"))


# Errors


def test_every_error_is_reported_with_its_chain() -> None:
    known = """
    app 1.0: razor, gone >= 1, facter
    razor 0.9: facter >= 4, java-only
    facter 2.5.7
    facter 3.0.0.rc1
    java-only 1.0-java
    java-only 1.1-x86-mingw32
    withdrawn
    pre 1.0.a
    pre 1.0.rc1
    """
    lines = ("nowhere", "app", "facter > 2.5.7", "withdrawn", "pre", "facter > 3, < 2")
    assert wrong(known, *lines) == [
        "list, line 1: no mirror has the gem nowhere",
        "list, line 2: no mirror has the gem gone, which is needed: app-1.0 → gone >= 1",
        (
            "list, line 2: app-1.0 → razor-0.9 → facter >= 4: no release matches; the newest is "
            "2.5.7"
        ),
        (
            "list, line 2: app-1.0 → razor-0.9 → java-only: it has no release for platform ruby, "
            "only for java, x86-mingw32"
        ),
        (
            "list, line 3: facter > 2.5.7: only prereleases match, such as 3.0.0.rc1, and the "
            "requirement names none"
        ),
        "list, line 4: withdrawn: all its releases were withdrawn",
        (
            "list, line 5: pre: only prereleases match, such as 1.0.rc1, and the requirement names "
            "none"
        ),
        "list, line 6: facter > 3, < 2: no release matches; the newest is 2.5.7",
    ]


def test_errors_in_cycles_are_reported() -> None:
    assert wrong("a 1: b\nb 1: a > 1, nope\n", "a") == [
        "list, line 1: a-1 → b-1 → a > 1: no release matches; the newest is 1",
        "list, line 1: no mirror has the gem nope, which is needed: a-1 → b-1 → nope",
    ]
    assert wrong("a 1: a > 1\n", "a") == [
        "list, line 1: a-1 → a > 1: no release matches; the newest is 1"
    ]


@pytest.mark.slow
def test_endless_dependencies_are_an_error() -> None:
    class Endless(Known):
        def versions(self, names: Collection[str]) -> Mapping[str, tuple[GemCandidate, ...]]:
            return {
                name: (_candidate(name, "1", "ruby", f"{name}x, {name}y", ""),) for name in names
            }

    with pytest.raises(LimitError) as caught:
        resolve_gems(wishes("a"), Endless(""))
    assert str(caught.value) == (
        "the gem servers' index: expected an end of the dependencies after 2000 gems, got none"
    )
    assert caught.value.hint == "the index is damaged or hostile: name another gem server"

    class Longer(Known):
        def versions(self, names: Collection[str]) -> Mapping[str, tuple[GemCandidate, ...]]:
            following = {name: f"g{int(name[1:]) + 1}" for name in names}
            return {
                name: (_candidate(name, "1", "ruby", need, ""),) for name, need in following.items()
            }

    with pytest.raises(LimitError, match="end of the dependencies after 500 passes, got none"):
        resolve_gems(wishes("g0"), Longer(""))


@pytest.mark.parametrize(
    ("known", "lines", "gem"),
    [
        (
            "".join(f"g{i} 1: {', '.join(f'g{j}' for j in range(40))}\n" for i in range(40)),
            ["g0"],
            r"g\d+",
        ),
        (
            "".join(f"pinned 1.{i}\n" for i in range(90)),
            [f"pinned = 1.{i}" for i in range(90)],
            "pinned",
        ),
        ("long 1" + ".0" * 90, ["long <= 1" + ".0" * 90 + ".1"] * 900, "long"),
        ("other 1 @ " + ", ".join(f"> 0.{i}" for i in range(99)), ["other"] * 5000, "other"),
    ],
    ids=["all-depend-on-all", "exact-pins", "long-version", "listed-often"],
)
def test_resolution_of_too_many_steps_is_refused(
    known: str, lines: list[str], gem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    admits = GemRequirement.admits

    def counted(requirement: GemRequirement, version: GemVersion) -> bool:
        nonlocal compared
        compared += 1
        return admits(requirement, version)

    monkeypatch.setattr("purekernel.repos.steps.MAX_STEPS", 5000)
    monkeypatch.setattr(GemRequirement, "admits", counted)
    with pytest.raises(LimitError) as caught:
        resolve(known, *lines)
    assert compared <= 5000
    assert re.fullmatch(
        rf"the dependencies on the gem {gem}: expected at most 5000 steps to select the releases "
        "of all gems, got more",
        str(caught.value),
    )
    assert "gem.list" in caught.value.hint


@pytest.mark.slow
def test_hundreds_of_gems_take_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    known = "".join(
        f"g{i} {version}: {', '.join(f'g{j} >= 1' for j in range(i + 1, min(i + 5, 300)))}\n"
        for i in range(300)
        for version in ("1.0", "1.1", "2.0")
    )
    monkeypatch.setattr("purekernel.repos.steps.MAX_STEPS", 500_000)
    assert len(resolve(known, "g0").gems) == 300


def test_result_does_not_depend_on_order() -> None:
    lines = ["facter >= 1.7", "razor", "facter = 1.5.0", "json_pure"]
    expected = resolve(PLAIN, *lines).gems
    known = PLAIN.strip().splitlines()
    chance = random.Random(9)
    for ordered in itertools.permutations(lines):
        chance.shuffle(known)
        assert resolve("\n".join(known), *ordered).gems == expected


@st.composite
def repositories(draw: st.DrawFn) -> str:
    lines = []
    requirement = st.sampled_from(["", "", "= 1", "= 2", ">= 2", "< 2", "< 3", "~> 1.0", "!= 2"])
    for name in "abcde":
        for version in ("1", "2", "3")[: draw(st.integers(1, 3))]:
            needs = draw(st.lists(st.tuples(st.sampled_from("abcde"), requirement), max_size=3))
            lines.append(f"{name} {version}: " + ", ".join(" ".join(need) for need in needs))
    return "\n".join(draw(st.permutations(lines)))


@pytest.mark.slow
@settings(max_examples=150)
@given(repositories(), st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True))
def test_all_dependencies_are_met_and_no_gem_is_superfluous(known: str, listed: list[str]) -> None:
    try:
        resolution = resolve(known, *listed)
    except PurekernelError:
        event("a requirement is not met")
        assert wrong(known, *listed)
        return
    event("all requirements are met")
    gems = {(gem.name, str(gem.version)): gem for gem in resolution.gems}
    reached = {(wish.name, str(version)) for wish, version in resolution.listed}
    for gem in resolution.gems:
        for edge in gem.dependencies:
            assert edge.requirement.accepts(edge.version)
            assert (edge.name, str(edge.version)) in gems
            reached.add((edge.name, str(edge.version)))
    assert reached == gems.keys()
    # If several versions of a gem are selected, its requirements differ.
    for name in several(resolution):
        asked = [wish.requirement for wish, _ in resolution.listed if wish.name == name]
        asked += [
            edge.requirement
            for gem in resolution.gems
            for edge in gem.dependencies
            if edge.name == name
        ]
        assert len({str(requirement) for requirement in asked}) > 1
    assert (
        resolve("\n".join(reversed(known.splitlines())), *reversed(listed)).gems == resolution.gems
    )
