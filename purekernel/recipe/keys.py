"""Describe the keys and tables of a recipe.

The classes of :mod:`purekernel.recipe.model`, and of the modules with its tables, attach these
descriptions to their fields. All else is made from them: the check and the reader of recipes, the
JSON schema, the template of ``purekernel init``, and the reference in the documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import NOTHING, evolve, field, fields

from purekernel.fetch.urls import redact
from purekernel.recipe.kinds import Kind, Schema, Text
from purekernel.records import frozen

if TYPE_CHECKING:
    from purekernel.formats.toml import TomlPath

_KEY = "recipe key"
_TABLE = "recipe table"

P = TypeVar("P", bound="Placed")


def show_place(place: str | None) -> str:
    """Return the representation of a path or URL, without passwords."""
    return repr(None if place is None else redact(place))


def show_places(places: tuple[str, ...]) -> str:
    """Return the representation of paths or URLs, without passwords."""
    return repr(tuple(map(redact, places)))


@frozen(kw_only=True, eq=False)
class Key:
    """A key of a recipe.

    Attributes:
        name: the key as a recipe writes it: ``iso-sha256``.
        title: a few words, for editors.
        description: what the key means, in whole sentences.
        kind: the values that it can have.
        examples: values as a recipe writes them; the first one is shown in messages.
        default: the value that applies without the key, as a recipe writes it; ``None`` if the
            description tells it.
        required: whether its table must have it.
        table: name of the table that has the key although the model keeps it in the recipe itself.
        named: whether each name keeps its place for messages, as a
            :class:`Named`.
        list_key: a second key, which names a file with more items of the same kind.
        attribute: name of the model's attribute.
    """

    name: str = ""
    title: str
    description: str
    kind: Kind
    examples: tuple[Any, ...]
    default: Any = None
    required: bool = False
    table: str = ""
    named: bool = False
    list_key: Key | None = None
    attribute: str = ""

    def schema(self) -> Schema:
        """Return the JSON schema of the key."""
        return {
            "title": self.title,
            "description": self.description,
            **self.kind.schema(),
            **({} if self.default is None else {"default": self.default}),
            "examples": list(self.examples),
        }


@frozen(kw_only=True, eq=False)
class Table:
    """A table of a recipe.

    Attributes:
        name: key of the table in the recipe, such as ``iso``, or ``iso.file`` for a table in
            another; empty for the recipe itself.
        title: a few words, for editors.
        description: what the table means, in whole sentences.
        model: the class that holds its values.
        repeated: whether it is an array of tables.
        names: the names that a user can give to tables in it; ``None`` if it holds no tables.
        example: a valid value, if it holds tables.
        item_title: the title of one table, where there can be several.
        one_of: keys of which a table must have exactly one.
        any_of: keys of which a table must have at least one.
        exclusive: keys of which a table can have only one; a flag counts if it is true.
        keys: the table's keys by their names, in the order of the documentation.
        attribute: name of the recipe's attribute.
    """

    name: str = ""
    title: str = ""
    description: str = ""
    model: type
    repeated: bool = False
    names: Text | None = None
    example: Mapping[str, Any] = field(factory=dict)
    item_title: str = ""
    one_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()
    keys: Mapping[str, Key] = field(factory=dict)
    attribute: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that lead to the table; empty for the recipe itself."""
        return tuple(self.name.split(".")) if self.name else ()

    @property
    def label(self) -> str:
        """The table's header: ``[boot]``, ``[[overlay]]``, ``[accounts.tc]``; empty for none."""
        if self.repeated:
            return f"[[{self.name}]]"
        return f"[{'.'.join([self.name, *self.example])}]" if self.name else ""

    def header(self, path: TomlPath) -> str:
        """Return the header of the table at ``path``: ``[accounts.anna]``."""
        return self.label if self.repeated else f"[{'.'.join(map(str, path))}]"

    @property
    def required(self) -> tuple[str, ...]:
        """The keys that the table must have."""
        return tuple(name for name, key in self.keys.items() if key.required)


