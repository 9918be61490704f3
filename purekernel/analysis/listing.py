"""List what is in a folder or an archive: names, modes, owners, sizes, times and links."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from attrs import field

from purekernel.analysis.open import Folder, Places
from purekernel.errors import PurekernelError
from purekernel.formats.detect import FileKind
from purekernel.input import Report, limits_of
from purekernel.records import frozen
from purekernel.tree import (
    Device,
    Directory,
    Fifo,
    File,
    Node,
    Socket,
    Symlink,
    Tree,
    file_type,
)
from purekernel.tree.path import join

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TYPES: dict[type[Node], str] = {
    File: "file",
    Directory: "folder",
    Symlink: "symbolic_link",
    Device: "device",
    Fifo: "fifo",
    Socket: "socket",
}


@frozen(kw_only=True)
class ListedEntry:
    """A line of a listing.

    Attributes:
        name: what is shown: the path below the listed folder, or the address.
        node: the node.
        names: how many names its inode has in the whole archive.
        first: the path in the archive of the first of these names; ``None`` if this is it.
    """

    name: bytes
    node: Node = field(repr=False)
    names: int = 1
    first: bytes | None = None


@frozen(kw_only=True)
class PlaceListing:
    """What is listed of one place.

    Attributes:
        kind: the kind of archive that was entered; ``None`` for a folder in one, or on the host,
            and for a single node.
        compression: the compression around that archive, or ``None``.
        is_folder: whether a folder or archive was entered. If not, the only entry is the place
            itself.
        entries: the entries, in the order of their bytes, folder by folder.
    """

    kind: FileKind | None = None
    compression: FileKind | None = None
    is_folder: bool
    entries: tuple[ListedEntry, ...] = field(repr=False)

    def lines(self, *, is_long: bool) -> list[bytes]:
        """Return a line for each entry: its name; or if ``is_long``, as :func:`long_lines`."""
        return long_lines(self) if is_long else [entry.name for entry in self.entries]

    def json(self) -> dict[str, object]:
        """Return the JSON of the listing."""
        return {
            "kind": None if self.kind is None else self.kind.name.lower(),
            "compression": None if self.compression is None else self.compression.name.lower(),
            "is_folder": self.is_folder,
            "entries": [
                {
                    **entry_json(entry.name, entry.node),
                    "names": entry.names,
                    "hard_link_to": entry.first,
                }
                for entry in self.entries
            ],
        }


def list_places(
    addresses: Iterable[str],
    *,
    is_recursive: bool,
    is_itself: bool,
    max_unpacked: int | None,
    note: Report,
) -> Iterator[tuple[str, PlaceListing | PurekernelError]]:
    """Yield each address with its listing, or with the reason why there is none.

    Args:
        addresses: what to list.
        is_recursive: as for :func:`list_place`.
        is_itself: as for :func:`list_place`.
        max_unpacked: the limit of what is unpacked, in bytes; ``None`` for the default.
        note: called with what the readers drop or replace, a line each.
    """
    places = Places(limits_of(max_unpacked, report=note))
    for address in addresses:
        try:
            listing = list_place(places, address, is_recursive=is_recursive, is_itself=is_itself)
        except PurekernelError as error:
            yield address, error
        else:
            yield address, listing


def list_place(
    places: Places, address: str, *, is_recursive: bool = False, is_itself: bool = False
) -> PlaceListing:
    """Return what is at an address: the entries of a folder or archive, or the node itself.

    Args:
        places: opens it.
        address: the address.
        is_recursive: whether to list the folders below too; archives in it are not entered.
        is_itself: whether to list a folder or archive itself, not what is in it.

    Raises:
        PurekernelError: as the methods of :class:`~purekernel.analysis.open.Places`.
    """
    item = places.find(address, is_deep=is_recursive)
    folder = None if is_itself else places.enter(item)
    if folder is None:
        entries = make_entries(item.tree, [(item.path, os.fsencode(address))])
        return PlaceListing(is_folder=False, entries=tuple(entries))
    return PlaceListing(
        kind=folder.kind,
        compression=folder.compression,
        is_folder=True,
        entries=tuple(_list(folder, is_recursive=is_recursive)),
    )


def _list(folder: Folder, *, is_recursive: bool) -> Iterator[ListedEntry]:
    tree, top = folder.top.tree, folder.top.path
    if is_recursive:
        paths = [path for path, _node in tree.walk(top) if path != top]
    else:
        paths = [join(top, name) for name in tree.entries(top)]
    skipped = len(top) + 1 if top else 0
    return make_entries(tree, [(path, path[skipped:]) for path in paths])


def make_entries(tree: Tree, shown: Sequence[tuple[bytes, bytes]]) -> Iterator[ListedEntry]:
    """Yield the entries for paths, each with the name to show."""
    # Finding the first name of an inode takes a walk through the whole tree.
    is_linked = any(tree.count_names(path) > 1 for path, _name in shown)
    links = tree.hard_links() if is_linked else {}
    for path, name in shown:
        first = links.get(tree.inode(path), [path])[0]
        yield ListedEntry(
            name=name,
            node=tree[path],
            names=tree.count_names(path),
            first=None if first == path else first,
        )


def long_lines(listing: PlaceListing) -> list[bytes]:
    """Return a line for each entry: mode, names, owner, group, size, time (UTC), name, target.

    Devices have their numbers in place of a size. A further name of a hard link ends with the
    first one.
    """
    rows = [
        (
            show_mode(entry.node),
            str(entry.names),
            str(entry.node.metadata.uid),
            str(entry.node.metadata.gid),
            show_size(entry.node),
            format_time(entry.node.metadata.mtime),
        )
        for entry in listing.entries
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        b"%s %s" % (_align(row, widths).encode(), _name(entry))
        for row, entry in zip(rows, listing.entries, strict=True)
    ]


def _align(row: Sequence[str], widths: Sequence[int]) -> str:
    return " ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def _name(entry: ListedEntry) -> bytes:
    if isinstance(entry.node, Symlink):
        return entry.name + b" -> " + entry.node.target
    return entry.name if entry.first is None else entry.name + b" link to " + entry.first


def show_size(node: Node) -> str:
    """Return the size of a file or of a link's target; the numbers of a device."""
    if isinstance(node, Device):
        return f"{node.major}, {node.minor}"
    return str(size_of(node))


