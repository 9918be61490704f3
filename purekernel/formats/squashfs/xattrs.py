"""Lay out extended attributes: sets of names and values, each set once.

Source: fs/squashfs/xattr.c and xattr_id.c of Linux.
"""

from __future__ import annotations

from typing import BinaryIO

from purekernel.errors import UnrepresentableError
from purekernel.formats.squashfs.codecs import Pack
from purekernel.formats.squashfs.layout import (
    MOST_XATTR_BYTES,
    NO_TABLE,
    NO_XATTRS,
    XATTR_HEAD,
    XATTR_NAME,
    XATTR_PREFIXES,
    XATTR_SET,
    XATTR_SIZE,
    reference,
)
from purekernel.formats.squashfs.metadata import MetadataWriter, write_table
from purekernel.tree import display
from purekernel.tree.node import Xattrs

# XATTR_NAME_MAX of Linux (include/uapi/linux/limits.h).
_MOST_NAME_BYTES = 255


class XattrWriter:
    """Sets of extended attributes on their way into their tables."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._values = MetadataWriter(pack)
        self._sets: dict[Xattrs, int] = {}
        self._entries = bytearray()

    def add(self, xattrs: Xattrs, path: bytes) -> int:
        """Return the number of the set ``xattrs``, of what stands at ``path``.

        Raises:
            UnrepresentableError: a name is of no kind that squashfs holds, or something is too
                long.
        """
        if not xattrs:
            return NO_XATTRS
        known = self._sets.get(xattrs)
        if known is not None:
            return known
        data = b"".join(_build_xattr(name, value, path) for name, value in xattrs)
        place = self._values.position
        self._entries += XATTR_SET.pack(
            reference(place.block, place.offset), len(xattrs), len(data)
        )
        self._values.write(data)
        number = self._sets[xattrs] = len(self._sets)
        return number

    def write(self, stream: BinaryIO, start: int) -> tuple[int, int]:
        """Write the tables; return what the superblock says of them, and where they end."""
        if not self._sets:
            return NO_TABLE, start
        values = self._values.finish()
        stream.write(values)
        head = XATTR_HEAD.pack(start, len(self._sets), 0)
        return write_table(stream, start + len(values), bytes(self._entries), self._pack, head=head)


def _build_xattr(name: bytes, value: bytes, path: bytes) -> bytes:
    found = [prefix for prefix in XATTR_PREFIXES if name.startswith(prefix) and name != prefix]
    if not found:
        raise UnrepresentableError(
            f"{display(path)} has the extended attribute {display(name)}, and squashfs holds "
            "those that start with user., trusted. or security.",
            hint="leave it out, or all of them with -no-xattrs",
        )
    (prefix,) = found
    rest = name.removeprefix(prefix)
    if len(name) > _MOST_NAME_BYTES or len(value) > MOST_XATTR_BYTES:
        raise UnrepresentableError(
            f"the extended attribute {display(name)} of {display(path)} is too long: Linux has "
            f"names of {_MOST_NAME_BYTES} bytes and values of {MOST_XATTR_BYTES}"
        )
    return (
        XATTR_NAME.pack(XATTR_PREFIXES.index(prefix), len(rest))
        + rest
        + XATTR_SIZE.pack(len(value))
        + value
    )
