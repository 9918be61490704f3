"""Check a recipe against the description in the model, and report each problem in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import Any

from purekernel.errors import RecipeError, raise_all
from purekernel.formats.toml import TomlDocument, TomlPath
from purekernel.recipe.keys import Key, Table, tables_in
from purekernel.recipe.kinds import Array, Choice, Flag, Kind, Text
from purekernel.recipe.schema import tables
from purekernel.recipe.words import (
    TYPE_WORDS,
    describe,
    either,
    nearest,
    show,
    show_name,
    to_toml,
)
from purekernel.records import frozen

# No user reads more, and a hostile file can have thousands.
MAX_ERRORS = 100

# At this closeness a key counts as a misspelling of a known key of its table, even if another
# table has a key of that name.
_MISSPELT = 0.8

_TYPE_HINTS = {
    "string": "put it in quotes",
    "integer": "write it in digits, without quotes",
    "number": "write it in digits, without quotes",
    "boolean": "write true or false, without quotes",
    "array": "put it in brackets, with commas between its items",
}


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
    hint: str


def check_recipe(document: TomlDocument, *, partial: bool = False) -> None:
    """Check a recipe, and report all problems at once.

    Args:
        document: the recipe.
        partial: whether other files, which it is joined with, may give the keys that a table must
            have.

    Raises:
        RecipeError: the recipe has one problem; the message names the line.
        CombinedError: the recipe has several problems; they are sorted by file and line.
    """
    found = find_problems(document.values, partial=partial)
    problems = list(islice(found, MAX_ERRORS + 1))
    shown = sorted(problems[:MAX_ERRORS], key=lambda problem: document.origin(problem.path))
    errors = [
        RecipeError(f"{document.place(problem.path)}: {problem.message}", hint=problem.hint)
        for problem in shown
    ]
    if len(problems) > MAX_ERRORS:
        errors.append(RecipeError(f"{document.source}: there are more problems than these"))
    raise_all(errors)


def find_problems(values: Mapping[str, Any], *, partial: bool = False) -> Iterator[Problem]:
    """Yield the problems of a recipe with these values, those of a table before its keys'.

    With ``partial``, do not report that a table lacks keys, unless tables of its kind are repeated:
    those are never joined.

    For a value of the wrong type, only that is reported: the other rules do not apply to it.
    """
    top = tables()[0]
    yield from _unknown_keys("the recipe", top, values, ())
    yield from _contents(top, values, (), partial=partial)


def _contents(
    table: Table, values: Mapping[str, Any], path: TomlPath, *, partial: bool
) -> Iterator[Problem]:
    """Yield the problems of the known keys and tables of a table."""
    inner = tables_in(table, tables())
    for name, value in values.items():
        if name in inner:
            yield from _tables(inner[name], value, partial=partial)
        elif name in table.keys:
            yield from _value(table.keys[name], table.keys[name].kind, value, (*path, name))


def _tables(table: Table, value: Any, *, partial: bool) -> Iterator[Problem]:
    """Yield the problems of the value of a table's key."""
    path = table.path
    if table.repeated:
        if not isinstance(value, list):
            hint = f"write {table.label}, in double brackets"
            yield _wrong_type(path, "an array of tables", describe(value), hint)
            return
        for index, item in enumerate(value):
            yield from _table(table, item, (*path, index))
    elif table.names is None or not isinstance(value, dict):
        yield from _table(table, value, path, partial=partial)
    else:
        for name, item in value.items():
            if table.names.accepts(name):
                yield from _table(table, item, (*path, name), partial=partial)
            else:
                yield Problem(
                    path=(*path, name),
                    message=f"{show_name(name)} in [{table.name}] must be {table.names.words}",
                    hint="choose another name",
                )


def _table(table: Table, value: Any, path: TomlPath, *, partial: bool = False) -> Iterator[Problem]:
    """Yield the problems of one table."""
    if not isinstance(value, dict):
        hint = f"write {table.label} on a line above its keys"
        yield _wrong_type(path, "a table", describe(value), hint)
        return
    label = table.header(path)
    for name in table.required:
        if name not in value and not partial:
            yield Problem(
                path=path, message=f"{label} must have {name!r}", hint=_example(table.keys[name])
            )
    yield from _unknown_keys(label, table, value, path)
    if alternatives := table.one_of or table.any_of:
        given = [name for name in alternatives if name in value]
        if not given and not partial:
            yield Problem(
                path=path,
                message=f"{label} must have {either(map(repr, alternatives))}",
                hint=_example(table.keys[alternatives[0]]),
            )
        elif table.one_of and len(given) > 1:
            yield _excluding(label, path, given)
    for pair in combinations(given_among(table, table.exclusive, value), 2):
        yield _excluding(label, path, pair)
    yield from _contents(table, value, path, partial=partial)


