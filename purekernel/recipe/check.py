"""Check a recipe against the published schema, and report each problem in plain words."""

from __future__ import annotations

import datetime
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from attrs import frozen

from purekernel.errors import RecipeError, raise_all
from purekernel.formats.toml import TomlDocument, TomlPath
from purekernel.recipe.schema import (
    ACCOUNTS,
    Schema,
    Table,
    load_schema,
    resolve,
    tables,
    to_toml,
)

# No user reads more, and a hostile file can have thousands.
MAX_ERRORS = 100


# A longer value does not fit on a line of a message.
MAX_SHOWN_CHARACTERS = 60


# No key is longer, and comparing long words is slow.
MAX_COMPARED_CHARACTERS = 64


_KIND_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "a table",
}


# The user and password before a URL's host name.
_CREDENTIALS = re.compile(r"//[^/\s]*@")


# At this closeness a key counts as a misspelling of a known key of its table, even if another
# table has a key of that name.
_MISSPELT = 0.8


@frozen(kw_only=True)
class Problem:
    """A problem in a recipe.

    Attributes:
        path: path of the value in the recipe.
        message: what is wrong.
        hint: what to do about it.
    """

    path: TomlPath
    message: str
    hint: str = ""


def check_recipe(document: TomlDocument) -> None:
    """Check a recipe against the schema.

    Raises:
        RecipeError: the recipe has one problem; the message names the line.
        CombinedError: the recipe has several problems; they are sorted by line.
    """
    problems = list(islice(_problems(document), MAX_ERRORS + 1))
    shown = sorted(problems[:MAX_ERRORS], key=lambda problem: document.line(problem.path))
    errors = [
        RecipeError(f"{document.place(problem.path)}: {problem.message}", hint=problem.hint)
        for problem in shown
    ]
    if len(problems) > MAX_ERRORS:
        errors.append(RecipeError(f"{document.source}: there are more problems than these"))
    raise_all(errors)


# Validate values against the subset of JSON Schema that the schema of recipes uses.
#
# Source: JSON Schema, draft 2020-12 (Core and Validation), for the keywords in :data:`_RULES`
# and for those that :func:`violations` handles itself. The standard and Python differ in two
# points, and the standard's meaning is used: ``$`` in a pattern matches only at the end, not
# before a final newline; and NaN and infinity are not numbers.


@frozen(kw_only=True)
class Violation:
    """A rule of the schema that a value breaks.

    Attributes:
        path: path of the value in the recipe.
        rule: the schema's keyword.
        value: the value.
        schema: the schema of the value, with references resolved.
    """

    path: TomlPath
    rule: str
    value: Any
    schema: Schema


def violations(schema: Schema, value: Any, path: TomlPath = ()) -> Iterator[Violation]:
    """Yield the rules that ``value`` breaks, outer values first.

    For a value of the wrong type, only that is reported: the other rules do not apply to it.
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
        for key, inner_value in value.items():
            for inner in _schemas_of_key(schema, key):
                yield from violations(inner, inner_value, (*path, key))
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from violations(schema["items"], item, (*path, index))


def _is_valid(schema: Schema, value: Any) -> bool:
    return next(violations(schema, value), None) is None


def _schemas_of_key(schema: Schema, key: str) -> Iterator[Schema]:
    """Yield the schemas that the value of ``key`` must meet."""
    properties = schema.get("properties", {})
    if key in properties:
        yield properties[key]
    for pattern, key_schema in schema.get("patternProperties", {}).items():
        if re.fullmatch(pattern, key):
            yield key_schema


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
    return all(next(_schemas_of_key(schema, key), None) is not None for key in value)


def _is_equal(left: Any, right: Any) -> bool:
    """Return whether two values are equal in JSON, where true is not 1."""
    return bool(left == right and isinstance(left, bool) == isinstance(right, bool))


# The check of each keyword. A keyword accepts every value of a type that it does not apply to.
_RULES: Mapping[str, Callable[[Schema, Any], bool]] = {
    "type": lambda schema, value: _KINDS[schema["type"]](value),
    "enum": lambda schema, value: any(_is_equal(choice, value) for choice in schema["enum"]),
    "const": lambda schema, value: _is_equal(schema["const"], value),
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
    "anyOf": lambda schema, value: any(_is_valid(choice, value) for choice in schema["anyOf"]),
    "oneOf": lambda schema, value: sum(_is_valid(choice, value) for choice in schema["oneOf"]) == 1,
    "not": lambda schema, value: not _is_valid(schema["not"], value),
}


def _problems(document: TomlDocument) -> Iterator[Problem]:
    for violation in violations(load_schema(), document.values):
        yield from _explain(violation)


def _explain(violation: Violation) -> Iterator[Problem]:
    """Yield the problems that a violation stands for."""
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
                message=f"{_table(path)} must have {missing!r}",
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


# Words for values, types and names in messages.


def kind_words(json_type: str) -> str:
    """Return the words for a type of JSON Schema."""
    return _KIND_WORDS[json_type]


def describe(value: Any) -> str:
    """Return the kind of ``value`` in words; for a number or boolean, the value itself."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        is_tables = bool(value) and all(isinstance(item, dict) for item in value)
        return "an array of tables" if is_tables else "an array"
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return "a date or time"
    return show(value)


def show(value: Any) -> str:
    """Return ``value`` as a recipe writes it, shortened, without passwords in URLs."""
    if isinstance(value, list | dict) or not isinstance(value, str | int | float):
        return describe(value)
    if value == "":
        return "empty"
    text = without_credentials(value) if isinstance(value, str) else value
    shown = json.dumps(text, ensure_ascii=False)
    if len(shown) > MAX_SHOWN_CHARACTERS:
        return f"{shown[:MAX_SHOWN_CHARACTERS]}…"
    return shown


