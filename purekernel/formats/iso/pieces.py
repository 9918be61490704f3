"""The pieces that an image is filled with, and what pycdlib's records lack calls for."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from pycdlib import dates, dr, rockridge

from purekernel.tree import Buffer, Node, file_type


@frozen(kw_only=True)
class Place:
    """A folder being filled: its record on either side, and how deep it lies.

    Attributes:
        record: in the primary hierarchy.
        joliet: in Joliet's.
        level: in the primary hierarchy, the root being 1.
    """

    record: dr.DirectoryRecord
    joliet: dr.DirectoryRecord
    level: int


@frozen(kw_only=True)
class Names:
    """What an entry is called: for all, for Joliet, and by its real name."""

    iso: bytes
    joliet: bytes
    raw: bytes


class Content:
    """A file's content as pycdlib reads it: views, where a BytesIO would copy."""

    def __init__(self, content: Buffer) -> None:
        self._view = memoryview(content).cast("B")
        self._offset = 0

    def seek(self, offset: int) -> int:
        """Go to ``offset``, counted from the start."""
        self._offset = offset
        return offset

    def read(self, size_bytes: int) -> memoryview:
        """Return the next ``size_bytes`` or what is left."""
        piece = self._view[self._offset : self._offset + size_bytes]
        self._offset += len(piece)
        return piece


class DeviceRecord(dr.DirectoryRecord):
    """A directory record with room kept for Rock Ridge's device numbers (PN).

    pycdlib reads PN records and never lays them out.
    """

    __slots__ = ()

    def _new(self, *arguments: Any) -> None:  # pycdlib's own, passed on
        super()._new(*arguments)
        self.dr_len += rockridge.RRPNRecord.length()


def entries_with(record: dr.DirectoryRecord, wanted: str) -> Any:
    """Return that half of a record's Rock Ridge entries that holds ``wanted``.

    They lie in the record itself as far as there is room, the rest in its continuation.
    """
    rock_ridge = record.rock_ridge
    if rock_ridge is None:
        raise AssertionError  # every record of the primary hierarchy has it
    if getattr(rock_ridge.dr_entries, wanted) is not None:
        return rock_ridge.dr_entries
    return rock_ridge.ce_entries


def own(record: dr.DirectoryRecord, node: Node) -> None:
    """Give ``record`` the owner and the whole mode of ``node``."""
    owner = entries_with(record, "px_record").px_record
    owner.posix_file_mode = file_type(node) | node.metadata.mode
    owner.posix_user_id = node.metadata.uid
    owner.posix_group_id = node.metadata.gid


def date_of(seconds: int) -> dates.DirectoryRecordDate:
    """Return a directory record's date."""
    date = dates.DirectoryRecordDate()
    date.new(seconds)
    return date