def given_among(table: Table, names: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    """Return those of ``names`` that ``values`` give; a flag counts if it is true."""
    return [
        name
        for name in names
        if name in values and (values[name] is True or not isinstance(table.keys[name].kind, Flag))
    ]


def _value(key: Key, kind: Kind, value: Any, path: TomlPath) -> Iterator[Problem]:
    """Yield the problems of a value of ``key``, or of one of its items."""
    if not kind.has_type(value):
        secret = isinstance(kind, Text) and kind.secret and type(value) in (int, float)
        got = "a number" if secret else describe(value)
        yield _wrong_type(path, TYPE_WORDS[kind.json_type], got, _TYPE_HINTS[kind.json_type])
    elif not kind.accepts(value):
        yield Problem(path=path, message=_wrong_value(kind, value, path), hint=_example(key))
    if isinstance(kind, Array) and kind.has_type(value):
        for index, item in enumerate(value):
            yield from _value(key, kind.item, item, (*path, index))


def _wrong_type(path: TomlPath, wanted: str, got: str, hint: str) -> Problem:
    return Problem(path=path, message=f"{_name(path)} must be {wanted}, got {got}", hint=hint)


def _wrong_value(kind: Kind, value: Any, path: TomlPath) -> str:
    if isinstance(kind, Array):
        return f"{_name(path)} must not be empty"
    if isinstance(kind, Choice):
        near = nearest(value, kind.choices) if isinstance(value, str) else None
        message = f"{_name(path)} must be {either(kind.choices)}, got {show(value)}"
        return f"{message}; did you mean {near}?" if near else message
    got = "" if isinstance(kind, Text) and kind.secret else f", got {show(value)}"
    return f"{_name(path)} must be {kind.words}{got}"


def _excluding(label: str, path: TomlPath, names: Sequence[str]) -> Problem:
    *others, last = names
    both = "both " if len(others) == 1 else ""
    together = f"{both}{', '.join(map(repr, others))} and {last!r}"
    return Problem(
        path=(*path, last),
        message=f"{label} cannot have {together}",
        hint="keep one of the two" if len(names) == 2 else "keep one of them",
    )


def _example(key: Key) -> str:
    return f"write, for example, {key.name} = {to_toml(key.examples[0])}"


def _name(path: TomlPath) -> str:
    """Return the words for the value at ``path``."""
    last = path[-1]
    if isinstance(last, int):
        return f"item {last + 1} of {_name(path[:-1])}"
    return show_name(last)


# Suggest what to write in place of an unknown key.


def _unknown_keys(
    label: str, table: Table, values: Mapping[str, Any], path: TomlPath
) -> Iterator[Problem]:
    labels = {name: inner.label for name, inner in tables_in(table, tables()).items()}
    known = {**dict.fromkeys(table.keys, ""), **labels}
    for name, value in values.items():
        if name not in known:
            message, hint = _unknown_key(label, name, value, known, at_top=not path)
            yield Problem(path=(*path, name), message=message, hint=hint)


def _unknown_key(
    label: str, name: str, value: Any, known: Mapping[str, str], *, at_top: bool
) -> tuple[str, str]:
    """Return a message and a hint for a key that a table cannot have.

    Args:
        label: header of the table.
        name: the unknown key.
        value: its value.
        known: the keys that the table can have; for a table in it, with the header.
        at_top: whether the table is the recipe itself.
    """
    thing = f"table [{name}]" if at_top and _is_table(value) else f"key {show_name(name)}"
    message = f"unknown {thing} in {label}"

    def words(key: str) -> str:
        return known[key] or repr(key)

    if near := nearest(name, known, closeness=_MISSPELT):
        return f"{message}; did you mean {words(near)}?", f"write {words(near)}"
    owners = [
        f"in {table.label}" if table.label else "before the first table"
        for table in tables()
        if name in table.keys
    ]
    if owners:
        return f"{message}; it belongs {either(owners)}", "move it there"
    if near := nearest(name, known):
        return f"{message}; did you mean {words(near)}?", f"write {words(near)}"
    return message, f"use one of {', '.join(map(words, known))}"


def _is_table(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(isinstance(item, dict) for item in items)
