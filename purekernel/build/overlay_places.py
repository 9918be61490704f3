"""The user's overlays: where each is, and what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from attrs import frozen

from purekernel.formats.limits import Limits
from purekernel.host.overlay_reader import load_layer, parse_layer
from purekernel.host.read import check_digest, is_folder
from purekernel.plan.fetch_plan import Gathered
from purekernel.plan.files import overlay_role
from purekernel.rootfs.ownership import own_as_root
from purekernel.tree import Layer


@frozen(kw_only=True)
class _Place:
    """Where one of the user's overlays is.

    Attributes:
        role: what it was fetched as, if it was; or
        path: on the host.
        sha256: what a file there must have.
        keep_owners: trust the owners that it records.
    """

    role: str | None = None
    path: Path
    sha256: str | None = None
    keep_owners: bool


class OverlayPlaces:
    """The overlays of a recipe, and those that the command line adds to them."""

    def __init__(
        self, gathered: Gathered, added: Sequence[Path], *, keep_owners: bool, limits: Limits
    ) -> None:
        """Find them; nothing is read yet.

        Args:
            gathered: holds those that were fetched.
            added: those of the command line, in order.
            keep_owners: trust the owners that the latter record.
            limits: the readers' bounds.
        """
        self._gathered = gathered
        self._limits = limits
        recipe = gathered.plan.recipe
        said = tuple(
            _Place(
                role=None if choice.url is None else overlay_role(choice.url),
                path=recipe.folder / (choice.path or ""),
                sha256=choice.sha256,
                keep_owners=choice.keep_owners,
            )
            for choice in recipe.overlays
        )
        self._places = said + tuple(_Place(path=path, keep_owners=keep_owners) for path in added)

    @cached_property
    def archives(self) -> tuple[Layer | None, ...]:
        """Those that are archives, whose times mean something; ``None`` for folders.

        Raises:
            PurekernelError: one cannot be read, is damaged, or is not what it must be.
        """
        return tuple(map(self._archive, self._places))

    def layers(self, mtime: int) -> tuple[Layer, ...]:
        """Return all, in order, with ``mtime`` where they say no times.

        Raises:
            PurekernelError: as above.
        """
        return tuple(
            own_as_root(load_layer(place.path, mtime=mtime, limits=self._limits))
            if archive is None
            else self._dated(place, archive, mtime)
            for place, archive in zip(self._places, self.archives, strict=True)
        )

    def _archive(self, place: _Place) -> Layer | None:
        fetched = None if place.role is None else self._gathered.file(place.role)
        if fetched is not None:
            name, content = fetched
            layer = parse_layer(content, source=name, limits=self._limits)
        else:
            if place.sha256 is not None:
                check_digest(place.path, place.sha256)
            if is_folder(place.path):
                return None
            layer = load_layer(place.path, mtime=0, limits=self._limits)
        return layer if place.keep_owners else own_as_root(layer)

    def _dated(self, place: _Place, archive: Layer, mtime: int) -> Layer:
        """Return ``archive``, and where it says no times, as a manifest may, with ours."""
        if place.role is not None or all(
            node.metadata.mtime for _path, node in archive.tree.walk()
        ):
            return archive
        layer = load_layer(place.path, mtime=mtime, limits=self._limits)
        return layer if place.keep_owners else own_as_root(layer)
