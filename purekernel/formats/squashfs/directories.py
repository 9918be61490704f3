"""Lay out folders: names under headers, and an index into those of long ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from purekernel.formats.squashfs.layout import (
    DIRECTORY_ENTRY,
    DIRECTORY_HEADER,
    LISTING_EXTRA,
    METADATA_BYTES,
    MOST_UNDER_HEADER,
)
from purekernel.formats.squashfs.metadata import MetadataWriter, Position

# An entry says by how much its inode's number differs from the header's, in 16 bits with sign.
_LEAST_STEP, _MOST_STEP = -0x8000, 0x7FFF


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
