from __future__ import annotations

import random

import pytest

from purekernel.formats.gem import GemRequirement, GemVersion
from purekernel.formats.gem.version import ANY
from tests.formats.gem.ruby import ask
from tests.formats.gem.test_version import random_texts

CASES = [
    ("1.0", "1.0.0 1", "1.0.1 1.0.a"),
    ("= 1.0", "1", "1.1"),
    ("!= 1.0", "1.1 0.9", "1.0.0"),
    ("> 1.0", "1.0.1 2", "1.0 0.9"),
    ("< 1.0", "0.9", "1.0 1.0.1"),
    (">= 1.0", "1.0 1.1", "0.9"),
    ("<= 1.0", "1.0 0.9", "1.0.1"),
    ("~> 1.7", "1.7 1.99", "2.0 1.6.9 2.0.a"),
    ("~> 1.7.7", "1.7.7 1.7.10", "1.8 1.7.6"),
    ("~> 1", "1 1.9", "2 0.9"),
    (">= 1.0, != 1.0.3, < 2", "1.0 1.0.4", "1.0.3 2 0.9"),
    (">= 1.0&< 2", "1.5", "2.0"),
    (">=1.0,<2", "1.5", "2.0"),
    ("> 1, < 1", "", "0 1 2"),
    ("", "0 1", "1.a"),
]


@pytest.mark.parametrize(("text", "accepted", "refused"), CASES)
def test_requirement_accepts_and_refuses_versions(text: str, accepted: str, refused: str) -> None:
    requirement = GemRequirement.parse(text)
    for version in accepted.split():
        assert requirement.accepts(GemVersion(version)), version
    for version in refused.split():
        assert not requirement.accepts(GemVersion(version)), version


def test_prereleases_are_accepted_if_a_clause_has_one() -> None:
    release = GemVersion("2.0.rc1")
    assert not GemRequirement.parse(">= 1").accepts(release)
    assert GemRequirement.parse(">= 1").admits(release)
    assert GemRequirement.parse(">= 1, != 1.1.a").accepts(release)
    assert GemRequirement.parse("~> 2.0.a").accepts(release)
    assert not GemRequirement.parse(">= 2").admits(release)


def test_requirement_is_shown_in_its_notation() -> None:
    assert str(GemRequirement.parse(" >=1.0 ,~>  1.0.0,1.2")) == ">= 1.0, ~> 1.0.0, = 1.2"
    assert str(ANY) == ">= 0"
    assert GemRequirement.parse(" ") == ANY
    assert GemRequirement.parse(">= 1, >= 1, >= 1") == GemRequirement.parse(">= 1")
    assert GemRequirement.parse("~> 1.0") != GemRequirement.parse("~> 1.0.0")


@pytest.mark.parametrize("text", ["=> 1", "== 1", "> ", "> a", "1,", ",", "~ > 1", "1 2", "! 1"])
def test_malformed_requirement_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a requirement on a version"):
        GemRequirement.parse(text)


def test_too_many_clauses_are_refused() -> None:
    GemRequirement.parse(",".join(f"!= {number}" for number in range(100)))
    with pytest.raises(ValueError, match="a requirement has 1 to 100 clauses, not 101"):
        GemRequirement.parse(",".join(f"!= {number}" for number in range(101)))
    with pytest.raises(ValueError, match="a requirement has 1 to 100 clauses, not 0"):
        GemRequirement.of([])


@pytest.mark.oracle
def test_accepted_versions_equal_those_of_rubygems() -> None:
    chance = random.Random(4)
    texts = random_texts(chance, 2000)
    operators = ("=", "!=", ">", "<", ">=", "<=", "~>", "", "~", "==")
    cases = []
    for _ in range(10_000):
        clauses = [
            f"{chance.choice(operators)}{chance.choice((' ', ''))}{chance.choice(texts)}"
            for _ in range(chance.choice((1, 1, 2, 3)))
        ]
        # RubyGems cannot parse its own output for a double dash.
        cases.append([clauses, chance.choice([text for text in texts[:200] if "-" not in text])])
    theirs = ask(
        "$answer = $cases.map { |clauses, text|"
        " r = Gem::Requirement.new(clauses) rescue next;"
        " v = Gem::Version.new(text) rescue next;"
        # Versions that RubyGems cannot read back are refused.
        " next unless [v, *r.requirements.map(&:last)].all? {"
        " |one| Gem::Version.correct?(one.to_s) };"
        " [r.satisfied_by?(v), r.prerelease?, r.as_list.uniq.join(', '),"
        " Gem::Dependency.new('x', r).match?('x', v)] }",
        cases,
    )
    ours = []
    for clauses, text in cases:
        try:
            requirement = GemRequirement.of(map(str, clauses))
            version = GemVersion(str(text))
        except ValueError:
            ours.append(None)
            continue
        ours.append(
            [
                requirement.admits(version),
                requirement.prerelease,
                str(requirement),
                requirement.accepts(version),
            ]
        )
    assert ours == theirs
    assert sum(found is not None and found[0] is True for found in ours) > 500
