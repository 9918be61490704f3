from __future__ import annotations

import random
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.formats.debian import DebianVersion
from tests.oracles import require

# The pieces of versions: few, so that many versions are nearly equal.
_PIECES = ["0", "00", "1", "9", "10", "a", "b", "Z", "~", "~~", "+", ".", "rc", "beta", "git"]
_upstream = st.lists(st.sampled_from([*_PIECES, "-"]), max_size=6).map("".join)
_revision = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=4).map("".join)
versions = st.builds(
    lambda epoch, digit, upstream, revision: f"{epoch}{digit}{upstream}{revision}",
    st.sampled_from(["", "", "0:", "1:", "12:"]),
    st.sampled_from(["0", "1", "10"]),
    _upstream,
    st.one_of(st.just(""), _revision.map(lambda text: f"-{text}")),
).filter(lambda text: not text.endswith("-"))


@pytest.mark.parametrize(
    ("text", "epoch", "upstream", "revision"),
    [
        ("1.0", 0, "1.0", ""),
        ("1.0-1", 0, "1.0", "1"),
        ("2:1.0-rc1-1~bpo8+1", 2, "1.0-rc1", "1~bpo8+1"),
        ("1:2:3-4", 1, "2:3", "4"),
        ("02.19.git.2021.06.19.996aaad9c7-2+b1", 0, "02.19.git.2021.06.19.996aaad9c7", "2+b1"),
    ],
)
def test_version_is_split_into_parts(text: str, epoch: int, upstream: str, revision: str) -> None:
    version = DebianVersion(text)
    assert (version.epoch, version.upstream, version.revision) == (epoch, upstream, revision)
    assert str(version) == text


def test_version_without_epoch() -> None:
    assert DebianVersion("1:2.0-3").without_epoch == "2.0-3"
    assert DebianVersion("2.0-3").without_epoch == "2.0-3"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 0",
        ":1",
        "a:1",
        "1:",
        "1.0-",
        "-1",
        "1_0",
        "1.0-a_b",
        "~1",
        "1é",
        "1\n",
        "1" * 201,
    ],
)
def test_malformed_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        DebianVersion(text)


def test_versions_are_sorted() -> None:
    ordered = ["1~~", "1~~a", "1~", "1", "1a", "1+", "1.0", "1.0.1", "1:0", "1:0-1"]
    shuffled = ordered.copy()
    random.Random(1).shuffle(shuffled)
    assert [str(one) for one in sorted(map(DebianVersion, shuffled))] == ordered


def test_equal_versions_have_equal_hashes() -> None:
    alike = {DebianVersion(text) for text in ("1.0", "0:1.0", "1.0-0", "1.00-00", "01.0")}
    assert len(alike) == 1
    assert DebianVersion("1.0") != "1.0"


@pytest.mark.slow
@given(versions, versions, versions)
def test_order_is_total(first: str, second: str, third: str) -> None:
    a, b, c = sorted(map(DebianVersion, (first, second, third)))
    assert a <= b <= c
    assert a <= c
    assert (a == b) == (not a < b)
    if a == b:
        assert hash(a) == hash(b)


@pytest.mark.oracle
def test_order_equals_that_of_dpkg() -> None:
    """Compare 800 pairs with dpkg, in one shell."""
    dpkg = require("dpkg")
    strategy = random.Random(20130507)
    texts = _many(strategy, 400)
    pairs = [(one, strategy.choice(texts)) for one in texts]
    pairs += [(one, _mutated(one, strategy)) for one in texts]
    script = "".join(
        f"for o in lt eq gt; do {dpkg} --compare-versions '{a}' $o '{b}' && echo $o; done\n"
        for a, b in pairs
    )
    done = subprocess.run(
        ["sh"], input=script.encode(), capture_output=True, check=False, env={"LC_ALL": "C"}
    )
    assert b"syntax" not in done.stderr
    words = done.stdout.decode().split()
    assert len(words) == len(pairs)
    for (a, b), word in zip(pairs, words, strict=True):
        first, second = DebianVersion(a), DebianVersion(b)
        ours = "eq" if first == second else "lt" if first < second else "gt"
        assert ours == word, (a, b)
    assert {"lt", "eq", "gt"} == set(words)


def _many(chance: random.Random, count: int) -> list[str]:
    made = []
    while len(made) < count:
        text = "".join(chance.choice([*_PIECES, "-"]) for _ in range(chance.randrange(6)))
        text = f"{chance.choice(['', '', '0:', '2:'])}{chance.choice('019')}{text}"
        try:
            DebianVersion(text)
        except ValueError:
            continue
        made.append(text)
    return made


def _mutated(text: str, chance: random.Random) -> str:
    """Return a version that is nearly the same."""
    while True:
        at = chance.randrange(len(text) + 1)
        other = text[:at] + chance.choice(["0", "~", "a", "1", ""]) + text[at:]
        try:
            DebianVersion(other)
        except ValueError:
            continue
        if other.split(":")[-1][0].isdigit():
            return other
