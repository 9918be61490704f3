"""Read the list files that recipes and the original scripts use.

A list has one entry per line. ``#`` begins a comment at the start of a line or after a blank.
Blank lines, blanks around an entry, Windows line endings and byte order marks are ignored. An
entry that is listed twice counts once, at its first position.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from purekernel.errors import FormatError, PurekernelError, RecipeError, UsageError, raise_all
from purekernel.formats.public_key import is_other_key_format, parse_authorized_key
from purekernel.formats.text import decode_text
from purekernel.formats.tinycore import parse_extension_name
from purekernel.formats.toml import TomlDocument, TomlPath
from purekernel.input import Input
from purekernel.recipe.keys import Named, value_at
from purekernel.recipe.kinds import EXTENSION_NAME, GEM, IMAGE_PATH, Array, Kind, Text
from purekernel.recipe.schema import tables
from purekernel.recipe.system import AUTHORIZED_KEY
from purekernel.recipe.words import show

# No user reads more, and a hostile file can have thousands.
MAX_ERRORS = 100

Read = Callable[[Path], bytes]
"""Returns the content of a file on the host."""

Lists = dict[TomlPath, tuple[Named, ...]]
"""Maps the path of each key that names a list to the entries of the list."""

Rule = Callable[[str, str], str]
"""Returns the name for an entry; takes the entry, and its file and line for messages."""

Errors = list[PurekernelError]
"""Collects the errors of lines in place of raising them, so that the other lines still count."""

_COMMENT = re.compile(r"(?:^|[ \t])#.*")


def parse_extension_list(
    data: bytes, *, source: str, errors: Errors | None = None
) -> tuple[Named, ...]:
    """Return the extensions that a ``.lst`` file lists; each name ends in ``.tcz`` or ``.deb``.

    Raises:
        RecipeError: a line is not the name of an extension; the message names the line.
        CombinedError: several lines are not.
    """
    return _parse(data, source, _extension, errors)


def parse_gem_list(data: bytes, *, source: str, errors: Errors | None = None) -> tuple[Named, ...]:
    """Return the entries of a ``gem.list``: gem names with their version requirements.

    Raises:
        RecipeError: a line is not a gem and its requirements; the message names the line.
        CombinedError: several lines are not.
    """
    return _parse(data, source, partial(_match, GEM), errors)


def parse_path_list(data: bytes, *, source: str, errors: Errors | None = None) -> tuple[Named, ...]:
    """Return the paths in an extension that a file such as ``util-linux-exec.lst`` lists.

    Raises:
        RecipeError: a line is not a path in an extension; the message names the line.
        CombinedError: several lines are not.
    """
    return _parse(data, source, partial(_match, IMAGE_PATH), errors)


def parse_key_list(data: bytes, *, source: str, errors: Errors | None = None) -> tuple[Named, ...]:
    """Return the lines of a file in the format of ``authorized_keys``, or of one public key.

    ``#`` begins a comment at the start of a line only.

    Raises:
        RecipeError: a line is not a public key; the message names the line, and does not show it.
        CombinedError: several lines are not.
    """
    text = decode_text(Input(data, name=source))
    if is_other_key_format(text):
        # One error, not one for each line of a private key.
        lines = [(f"{source}, line 1", text)]
    else:
        lines = [
            (f"{source}, line {number}", line.strip(" \t\r"))
            for number, line in enumerate(text.split("\n"), start=1)
        ]
    entries = ((place, line) for place, line in lines if line and not line.startswith("#"))
    return _collect(entries, source, _key, errors)


def _key(text: str, place: str) -> str:
    try:
        return parse_authorized_key(text).line
    except UsageError as error:
        raise RecipeError(f"{place}: {error.message}", hint=error.hint) from None


def _parse(data: bytes, source: str, rule: Rule, collected: Errors | None) -> tuple[Named, ...]:
    return _collect(
        _entries(decode_text(Input(data, name=source)), source), source, rule, collected
    )


def _collect(
    lines: Iterable[tuple[str, str]], source: str, rule: Rule, collected: Errors | None
) -> tuple[Named, ...]:
    errors: list[RecipeError] = []
    entries: dict[str, Named] = {}
    for place, text in lines:
        try:
            name = rule(text, place)
        except RecipeError as error:
            errors.append(error)
            if len(errors) == MAX_ERRORS:
                errors.append(RecipeError(f"{source}: there may be more problems than these"))
                break
        else:
            entries.setdefault(name, Named(name=name, place=place))
    if collected is None:
        raise_all(errors)
    else:
        collected += errors
    return tuple(entries.values())


def _entries(text: str, source: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        entry = _COMMENT.sub("", line, count=1).strip(" \t\r")
        if entry:
            yield f"{source}, line {number}", entry


def _extension(text: str, place: str) -> str:
    try:
        return parse_extension_name(text, source=place)
    except FormatError as error:
        raise RecipeError(error.message, hint=error.hint) from None


def _match(kind: Text, text: str, place: str) -> str:
    """Return ``text``, which must be of ``kind``."""
    if not kind.accepts(text):
        raise RecipeError(
            f"{place}: expected {kind.words}, got {show(text)}",
            hint="correct the line, or delete it",
        )
    return text


# Read the list files that a recipe names.

_Parse = Callable[..., tuple[Named, ...]]

# The parsers of lists, by the kind of their items.
_PARSERS: dict[Kind, _Parse] = {
    EXTENSION_NAME: parse_extension_list,
    GEM: parse_gem_list,
    IMAGE_PATH: parse_path_list,
    AUTHORIZED_KEY: parse_key_list,
}


def read_lists(
    document: TomlDocument,
    *,
    folder: Path,
    read: Read,
    errors: list[PurekernelError],
    faults: list[PurekernelError],
) -> Lists:
    """Return the entries of each list that a recipe names.

    Args:
        document: the recipe. It may break the schema, so that errors in its lists are reported
            together with its own.
        folder: folder that the lists' paths are relative to.
        read: reads a list.
        errors: receives an error for each list that cannot be read.
        faults: receives an error for each wrong line of a list; the other lines still count.
    """
    lists: Lists = {}
    for path, name, parse in _named_lists(document.values):
        try:
            content = read(folder / name)
        except PurekernelError as error:
            message = f"{document.place(path)}: {error.message}"
            hint = "give the path of the list relative to the recipe's folder"
            errors.append(RecipeError(message, hint=hint))
            continue
        try:
            lists[path] = parse(content, source=name, errors=faults)
        except PurekernelError as error:
            errors.append(error)
    return lists


def _named_lists(values: dict[str, Any]) -> Iterator[tuple[TomlPath, str, _Parse]]:
    """Yield the path of each key that names a list, the list's file name, and its parser."""
    for table in tables()[1:]:
        value = value_at(values, table.path)
        items: dict[TomlPath, Any] = {table.path: value}
        if table.repeated and isinstance(value, list):
            items = {(*table.path, index): item for index, item in enumerate(value)}
        elif table.names is not None and isinstance(value, dict):
            items = {(*table.path, name): item for name, item in value.items()}
        for path, item in items.items():
            for key in table.keys.values() if isinstance(item, dict) else ():
                if key.list_key is not None and isinstance(key.kind, Array):
                    name = item.get(key.list_key.name)
                    if isinstance(name, str) and name and "\0" not in name:
                        yield (*path, key.list_key.name), name, _PARSERS[key.kind.item]
