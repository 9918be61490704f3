"""Show a recipe as it is after joining it with the files that it extends, with origins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from purekernel.errors import UsageError
from purekernel.fetch.urls import is_url, redact
from purekernel.formats.toml import TomlDocument, TomlPath
from purekernel.host.read import is_file
from purekernel.recipe.defaults import RECIPE_NAME
from purekernel.recipe.join import DISCARD
from purekernel.recipe.keys import Table, value_at
from purekernel.recipe.kinds import Array, Kind, Text
from purekernel.recipe.parents import EXTENDS
from purekernel.recipe.read import load_joined
from purekernel.recipe.schema import tables
from purekernel.recipe.words import to_toml, to_toml_key, without_credentials
from purekernel.records import frozen

# What stands for a secret. No key has a kind that accepts it, so the text cannot be built from.
_HIDDEN = False

# Longer comments in the header would be of no use on a screen.
_MOST_NAMED = 10


@frozen(kw_only=True)
class Origin:
    """Where a value of a recipe is given.

    Attributes:
        path: keys and indices of the value in the joined recipe.
        file: the file that gives it: a recipe, or a list.
        line: the line in it, from 1.
    """

    path: TomlPath
    file: str
    line: int


@frozen(kw_only=True)
class EffectiveRecipe:
    """A recipe as it is after joining.

    Attributes:
        files: names of the joined files in order, the recipe itself last.
        values: its tables and keys, in the order of the reference. A secret that is hidden is
            ``False``.
        origins: the origin of each key, and of each item of an array, in the same order.
        text: the same as TOML, with origins as comments.
    """

    files: tuple[str, ...]
    values: Mapping[str, Any]
    origins: tuple[Origin, ...]
    text: str


def show_recipe(path: Path | None = None, *, secrets: bool = False) -> EffectiveRecipe:
    """Return what the recipe at ``path`` says together with the files that it extends.

    Args:
        path: path of a recipe, or of a folder with a ``purekernel.toml``; by default that of the
            current folder.
        secrets: include passwords, also those in URLs.

    Raises:
        UsageError: no path is given, and the current folder has no recipe.
        InputError: the file cannot be read.
        RecipeError: the recipe, a file that it extends, or a list has an error.
        CombinedError: there are several errors.
    """
    if path is None and not is_file(Path(RECIPE_NAME)):
        raise UsageError(
            f"nothing to show: the current folder has no {RECIPE_NAME}",
            hint="write a recipe with 'purekernel init', or name one with --recipe",
        )
    document, files = load_joined(path or Path(RECIPE_NAME))
    return render(document, files, secrets=secrets)


def render(
    document: TomlDocument, files: tuple[str, ...], *, secrets: bool = False
) -> EffectiveRecipe:
    """Return a joined ``document``, which is valid, in the order of the reference."""
    shown = _Shown(document, secrets=secrets)
    others = list(files[:-1])
    if len(others) > _MOST_NAMED:
        others = [*others[:_MOST_NAMED], f"{len(others) - _MOST_NAMED} more"]
    joined = f", joined with {', '.join(others)}" if others else ""
    about = [
        f"# {_one_line(document.source)}{_one_line(joined)}.",
        "# Relative paths start at its folder.",
    ]
    return EffectiveRecipe(
        files=files,
        values=shown.values,
        origins=tuple(shown.origins),
        text="\n".join([*about, *shown.lines]) + "\n",
    )


class _Shown:
    """The lines, values and origins of a recipe that is shown."""

    def __init__(self, document: TomlDocument, *, secrets: bool) -> None:
        self._document = document
        self._secrets = secrets
        self.lines: list[str] = []
        self.values: dict[str, Any] = {}
        self.origins: list[Origin] = []
        top, *inner = tables()
        given = {key: value for key, value in document.values.items() if key in top.keys}
        given = {key: value for key, value in given.items() if key not in (EXTENDS, DISCARD)}
        if given:
            self.lines.append("")
            self.values |= self._keys(top, given, ())
        for table in inner:
            *outer, name = table.path
            value = value_at(document.values, table.path)
            if value is not None:
                value_at(self.values, outer)[name] = self._table(table, value)

    def _table(self, table: Table, value: Any) -> Any:
        """Add the tables of one kind; return their values."""
        path = table.path
        if table.repeated:
            return [
                self._one(table, item, (*path, index), f"[[{table.name}]]")
                for index, item in enumerate(value)
            ]
        if table.names is not None:
            return {
                name: self._one(table, item, (*path, name), f"[{table.name}.{to_toml_key(name)}]")
                for name, item in value.items()
            }
        return self._one(table, value, path, f"[{table.name}]")

    def _one(self, table: Table, values: Any, path: TomlPath, header: str) -> dict[str, Any]:
        origin = self._origin(path)
        self.lines += ["", f"{header}  # {_words(origin)}"]
        return self._keys(table, values, path)

    def _keys(self, table: Table, values: Mapping[str, Any], path: TomlPath) -> dict[str, Any]:
        """Add the keys of a table in the order of its description; return their values."""
        return {
            name: self._key(name, key.kind, values[name], (*path, name))
            for name, key in table.keys.items()
            if name in values
        }

    def _key(self, name: str, kind: Kind, value: Any, path: TomlPath) -> Any:
        """Add one key; return its value."""
        origin = self._origin(path)
        self.origins.append(origin)
        if not isinstance(value, list):
            shown, note = self._shown(kind, value)
            self.lines.append(f"{to_toml_key(name)} = {to_toml(shown)}  # {note}{_words(origin)}")
            return shown
        item_kind = kind.item if isinstance(kind, Array) else kind
        items = [self._shown(item_kind, item) for item in value]
        origins = [self._origin((*path, index)) for index in range(len(value))]
        self.origins += origins
        notes = [note + _words(each) for (_item, note), each in zip(items, origins, strict=True)]
        if len({*notes}) <= 1:
            texts = ", ".join(to_toml(item) for item, _note in items)
            note = notes[0] if notes else _words(origin)
            self.lines.append(f"{to_toml_key(name)} = [{texts}]  # {note}")
        else:
            self.lines.append(f"{to_toml_key(name)} = [")
            for (item, _note), note in zip(items, notes, strict=True):
                self.lines.append(f"  {to_toml(item)},  # {note}")
            self.lines.append("]")
        return [item for item, _note in items]

    def _shown(self, kind: Kind, value: Any) -> tuple[Any, str]:
        """Return a value as it is shown, and words about what is hidden; empty for nothing."""
        if self._secrets:
            return value, ""
        if isinstance(kind, Text) and kind.secret:
            return _HIDDEN, "hidden without --secrets; "
        shown = _without_secrets(value)
        return shown, "" if shown == value else "shortened without --secrets; "

    def _origin(self, path: TomlPath) -> Origin:
        file, line = self._document.origin(path)
        return Origin(path=path, file=file, line=line)


def _without_secrets(value: Any) -> Any:
    """Return a value without the passwords and tokens of URLs in it."""
    if isinstance(value, dict):
        return {name: _without_secrets(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    if not isinstance(value, str):
        return value
    return redact(value) if is_url(value) else without_credentials(value)


def _words(origin: Origin) -> str:
    return f"{_one_line(origin.file)}, line {origin.line}"


def _one_line(text: str) -> str:
    """Return a file's name without characters that would end or break a comment."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", text)
