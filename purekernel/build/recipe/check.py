"""Check a recipe against the published schema, and say in words what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from attrs import frozen

from purekernel.build.recipe.schema import ACCOUNTS, Schema, load_schema, tables, to_toml
from purekernel.build.recipe.unknown import unknown_key
from purekernel.build.recipe.validation import Violation, violations
from purekernel.build.recipe.words import describe, either, kind_words, nearest, show, show_name
from purekernel.errors import RecipeError, raise_all
from purekernel.formats.toml import TomlDocument, TomlPath

# More help nobody, and a hostile file could have thousands.
MAX_ERRORS = 100


@frozen(kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: where in the recipe.
        message: what it is.
        hint: what to do about it.
    """

    path: TomlPath
    message: str
    hint: str = ""


def check_recipe(document: TomlDocument) -> None:
    """Refuse a recipe that the schema does.

    Raises:
        RecipeError: one thing is wrong; the message names the line.
        CombinedError: several are; they stand in the order of their lines.
    """
    problems = list(islice(_problems(document), MAX_ERRORS + 1))
    found = sorted(problems[:MAX_ERRORS], key=lambda problem: document.line(problem.path))
    errors = [
        RecipeError(f"{document.place(problem.path)}: {problem.message}", hint=problem.hint)
        for problem in found
    ]
    if len(problems) > MAX_ERRORS:
        errors.append(RecipeError(f"{document.source}: there are more like these"))
    raise_all(errors)


def _problems(document: TomlDocument) -> Iterator[Problem]:
    for violation in violations(load_schema(), document.values):
        yield from _explain(violation)


def _explain(violation: Violation) -> Iterator[Problem]:
    """Yield what a violation means."""
    path, rule, value, schema = (
        violation.path,
        violation.rule,
        violation.value,
        violation.schema,
    )
    if rule == "additionalProperties":
        yield from _unknown_keys(path, value, schema)
    elif rule == "type":
        yield _wrong_kind(path, value, schema)
    elif rule == "required":
        for missing in (key for key in schema["required"] if key not in value):
            yield Problem(
                path=path,
                message=f"{_table(path)} needs {missing!r}",
                hint=_example((*path, missing)),
            )
    elif rule == "not":
        yield _excluding(path, schema["not"]["required"])
    elif rule == "minItems":
        yield Problem(path=path, message=f"{_name(path)} must not be empty", hint=_example(path))
    elif rule in ("oneOf", "anyOf") and "x-words" not in schema:
        yield _alternatives(path, value, schema[rule])
    elif rule == "enum":
        yield _wrong_choice(path, value, schema["enum"])
    else:
        yield _wrong_value(path, value, schema)


def _unknown_keys(path: TomlPath, value: dict[str, Any], schema: Schema) -> Iterator[Problem]:
    patterns = schema.get("patternProperties", {})
    for key, found in value.items():
        if key in schema.get("properties", {}):
            continue
        if any(re.fullmatch(pattern, key) for pattern in patterns):
            continue
        if patterns:
            message = f"{show_name(key)} in {_table(path)} must be {schema['x-words']}"
            yield Problem(path=(*path, key), message=message, hint="give another name")
        else:
            message, hint = unknown_key(_table(path), key, found, list(schema["properties"]))
            yield Problem(path=(*path, key), message=message, hint=hint)


def _wrong_kind(path: TomlPath, value: Any, schema: Schema) -> Problem:
    wanted = schema["type"]
    words = kind_words(wanted)
    if wanted == "array" and "type" in schema["items"]:
        words = "an array of tables"
        hint = f"write [[{path[-1]}]], in double brackets"
    elif wanted == "object":
        hint = f"write {_header(path)} on a line above its keys"
    else:
        hint = _HINTS[wanted]
    found = describe(value)
    if schema.get("writeOnly") and type(value) in (int, float):
        found = "a number"
    message = f"{_name(path)} must be {words}, and is {found}"
    return Problem(path=path, message=message, hint=hint)


def _header(path: TomlPath) -> str:
    """Return the header of the table that should be at ``path``."""
    if isinstance(path[-1], int):
        return f"[[{path[0]}]]"
    return f"[{path[0]}.tc]" if path[0] == ACCOUNTS else f"[{path[0]}]"


_HINTS = {
    "string": "put it in quotes",
    "integer": "write it in digits, without quotes",
    "number": "write it in digits, without quotes",
    "boolean": "write true or false, without quotes",
    "array": "put it in brackets, with commas between its items",
}


def _excluding(path: TomlPath, keys: list[str]) -> Problem:
    message = f"{' and '.join(map(repr, keys))} in {_table(path)} exclude each other"
    return Problem(path=(*path, keys[-1]), message=message, hint="keep one of the two")


def _alternatives(path: TomlPath, value: dict[str, Any], choices: list[Schema]) -> Problem:
    keys = [key for choice in choices for key in choice["required"]]
    present = [key for key in keys if key in value]
    if present:
        return _excluding(path, present)
    return Problem(
        path=path,
        message=f"{_table(path)} needs {either(map(repr, keys))}",
        hint=_example((*path, keys[0])),
    )


def _wrong_choice(path: TomlPath, value: Any, choices: list[str]) -> Problem:
    message = f"{_name(path)} must be {either(choices)}, and is {show(value)}"
    near = nearest(value, choices) if isinstance(value, str) else None
    return Problem(
        path=path,
        message=f"{message}; the nearest is {near}" if near else message,
        hint=_example(path),
    )


def _wrong_value(path: TomlPath, value: Any, schema: Schema) -> Problem:
    words = schema["x-words"]
    shown = "" if schema.get("writeOnly") else f", and is {show(value)}"
    return Problem(path=path, message=f"{_name(path)} must be {words}{shown}", hint=_example(path))


def _example(path: TomlPath) -> str:
    """Return the hint that shows what may stand at ``path``."""
    *around, key = (part for part in path if isinstance(part, str))
    (table,) = (found for found in tables() if found.key == (around[0] if around else ""))
    return f"write it as in {key} = {to_toml(table.keys[key]['examples'][0])}"


def _name(path: TomlPath) -> str:
    """Return the words for what is at ``path``."""
    last = path[-1]
    if isinstance(last, int):
        return f"item {last + 1} of {_name(path[:-1])}"
    return show_name(last)


def _table(path: TomlPath) -> str:
    """Return the words for the table at ``path``."""
    if not path:
        return "a recipe"
    if isinstance(path[-1], int):
        return f"[[{path[0]}]]"
    return f"[{'.'.join(map(str, path))}]"
