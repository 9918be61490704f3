"""Lay out inodes: basic ones where they suffice, extended ones where they do not."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from attrs import frozen

from purekernel.errors import UnrepresentableError
from purekernel.formats.squashfs.data import Extent
from purekernel.formats.squashfs.layout import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    DIRECTORY_ENTRY,
    DIRECTORY_HEADER,
    EXTENDED,
    FIFO,
    FILE,
    ID_ENTRY,
    LISTING_EXTRA,
    METADATA_BYTES,
    MOST_TARGET_BYTES,
    MOST_UNDER_HEADER,
    NO_XATTRS,
    SOCKET,
    SYMLINK,
)
from purekernel.formats.squashfs.metadata import MetadataWriter, Position
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Node,
    Socket,
    Symlink,
    display,
)

_HEADER = struct.Struct("<HHHHII")
_DIRECTORY = struct.Struct("<IIHHI")
_LONG_DIRECTORY = struct.Struct("<IIIIHHI")
_DIRECTORY_INDEX = struct.Struct("<III")
_FILE = struct.Struct("<IIII")
_LONG_FILE = struct.Struct("<QQQIIII")
_TWO = struct.Struct("<II")
_ONE = struct.Struct("<I")
_MOST_U16, _MOST_U32 = 0xFFFF, 0xFFFFFFFF


# What 32 bits hold of a device's numbers. (Source: include/linux/kdev_t.h of Linux.)
_MOST_MAJOR, _MOST_MINOR = 0xFFF, 0xFFFFF


# Sixteen bits count them.
_MOST_IDS = 0xFFFF
_MOST_ID = 0xFFFFFFFF


# An entry says by how much its inode's number differs from the header's, in 16 bits with sign.
_LEAST_STEP, _MOST_STEP = -0x8000, 0x7FFF


@frozen(kw_only=True)
class Common:
    """What every inode has.

    Attributes:
        path: its first, for messages.
        uid: the owner's place in the table of numbers.
        gid: the group's.
        number: its own, from 1.
        links: how many names it has; of a folder, how many folders name it.
        xattrs: the number of its set of extended attributes, or ``NO_XATTRS``.
    """

    path: bytes
    uid: int
    gid: int
    number: int
    links: int
    xattrs: int = NO_XATTRS

    def header(self, kind: int, node: Node) -> bytes:
        """Return the beginning of an inode of this kind."""
        mtime = node.metadata.mtime
        if not 0 <= mtime <= _MOST_U32:
            raise UnrepresentableError(
                f"{display(self.path)} is from {mtime} seconds after 1970, and squashfs has "
                f"times from 0 to {_MOST_U32}",
                hint="give it another time, or all of them one with -all-time",
            )
        return _HEADER.pack(kind, node.metadata.mode, self.uid, self.gid, mtime, self.number)


def basic_type(node: Node) -> int:
    """Return the type that a folder's listing says of ``node``."""
    if isinstance(node, Device):
        return CHARACTER if node.kind is DeviceKind.CHARACTER else BLOCK
    # What loads its content when that is asked for is a file of its own type.
    return _TYPES.get(type(node), FILE)


def build_file(common: Common, node: File, extent: Extent) -> bytes:
    """Return a file's inode, its blocks listed."""
    sizes = struct.pack(f"<{len(extent.sizes)}I", *extent.sizes)
    if (
        common.links == 1
        and common.xattrs == NO_XATTRS
        and not extent.hole_bytes
        and extent.start <= _MOST_U32
        and extent.size_bytes <= _MOST_U32
    ):
        fields = _FILE.pack(extent.start, extent.fragment, extent.offset, extent.size_bytes)
        return common.header(FILE, node) + fields + sizes
    # What is all holes would take no place at all in du(1), which some take for a fault.
    holes = min(extent.hole_bytes, extent.size_bytes - 1) if extent.size_bytes else 0
    fields = _LONG_FILE.pack(
        extent.start, extent.size_bytes, holes, common.links, extent.fragment, extent.offset,
        common.xattrs,
    )  # fmt: skip
    return common.header(FILE + EXTENDED, node) + fields + sizes


# Lay out folders: names under headers, and an index into those of long ones.


@frozen
class Entry:
    """One name in a folder.

    Attributes:
        name: without a slash.
        type: the basic inode type.
        number: the inode's.
        place: where in the table of inodes that lies.
    """

    name: bytes
    type: int
    number: int
    place: Position


@frozen
class Listing:
    """A folder's names as they lie in the table of folders.

    Attributes:
        data: headers and entries.
        marks: for some headers after the first, where in ``data`` they start, and the name that
            follows them.
    """

    data: bytes
    marks: Sequence[tuple[int, bytes]] = ()


@frozen
class Placed:
    """A listing that was written.

    Attributes:
        place: where it starts.
        size_bytes: what the inode says.
        index: for each mark where in the listing it is, the block that it lies in, and its name.
    """

    place: Position
    size_bytes: int
    index: Sequence[tuple[int, int, bytes]]


