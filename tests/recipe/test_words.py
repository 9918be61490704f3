from __future__ import annotations

import datetime
from typing import Any

import pytest

from purekernel.recipe.words import (
    describe,
    either,
    nearest,
    show,
    show_name,
    without_credentials,
)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", "text"),
        (1, "1"),
        (1.5, "1.5"),
        (True, "true"),
        ([], "an array"),
        ([1, {}], "an array"),
        ([{}, {}], "an array of tables"),
        ({}, "a table"),
        (datetime.date(2023, 1, 1), "a date or time"),
        (datetime.time(), "a date or time"),
        (datetime.datetime(2023, 1, 1, tzinfo=datetime.UTC), "a date or time"),
    ],
)
def test_describe_names_the_type_of_a_value(value: Any, words: str) -> None:
    assert describe(value) == words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "empty"),
        ('a"b\n\xe9', '"a\\"b\\n\xe9"'),
        ("x" * 100, '"' + "x" * 59 + "…"),
        ("http://user:hemlig@host/x@y", '"http://…@host/x@y"'),
        ([1], "an array"),
        (False, "false"),
    ],
)
def test_show_shortens_and_hides_passwords(value: Any, shown: str) -> None:
    assert show(value) == shown


def test_show_name_shortens() -> None:
    assert show_name("a'b\n") == '"a\'b\\n"'
    assert show_name("x" * 61) == f"'{'x' * 60}'…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://host/x", "http://host/x"),
        ("https://u@host/x", "https://…@host/x"),
        ("ftp://u:p@q@host", "ftp://…@host"),
        ("http://host/a@b", "http://host/a@b"),
        ("//u:p@host http://u:p@host", "//…@host http://…@host"),
        ("u@host", "u@host"),
    ],
)
def test_without_credentials_hides_user_and_password(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("timeuot", "timeout"),
        ("TIMEOUT", "timeout"),
        ("keep_files", "keep-files"),
        ("zzz", None),
        ("t" * 100_000, None),
    ],
)
def test_nearest_suggests_similar_word_or_none(word: str, found: str | None) -> None:
    assert nearest(word, ["timeout", "keep-files", "append"]) == found


def test_either_joins_words_with_or() -> None:
    assert either(["a"]) == "a"
    assert either(["a", "b"]) == "a or b"
    assert either(["a", "b", "c"]) == "a, b or c"
