"""Check a recipe against the published schema, and say in words what is wrong with it."""

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

# More help nobody, and a hostile file could have thousands.
MAX_ERRORS = 100


# What a person can take in at a glance.
MAX_SHOWN_CHARACTERS = 60


# Comparing longer words takes long, and no key is that long.
MAX_COMPARED_CHARACTERS = 64


_KIND_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "a table",
}


# User and password before a host's name.
_CREDENTIALS = re.compile(r"//[^/\s]*@")


# From here on a key is surely another misspelt, even where a table elsewhere has it.
_SURELY = 0.8


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


# Hold values against a JSON schema, as far as the schema of recipes goes.
#
# Source: JSON Schema, draft 2020-12 (Core and Validation), for the keywords in :data:`_RULES`
# and the few that are told apart below. Python's own meaning differs in two places, where the
# standard's counts: ``$`` in a pattern is the end and not also before a last line end, and what
# is no finite number is none.


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


# How values, kinds and names are put into messages.


def kind_words(json_type: str) -> str:
    """Return the words for a type of JSON schema's."""
    return _KIND_WORDS[json_type]


def describe(value: Any) -> str:
    """Say what kind of value this is; of numbers and truths, which."""
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
    """Return ``value`` as a recipe has it, cut short, without passwords of URLs."""
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
    """Return a key or name in single quotes, cut short."""
    cut = len(name) > MAX_SHOWN_CHARACTERS
    return f"{name[:MAX_SHOWN_CHARACTERS]!r}…" if cut else repr(name)


def without_credentials(text: str) -> str:
    """Return ``text`` with the user and password of a URL taken out."""
    return _CREDENTIALS.sub("//…@", text)


def nearest(word: str, known: Iterable[str], *, closeness: float = 0.6) -> str | None:
    """Return which of ``known`` is most like ``word``, case and underscores aside, if one is.

    Args:
        word: what was written.
        known: what could have been meant.
        closeness: how much alike they must be, from 0 to 1.
    """
    if len(word) > MAX_COMPARED_CHARACTERS:
        return None
    plain = {_plain(name): name for name in known}
    found = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=closeness)
    return plain[found[0]] if found else None


def either(names: Iterable[str]) -> str:
    """Return ``a, b or c``."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


# Say what was probably meant by a key that a recipe cannot have.


def unknown_key(table: str, key: str, value: Any, known: list[str]) -> tuple[str, str]:
    """Return a message and a hint for a key that a table does not have.

    Args:
        table: the words for the table.
        key: the key.
        value: its value.
        known: the keys that the table has.
    """
    top = tables()[0]
    inner = {found.key: found for found in tables()[1:]}
    at_top = set(top.keys) <= set(known)
    thing = f"table [{key}]" if at_top and _is_table(value) else f"key {show_name(key)}"
    message = f"{table} has no {thing}"

    def words(name: str) -> str:
        return inner[name].label if at_top and name in inner else repr(name)

    if near := nearest(key, known, closeness=_SURELY):
        return f"{message}; the nearest is {words(near)}", f"write {words(near)}"
    homes = [found for found in tables() if key in found.keys and set(found.keys) != set(known)]
    if homes:
        return f"{message}; it belongs {_places(homes)}", "move it there"
    if near := nearest(key, known):
        return f"{message}; the nearest is {words(near)}", f"write {words(near)}"
    return message, f"it has {', '.join(map(words, known))}"


def _is_table(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(isinstance(item, dict) for item in items)


def _places(homes: list[Table]) -> str:
    return either(f"in {home.label}" if home.label else "before the first table" for home in homes)


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
