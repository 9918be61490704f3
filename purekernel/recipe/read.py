"""Read a recipe from ``purekernel.toml``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from purekernel.errors import LimitError, PurekernelError, RecipeError, raise_all
from purekernel.formats.limits import Limits
from purekernel.formats.text import MOST_BYTES
from purekernel.formats.tinycore import parse_extension_name
from purekernel.formats.toml import TomlDocument, TomlPath, parse_toml
from purekernel.host.read import load_file
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


# The schema's names for the fields of the ISO, and ours.
_VOLUME = {
    "volume-id": "volume_id",
    "application": "application_id",
    "system": "system_id",
    "publisher": "publisher_id",
    "preparer": "preparer_id",
}


Read = Callable[[Path], bytes]
"""Returns what a file on the host holds."""


Lists = dict[TomlPath, tuple[Named, ...]]
"""For the path of each key that names a list, what is in it."""


_Parse = Callable[..., tuple[Named, ...]]


def read_text_file(path: Path) -> bytes:
    """Return what the file at ``path`` holds, if it may be a recipe, list or settings.

    It may be a fifo, too: people write ``-b <(grep -v ssh builtin.lst)``.

    Raises:
        InputError: it cannot be read.
        RecipeError: it is too large.
    """
    try:
        return load_file(path, limits=Limits(unpacked_bytes=MOST_BYTES), streams=True)
    except LimitError:
        raise RecipeError(
            f"{path} has more than {MOST_BYTES} bytes", hint="check that this is the file you mean"
        ) from None


def load_recipe(path: Path, *, read: Read = read_text_file, defer_lists: bool = False) -> Recipe:
    """Return the recipe in the file at ``path``, with what its lists name.

    Args:
        path: of a ``purekernel.toml``; what it says of paths is relative to its folder.
        read: reads it and its lists.
        defer_lists: as :func:`parse_recipe` has it.

    Raises:
        InputError: it cannot be read.
        RecipeError: something in it or in its lists is wrong; the message names file and line.
        CombinedError: several things are.
    """
    return parse_recipe(
        read(path), source=str(path), folder=path.parent, read=read, defer_lists=defer_lists
    )


# Read the lists that a recipe names.


def read_lists(
    document: TomlDocument,
    *,
    folder: Path,
    read: Read,
    errors: list[PurekernelError],
    faults: list[PurekernelError],
) -> Lists:
    """Return what is in each list that a recipe names.

    Args:
        document: the recipe, which need not follow the schema: what is wrong in its lists can
            be told besides.
        folder: what the lists' paths are relative to.
        read: reads a list.
        errors: takes why a list cannot be read.
        faults: takes what is wrong with lines of lists, whose others count all the same.
    """
    lists: Lists = {}
    for path, name, parse in _named(document.values):
        try:
            content = read(folder / name)
        except PurekernelError as error:
            message = f"{document.place(path)}: {error.message}"
            hint = "a list's path is taken from the recipe's folder"
            errors.append(RecipeError(message, hint=hint))
            continue
        try:
            lists[path] = parse(content, source=name, errors=faults)
        except PurekernelError as error:
            errors.append(error)
    return lists


def _named(values: dict[str, Any]) -> Iterator[tuple[TomlPath, str, _Parse]]:
    """Yield the path of each key that names a list, the file, and what reads it."""
    cuts = values.get("cut")
    count = len(cuts) if isinstance(cuts, list) else 0
    places: list[tuple[TomlPath, _Parse]] = [
        (("extensions", "builtin-list"), parse_extension_list),
        (("extensions", "mirror-list"), parse_extension_list),
        *((("cut", index, "list"), parse_path_list) for index in range(count)),
        (("gems", "list"), parse_gem_list),
    ]
    for path, parse in places:
        name = _at(values, path)
        if isinstance(name, str) and name and "\0" not in name:
            yield path, name, parse


def _at(value: Any, path: TomlPath) -> Any:
    """Return what is at ``path``; ``None`` where nothing is, or something else on the way."""
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
    """Return the recipe in ``data``, with what its lists name.

    Args:
        data: what a ``purekernel.toml`` holds.
        source: the file's name, for messages.
        folder: what relative paths are relative to.
        read: reads its lists.
        defer_lists: leave what is wrong with lines of lists to the recipe's ``faults``, so
            that it can be told together with what is wrong with the others.

    Raises:
        RecipeError: something in it or in its lists is wrong; the message names file and line.
        CombinedError: several things are.
    """
    document = parse_toml(data, source=source)
    errors: list[PurekernelError] = []
    try:
        check_recipe(document)
    except PurekernelError as error:
        errors.append(error)
    faults: list[PurekernelError] = []
    lists = read_lists(document, folder=folder, read=read, errors=errors, faults=faults)
    if errors or not defer_lists:
        raise_all([*errors, *faults])
    recipe = _Reading(document=document, lists=lists).recipe(folder)
    return evolve(recipe, faults=tuple(faults))


@frozen(kw_only=True)
class _Reading:
    """A recipe that follows the schema, on its way to being values."""

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
        """Return what a list and then an array name, each name once; ``None`` where neither is."""
        items = self._at(table).get(key)
        listed = self.lists.get((*table, list_key)) if list_key else None
        if items is None and listed is None:
            return None
        found = {named.name: named for named in listed or ()}
        for index, item in enumerate(items or ()):
            name = rule(item)
            place = self.document.place((*table, key, index))
            found.setdefault(name, Named(name=name, place=place))
        return tuple(found.values())

    def _at(self, path: TomlPath) -> Values:
        value: Any = self.document.values
        for key in path:
            value = value.get(key, {}) if isinstance(key, str) else value[key]
        table: Values = value
        return table


def _fields(values: Values, *, lower: tuple[str, ...] = ()) -> Values:
    """Return ``values`` under the names of our fields, those in ``lower`` in lower case."""
    fields = {key.replace("-", "_"): value for key, value in values.items()}
    return {key: value.lower() if key in lower else value for key, value in fields.items()}


def _account(name: str, values: Values) -> Account:
    numbers = {key: _integer(values.get(key)) for key in ("uid", "gid")}
    return Account(name=name, **{**_fields(values), **numbers})


def _iso(values: Values) -> IsoChoice:
    return IsoChoice(
        volume={ours: values[key] for key, ours in _VOLUME.items() if key in values},
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
    """Return a whole number, which to JSON's schemas 1.0 is as well."""
    return None if value is None else int(value)
