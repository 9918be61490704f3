"""Define where a file of an image comes from."""

from __future__ import annotations

from enum import Enum

from purekernel.records import frozen


class OriginKind(Enum):
    """The kinds of sources of files, in the order in which they are listed."""

    BASE = "base"
    """The Core that an image starts from."""
    EXTENSION = "extension"
    """An extension, with the files beside it."""
    PACKAGE = "package"
    """A Debian package."""
    GEM = "gem"
    """A Ruby gem."""
    OVERLAY = "overlay"
    """What the user lays over the base, and files that the recipe puts on the ISO."""
    EDIT = "edit"
    """What the recipe writes or changes in the image: ``[[edit]]``, ``[[file]]``, ``[system]``."""
    GENERATED = "generated"
    """What a build makes: lists of extensions, module indexes, the loader's cache."""


@frozen
class Origin:
    """Where a file of an image comes from.

    Names are those of the recipe, never paths of the host that builds: they are part of an image
    that embeds its origins.

    Attributes:
        kind: the kind of source.
        name: name of the base's file, the extension, package or gem; path or URL of the overlay as
            the recipe writes it; the table of the recipe (``[[edit]] 2``); or what made the file.
        version: the version of a package or gem; empty for others.
    """

    kind: OriginKind
    name: str
    version: str = ""

    def __str__(self) -> str:
        """Return kind, name and version for people: ``package lshw 02.19``."""
        return " ".join(filter(None, (self.kind.value, self.name, self.version)))

    @property
    def sort_key(self) -> tuple[int, str, str]:
        """The order of origins: by kind, then by name and version."""
        return _ORDER[self.kind], self.name, self.version


_ORDER = {kind: number for number, kind in enumerate(OriginKind)}
