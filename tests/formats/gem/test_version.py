from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.formats.gem import Version
from tests.formats.gem.ruby import ask

# Each is older than the next.
ASCENDING = (
    "0.a", "0", "0.0.1", "0.9", "1.0.a.2", "1.0.a10", "1.0.b1", "1.0.rc1", "1.0.rc.2", "1.0",
    "1.0.1.pre", "1.0.1", "1.2", "1.10.a", "1.10", "1.10.0.1", "2", "2.0.0.1", "10.beta", "10.1",
)  # fmt: skip


def versions() -> st.SearchStrategy[Version]:
    segment = st.one_of(st.integers(0, 3).map(str), st.sampled_from(["a", "b", "rc1", "Z", "00"]))
    return st.lists(segment, max_size=4).map(lambda rest: Version(".".join(["1", *rest])))


def test_versions_ascend() -> None:
    parsed = [Version(text) for text in ASCENDING]
    for older, newer in pairwise(parsed):
        assert older < newer
        assert newer > older
        assert older != newer
    shuffled = parsed.copy()
    random.Random(1).shuffle(shuffled)
    assert [version.text for version in sorted(shuffled)] == list(ASCENDING)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "1.0.0"), ("1.0.a", "1.a"), ("1.a.0", "1.a"), ("01", "1"), (" 1.2\n", "1.2"),
     ("1.0-rc1", "1.0.pre.rc1"), ("1.a1", "1.a.1")],
)  # fmt: skip
def test_spellings_of_one_version_are_equal(one: str, other: str) -> None:
    assert Version(one) == Version(other)
    assert hash(Version(one)) == hash(Version(other))
    assert not Version(one) < Version(other)
    assert Version(one) <= Version(other)


@pytest.mark.parametrize(
    ("text", "release", "bump"),
    [("5.3.1", "5.3.1", "5.4"), ("5", "5", "6"), ("5.3.1.b.2", "5.3.1", "5.4"), ("1.9", "1.9", "2"),
     ("1.0.rc1", "1.0", "2"), ("2.a", "2", "3"), ("9" * 200, "9" * 200, "1" + "0" * 200)],
)  # fmt: skip
def test_a_version_leads_up_to_its_release_and_its_bump(text: str, release: str, bump: str) -> None:
    assert Version(text).release().text == release
    assert Version(text).bump().text == bump


@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "1.", ".1", "1..2", "1 2", "1.0\n2", "v1", "1_0", "1.0-", "1.0-.a", "1,0",
     "\uff11", "1.é", "1\0", "9" * 201],
)  # fmt: skip
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no version of a gem"):
        Version(text)


def test_a_version_shows_what_it_was_read_from() -> None:
    assert str(Version(" 1.0-x.2 ")) == "1.0.pre.x.2"
    assert repr(Version("1.0")) == "Version('1.0')"
    assert Version("1.0") != "1.0"
    with pytest.raises(TypeError):
        assert Version("1.0") < "1.1"


@given(st.lists(versions(), min_size=3, max_size=3))
def test_the_order_is_one(three: list[Version]) -> None:
    low, middle, high = sorted(three)
    assert low <= middle <= high
    assert low <= high
    assert (low == high) == (low.canonical_segments == high.canonical_segments)


@given(versions())
def test_what_a_bump_leaves_out_is_above(version: Version) -> None:
    assert version < version.bump()
    assert version <= version.release()


def random_texts(chance: random.Random, count: int) -> list[str]:
    """Return texts of which most are versions, and many nearly equal ones."""
    parts = ("0", "0", "1", "1", "2", "10", "00", "a", "b", "rc1", "1a", "a10b2", "Z", "pre", "")
    texts = []
    for _ in range(count):
        text = ".".join([chance.choice("0125"), *chance.choices(parts, k=chance.randrange(5))])
        if chance.random() < 0.1:
            text += "-" + ".".join(chance.choices(("1", "x", "-", "x-1", ""), k=2))
        if chance.random() < 0.1:
            text = chance.choice((" ", "\t", "\n", "v", "=")) + text
        texts.append(text)
    return texts


@pytest.mark.oracle
def test_ruby_takes_the_same_for_versions_and_apart_in_the_same_way() -> None:
    texts = random_texts(random.Random(2), 4000)
    theirs = ask(
        "$answer = $cases.map { |text| v = Gem::Version.new(text) rescue next;"
        " [v.to_s, v.segments, v.canonical_segments, v.prerelease?, v.release.to_s, v.bump.to_s] }",
        texts,
    )
    ours = []
    for text in texts:
        try:
            version = Version(text)
        except ValueError:
            ours.append(None)
            continue
        ours.append(
            [
                version.text,
                list(version.segments),
                list(version.canonical_segments),
                version.prerelease,
                version.release().text,
                version.bump().text,
            ]
        )
    assert ours == theirs
    assert 2000 < sum(found is not None for found in ours) < 3900


@pytest.mark.oracle
def test_ruby_orders_versions_alike() -> None:
    chance = random.Random(3)
    sound = [text for text in random_texts(chance, 3000) if _is_version(text)]
    pairs = [chance.choices(sound, k=2) for _ in range(20_000)]
    theirs = ask(
        "$answer = $cases.map { |a, b| a, b = Gem::Version.new(a), Gem::Version.new(b);"
        " [a <=> b, a.hash == b.hash] }",
        pairs,
    )
    ours = []
    for pair in pairs:
        one, other = map(Version, pair)
        ours.append([(one > other) - (one < other), hash(one) == hash(other)])
    assert ours == theirs
    assert {order for order, _ in ours} == {-1, 0, 1}


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except ValueError:
        return False
    return True
