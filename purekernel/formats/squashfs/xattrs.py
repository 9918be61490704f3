"""Write and read extended attributes: sets of names and values, each set stored once.

Source: fs/squashfs/xattr.c and xattr_id.c of Linux.
"""

from __future__ import annotations

from typing import BinaryIO, Protocol

from purekernel.errors import UnrepresentableError
from purekernel.formats.squashfs.codecs import Pack
from purekernel.formats.squashfs.layout import (
    METADATA_BYTES,
    MOST_XATTR_BYTES,
    NO_TABLE,
    NO_XATTRS,
    XATTR_ELSEWHERE,
    XATTR_HEAD,
    XATTR_NAME,
    XATTR_PREFIXES,
    XATTR_SET,
    XATTR_SIZE,
    reference,
)
from purekernel.formats.squashfs.metadata import MetadataWriter, write_table
from purekernel.input import Input
from purekernel.tree import display
from purekernel.tree.node import Xattrs

# XATTR_NAME_MAX of Linux (include/uapi/linux/limits.h).
_MOST_NAME_BYTES = 255


_SETS_IN_BLOCK = METADATA_BYTES // XATTR_SET.size


class XattrWriter:
    """Collect sets of extended attributes and write their tables."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._values = MetadataWriter(pack)
        self._sets: dict[Xattrs, int] = {}
        self._entries = bytearray()

    def add(self, xattrs: Xattrs, path: bytes) -> int:
        """Return the number of the set ``xattrs``; ``path`` is for messages.

        Raises:
            UnrepresentableError: a name has an unsupported prefix, or a name or value is too long.
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
        """Write the tables; return their start for the superblock, and where they end."""
        if not self._sets:
            return NO_TABLE, start
        values = self._values.finish()
        stream.write(values)
        head = XATTR_HEAD.pack(start, len(self._sets), 0)
        return write_table(stream, start + len(values), bytes(self._entries), self._pack, head=head)


def _build_xattr(name: bytes, value: bytes, path: bytes) -> bytes:
    prefixes = [prefix for prefix in XATTR_PREFIXES if name.startswith(prefix) and name != prefix]
    if not prefixes:
        raise UnrepresentableError(
            f"{display(path)}: the name of an extended attribute must start with user., trusted. "
            f"or security., got {display(name)}",
            hint="remove the attribute, or leave out all attributes with -no-xattrs",
        )
    (prefix,) = prefixes
    rest = name.removeprefix(prefix)
    if len(name) > _MOST_NAME_BYTES or len(value) > MOST_XATTR_BYTES:
        raise UnrepresentableError(
            f"{display(path)}: the extended attribute {display(name)} must have a name of at most "
            f"{_MOST_NAME_BYTES} bytes and a value of at most {MOST_XATTR_BYTES}, "
            f"got {len(name)} and {len(value)}",
            hint="remove the attribute, or leave out all attributes with -no-xattrs",
        )
    return (
        XATTR_NAME.pack(XATTR_PREFIXES.index(prefix), len(rest))
        + rest
        + XATTR_SIZE.pack(len(value))
        + value
    )


# Read extended attributes; the library fails on some.


class Tables(Protocol):
    """Access to the tables of an image."""

    file: Input

    def read_plain(self, start: int, size: int, what: str) -> memoryview:
        """Return ``size`` bytes of the image from ``start``; ``what`` names them in errors."""
        ...

    def read_metadata(self, block: int, offset: int, size: int) -> tuple[bytes, int, int]:
        """Return ``size`` bytes of a table, and the block and offset after them."""
        ...

    def charge(self, size_bytes: int, start: int) -> None:
        """Add ``size_bytes`` to the unpacked size."""
        ...


class StoredXattrs:
    """The sets of extended attributes of an image, each read on first use.

    Attributes:
        count: the number of sets.
    """

    def __init__(self, tables: Tables, start: int) -> None:
        self._tables = tables
        self._known: dict[int, Xattrs] = {NO_XATTRS: ()}
        self._start = start
        self._values_start = self.count = 0
        if start != NO_TABLE:
            head = tables.read_plain(start, XATTR_HEAD.size, "a table of extended attributes")
            self._values_start, self.count, _unused = XATTR_HEAD.unpack(head)

    def find(self, number: int, path: bytes) -> Xattrs:
        """Return the set with this number; ``path`` is for messages.

        In an image without a table of extended attributes the number is ignored, as Linux and
        unsquashfs do: squashfs-tools 4.0 left the field at 0.

        Raises:
            FormatError: the set is missing or damaged.
            LimitError: the unpacked size exceeds the limit.
        """
        if self._start == NO_TABLE:
            return ()
        if number not in self._known:
            if number >= self.count:
                raise self._tables.file.fail(
                    None,
                    f"an index into {self.count} sets of extended attributes for {display(path)}",
                    f"{number}",
                )
            self._known[number] = self._read(number, path)
        return self._known[number]

    def _read(self, number: int, path: bytes) -> Xattrs:
        index_at = self._start + XATTR_HEAD.size + 8 * (number // _SETS_IN_BLOCK)
        index = self._tables.read_plain(index_at, 8, "an index of extended attributes")
        data, _block, _offset = self._tables.read_metadata(
            int.from_bytes(index, "little"),
            number % _SETS_IN_BLOCK * XATTR_SET.size,
            XATTR_SET.size,
        )
        location, count, _size = XATTR_SET.unpack(data)
        block, offset = self._values_start + (location >> 16), location & 0xFFFF
        xattrs: dict[bytes, bytes] = {}
        for _ in range(count):
            data, block, offset = self._tables.read_metadata(block, offset, XATTR_NAME.size)
            kind, size = XATTR_NAME.unpack(data)
            last, block, offset = self._tables.read_metadata(block, offset, size)
            value, block, offset = self._read_value(block, offset)
            prefix = kind & ~XATTR_ELSEWHERE
            if prefix >= len(XATTR_PREFIXES) or not last or b"\0" in last:
                raise self._tables.file.fail(
                    block,
                    f"a valid extended attribute of {display(path)}",
                    f"{display(last)} of type {kind}",
                )
            if kind & XATTR_ELSEWHERE:
                if len(value) != 8:
                    raise self._tables.file.fail(
                        block, "8 bytes for the location of a value", f"{len(value)}"
                    )
                location = int.from_bytes(value, "little")
                value = self._read_value(self._values_start + (location >> 16), location & 0xFFFF)[
                    0
                ]
            self._tables.charge(len(last) + len(value), block)
            name = XATTR_PREFIXES[prefix] + last
            if name in xattrs:
                raise self._tables.file.fail(
                    block, "each extended attribute once", f"{display(name)} again"
                )
            xattrs[name] = value
        return tuple(sorted(xattrs.items()))

    def _read_value(self, block: int, offset: int) -> tuple[bytes, int, int]:
        data, block, offset = self._tables.read_metadata(block, offset, XATTR_SIZE.size)
        (size,) = XATTR_SIZE.unpack(data)
        if size > MOST_XATTR_BYTES:
            raise self._tables.file.fail(
                block, f"a value of at most {MOST_XATTR_BYTES} bytes", f"{size}"
            )
        return self._tables.read_metadata(block, offset, size)