def show_name(name: str) -> str:
    """Return a key or name in single quotes, shortened."""
    cut = len(name) > MAX_SHOWN_CHARACTERS
    return f"{name[:MAX_SHOWN_CHARACTERS]!r}…" if cut else repr(name)


def without_credentials(text: str) -> str:
    """Return ``text`` without the user and password of a URL."""
    return _CREDENTIALS.sub("//…@", text)


def nearest(word: str, known: Iterable[str], *, closeness: float = 0.6) -> str | None:
    """Return the word in ``known`` that is closest to ``word``; ``None`` if none is close.

    Case does not matter, and underscores and hyphens are equal.

    Args:
        word: the word that the user wrote.
        known: the valid words.
        closeness: the lowest similarity that counts, from 0 to 1.
    """
    if len(word) > MAX_COMPARED_CHARACTERS:
        return None
    plain = {_plain(name): name for name in known}
    matches = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=closeness)
    return plain[matches[0]] if matches else None


def either(names: Iterable[str]) -> str:
    """Return ``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


# Suggest what to write in place of an unknown key.


def unknown_key(table: str, key: str, value: Any, known: list[str]) -> tuple[str, str]:
    """Return a message and a hint for a key that a table cannot have.

    Args:
        table: the words for the table.
        key: the unknown key.
        value: its value.
        known: the keys that the table can have.
    """
    top = tables()[0]
    inner = {described.key: described for described in tables()[1:]}
    at_top = set(top.keys) <= set(known)
    thing = f"table [{key}]" if at_top and _is_table(value) else f"key {show_name(key)}"
    message = f"unknown {thing} in {table}"

    def words(name: str) -> str:
        return inner[name].label if at_top and name in inner else repr(name)

    if near := nearest(key, known, closeness=_MISSPELT):
        return f"{message}; did you mean {words(near)}?", f"write {words(near)}"
    owners = [
        described
        for described in tables()
        if key in described.keys and set(described.keys) != set(known)
    ]
    if owners:
        return f"{message}; it belongs {_places(owners)}", "move it there"
    if near := nearest(key, known):
        return f"{message}; did you mean {words(near)}?", f"write {words(near)}"
    return message, f"use one of {', '.join(map(words, known))}"


def _is_table(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(isinstance(item, dict) for item in items)


def _places(owners: list[Table]) -> str:
    return either(
        f"in {owner.label}" if owner.label else "before the first table" for owner in owners
    )


def _unknown_keys(path: TomlPath, value: dict[str, Any], schema: Schema) -> Iterator[Problem]:
    patterns = schema.get("patternProperties", {})
    for key, inner in value.items():
        if key in schema.get("properties", {}):
            continue
        if any(re.fullmatch(pattern, key) for pattern in patterns):
            continue
        if patterns:
            message = f"{show_name(key)} in {_table(path)} must be {schema['x-words']}"
            yield Problem(path=(*path, key), message=message, hint="choose another name")
        else:
            message, hint = unknown_key(_table(path), key, inner, list(schema["properties"]))
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
    got = describe(value)
    if schema.get("writeOnly") and type(value) in (int, float):
        got = "a number"
    message = f"{_name(path)} must be {words}, got {got}"
    return Problem(path=path, message=message, hint=hint)


def _header(path: TomlPath) -> str:
    """Return the header of the table that must be at ``path``."""
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
    message = f"{_table(path)} cannot have both {' and '.join(map(repr, keys))}"
    return Problem(path=(*path, keys[-1]), message=message, hint="keep one of the two")


def _alternatives(path: TomlPath, value: dict[str, Any], choices: list[Schema]) -> Problem:
    keys = [key for choice in choices for key in choice["required"]]
    present = [key for key in keys if key in value]
    if present:
        return _excluding(path, present)
    return Problem(
        path=path,
        message=f"{_table(path)} must have {either(map(repr, keys))}",
        hint=_example((*path, keys[0])),
    )


def _wrong_choice(path: TomlPath, value: Any, choices: list[str]) -> Problem:
    message = f"{_name(path)} must be {either(choices)}, got {show(value)}"
    near = nearest(value, choices) if isinstance(value, str) else None
    return Problem(
        path=path,
        message=f"{message}; did you mean {near}?" if near else message,
        hint=_example(path),
    )


def _wrong_value(path: TomlPath, value: Any, schema: Schema) -> Problem:
    words = schema["x-words"]
    shown = "" if schema.get("writeOnly") else f", got {show(value)}"
    return Problem(path=path, message=f"{_name(path)} must be {words}{shown}", hint=_example(path))


def _example(path: TomlPath) -> str:
    """Return the hint that shows an example of the value at ``path``."""
    *parents, key = (part for part in path if isinstance(part, str))
    table_key = parents[0] if parents else ""
    (table,) = (described for described in tables() if described.key == table_key)
    return f"write, for example, {key} = {to_toml(table.keys[key]['examples'][0])}"


def _name(path: TomlPath) -> str:
    """Return the words for the value at ``path``."""
    last = path[-1]
    if isinstance(last, int):
        return f"item {last + 1} of {_name(path[:-1])}"
    return show_name(last)


def _table(path: TomlPath) -> str:
    """Return the words for the table at ``path``."""
    if not path:
        return "the recipe"
    if isinstance(path[-1], int):
        return f"[[{path[0]}]]"
    return f"[{'.'.join(map(str, path))}]"
