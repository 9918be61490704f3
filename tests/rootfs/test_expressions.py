from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import UsageError
from purekernel.rootfs.expressions import (
    Expression,
    expand,
    parse_expression,
    parse_replacement,
)
from purekernel.rootfs.expressions.search import MAX_STEPS

# Expressions of which no repeated part can be empty: there, engines differ in what groups hold.
SINGLE = st.sampled_from(
    ["a", "b", "c", ".", "[ab]", "[^a]", r"\w", r"\s", r"\S", "ab", r"\.", "[a-b_]", r"[^\W]"]
)
REPEATS = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?", "{2,}"])
EDGES = st.sampled_from(["^", "$", r"\b", r"\B"])


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("({}|{}a)".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("(a{}){}".format, inner, REPEATS),
        st.builds("(?:{}|b){}".format, SINGLE, REPEATS),
        st.builds("{}{}".format, EDGES, inner),
        st.builds("{}{}".format, inner, EDGES),
    )


EXPRESSIONS = st.recursive(
    SINGLE | st.builds("{}{}".format, SINGLE, REPEATS), _larger, max_leaves=6
)
# The last line has no newline: after one, Python finds one more empty line.
TEXTS = st.text("abc_. \n", max_size=14).map(lambda text: text.rstrip("\n"))


def spans(expression: Expression, text: str) -> list[list[tuple[int, int]]]:
    """Return start and end of each match and of its groups; (-1, -1) for a group without part."""
    return [
        [(match.start, match.end), *((-1, -1) if span is None else span for span in match.groups)]
        for match in expression.find_all(text)
    ]


def python_spans(expression: str, text: str) -> list[list[tuple[int, int]]]:
    """Return what Python finds; the search goes on one character behind an empty match."""
    pattern, found, start = re.compile(expression, re.MULTILINE | re.ASCII), [], 0
    while start <= len(text) and (match := pattern.search(text, start)):
        found.append([match.span(index) for index in range(pattern.groups + 1)])
        start = match.end() + (match.end() == match.start())
    return found


def replace(expression: str, replacement: str, text: str) -> str:
    parsed = parse_expression(expression)
    parts = parse_replacement(replacement, parsed)
    done, at = "", 0
    for match in parsed.find_all(text):
        done, at = done + text[at : match.start] + expand(match, text, parts), match.end
    return done + text[at:]


def test_random_expressions_match_as_in_python() -> None:
    found = set()

    @given(EXPRESSIONS, TEXTS)
    def agree(expression: str, text: str) -> None:
        wanted = python_spans(expression, text)
        assert spans(parse_expression(expression), text) == wanted
        found.add(bool(wanted))

    agree()
    assert found == {True, False}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("(?i)Permit[a-m]+ (YES|no)", "permitEMPTY yes\nPERMITa No"),
        (r"[[:alpha:]_][[:alnum:]_-]*", "a-b 9x _y"),
        (r"[]a]+[^]a]", "]a]b a]"),
        (r"[a\-z]+|\[|[\w.]+", "a-z [x.y"),
        (r"\t|\n|[\t ]{2}", "a\tb\nc  d"),
        ("a{3,5}?", "a" * 9),
        ("a{,2}|b{", "a{,2}b{"),
        ("(?:)", "ab"),
        ("(a*)*b", "aaab"),
        ("(|a)*b", "aab"),
        ("é+[à-ï]", "ééé\udce9"),
    ],
)
def test_expression_matches_as_in_python(expression: str, text: str) -> None:
    known = expression
    for name, members in (("alpha", "a-zA-Z"), ("alnum", "a-zA-Z0-9")):
        known = known.replace(f"[:{name}:]", members)
    wanted = [each[0] for each in python_spans(known, text)]
    assert [each[0] for each in spans(parse_expression(expression), text)] == wanted


def test_ignored_case_covers_letters_outside_ascii() -> None:
    assert replace("(?i)ÄRGER [^x]", "-", "ärger X Ärger y") == "ärger X -"


def test_text_after_the_last_newline_is_a_line_only_if_not_empty() -> None:
    assert replace("^", "# ", "a\nb\n") == "# a\n# b\n"
    assert replace("$", ";", "a\nb\n") == "a;\nb;\n"
    assert replace("^.*$", "x", "a\n\nb") == "x\nx\nx"
    assert replace("^$", "x", "") == "x"


@pytest.mark.parametrize(
    ("replacement", "result"),
    [(r"\2=\1", "b=a"), (r"<\0>", "<a:b>"), (r"\\1", r"\1"), (r"\1\n\t\2", "a\n\tb"), ("", "")],
)
def test_replacement_has_groups(replacement: str, result: str) -> None:
    assert replace(r"(\w):(\w)", replacement, "a:b") == result


def test_group_without_part_in_the_match_is_empty() -> None:
    assert replace("a(b)?", r"[\1]", "ab a") == "[b] []"


@pytest.mark.parametrize(
    ("replacement", "words"),
    [
        (r"\2", "names group 2, and the expression has 1"),
        (r"\q", r"unknown escape '\q'"),
        ("\\", "unknown escape '\\'"),
    ],
)
def test_wrong_replacement_is_refused(replacement: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_replacement(replacement, parse_expression("(a)"))
    assert words in error.value.message


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("a)", "a ')' without its '(' at character 2"),
        ("(a", "a '(' without its ')' at character 1"),
        ("[a", "a '[' without its ']' at character 1"),
        ("a**", "nothing to repeat before '*' at character 3"),
        ("*a", "nothing to repeat before '*' at character 1"),
        ("^*", "nothing to repeat before '*' at character 2"),
        ("a*+", "a possessive repeat"),
        (r"(a)\1", "a reference back, which is not supported, at character 4"),
        (r"\q", r"the escape '\q', which is not supported, at character 1"),
        ("a\\", "a backslash with nothing behind it"),
        ("[a\\", "a backslash with nothing behind it"),
        ("(?=a)", "a group '(?', which is not supported except '(?:', at character 1"),
        ("(?P<n>a)", "a group '(?'"),
        ("[b-a]", "a range whose end is not behind its start"),
        (r"[a-\d]", "a range whose end is not behind its start"),
        ("[[:letters:]]", "the unknown class [:letters:]"),
        ("a{2000}", "a repeat that is not from 0 to 1000"),
        ("a{3,2}", "a repeat that is not from 0 to 1000"),
        ("(" * 60, "more than 50 groups in one another"),
        ("((a{1000}){1000}){1000}", "repeats too much"),
        ("(?:a?b?){1000}{3}", "nothing to repeat before '{3}'"),
        ("a" * 1001, "at most 1000 characters, got 1001"),
    ],
)
def test_wrong_expression_is_refused(expression: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_expression(expression)
    assert words in error.value.message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("(a+)+$", "a" * 3000 + "!"),
        ("(a|a)*b", "a" * 3000),
        ("a*a*a*a*b", "a" * 2000),
        ("(?:(?:(?:){1000}){1000}){1000}x", "a" * 100),
    ],
)
def test_hostile_expression_takes_steps_linear_in_the_text(expression: str, text: str) -> None:
    assert spans(parse_expression(expression), text) == []


def test_search_with_too_many_steps_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_STEPS > 1_000_000
    monkeypatch.setattr("purekernel.rootfs.expressions.search.MAX_STEPS", 20_000)
    with pytest.raises(UsageError, match="takes too many steps"):
        # Each of the matches looks for a z up to the end.
        spans(parse_expression("a([^z]*z)?"), "a" * 2000)