def size_of(node: Node) -> int:
    """Return the size of a file or of a link's target, in bytes; 0 for others."""
    if isinstance(node, File):
        return node.size_bytes
    return len(node.target) if isinstance(node, Symlink) else 0


# An archive has very many names, and few modes and times.
_show_bits = lru_cache(stat.filemode)


def show_mode(node: Node) -> str:
    """Return type and mode as ls(1) shows them: ``-rwxr-xr-x``."""
    return _show_bits(file_type(node) | node.metadata.mode)


@lru_cache
def format_time(seconds: int) -> str:
    """Return a time in UTC as ``2026-11-30 16:41``; far times as ``@`` and their seconds."""
    # time.gmtime() accepts other ranges on other hosts.
    try:
        date = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return f"@{seconds}"
    return f"{date.year:04}-{date.month:02}-{date.day:02} {date.hour:02}:{date.minute:02}"


def entry_json(name: bytes, node: Node) -> dict[str, object]:
    """Return the JSON of a node: name, type, mode, owner, time, size, target and attributes."""
    metadata = node.metadata
    device = None
    if isinstance(node, Device):
        device = {"kind": node.kind.value, "major": node.major, "minor": node.minor}
    return {
        "path": name,
        "type": _TYPES[type(node)],
        "mode": f"{metadata.mode:04o}",
        "uid": metadata.uid,
        "gid": metadata.gid,
        "mtime": metadata.mtime,
        "bytes": node.size_bytes if isinstance(node, File) else None,
        "target": node.target if isinstance(node, Symlink) else None,
        "device": device,
        "xattrs": {key: value.hex() for key, value in metadata.xattrs},
    }
