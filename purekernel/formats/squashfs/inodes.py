"""Lay out inodes: basic ones where they suffice, extended ones where they do not."""

from __future__ import annotations

import struct

from attrs import frozen

from purekernel.errors import UnrepresentableError
from purekernel.formats.squashfs.data import Extent
from purekernel.formats.squashfs.directories import Placed
from purekernel.formats.squashfs.layout import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    EXTENDED,
    FIFO,
    FILE,
    MOST_TARGET_BYTES,
    NO_XATTRS,
    SOCKET,
    SYMLINK,
)
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
