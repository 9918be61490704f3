"""Find where each file of an image comes from: what a build embeds, or what the image shows."""

from __future__ import annotations

from purekernel.analysis.contents import Contents, Part
from purekernel.analysis.nested import EXTENSION_FOLDERS
from purekernel.analysis.origins import (
    ORIGINS_PATH,
    Origin,
    OriginKind,
    OriginMap,
    Origins,
    parse_origins,
)
from purekernel.errors import PurekernelError
from purekernel.formats.address import SEPARATOR
from purekernel.formats.detect import FileKind
from purekernel.formats.tinycore import TCZ
from purekernel.input import Input
from purekernel.rootfs.ownership import START_SCRIPTS
from purekernel.tree import File, Symlink
from purekernel.tree.path import escape, name, parent

# tce-load mounts extensions there, and links their files.
_MOUNTS = b"/tmp/tcloop/"  # a path in the image

_BY_ENDING = {
    TCZ: OriginKind.EXTENSION, ".deb": OriginKind.PACKAGE, ".gem": OriginKind.GEM,
}  # fmt: skip


class OriginFinder:
    """Finds where a path of a part comes from.

    Args:
        contents: the image.

    Attributes:
        is_embedded: whether the image says where its files come from.
        faults: what could not be read.
    """

    def __init__(self, contents: Contents) -> None:
        self.faults: list[PurekernelError] = []
        self._contents = contents
        self._origins = self._read()
        self.is_embedded = self._origins is not None
        self._own = _own_origin(contents.address)

    def _read(self) -> Origins | None:
        for part in self._contents.parts:
            node = part.tree.get(ORIGINS_PATH)
            if isinstance(node, File):
                shown = f"{part.place}{SEPARATOR}" if part.place else ""
                address = f"{self._contents.address}{SEPARATOR}{shown}{ORIGINS_PATH.decode()}"
                try:
                    return parse_origins(Input(node.content, name=address))
                except PurekernelError as error:
                    self.faults.append(error)
        return None

    def find(self, part: Part, path: bytes) -> Origin | None:
        """Return where a path comes from; ``None`` if from where its folder or archive does."""
        if not part.place and not path and self._own is not None:
            return self._own
        embedded = self._map_of(part)
        if embedded is not None:
            return embedded.marks.get(path)
        return self._inferred(part, path)

    def _map_of(self, part: Part) -> OriginMap | None:
        if self._origins is None:
            return None
        if part.tree is self._contents.disc:
            return self._origins.disc
        return self._origins.root if part.kind is FileKind.CPIO else None

    def _inferred(self, part: Part, path: bytes) -> Origin | None:
        file_name = name(path)
        if parent(path) in EXTENSION_FOLDERS:
            stem, found, _ending = file_name.partition(TCZ.encode())
            if found:
                return Origin(OriginKind.EXTENSION, escape(stem) + TCZ)
        if parent(path) == START_SCRIPTS:
            return Origin(OriginKind.EXTENSION, escape(file_name) + TCZ)
        node = part.tree.get(path)
        if isinstance(node, Symlink) and node.target.startswith(_MOUNTS):
            extension = node.target.removeprefix(_MOUNTS).split(b"/")[0]
            return Origin(OriginKind.EXTENSION, escape(extension) + TCZ)
        return None


def _own_origin(address: str) -> Origin | None:
    """Return the origin of an image that is an extension, a package or a gem."""
    own_name = address.replace("\\", "/").rpartition("/")[2]
    for ending, kind in _BY_ENDING.items():
        if own_name.endswith(ending):
            return Origin(kind, own_name)
    return None