def build_listing(entries: Iterable[Entry]) -> Listing:
    """Return the listing of ``entries``, which come sorted by name as bytes.

    The kernel looks names up by going through the listing; the index lets it begin in the right
    block. (Source: fs/squashfs/namei.c of Linux.)
    """
    data = bytearray()
    marks: list[tuple[int, bytes]] = []
    marked = 0
    group: list[Entry] = []
    group_bytes = 0

    def close() -> None:
        data.extend(DIRECTORY_HEADER.pack(len(group) - 1, group[0].place.block, group[0].number))
        for entry in group:
            data.extend(
                DIRECTORY_ENTRY.pack(
                    entry.place.offset,
                    entry.number - group[0].number,
                    entry.type,
                    len(entry.name) - 1,
                )
            )
            data.extend(entry.name)

    for entry in entries:
        size = DIRECTORY_ENTRY.size + len(entry.name)
        if group:
            reach = len(data) + DIRECTORY_HEADER.size + group_bytes + size - marked
            if (
                reach > METADATA_BYTES
                or len(group) == MOST_UNDER_HEADER
                or entry.place.block != group[0].place.block
                or not _LEAST_STEP <= entry.number - group[0].number <= _MOST_STEP
            ):
                close()
                group, group_bytes = [], 0
                if reach > METADATA_BYTES:
                    marks.append((len(data), entry.name))
                    marked = len(data)
        group.append(entry)
        group_bytes += size
    if group:
        close()
    return Listing(bytes(data), marks)


def write_listing(listing: Listing, table: MetadataWriter) -> Placed:
    """Put ``listing`` into the table of folders."""
    place = table.position
    index = []
    here = 0
    for at, name in listing.marks:
        table.write(listing.data[here:at])
        index.append((at, table.position.block, name))
        here = at
    table.write(listing.data[here:])
    return Placed(place, len(listing.data) + LISTING_EXTRA, index)


def build_directory(common: Common, node: Directory, listing: Placed, parent: int) -> bytes:
    """Return a folder's inode.

    Args:
        common: what every inode has.
        node: the folder.
        listing: what it holds.
        parent: the number of the folder above; for the root, of one that is not there.
    """
    size, place = listing.size_bytes, listing.place
    if size <= _MOST_U16 and not listing.index and common.xattrs == NO_XATTRS:
        fields = _DIRECTORY.pack(place.block, common.links, size, place.offset, parent)
        return common.header(DIRECTORY, node) + fields
    fields = _LONG_DIRECTORY.pack(
        common.links, size, place.block, parent, len(listing.index), place.offset, common.xattrs
    )
    index = b"".join(
        _DIRECTORY_INDEX.pack(at, block, len(name) - 1) + name for at, block, name in listing.index
    )
    return common.header(DIRECTORY + EXTENDED, node) + fields + index


def build_other(common: Common, node: Symlink | Device | Fifo | Socket) -> bytes:
    """Return the inode of what has no content of its own."""
    if isinstance(node, Symlink):
        target = _checked_target(common.path, node.target)
        fields = _TWO.pack(common.links, len(target)) + target
    elif isinstance(node, Device):
        fields = _TWO.pack(common.links, _device_number(common.path, node))
    else:
        fields = _ONE.pack(common.links)
    if common.xattrs == NO_XATTRS:
        return common.header(basic_type(node), node) + fields
    return common.header(basic_type(node) + EXTENDED, node) + fields + _ONE.pack(common.xattrs)


def _checked_target(path: bytes, target: bytes) -> bytes:
    if not target or b"\0" in target or len(target) >= MOST_TARGET_BYTES:
        raise UnrepresentableError(
            f"the symbolic link {display(path)} leads to {display(target[:40])}: squashfs holds "
            f"targets of 1 to {MOST_TARGET_BYTES - 1} bytes with no NUL"
        )
    return target


def _device_number(path: bytes, node: Device) -> int:
    """Return new_encode_dev of Linux (include/linux/kdev_t.h)."""
    if not (0 <= node.major <= _MOST_MAJOR and 0 <= node.minor <= _MOST_MINOR):
        raise UnrepresentableError(
            f"the device {display(path)} has the numbers {node.major}, {node.minor}: squashfs "
            f"holds up to {_MOST_MAJOR}, {_MOST_MINOR}"
        )
    return node.minor & 0xFF | node.major << 8 | (node.minor & ~0xFF) << 12


_TYPES: dict[type[Node], int] = {
    Directory: DIRECTORY,
    Symlink: SYMLINK,
    Fifo: FIFO,
    Socket: SOCKET,
}


# Owners and groups, which inodes name by their place in a table.


class IdTable:
    """Owners and groups, each once."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, number: int, path: bytes) -> int:
        """Return the place of ``number``, to whom what stands at ``path`` belongs.

        Raises:
            UnrepresentableError: the number is too large, or there are too many.
        """
        place = self._places.setdefault(number, len(self._places))
        if place >= _MOST_IDS or not 0 <= number <= _MOST_ID:
            raise UnrepresentableError(
                f"{display(path)} belongs to {number}, and squashfs holds {_MOST_IDS} owners and "
                f"groups, each of 0 to {_MOST_ID}",
                hint="let everything belong to root with -all-root",
            )
        return place

    def build(self) -> bytes:
        """Return the table."""
        return b"".join(map(ID_ENTRY.pack, self._places))
