"""Test the search for the name that a user may have meant."""

from __future__ import annotations

import pytest

from purekernel.similar import MAX_CHARACTERS, MAX_NAMES, find_similar

KNOWN = ["timeout", "default", "append", "defaults"]


@pytest.mark.parametrize(
    ("wanted", "most", "similar"),
    [
        ("timout", 1, ["timeout"]),
        ("defalt", 2, ["default", "defaults"]),
        ("xyz", 1, []),
        ("", 1, []),
    ],
)
def test_misspelt_name_gives_the_nearest_names(wanted: str, most: int, similar: list[str]) -> None:
    assert find_similar(wanted, KNOWN, most=most) == similar


def test_by_default_only_the_nearest_name_is_returned() -> None:
    assert find_similar("defalts", KNOWN) == ["defaults"]


def test_lowest_closeness_always_gives_a_name() -> None:
    assert find_similar("xyz", ["abc"], closeness=0) == ["abc"]


def test_names_that_are_too_long_are_not_compared() -> None:
    longest = "a" * MAX_CHARACTERS
    assert find_similar(longest, [f"{longest}a", longest]) == [longest]
    assert find_similar(f"{longest}a", [longest]) == []


def test_names_after_the_limit_are_not_compared() -> None:
    others = ["other"] * (MAX_NAMES - 1)
    assert find_similar("timout", [*others, "timeout"]) == ["timeout"]
    assert find_similar("timout", [*others, "other", "timeout"]) == []
