from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import RecipeError
from purekernel.formats.assignments import Assignment, parse_assignment


def parse(line: str) -> Assignment | None:
    return parse_assignment(line, source="f, line 1")


def said(line: str) -> tuple[str, str]:
    assignment = parse(line)
    assert assignment is not None
    return assignment.name, assignment.value


@pytest.mark.parametrize("line", ["", "  ", "\t\r", "# A=b", "  #"])
def test_blank_lines_and_comments_set_nothing(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  A=b \r", "b"),
        ("export A=b", "b"),
        ("export\tA=b", "b"),
        ("A=", ""),
        ('A=""', ""),
        ('A="b c"', "b c"),
        ("A='b c'", "b c"),
        ('A=" b "  # comment', " b "),
        ("A='it\"s'", 'it"s'),
        ("A=http://h/?a=1&b=2", "http://h/?a=1&b=2"),
        ("A=b'c", "b'c"),
    ],
)
def test_values_are_what_stands_there(line: str, value: str) -> None:
    assert said(line) == ("A", value)


@pytest.mark.parametrize(
    ("line", "value", "evaluated"),
    [
        ("A=$(reboot)", "$(reboot)", True),
        ("A=`reboot`", "`reboot`", True),
        ('A="$HOME/x"', "$HOME/x", True),
        ("A=${B:-c}", "${B:-c}", True),
        ("A=pa$$word", "pa$$word", True),
        ("A=a\\b", "a\\b", True),
        ("A='$(reboot)'", "$(reboot)", False),
        ("A=100$", "100$", False),
        ("A=plain", "plain", False),
    ],
)
def test_nothing_is_evaluated(line: str, value: str, evaluated: bool) -> None:
    assignment = parse(line)
    assert assignment == Assignment(name="A", value=value, evaluated=evaluated, has_hash=False)


def test_a_hash_behind_a_value_without_quotes_is_a_part_of_it() -> None:
    assignment = parse("A=b # c")
    assert assignment == Assignment(name="A", value="b # c", evaluated=False, has_hash=True)


QUOTES = (
    "f, line 1: the quotes around the value of A must end with it",
    "put the whole value in quotes of the kind that is not in it",
)
NO_LINE = (
    "f, line 1: expected a name, '=' and a value",
    "write NAME=value, or begin the line with '#'",
)
BLANKS = (
    "f, line 1: there must be no blanks around the '=' of A",
    "take them away, or put the value in quotes",
)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("secret", NO_LINE),
        ("=secret", NO_LINE),
        ("1A=secret", NO_LINE),
        ("A-B=secret", NO_LINE),
        ("set A=secret", NO_LINE),
        ("A =secret", BLANKS),
        ("A= secret", BLANKS),
        ("A\t=\tsecret", BLANKS),
        ('A="secret', QUOTES),
        ("A='secret", QUOTES),
        ('A="secret"secret', QUOTES),
        ('A="secret"#secret', QUOTES),
        ('A="a"secret"', QUOTES),
    ],
)
def test_other_lines_are_refused_without_showing_them(line: str, wrong: tuple[str, str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(line)
    assert (str(caught.value), caught.value.hint) == wrong


@given(st.text(max_size=60))
def test_no_line_does_harm(line: str) -> None:
    try:
        assignment = parse(line)
    except RecipeError:
        return
    assert assignment is None or assignment.value in line
