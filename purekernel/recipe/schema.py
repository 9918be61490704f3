"""Make the JSON schema of recipes from the description in the model.

The schema is for editors and other programs; purekernel itself checks recipes against the
description.

Source: JSON Schema, draft 2020-12 (Core and Validation).
"""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations

from purekernel.recipe.keys import Table, tables_in, tables_of
from purekernel.recipe.kinds import Array, CheckedFile, Flag, Kind, Schema, TextOrFalse
from purekernel.recipe.model import Recipe


@cache
def tables() -> tuple[Table, ...]:
    """Return the tables of a recipe in the model's order, beginning with the recipe itself."""
    return tables_of(Recipe)


def schema_text() -> str:
    """Return the schema as JSON."""
    return json.dumps(build_schema(), indent=2) + "\n"


def build_schema() -> Schema:
    """Return the schema."""
    top, *inner = tables()
    definitions: dict[str, Schema] = {}
    for table in tables():
        for key in table.keys.values():
            _define(key.kind, definitions)
    definitions |= {_definition(table): _inner(table) for table in inner if table.names is not None}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:purekernel:recipe",
        "title": "purekernel recipe",
        "description": "A recipe for a bootable Tiny Core image, usually purekernel.toml. "
        "Relative paths are relative to the recipe's folder. "
        '"x-words" describes the valid values of a key in words.',
        "type": "object",
        "additionalProperties": False,
        "properties": _properties(top),
        "$defs": definitions,
    }


def _define(kind: Kind, definitions: dict[str, Schema]) -> None:
    """Add the kind's definition, and those that it refers to."""
    if kind.definition:
        definitions[kind.definition] = kind.rules()
    if isinstance(kind, Array):
        _define(kind.item, definitions)
    elif isinstance(kind, TextOrFalse):
        _define(kind.text, definitions)
    elif isinstance(kind, CheckedFile):
        _define(kind.path, definitions)
        _define(kind.sha256, definitions)


def _definition(table: Table) -> str:
    return table.item_title.lower()


def _outer(table: Table) -> Schema:
    """Return the schema of the value of a table's key."""
    words = {"title": table.title, "description": table.description}
    if not (table.repeated or table.names):
        return {**_inner(table), **words}
    if table.names is None:
        return {**words, "type": "array", "items": _inner(table)}
    return {
        **words,
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {table.names.pattern: {"$ref": f"#/$defs/{_definition(table)}"}},
        "x-words": table.names.words,
        "examples": [table.example],
    }


def _inner(table: Table) -> Schema:
    """Return the schema of one table."""
    excluded = [{"not": _both(table, pair)} for pair in combinations(table.exclusive, 2)]
    return {
        **({"title": table.item_title} if table.item_title else {}),
        "type": "object",
        "additionalProperties": False,
        **({"required": list(table.required)} if table.required else {}),
        **({"oneOf": [{"required": [name]} for name in table.one_of]} if table.one_of else {}),
        **({"anyOf": [{"required": [name]} for name in table.any_of]} if table.any_of else {}),
        **({"allOf": excluded} if excluded else {}),
        "properties": _properties(table),
    }


def _properties(table: Table) -> Schema:
    """Return the schemas of the keys and tables in a table."""
    inner = tables_in(table, tables())
    return {
        **{name: key.schema() for name, key in table.keys.items()},
        **{name: _outer(each) for name, each in inner.items()},
    }


def _both(table: Table, pair: tuple[str, str]) -> Schema:
    """Return the schema of a table that has both keys; a flag counts if it is true."""
    flags = {name: {"const": True} for name in pair if isinstance(table.keys[name].kind, Flag)}
    return {"required": list(pair), **({"properties": flags} if flags else {})}
