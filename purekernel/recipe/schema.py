"""The published JSON schema of recipes, and what is found in it.

It is what a recipe is checked against, what ``purekernel init`` explains keys with, and what
the reference in ``docs/recipe.md`` is made from, so that these cannot part.
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
    """A table that a recipe may have.

    Attributes:
        key: what it is under in the recipe; empty for the recipe itself.
        label: as it stands in a recipe: ``[boot]``, ``[[overlay]]``, ``[accounts.tc]``; empty
            for the keys before the first table.
        schema: what it must be.
        keys: for each of its keys what its value must be; other tables are not among them.
    """

    key: str
    label: str
    schema: Schema
    keys: Mapping[str, Schema]


@cache
def schema_text() -> str:
    """Return the schema as it is published."""
    return resources.files(__package__).joinpath("schema.json").read_text(encoding="utf-8")


@cache
def load_schema() -> Schema:
    """Return the schema as a value; not to be changed."""
    schema: Schema = json.loads(schema_text())
    return schema


@cache
def tables() -> tuple[Table, ...]:
    """Return all tables in the order of the schema, first that of the keys before any."""
    top = {key: resolve(value) for key, value in load_schema()["properties"].items()}
    inner = {key: table for key, value in top.items() if (table := _table(key, value))}
    outside = {key: value for key, value in top.items() if key not in inner}
    return (Table(key="", label="", schema=load_schema(), keys=outside), *inner.values())


def to_toml(example: Any) -> str:
    """Return text, a number, a truth or an array of these, as a recipe has it."""
    return json.dumps(example, ensure_ascii=False)


def _table(key: str, schema: Schema) -> Table | None:
    """Return the table that the value of ``key`` is, if it is one."""
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
    """Return ``schema`` with what it refers to put in."""
    if "$ref" not in schema:
        return schema
    referred = load_schema()["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return {**resolve(referred), **{key: schema[key] for key in schema if key != "$ref"}}
