"""Open any file, or a place inside it: ``image.iso:boot/core.gz:etc/passwd``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from purekernel.errors import PurekernelError, TreeError
from purekernel.formats.address import Item, Opener, top_of
from purekernel.formats.detect import FileKind
from purekernel.host.addresses import find_on_host, open_on_host
from purekernel.input import DEFAULT_LIMITS, Input, Limits, Report, limits_of
from purekernel.records import frozen
from purekernel.tree import Directory, File, Symlink


@frozen(kw_only=True)
class Folder:
    """The contents of a folder or an archive.

    Attributes:
        top: the folder itself; its tree may hold more than the folder.
        kind: the kind of the archive whose top folder it is; ``None`` for another folder.
        compression: the compression around the archive, or ``None``.
    """

    top: Item
    kind: FileKind | None = None
    compression: FileKind | None = None


class Places:
    """Finds and opens places by their addresses; each archive on the way is opened once.

    docs/addresses.md describes addresses. The methods raise MissingPathError or InputError for
    what is missing or of the wrong kind, FormatError for a damaged archive, LimitError for one
    that exceeds the limits, and TreeError for a link that cannot be followed.

    Args:
        limits: the limits of all that is read, together.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits.budgeted()
        self._opener = Opener()
        self._on_host: dict[tuple[Path, bool], Item] = {}

    def find(self, address: str, *, is_deep: bool = True) -> Item:
        """Return what ``address`` names; a symbolic link at its end is not followed.

        Args:
            address: the address.
            is_deep: whether the tree of a folder of the host must have what is in its folders.
        """
        found = find_on_host(address)
        key = (found.host, is_deep or found.inner is not None)
        if key not in self._on_host:
            self._on_host[key] = open_on_host(found.host, limits=self._limits, is_deep=key[1])
        return self._opener.find(self._on_host[key], found.inner)

    def load(self, address: str) -> Input:
        """Return the content of the file that ``address`` names; links are followed."""
        return self.find(address, is_deep=False).load()

    def enter(self, item: Item) -> Folder | None:
        """Return what is inside a folder or archive; ``None`` if there is nothing to enter.

        Links to folders and archives are followed; other links, and those that lead nowhere, are
        nothing to enter.
        """
        if isinstance(item.node, Symlink):
            try:
                item = item.follow()
            except TreeError:
                return None
        if isinstance(item.node, Directory):
            return Folder(top=item)
        archive = self._opener.open(item) if isinstance(item.node, File) else None
        if archive is None:
            return None
        top = top_of(archive, item)
        return Folder(top=top, kind=archive.kind, compression=archive.compression)


def load_places(
    addresses: Iterable[str], *, max_unpacked: int | None, note: Report
) -> Iterator[Input | PurekernelError]:
    """Yield the file at each address, or the reason why there is none.

    Args:
        addresses: what to load.
        max_unpacked: the limit of what is unpacked, in bytes; ``None`` for the default.
        note: called with what the readers drop or replace, a line each.
    """
    places = Places(limits_of(max_unpacked, report=note))
    for address in addresses:
        try:
            file = places.load(address)
        except PurekernelError as error:
            yield error
        else:
            yield file
