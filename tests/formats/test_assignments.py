from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import RecipeError
from purekernel.formats.assignments import Assignment, parse_assignment


def parse(line: str) -> Assignment | None:
    return parse_assignment(line, source="f, line 1")


def name_and_value(line: str) -> tuple[str, str]:
    assignment = parse(line)
    assert assignment is not None
    return assignment.name, assignment.value


@pytest.mark.parametrize("line", ["", "  ", "\t\r", "# A=b", "  #"])
def test_blank_line_or_comment_is_not_an_assignment(line: str) -> None:
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
def test_value_is_read_without_quotes_and_comments(line: str, value: str) -> None:
    assert name_and_value(line) == ("A", value)


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
def test_value_that_a_shell_expands_is_kept_and_marked(
    line: str, value: str, evaluated: bool
) -> None:
    assignment = parse(line)
    assert assignment == Assignment(name="A", value=value, evaluated=evaluated, has_hash=False)


def test_hash_in_an_unquoted_value_is_part_of_it() -> None:
    assignment = parse("A=b # c")
    assert assignment == Assignment(name="A", value="b # c", evaluated=False, has_hash=True)


QUOTES = (
    "f, line 1: the value of A must end with its closing quote",
    "put the whole value in single or double quotes that it does not contain",
)
NO_ASSIGNMENT = (
    "f, line 1: expected a name, '=' and a value",
    "write NAME=value, or start the line with '#'",
)
BLANKS = (
    "f, line 1: there must be no blanks around the '=' of A",
    "remove the blanks, or quote the value",
)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("secret", NO_ASSIGNMENT),
        ("=secret", NO_ASSIGNMENT),
        ("1A=secret", NO_ASSIGNMENT),
        ("A-B=secret", NO_ASSIGNMENT),
        ("set A=secret", NO_ASSIGNMENT),
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
def test_other_line_is_refused_without_showing_the_value(line: str, error: tuple[str, str]) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(line)
    assert (str(caught.value), caught.value.hint) == error


@given(st.text(max_size=60))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        assignment = parse(line)
    except RecipeError:
        return
    assert assignment is None or assignment.value in line
