"""Find and read the overlays of a recipe: folders, archives, places in them, layers in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from attrs import evolve

from purekernel.errors import InputError, inside
from purekernel.fetch.urls import portable_name, redact, tell_apart
from purekernel.formats.address import Item, Opener
from purekernel.host.addresses import find_item, find_on_host, split_address
from purekernel.host.overlay_reader import load_layer, parse_layer
from purekernel.host.read import check_content, check_digest, exists, is_folder
from purekernel.input import Input, Limits
from purekernel.recipe.additions import OverlayChoice
from purekernel.recipe.model import Recipe
from purekernel.rootfs.ownership import own_as_root
from purekernel.tree import Directory, Layer, Origin, OriginKind, branch

# Role of an overlay among the files of a plan.
OVERLAY = "overlay"

FindFile = Callable[[str], tuple[str, bytes] | None]
"""Returns name and content of the fetched file with a role, or ``None``."""


def overlay_role(url: str) -> str:
    """Return the role of an overlay from the network."""
    return f"{OVERLAY} {tell_apart(url)}"


def overlay_origin(choice: OverlayChoice) -> Origin:
    """Return where the files of an overlay come from, named as the recipe names it."""
    if choice.layer is not None and choice.layer.origin is not None:
        return choice.layer.origin
    source = "" if choice.layer is None else choice.layer.source
    return Origin(OriginKind.OVERLAY, portable_name(choice.url or choice.path or source))


def missing_overlays(recipe: Recipe) -> Iterator[InputError]:
    """Yield an error for each overlay that does not exist on this host."""
    for overlay in recipe.overlays:
        if overlay.path is None:
            continue
        if overlay.from_command_line:
            if not _begins_on_host(Path(overlay.path)):
                yield InputError(
                    f"{overlay.path} does not exist", hint="check the path of the overlay"
                )
        elif not _begins_on_host(recipe.folder / overlay.path):
            yield InputError(
                f"overlay not found: {recipe.folder / overlay.path}",
                hint="correct its path; it is relative to the recipe's folder",
            ).within(overlay.place("path"))


def _begins_on_host(path: Path) -> bool:
    """Return whether the path exists, or a file before one of its colons."""
    return any(exists(Path(host)) for host, _inner in split_address(str(path)))


class Overlays:
    """The overlays of a recipe, read on first use."""

    def __init__(self, recipe: Recipe, *, limits: Limits, fetched: FindFile | None = None) -> None:
        """Locate the overlays without reading them.

        Args:
            recipe: names the overlays.
            limits: limits on parsed input.
            fetched: returns the fetched overlays; ``None`` if none can be fetched.
        """
        self._recipe = recipe
        self._limits = limits
        self._find = fetched
        self._opener = Opener()
        # What was found inside files, by its address. A folder's tree is not read again.
        self._inside: dict[Path, Item | None] = {}

    @cached_property
    def dated(self) -> tuple[Layer | None, ...]:
        """The overlays that record times: archives and layers in memory; ``None`` for folders.

        Raises:
            PurekernelError: an overlay cannot be read, is damaged, or has another digest.
        """
        return tuple(map(self._dated, self._recipe.overlays))

    def layers(self, mtime: int) -> tuple[Layer, ...]:
        """Return all overlays, in order. Entries without a time get ``mtime``.

        Raises:
            PurekernelError: as for :attr:`dated`.
        """
        return tuple(
            evolve(self._at(choice, layer, mtime), origin=overlay_origin(choice))
            for choice, layer in zip(self._recipe.overlays, self.dated, strict=True)
        )

    def _dated(self, choice: OverlayChoice) -> Layer | None:
        if choice.layer is not None:
            layer = choice.layer
        elif choice.url is not None:
            with inside(choice.place("url")):
                layer = self._fetched(choice.url)
        else:
            path = self._path(choice)
            with inside(choice.place("path")):
                inner = self._inner(choice)
            if choice.sha256 is not None:
                with inside(choice.place("sha256")):
                    if inner is None:
                        check_digest(path, choice.sha256)
                    else:
                        check_content(inner.load(), choice.sha256)
            if inner is None and is_folder(path):
                return None
            layer = self._load(choice, 0, self._limits)
        return layer if choice.keep_owners else own_as_root(layer)

    def _at(self, choice: OverlayChoice, layer: Layer | None, mtime: int) -> Layer:
        """Return an overlay in which no entry lacks a time; a manifest may give none."""
        on_host = choice.layer is None and choice.url is None
        if layer is not None and (
            not on_host or all(node.metadata.mtime for node in layer.tree.nodes())
        ):
            return layer
        # What was read before is counted already, and is dropped.
        limits = self._limits if layer is None else self._limits.unbudgeted()
        layer = self._load(choice, mtime, limits)
        return layer if choice.keep_owners else own_as_root(layer)

    def _fetched(self, url: str) -> Layer:
        fetched = None if self._find is None else self._find(overlay_role(url))
        if fetched is None:
            raise InputError(
                f"{redact(url)} was not fetched: an overlay of a bundle must be a file or folder",
                hint="download it, and give its path",
            )
        name, content = fetched
        return parse_layer(Input(content, name=name, limits=self._limits))

    def _load(self, choice: OverlayChoice, mtime: int, limits: Limits) -> Layer:
        with inside(choice.place("path")):
            inner = self._inner(choice)
            if inner is None:
                return load_layer(self._path(choice), mtime=mtime, limits=limits)
            inner = inner.follow()
            if isinstance(inner.node, Directory):
                return Layer(source=inner.address, tree=branch(inner.tree, inner.path))
            return parse_layer(inner.load())

    def _inner(self, choice: OverlayChoice) -> Item | None:
        """Return what an overlay names inside a file; ``None`` for a file or folder of the host."""
        path = self._path(choice)
        if path not in self._inside:
            found = find_on_host(path)
            self._inside[path] = (
                None
                if found.inner is None
                else find_item(found, limits=self._limits, opener=self._opener)
            )
        return self._inside[path]

    def _path(self, choice: OverlayChoice) -> Path:
        path = Path(choice.path or "")
        return path if choice.from_command_line else self._recipe.folder / path
