"""Read a recipe from ``purekernel.toml``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from purekernel.errors import LimitError, PurekernelError, RecipeError, raise_all
from purekernel.formats.text import MOST_BYTES
from purekernel.formats.tinycore import parse_extension_name
from purekernel.formats.toml import TomlDocument, TomlPath, parse_toml
from purekernel.host.read import load_file
from purekernel.input import Input, Limits
from purekernel.recipe.check import check_recipe
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.lists import parse_extension_list, parse_gem_list, parse_path_list
from purekernel.recipe.model import (
    Account,
    BootChanges,
    CoreChoice,
    Cut,
    DebianChoice,
    DownloadChoice,
    Extensions,
    GemLayout,
    Gems,
    IsoChoice,
    Mirrors,
    Named,
    Need,
    OutputChoice,
    OverlayChoice,
    Razor,
    Recipe,
)

Values = dict[str, Any]


# Maps the schema's names of the ISO's fields to those of :mod:`purekernel.formats.iso`.
_VOLUME = {
    "volume-id": "volume_id",
    "application": "application_id",
    "system": "system_id",
    "publisher": "publisher_id",
    "preparer": "preparer_id",
}


Read = Callable[[Path], bytes]
"""Returns the content of a file on the host."""


Lists = dict[TomlPath, tuple[Named, ...]]
"""Maps the path of each key that names a list to the entries of the list."""


_Parse = Callable[..., tuple[Named, ...]]


def read_text_file(path: Path) -> bytes:
    """Return the content of a recipe, list or settings file.

    The file may also be a fifo: users write ``-b <(grep -v ssh builtin.lst)``.

    Raises:
        InputError: the file cannot be read.
        RecipeError: the file is too large.
    """
    try:
        return load_file(path, limits=Limits(unpacked_bytes=MOST_BYTES), streams=True)
    except LimitError:
        raise RecipeError(
            f"{path} has more than {MOST_BYTES} bytes", hint="check that this is the right file"
        ) from None


def load_recipe(path: Path, *, read: Read = read_text_file, defer_lists: bool = False) -> Recipe:
    """Return the recipe in the file at ``path``, with the entries of its lists.

    Args:
        path: path of a ``purekernel.toml``. Paths in it are relative to its folder.
        read: reads the recipe and its lists.
        defer_lists: see :func:`parse_recipe`.

    Raises:
        InputError: the file cannot be read.
        RecipeError: the recipe or one of its lists has an error; the message names file and line.
        CombinedError: there are several errors.
    """
    return parse_recipe(
        read(path), source=str(path), folder=path.parent, read=read, defer_lists=defer_lists
    )


# Read the list files that a recipe names.


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
    cuts = values.get("cut")
    count = len(cuts) if isinstance(cuts, list) else 0
    list_keys: list[tuple[TomlPath, _Parse]] = [
        (("extensions", "builtin-list"), parse_extension_list),
        (("extensions", "mirror-list"), parse_extension_list),
        *((("cut", index, "list"), parse_path_list) for index in range(count)),
        (("gems", "list"), parse_gem_list),
    ]
    for path, parse in list_keys:
        name = _at(values, path)
        if isinstance(name, str) and name and "\0" not in name:
            yield path, name, parse


def _at(value: Any, path: TomlPath) -> Any:
    """Return the value at ``path``; ``None`` if ``path`` does not lead to a value."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        else:
            value = value[key] if isinstance(value, list) and isinstance(key, int) else None
    return value


def parse_recipe(
    data: bytes,
    *,
    source: str,
    folder: Path,
    read: Read = read_text_file,
    defer_lists: bool = False,
) -> Recipe:
    """Return the recipe in ``data``, with the entries of its lists.

    Args:
        data: content of a ``purekernel.toml``.
        source: the file's name, for messages.
        folder: folder that relative paths are relative to.
        read: reads the recipe's lists.
        defer_lists: put errors in lines of lists into the recipe's ``faults``, so that the
            caller can report them together with other errors.

    Raises:
        RecipeError: the recipe or one of its lists has an error; the message names file and line.
        CombinedError: there are several errors.
    """
    document = parse_toml(Input(data, name=source))
    errors: list[PurekernelError] = []
    try:
        check_recipe(document)
    except PurekernelError as error:
        errors.append(error)
    faults: list[PurekernelError] = []
    lists = read_lists(document, folder=folder, read=read, errors=errors, faults=faults)
    if errors or not defer_lists:
        raise_all([*errors, *faults])
    recipe = _Converter(document=document, lists=lists).recipe(folder)
    return evolve(recipe, faults=tuple(faults))


