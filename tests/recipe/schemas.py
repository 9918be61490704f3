"""Provide hypothesis strategies for values that the schema of recipes accepts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from purekernel.recipe.kinds import Schema
from purekernel.recipe.schema import build_schema

SCHEMA = build_schema()


def _pattern(
    _validator: object, pattern: str, instance: object, _schema: object
) -> Iterator[ValidationError]:
    """Check a pattern as JSON Schema specifies: ``$`` matches only at the very end.

    In Python, and so in jsonschema, ``$`` also matches before a final line feed.
    """
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


VALIDATOR = extend(Draft202012Validator, {"pattern": _pattern})(SCHEMA)


def resolve(schema: Schema) -> Schema:
    """Return ``schema`` with its reference resolved."""
    if "$ref" not in schema:
        return schema
    referred = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return {**resolve(referred), **{key: schema[key] for key in schema if key != "$ref"}}


def accepted(schema: Schema) -> st.SearchStrategy[Any]:
    """Return a strategy for values that ``schema`` accepts."""
    schema = resolve(schema)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "type" not in schema:
        return st.one_of(map(accepted, schema["anyOf"]))
    return _KINDS[schema["type"]](schema)


def _objects(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    if "patternProperties" in schema:
        ((pattern, value),) = schema["patternProperties"].items()
        names = st.from_regex(pattern, fullmatch=True)
        return st.dictionaries(names, accepted(value), max_size=2)
    keys = {key: accepted(value) for key, value in schema["properties"].items()}
    needed = {key: keys.pop(key) for key in schema.get("required", ())}
    return st.fixed_dictionaries(needed, optional=keys)


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 1000)
    return st.from_regex(schema["pattern"], fullmatch=True).filter(
        lambda text: shortest <= len(text) <= longest and _is_unicode(text)
    )


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


_KINDS: dict[str, Callable[[Schema], st.SearchStrategy[Any]]] = {
    "object": lambda schema: _objects(schema).filter(VALIDATOR.evolve(schema=schema).is_valid),
    "array": lambda schema: st.lists(
        accepted(schema["items"]), min_size=schema.get("minItems", 0), max_size=3
    ),
    "string": _texts,
    "integer": lambda schema: st.integers(schema["minimum"], schema["maximum"]),
    "number": lambda schema: st.floats(schema["minimum"], schema["maximum"]),
    "boolean": lambda _schema: st.booleans(),
}
