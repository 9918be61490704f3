"""Compare the validation of recipes with jsonschema, an independent validator."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from purekernel.recipe.check import Problem, find_problems
from purekernel.recipe.kinds import (
    Array,
    Choice,
    Flag,
    Kind,
    Number,
    Text,
    TextOrFalse,
    Whole,
)
from purekernel.recipe.schema import tables
from tests.recipe.schemas import SCHEMA, VALIDATOR, accepted

NAMES = sorted({key for table in tables() for key in (table.name, *table.keys)})

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "x", "4.x", "bash.tcz", "a\n", "../up", "iso", "prod", "x" * 3000]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "unknown", "a b"]), inner, max_size=4)
    ),
    max_leaves=12,
)


# Creating the strategy takes as long as a hundred draws from it, so it is created once.
RECIPES = accepted(SCHEMA)


def found(value: dict[str, Any]) -> list[Problem]:
    return list(find_problems(value))


@pytest.mark.slow
def test_any_value_agrees_with_jsonschema() -> None:
    seen = set()

    @given(st.dictionaries(st.sampled_from([*NAMES, "unknown"]), VALUES, max_size=4))
    def agree(value: dict[str, Any]) -> None:
        verdict = VALIDATOR.is_valid(value)
        assert (not found(value)) == verdict
        seen.add(verdict)

    agree()
    assert seen == {True, False}


@pytest.mark.nightly
def test_changed_recipe_agrees_with_jsonschema() -> None:
    seen = set()

    @given(RECIPES, st.data())
    def agree(value: dict[str, Any], data: st.DataObject) -> None:
        assert found(value) == []
        changed = copy.deepcopy(value)
        places = list(_places(changed))
        if not places:
            return
        holder, key = data.draw(st.sampled_from(places))
        # A value of the same key in another accepted recipe is often valid here, but may not fit
        # this recipe's other values. A random value is almost never valid.
        others = [
            theirs[other]
            for theirs, other in _places(data.draw(RECIPES))
            if other == key or isinstance(key, int)
        ]
        holder[key] = data.draw(VALUES | st.sampled_from(others) if others else VALUES)
        verdict = VALIDATOR.is_valid(changed)
        assert (not found(changed)) == verdict
        seen.add(verdict)
        event(f"accepted: {verdict}")

    agree()
    # The first assertion in ``agree`` shows that both validators accept some values.
    assert False in seen


def is_valid(kind: Kind, value: Any) -> bool:
    if not kind.has_type(value) or not kind.accepts(value):
        return False
    return not isinstance(kind, Array) or all(is_valid(kind.item, item) for item in value)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Whole(minimum=0, maximum=9), [1, 1.0, 0, 9], [True, 1.5, "1", -1, 10]),
        (Number(minimum=1, maximum=2), [1, 1.5, 2], [True, "1", 0, 2.5]),
        (Flag(), [True, False], [0, 1, "true", None]),
        (TextOrFalse(text=Text(pattern="^a$")), [False, "a"], [0, None, True, "b"]),
        (Choice(choices=("1", "a")), ["1", "a"], [1, 1.0, True, "b", [], {}]),
        (
            Text(pattern="^.*$", min_length=2, max_length=3),
            ["ab", "abc"],
            ["a", "abcd", 7, []],
        ),
        (Text(pattern="^a$"), ["a"], ["b", "ab", 7]),
        (Array(item=Text(pattern="^a$"), min_items=1), [["a"], ["a", "a"]], [[], [1], {}, "a"]),
        (Array(item=Flag()), [[], [True]], [[1], None]),
    ],
)
def test_each_kind_agrees_with_jsonschema(kind: Kind, good: list[Any], bad: list[Any]) -> None:
    validator = Draft202012Validator(kind.rules())
    for value in good:
        assert validator.is_valid(value)
        assert is_valid(kind, value)
    for value in bad:
        assert not validator.is_valid(value)
        assert not is_valid(kind, value)


@pytest.mark.parametrize(
    ("table", "good", "bad"),
    [
        ("razor", [{"project": "a"}], [{}, [], {"project": "a", "unknown": 1}]),
        ("overlay", [[], [{"path": "a"}], [{"url": "http://a"}]], [
            [{}], [{"path": "a", "url": "http://a"}], {"path": "a"}, ["a"],
        ]),
        ("cut", [
            [{"extension": "a", "files": ["b"]}],
            [{"extension": "a", "list": "b"}],
            [{"extension": "a", "files": ["b"], "list": "c"}],
        ], [[{"extension": "a"}], [{"files": ["b"]}], [{"extension": "a", "files": []}]]),
        ("accounts", [
            {}, {"a": {}}, {"a": {"password": "b"}}, {"a": {"password": "b", "locked": False}},
            {"a": {"locked": True}, "b": {"password-env": "C"}},
        ], [
            {"A": {}}, {"a": 1}, [], {"a": {"password": "b", "locked": True}},
            {"a": {"password": "b", "password-env": "C"}},
            {"a": {"password-hash": "abJnggxhB/yWI", "password-env": "C"}},
        ]),
    ],
)  # fmt: skip
def test_each_rule_of_tables_agrees_with_jsonschema(
    table: str, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        assert VALIDATOR.is_valid({table: value})
        assert found({table: value}) == []
    for value in bad:
        assert not VALIDATOR.is_valid({table: value})
        assert found({table: value})


def test_pattern_end_nan_and_infinity_follow_the_standard() -> None:
    assert not Text(pattern="^a$").accepts("a\n")
    assert not Number(minimum=0, maximum=1).has_type(float("nan"))
    assert not Whole(minimum=0, maximum=1).has_type(float("inf"))


def test_wrong_type_hides_other_problems() -> None:
    assert [problem.message for problem in found({"razor": {"project": 7}})] == [
        "'project' must be text, got 7"
    ]
    assert [problem.message for problem in found({"razor": 7})] == [
        "'razor' must be a table, got 7"
    ]


def test_text_that_violates_two_rules_is_one_problem() -> None:
    (problem,) = found({"razor": {"project": " " * 3000}})
    assert problem.message.startswith("'project' must be a URL or a path, got ")


def test_problem_has_path_message_and_hint() -> None:
    (problem,) = found({"mirrors": {"gems": ["https://a", 7]}})
    assert problem.path == ("mirrors", "gems", 1)
    assert problem.message == "item 2 of 'gems' must be text, got 7"
    assert problem.hint == "put it in quotes"
    (problem,) = found({"mirrors": {"gems": ["https://a", " "]}})
    assert problem.message == "item 2 of 'gems' must be a URL or a path, got \" \""


def _places(value: Any) -> Any:
    """Yield the container and the key of every inner value."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