@frozen(kw_only=True)
class _Converter:
    """Converts a recipe that follows the schema to values."""

    document: TomlDocument
    lists: Lists = field(factory=dict)

    def recipe(self, folder: Path) -> Recipe:
        values = self.document.values
        boot = values.get("boot", {})
        return Recipe(
            source=self.document.source,
            folder=folder,
            name=values.get("name"),
            version=values.get("version"),
            flavour=Flavour(values["flavour"]) if "flavour" in values else None,
            timestamp=_integer(values.get("timestamp")),
            core=CoreChoice(**_fields(values.get("core", {}), lower=("iso_sha256",))),
            mirrors=Mirrors(
                **{key: tuple(urls) for key, urls in _fields(values.get("mirrors", {})).items()}
            ),
            extensions=self._extensions(values.get("extensions", {})),
            cuts=tuple(self._cut(index, cut) for index, cut in enumerate(values.get("cut", []))),
            needs=tuple(
                Need(
                    package=need["package"],
                    extensions=tuple(map(parse_extension_name, need["extensions"])),
                )
                for need in values.get("need", [])
            ),
            debian=DebianChoice(**_fields(values.get("debian", {}))),
            gems=self._gems(values.get("gems", {})),
            overlays=tuple(
                OverlayChoice(**_fields(overlay, lower=("sha256",)))
                for overlay in values.get("overlay", [])
            ),
            accounts=tuple(
                _account(name, account) for name, account in values.get("accounts", {}).items()
            ),
            boot=BootChanges(
                append=boot.get("append"),
                timeout=_integer(boot.get("timeout")),
                default=boot.get("default"),
            ),
            autologin=boot.get("autologin"),
            iso=_iso(values.get("iso", {})),
            razor=_razor(values["razor"]) if "razor" in values else None,
            output=_output(values.get("output", {})),
            downloads=_downloads(values.get("downloads", {})),
            drop_boot=values.get("drop-boot", False),
        )

    def _extensions(self, values: Values) -> Extensions:
        return Extensions(
            builtin=self._named(("extensions",), "builtin", "builtin-list", parse_extension_name),
            mirror=self._named(("extensions",), "mirror", "mirror-list", parse_extension_name),
            merged=self._named(("extensions",), "merged", None, parse_extension_name) or (),
            skip=frozenset(map(parse_extension_name, values.get("skip", []))),
            dependencies=values.get("dependencies", True),
        )

    def _cut(self, index: int, values: Values) -> Cut:
        path = ("cut", index)
        return Cut(
            extension=Named(
                name=parse_extension_name(values["extension"]),
                place=self.document.place((*path, "extension")),
            ),
            files=self._named(path, "files", "list", str) or (),
        )

    def _gems(self, values: Values) -> Gems:
        return Gems(
            wanted=self._named(("gems",), "wanted", "list", str),
            layout=GemLayout(values["layout"]) if "layout" in values else None,
            ruby=values.get("ruby"),
        )

    def _named(
        self, table: TomlPath, key: str, list_key: str | None, rule: Callable[[str], str]
    ) -> tuple[Named, ...] | None:
        """Return the names in a list file and an array, each once; ``None`` if both are absent."""
        items = self._at(table).get(key)
        listed = self.lists.get((*table, list_key)) if list_key else None
        if items is None and listed is None:
            return None
        names = {named.name: named for named in listed or ()}
        for index, item in enumerate(items or ()):
            name = rule(item)
            place = self.document.place((*table, key, index))
            names.setdefault(name, Named(name=name, place=place))
        return tuple(names.values())

    def _at(self, path: TomlPath) -> Values:
        value: Any = self.document.values
        for key in path:
            value = value.get(key, {}) if isinstance(key, str) else value[key]
        table: Values = value
        return table


def _fields(values: Values, *, lower: tuple[str, ...] = ()) -> Values:
    """Return ``values`` by field name; values of the fields in ``lower`` are put in lower case."""
    fields = {key.replace("-", "_"): value for key, value in values.items()}
    return {key: value.lower() if key in lower else value for key, value in fields.items()}


def _account(name: str, values: Values) -> Account:
    numbers = {key: _integer(values.get(key)) for key in ("uid", "gid")}
    return Account(name=name, **{**_fields(values), **numbers})


def _iso(values: Values) -> IsoChoice:
    return IsoChoice(
        volume={field_name: values[key] for key, field_name in _VOLUME.items() if key in values},
        keep_files=values.get("keep-files"),
    )


def _razor(values: Values) -> Razor:
    fields = _fields(values, lower=("project_sha256",))
    for key in ("rubygems", "open_vm_tools", "mcollective"):
        if fields.get(key) is False:
            fields[key] = ""
    return Razor(**fields)


def _output(values: Values) -> OutputChoice:
    return OutputChoice(
        folder=values.get("folder"), emit=tuple(dict.fromkeys(values.get("emit", [])))
    )


def _downloads(values: Values) -> DownloadChoice:
    fields = _fields(values)
    for key in ("parallel", "attempts"):
        fields[key] = _integer(fields.get(key))
    return DownloadChoice(**fields)


def _integer(value: float | None) -> int | None:
    """Return ``value`` as an integer; in JSON Schema 1.0 is an integer as well."""
    return None if value is None else int(value)
