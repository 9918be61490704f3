"""Build inodes, folder listings and the ID table.

An inode is basic if its fields suffice, else extended.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

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
from purekernel.records import frozen
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


# A device number has 12 bits for the major and 20 for the minor number. (Source:
# include/linux/kdev_t.h of Linux.)
_MOST_MAJOR, _MOST_MINOR = 0xFFF, 0xFFFFF


# The superblock counts IDs in 16 bits; an ID has 32 bits.
_MOST_IDS = 0xFFFF
_MOST_ID = 0xFFFFFFFF


# An entry stores the difference between its inode number and the header's, as a signed 16-bit
# number.
_LEAST_STEP, _MOST_STEP = -0x8000, 0x7FFF


@frozen(kw_only=True)
class Common:
    """The fields that every inode has.

    Attributes:
        path: the first path of the inode, for messages.
        uid: the owner's index in the ID table.
        gid: the group's index in the ID table.
        number: the inode number, from 1.
        links: the number of names; for a folder, the entries that refer to it, with "." and "..".
        xattrs: the number of the set of extended attributes, or ``NO_XATTRS``.
    """

    path: bytes
    uid: int
    gid: int
    number: int
    links: int
    xattrs: int = NO_XATTRS

    def header(self, kind: int, node: Node) -> bytes:
        """Return the header of an inode of type ``kind``."""
        mtime = node.metadata.mtime
        if not 0 <= mtime <= _MOST_U32:
            raise UnrepresentableError(
                f"{display(self.path)}: the modification time must be from 0 to {_MOST_U32} "
                f"seconds since 1970, got {mtime}",
                hint="set another time for the file, or one time for all files with -all-time",
            )
        return _HEADER.pack(kind, node.metadata.mode, self.uid, self.gid, mtime, self.number)


def basic_type(node: Node) -> int:
    """Return the basic inode type of ``node``, 1 to 7, as folder listings store it."""
    if isinstance(node, Device):
        return CHARACTER if node.kind is DeviceKind.CHARACTER else BLOCK
    # File has subclasses, such as those that load their content on access.
    return _TYPES.get(type(node), FILE)


def build_file(common: Common, node: File, extent: Extent) -> bytes:
    """Return a file's inode, with its block list."""
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
    # One byte fewer for a file that is all holes: du(1) would show 0 blocks, which some programs
    # take for an error.
    holes = min(extent.hole_bytes, extent.size_bytes - 1) if extent.size_bytes else 0
    fields = _LONG_FILE.pack(
        extent.start, extent.size_bytes, holes, common.links, extent.fragment, extent.offset,
        common.xattrs,
    )  # fmt: skip
    return common.header(FILE + EXTENDED, node) + fields + sizes


# Folder listings: entries grouped under headers, and an index for long folders.


@frozen
class Entry:
    """An entry of a folder.

    Attributes:
        name: the last part of the path, without a slash.
        type: the basic inode type.
        number: the inode number.
        place: the position of the inode in the inode table.
    """

    name: bytes
    type: int
    number: int
    place: Position


@frozen
class Listing:
    """A folder's listing, as bytes for the directory table.

    Attributes:
        data: headers and entries.
        marks: the index: the offsets in ``data`` of some headers after the first, each with the
            name that follows the header.
    """

    data: bytes
    marks: Sequence[tuple[int, bytes]] = ()


@frozen
class PlacedInode:
    """A listing in the directory table.

    Attributes:
        place: where the listing starts in the table.
        size_bytes: the size field for the inode.
        index: for each mark: its offset in the listing, its block in the table, and its name.
    """

    place: Position
    size_bytes: int
    index: Sequence[tuple[int, int, bytes]]


def build_listing(entries: Iterable[Entry]) -> Listing:
    """Return the listing of ``entries``, which must be sorted by name as bytes.

    The kernel searches a listing linearly; the index lets it start in the right block.

    Source: fs/squashfs/namei.c of Linux.
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


def write_listing(listing: Listing, table: MetadataWriter) -> PlacedInode:
    """Write ``listing`` to the directory table."""
    place = table.position
    index = []
    written_bytes = 0
    for offset, name in listing.marks:
        table.write(listing.data[written_bytes:offset])
        index.append((offset, table.position.block, name))
        written_bytes = offset
    table.write(listing.data[written_bytes:])
    return PlacedInode(place, len(listing.data) + LISTING_EXTRA, index)


def build_directory(common: Common, node: Directory, listing: PlacedInode, parent: int) -> bytes:
    """Return a folder's inode.

    Args:
        common: the fields that every inode has.
        node: the folder.
        listing: the folder's listing in the directory table.
        parent: the inode number of the parent folder; for the root, an unused number.
    """
    size, place = listing.size_bytes, listing.place
    if size <= _MOST_U16 and not listing.index and common.xattrs == NO_XATTRS:
        fields = _DIRECTORY.pack(place.block, common.links, size, place.offset, parent)
        return common.header(DIRECTORY, node) + fields
    fields = _LONG_DIRECTORY.pack(
        common.links, size, place.block, parent, len(listing.index), place.offset, common.xattrs
    )
    index = b"".join(
        _DIRECTORY_INDEX.pack(offset, block, len(name) - 1) + name
        for offset, block, name in listing.index
    )
    return common.header(DIRECTORY + EXTENDED, node) + fields + index


def build_other(common: Common, node: Symlink | Device | Fifo | Socket) -> bytes:
    """Return the inode of a node without content."""
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
            f"{display(path)}: the target of the symbolic link must be 1 to "
            f"{MOST_TARGET_BYTES - 1} bytes without NUL, got {display(target[:40])}",
            hint="change the target, or leave out the link",
        )
    return target


def _device_number(path: bytes, node: Device) -> int:
    """Return new_encode_dev of Linux (include/linux/kdev_t.h)."""
    if not (0 <= node.major <= _MOST_MAJOR and 0 <= node.minor <= _MOST_MINOR):
        raise UnrepresentableError(
            f"{display(path)}: the device numbers must be at most {_MOST_MAJOR}, {_MOST_MINOR}, "
            f"got {node.major}, {node.minor}",
            hint="change the numbers, or leave out the device",
        )
    return node.minor & 0xFF | node.major << 8 | (node.minor & ~0xFF) << 12


_TYPES: dict[type[Node], int] = {
    Directory: DIRECTORY,
    Symlink: SYMLINK,
    Fifo: FIFO,
    Socket: SOCKET,
}


# The ID table: inodes store owners and groups as indexes into it.


class IdTable:
    """The owners and groups of an image, each stored once."""

    def __init__(self) -> None:
        self._indexes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._indexes)

    def add(self, number: int, path: bytes) -> int:
        """Return the index of the ID ``number``, which owns ``path``.

        Raises:
            UnrepresentableError: the ID is too large, or the table is full.
        """
        index = self._indexes.setdefault(number, len(self._indexes))
        if index >= _MOST_IDS or not 0 <= number <= _MOST_ID:
            raise UnrepresentableError(
                f"{display(path)}: the owner or group must be one of at most {_MOST_IDS} IDs, each "
                f"from 0 to {_MOST_ID}, got {number}",
                hint="set the owner of all files to root with -all-root",
            )
        return index

    def build(self) -> bytes:
        """Return the table, uncompressed."""
        return b"".join(map(ID_ENTRY.pack, self._indexes))
