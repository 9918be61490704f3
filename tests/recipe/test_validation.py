"""Compare the check of values with jsonschema, an independent validator."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from purekernel.recipe.check import Violation, violations
from purekernel.recipe.schema import load_schema, tables
from tests.recipe.schemas import VALIDATOR, accepted

NAMES = sorted({key for table in tables() for key in (table.key, *table.keys)})

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


# Made once: making it takes as long as drawing from it a hundred times.
RECIPES = accepted(load_schema())


def found(schema: Any, value: Any) -> list[Violation]:
    return list(violations(schema, value))


@pytest.mark.slow
def test_any_value_agrees_with_jsonschema() -> None:
    seen = set()

    @given(st.dictionaries(st.sampled_from([*NAMES, "unknown"]), VALUES, max_size=4))
    def agree(value: dict[str, Any]) -> None:
        verdict = VALIDATOR.is_valid(value)
        assert (not found(load_schema(), value)) == verdict
        seen.add(verdict)

    agree()
    assert seen == {True, False}


@pytest.mark.slow
def test_changed_recipe_agrees_with_jsonschema() -> None:
    seen = set()

    @given(RECIPES, st.data())
    def agree(value: dict[str, Any], data: st.DataObject) -> None:
        assert found(load_schema(), value) == []
        changed = copy.deepcopy(value)
        places = list(_places(changed))
        if not places:
            return
        holder, key = data.draw(st.sampled_from(places))
        # A value of the same key in another accepted recipe is often valid here, but need not fit
        # this recipe's other values. An arbitrary value is almost never valid.
        others = [
            theirs[other]
            for theirs, other in _places(data.draw(RECIPES))
            if other == key or isinstance(key, int)
        ]
        holder[key] = data.draw(VALUES | st.sampled_from(others) if others else VALUES)
        verdict = VALIDATOR.is_valid(changed)
        assert (not found(load_schema(), changed)) == verdict
        seen.add(verdict)
        event(f"accepted: {verdict}")

    agree()
    # The first assertion in ``agree`` shows that both accept some values.
    assert False in seen


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, [1, 1.0], [True, 1.5, "1"]),
        ({"type": "number"}, [1, 1.5], [True, "1"]),
        ({"const": False}, [False], [0, None]),
        ({"enum": [1, "a"]}, [1, 1.0, "a"], [True, "b"]),
        ({"minLength": 2, "maxLength": 3}, ["ab", "abc", 7, []], ["a", "abcd"]),
        ({"minimum": 1, "maximum": 2}, [1, 2, True, "x"], [0, 2.5]),
        ({"pattern": "^a$"}, ["a", 7], ["b"]),
        ({"items": {"type": "string"}, "minItems": 1}, [["a"], {}], [[], [1]]),
        ({"required": ["a"]}, [{"a": 1}, []], [{}]),
        ({"not": {"required": ["a", "b"]}}, [{"a": 1}], [{"a": 1, "b": 1}]),
        ({"oneOf": [{"type": "string"}, {"pattern": "^a$"}]}, ["b", 1], ["a"]),
        ({"anyOf": [{"type": "string"}, {"const": False}]}, ["b", False], [True]),
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1], [0, 3]),
        ({"properties": {"a": {"const": 1}}}, [{"a": 1}, {"b": 2}], [{"a": 2}]),
        (
            {"patternProperties": {"^x": {"const": 1}}, "additionalProperties": False},
            [{}],
            [{"y": 1}],
        ),
    ],
)
def test_each_rule_agrees_with_jsonschema(
    schema: dict[str, Any], good: list[Any], bad: list[Any]
) -> None:
    validator = Draft202012Validator(schema)
    for value in good:
        assert validator.is_valid(value)
        assert found(schema, value) == []
    for value in bad:
        assert not validator.is_valid(value)
        assert found(schema, value)


def test_pattern_end_nan_and_infinity_follow_the_standard() -> None:
    assert found({"pattern": "^a$"}, "a\n")
    assert found({"type": "number"}, float("nan"))
    assert found({"type": "integer"}, float("inf"))


def test_wrong_type_hides_other_violations() -> None:
    schema = {"type": "string", "pattern": "^a$", "enum": ["a"]}
    assert [violation.rule for violation in violations(schema, 7)] == ["type"]
    assert [violation.rule for violation in violations(schema, "b")] == ["enum", "pattern"]


def test_violation_has_path_value_and_schema() -> None:
    (violation,) = violations(load_schema(), {"mirrors": {"gems": ["https://a", 7]}})
    assert violation.path == ("mirrors", "gems", 1)
    assert violation.value == 7
    assert violation.schema["x-words"] == "a URL or a path"


def _places(value: Any) -> Any:
    """Yield every inner value's container and key."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