def key(
    title: str,
    description: str,
    kind: Kind,
    *examples: Any,
    default: Any = None,
    table: str = "",
    named: bool = False,
    list_key: Key | None = None,
) -> dict[str, Key]:
    """Return the metadata of a field that holds the value of a key.

    The key is named after the field. See :class:`Key` for the arguments.
    """
    described = Key(
        title=title, description=description, kind=kind, examples=examples, default=default,
        table=table, named=named, list_key=list_key,
    )  # fmt: skip
    return {_KEY: described}


def table(name: str, title: str, description: str, model: type, **rules: Any) -> dict[str, Table]:
    """Return the metadata of a field of the recipe that holds a table, or several of them.

    See :class:`Table` for the arguments.
    """
    described = Table(name=name, title=title, description=description, model=model, **rules)
    return {_TABLE: described}


def keys_of(model: type) -> dict[str, Key]:
    """Return the keys that the fields of ``model`` hold, by their names."""
    keys: dict[str, Key] = {}
    for attribute in fields(model):
        described: Key | None = attribute.metadata.get(_KEY)
        if described is None:
            continue
        name, default = attribute.name.replace("_", "-"), described.default
        if default is None and isinstance(attribute.default, bool | str):
            default = attribute.default
        keys[name] = evolve(
            described,
            name=name,
            default=default,
            required=attribute.default is NOTHING and described.list_key is None,
            attribute=attribute.name,
        )
        if described.list_key is not None:
            keys[described.list_key.name] = described.list_key
    return keys


def tables_in(table: Table, tables: Iterable[Table]) -> dict[str, Table]:
    """Return those of ``tables`` that are directly in ``table``, by their keys in it."""
    return {each.path[-1]: each for each in tables if each.path and each.path[:-1] == table.path}


def value_at(values: Any, path: Iterable[str]) -> Any:
    """Return the value at ``path`` in the tables ``values``; ``None`` if a table lacks it."""
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return values


def tables_of(recipe: type) -> tuple[Table, ...]:
    """Return the tables that the fields of ``recipe`` hold, beginning with the recipe itself."""
    keys = keys_of(recipe)
    top = {name: described for name, described in keys.items() if not described.table}
    tables = [Table(model=recipe, keys=top)]
    for attribute in fields(recipe):
        described: Table | None = attribute.metadata.get(_TABLE)
        if described is not None:
            moved = {name: each for name, each in keys.items() if each.table == described.name}
            inner = {**keys_of(described.model), **moved}
            tables.append(evolve(described, keys=inner, attribute=attribute.name))
    return tuple(tables)


@frozen(kw_only=True)
class Placed:
    """Values that keep where the user gave them, for errors that are found later.

    Attributes:
        places: for each attribute that a recipe or settings file gives, the file, the line and the
            key: ``purekernel.toml, line 12, default under [boot]``. The empty name stands for the
            table.
    """

    places: Mapping[str, str] = field(factory=dict, eq=False, repr=False)

    def place(self, attribute: str = "") -> str:
        """Return where ``attribute`` was given; empty for a default or the command line's value."""
        return self.places.get(attribute, "")


@frozen(kw_only=True)
class Named:
    """A name in a list, with its position for messages.

    Attributes:
        name: ``bash.tcz``, ``lshw.deb``, ``json_pure >= 1.7.7``.
        place: ``purekernel.toml, line 12, builtin under [extensions]``, or ``builtin.lst, line 3``.
    """

    name: str
    place: str = field(eq=False)


def override(values: P, *, place: str = "", **given: Any) -> P:
    """Return ``values`` with the attributes in ``given`` that are not ``None``.

    Args:
        values: the values of a recipe.
        place: where the others were given, for messages; empty for the command line.
        given: the values that replace those of the recipe.
    """
    changed = {name: value for name, value in given.items() if value is not None}
    return evolve(values, **changed, places={**values.places, **dict.fromkeys(changed, place)})
