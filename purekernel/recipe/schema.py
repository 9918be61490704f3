"""Load the published JSON schema of recipes, and list its tables and keys.

Recipes are checked against the schema. ``purekernel init`` explains keys with its texts, and the
reference in ``docs/recipe.md`` is generated from it, so the three always agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from attrs import frozen

Schema = Mapping[str, Any]

ACCOUNTS = "accounts"


@frozen(kw_only=True)
class Table:
    """A table of a recipe.

    Attributes:
        key: key of the table in the recipe; empty for the recipe itself.
        label: header of the table: ``[boot]``, ``[[overlay]]``, ``[accounts.tc]``; empty for
            the keys before the first table.
        schema: schema of the table.
        keys: schema of each key of the table, without the keys that are tables themselves.
    """

    key: str
    label: str
    schema: Schema
    keys: Mapping[str, Schema]


@cache
def schema_text() -> str:
    """Return the text of the published schema."""
    return resources.files(__package__).joinpath("schema.json").read_text(encoding="utf-8")


@cache
def load_schema() -> Schema:
    """Return the parsed schema. The caller must not change it."""
    schema: Schema = json.loads(schema_text())
    return schema


@cache
def tables() -> tuple[Table, ...]:
    """Return all tables in the order of the schema, beginning with the recipe itself."""
    top = {key: resolve(value) for key, value in load_schema()["properties"].items()}
    inner = {key: table for key, value in top.items() if (table := _table(key, value))}
    outside = {key: value for key, value in top.items() if key not in inner}
    return (Table(key="", label="", schema=load_schema(), keys=outside), *inner.values())


def to_toml(example: Any) -> str:
    """Return a string, number, boolean or an array of these in TOML."""
    return json.dumps(example, ensure_ascii=False)


def _table(key: str, schema: Schema) -> Table | None:
    """Return the table that ``key`` holds; ``None`` if its value is not a table."""
    label, described = f"[{key}]", schema
    if schema.get("type") == "array":
        label, schema = f"[[{key}]]", resolve(schema["items"])
    if "patternProperties" in schema:
        (example,) = schema["examples"][0]
        label = f"[{key}.{example}]"
        (schema,) = map(resolve, schema["patternProperties"].values())
    if schema.get("type") != "object":
        return None
    keys = {name: resolve(value) for name, value in schema["properties"].items()}
    return Table(key=key, label=label, schema={**schema, **described}, keys=keys)


def resolve(schema: Schema) -> Schema:
    """Return ``schema`` with its reference resolved."""
    if "$ref" not in schema:
        return schema
    referred = load_schema()["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return {**resolve(referred), **{key: schema[key] for key in schema if key != "$ref"}}
