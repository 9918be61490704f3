"""Define the values that fill an image, and extend pycdlib's directory records."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

from pycdlib import dates, dr, rockridge

from purekernel.records import frozen
from purekernel.tree import Buffer, Node, file_type

ZEROS = bytes(1 << 16)


@frozen(kw_only=True)
class DiscPlace:
    """A folder to fill, in both hierarchies.

    Attributes:
        record: the record in the primary hierarchy.
        joliet: the record in the Joliet hierarchy.
        level: the level in the primary hierarchy; the root is 1.
    """

    record: dr.DirectoryRecord
    joliet: dr.DirectoryRecord
    level: int


@frozen(kw_only=True)
class Names:
    """The names of an entry.

    Attributes:
        iso: the ISO 9660 identifier, ASCII.
        joliet: the Joliet identifier, big-endian UCS-2.
        raw: the name in the tree, for Rock Ridge.
    """

    iso: bytes
    joliet: bytes
    raw: bytes


@frozen(kw_only=True)
class Links:
    """The names of a file, of which an image has one record each.

    Attributes:
        count: the number of names.
        serial: a number that all names of the file share, and no others; 0 for none.
    """

    count: int = 1
    serial: int = 0

    def describe(self, record: dr.DirectoryRecord) -> None:
        """Say in a record that its file has these names."""
        owner = entries_with(record, "px_record").px_record
        owner.posix_file_links, owner.posix_serial_number = self.count, self.serial


# pycdlib seeks in all directions while it writes. Extents collects its writes by offset, without
# copies of file contents, and then writes the image to a stream that need not be seekable.


class Extents:
    """A seekable stream that collects writes by offset."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, Buffer]] = []
        self._offset = 0
        self._end = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, and return it in bytes from the start."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._end}[whence]
        self._offset = start + offset
        return self._offset

    def tell(self) -> int:
        """Return the position of the next write, in bytes."""
        return self._offset

    def write(self, data: Buffer) -> int:
        """Keep ``data`` at the current position, without a copy."""
        if len(data):
            self._pieces.append((self._offset, data))
            self._offset += len(data)
            self._end = max(self._end, self._offset)
        return len(data)

    def put(self, offset: int, data: Buffer) -> None:
        """Keep ``data`` at ``offset``, without a copy."""
        self.seek(offset)
        self.write(data)

    def pad_to(self, size_bytes: int) -> None:
        """Make the image at least so long, with zeros."""
        self._end = max(self._end, size_bytes)

    def write_to(self, stream: BinaryIO) -> None:
        """Write all pieces to ``stream`` in order, with zeros in the gaps."""
        end = 0
        for offset, data in sorted(self._pieces, key=lambda piece: piece[0]):
            if offset < end:
                raise AssertionError(f"overlapping writes at byte {offset} of the image")
            stream.writelines(ZEROS[: offset - start] for start in range(end, offset, len(ZEROS)))
            stream.write(data)
            end = offset + len(data)
        stream.writelines(ZEROS[: self._end - start] for start in range(end, self._end, len(ZEROS)))


class DiscContent:
    """A readable file for pycdlib that returns views; ``BytesIO`` would copy."""

    def __init__(self, content: Buffer) -> None:
        self._view = memoryview(content).cast("B")
        self._offset = 0

    def seek(self, offset: int) -> int:
        """Set the position to ``offset`` bytes from the start."""
        self._offset = offset
        return offset

    def read(self, size_bytes: int) -> memoryview:
        """Return the next ``size_bytes`` bytes, or fewer at the end."""
        piece = self._view[self._offset : self._offset + size_bytes]
        self._offset += len(piece)
        return piece


class DeviceRecord(dr.DirectoryRecord):
    """A directory record with space for Rock Ridge's device numbers (PN).

    pycdlib reads PN records, but does not reserve space for them when it writes.
    """

    __slots__ = ()

    def _new(self, *arguments: Any) -> None:  # overrides pycdlib's method
        super()._new(*arguments)
        self.dr_len += rockridge.RRPNRecord.length()


def entries_with(record: dr.DirectoryRecord, wanted: str) -> Any:
    """Return the part of a record's Rock Ridge entries that contains ``wanted``.

    Entries that do not fit the record are in its continuation area.
    """
    rock_ridge = record.rock_ridge
    if rock_ridge is None:
        raise AssertionError  # every record of the primary hierarchy has Rock Ridge
    if getattr(rock_ridge.dr_entries, wanted) is not None:
        return rock_ridge.dr_entries
    return rock_ridge.ce_entries


def own(record: dr.DirectoryRecord, node: Node) -> None:
    """Set the owner and the full mode of ``record`` to those of ``node``."""
    owner = entries_with(record, "px_record").px_record
    owner.posix_file_mode = file_type(node) | node.metadata.mode
    owner.posix_user_id = node.metadata.uid
    owner.posix_group_id = node.metadata.gid


def date_of(seconds: int) -> dates.DirectoryRecordDate:
    """Return ``seconds`` since 1970, UTC, as the date of a directory record."""
    date = dates.DirectoryRecordDate()
    date.new(seconds)
    return date
