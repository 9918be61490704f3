"""Hold values against a JSON schema, as far as the schema of recipes goes.

Source: JSON Schema, draft 2020-12 (Core and Validation), for the keywords in :data:`_RULES`
and the few that are told apart below. Python's own meaning differs in two places, where the
standard's counts: ``$`` in a pattern is the end and not also before a last line end, and what
is no finite number is none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from purekernel.build.recipe.schema import Schema, resolve
from purekernel.formats.toml import TomlPath


@frozen(kw_only=True)
class Violation:
    """A rule of the schema that a value breaks.

    Attributes:
        path: where the value is.
        rule: the schema's keyword.
        value: the value.
        schema: that of the value, references put in.
    """

    path: TomlPath
    rule: str
    value: Any
    schema: Schema


def violations(schema: Schema, value: Any, path: TomlPath = ()) -> Iterator[Violation]:
    """Yield the rules that ``value`` breaks, outer ones first.

    Of a value of the wrong type nothing else is told: the other rules mean nothing to it.
    """
    schema = resolve(schema)
    broken = [rule for rule in _RULES if rule in schema and not _RULES[rule](schema, value)]
    for rule in ["type"] if "type" in broken else broken:
        yield Violation(path=path, rule=rule, value=value, schema=schema)
    if "type" in broken:
        return
    for inner in schema.get("allOf", ()):
        yield from violations(inner, value, path)
    if isinstance(value, dict):
        for key, found in value.items():
            for described in _of_key(schema, key):
                yield from violations(described, found, (*path, key))
    elif isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from violations(schema["items"], item, (*path, number))


def _holds(schema: Schema, value: Any) -> bool:
    return next(violations(schema, value), None) is None


def _of_key(schema: Schema, key: str) -> Iterator[Schema]:
    """Yield the schemas that the value of ``key`` must meet."""
    properties = schema.get("properties", {})
    if key in properties:
        yield properties[key]
    for pattern, described in schema.get("patternProperties", {}).items():
        if re.fullmatch(pattern, key):
            yield described


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: Any) -> bool:
    return _is_number(value) and value == int(value)


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "number": _is_number,
}


def _is_closed(schema: Schema, value: Any) -> bool:
    if schema["additionalProperties"] is not False or not isinstance(value, dict):
        return True
    return all(next(_of_key(schema, key), None) is not None for key in value)


def _same(one: Any, other: Any) -> bool:
    """Say whether two values are one in JSON, where true is not 1."""
    return bool(one == other and isinstance(one, bool) == isinstance(other, bool))


# What each keyword asks of a value; of a kind that it does not speak of it asks nothing.
_RULES: Mapping[str, Callable[[Schema, Any], bool]] = {
    "type": lambda schema, value: _KINDS[schema["type"]](value),
    "enum": lambda schema, value: any(_same(one, value) for one in schema["enum"]),
    "const": lambda schema, value: _same(schema["const"], value),
    "pattern": lambda schema, value: (
        not isinstance(value, str) or bool(re.fullmatch(schema["pattern"], value))
    ),
    "minLength": lambda schema, value: (
        not isinstance(value, str) or len(value) >= schema["minLength"]
    ),
    "maxLength": lambda schema, value: (
        not isinstance(value, str) or len(value) <= schema["maxLength"]
    ),
    "minimum": lambda schema, value: not _is_number(value) or value >= schema["minimum"],
    "maximum": lambda schema, value: not _is_number(value) or value <= schema["maximum"],
    "minItems": lambda schema, value: (
        not isinstance(value, list) or len(value) >= schema["minItems"]
    ),
    "required": lambda schema, value: (
        not isinstance(value, dict) or all(key in value for key in schema["required"])
    ),
    "additionalProperties": _is_closed,
    "anyOf": lambda schema, value: any(_holds(one, value) for one in schema["anyOf"]),
    "oneOf": lambda schema, value: sum(_holds(one, value) for one in schema["oneOf"]) == 1,
    "not": lambda schema, value: not _holds(schema["not"], value),
}
