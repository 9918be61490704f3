"""Adjust the system area of a base, and the backup of its GPT, to where things lie on an output.

All bytes of the system area stay, but for addresses: partition entries, the header of the GPT, and
the block that code in the MBR loads. Sectors have 512 bytes here, as in partition tables.

Source: UEFI specification 2.10, chapter 5; libisofs, doc/boot_sectors.txt; isohdpfx.S of syslinux;
grub-core/boot/i386/pc/boot.S of GRUB (``HYBRID_BOOT``).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import Enum, auto

from attrs import field

from purekernel.errors import UnrepresentableError
from purekernel.formats.iso.boot import LOAD_BYTES, DiskParts, Extent, IsoLayout
from purekernel.formats.iso.layout import SECTOR_BYTES
from purekernel.records import frozen
from purekernel.tree import Buffer, display

SECTORS = SECTOR_BYTES // LOAD_BYTES

# As xorriso adds after appended partitions.
PADDING_SECTORS = 150

MBR_ENTRIES = 446
MBR_ENTRY = struct.Struct("<B3sB3sII")
MBR_COUNT = 4
_MAX_SECTOR = 0xFFFFFFFF

# An address by cylinder, head and sector that says "use the other address".
_NO_CHS = (b"\xfe\xff\xff", b"\0\0\0")
_CYLINDERS = 1024

GPT_AT = LOAD_BYTES
GPT_HEADER = struct.Struct("<8sIIII4Q16sQIII")
_GPT_RANGE = struct.Struct("<QQ")
_GPT_RANGE_AT = 32

# An entry of an Apple partition map: block and number of blocks, and the number once more.
_APPLE_RANGE = struct.Struct(">II")
_APPLE_RANGE_AT, _APPLE_COUNT_AT = 8, 84

Image = bytes | int
"""A file of the tree, by its path, or an area outside of it, by its index."""


class Anchor(Enum):
    """What a border of a partition is at."""

    FIXED = auto()  # a sector of the system area, which never moves
    START = auto()  # the start of an image
    END = auto()  # the end of an image
    VOLUME_END = auto()
    USABLE_END = auto()  # the end of what the GPT gives to partitions
    DISK_END = auto()


@frozen(kw_only=True)
class Border:
    """A border of a partition.

    Attributes:
        anchor: what it is at.
        image: the image, of an anchor that is one's.
        offset: sectors to add.
        unit: the border is rounded to a multiple of so many sectors: up at an image, down before
            a GPT.
    """

    anchor: Anchor
    image: Image = b""
    offset: int = 0
    unit: int = 1


@frozen(kw_only=True)
class Moved:
    """A partition whose borders move.

    Attributes:
        at: where its entry is in the system area, in bytes.
        start: its first sector.
        end: the sector after its last one.
        block_bytes: the unit of its start, in a map of Apple.
        count_bytes: the unit of its size, likewise.
        is_gap: whether it only fills the space between other partitions.
    """

    at: int
    start: Border
    end: Border
    block_bytes: int = LOAD_BYTES
    count_bytes: int = LOAD_BYTES
    is_gap: bool = False


@frozen(kw_only=True)
class Loaded:
    """The address that code in the MBR has: of what it loads.

    Attributes:
        at: where the address is in the system area: 64 bits.
        image: the boot image that it is in.
        offset: the sectors between the start of the image and what is loaded.
    """

    at: int
    image: Image
    offset: int


@frozen(kw_only=True)
class Gpt:
    """Where a GPT has its table.

    Attributes:
        table: where its entries are in the system area, in bytes.
        table_bytes: their size.
        tail: the sectors between what partitions may use and the end of the disk.
    """

    table: int
    table_bytes: int
    tail: int

    @property
    def table_sectors(self) -> int:
        """The size of the table in whole sectors."""
        return -(-self.table_bytes // LOAD_BYTES)


@frozen(kw_only=True)
class CarriedDisk:
    """How a base boots as a disk.

    Attributes:
        area: its system area.
        loaded: the address in its MBR's code; ``None`` without any.
        mbr: the partitions of its MBR.
        gpt: its GPT; ``None`` without one.
        gpt_partitions: the partitions of the GPT.
        apple: the partitions of its Apple partition map.
        heads: the heads of a cylinder, for addresses in the MBR.
        track: the sectors of a track.
        unit: the size of the disk is a multiple of so many sectors.
    """

    area: bytes = field(repr=False)
    loaded: Loaded | None = None
    mbr: tuple[Moved, ...] = ()
    gpt: Gpt | None = None
    gpt_partitions: tuple[Moved, ...] = ()
    apple: tuple[Moved, ...] = ()
    heads: int = 64
    track: int = 32
    unit: int = SECTORS

    @property
    def paths(self) -> frozenset[bytes]:
        """The files that it needs on the ISO."""
        moved = (*self.mbr, *self.gpt_partitions, *self.apple)
        borders = [border for each in moved for border in (each.start, each.end)]
        images = [each.image for each in borders if each.anchor in (Anchor.START, Anchor.END)]
        if self.loaded is not None:
            images.append(self.loaded.image)
        return frozenset(image for image in images if isinstance(image, bytes))

    def lay_out(self, layout: IsoLayout) -> DiskParts:
        """Return the system area for a layout, and the backup of the GPT.

        Raises:
            UnrepresentableError: an image is not in the layout, or a partition is too large.
        """
        tail = 0 if self.gpt is None else max(self.gpt.tail, self.gpt.table_sectors + 1)
        # Drives read ahead past the end; the volume has its own padding.
        padding = PADDING_SECTORS * SECTORS if layout.appended else 0
        used = -(-layout.end_bytes // LOAD_BYTES) + padding + tail
        end = -(-used // self.unit) * self.unit
        places = _Places(layout=layout, usable_end=end - tail, end=end)
        area = bytearray(self.area)
        if self.loaded is not None:
            extent = places.find(self.loaded.image)
            address = extent.sector * SECTORS + self.loaded.offset
            struct.pack_into("<Q", area, self.loaded.at, address)
        for moved in self.mbr:
            self._move_mbr(area, moved, places)
        for moved, start, end in places.place(self.apple):
            _move_apple(area, moved, start, end)
        after: tuple[tuple[int, Buffer], ...] = ()
        if self.gpt is not None:
            for moved, start, end in places.place(self.gpt_partitions):
                _move_gpt(area, moved, start, end)
            after = _finish_gpt(area, self.gpt, places)
        return DiskParts(system_area=bytes(area), after=after, size_bytes=end * LOAD_BYTES)

    def _move_mbr(self, area: bytearray, moved: Moved, places: _Places) -> None:
        start, end = places.borders(moved)
        status, first, kind, last, _start, _sectors = MBR_ENTRY.unpack_from(area, moved.at)
        if max(start, end) > _MAX_SECTOR:
            raise UnrepresentableError(
                f"a partition of an MBR must end before sector {_MAX_SECTOR}, got {end}",
                hint="make the image smaller",
            )
        first = first if first in _NO_CHS else chs(start, self.heads, self.track)
        last = last if last in _NO_CHS else chs(end - 1, self.heads, self.track)
        MBR_ENTRY.pack_into(area, moved.at, status, first, kind, last, start, end - start)


def chs(sector: int, heads: int, track: int) -> bytes:
    """Return the address by cylinder, head and sector, or the last one that there is.

    Args:
        sector: the sector.
        heads: the heads of a cylinder.
        track: the sectors of a track.
    """
    tracks, index = divmod(sector, track)
    cylinder, head = divmod(tracks, heads)
    if cylinder >= _CYLINDERS:
        cylinder, head, index = _CYLINDERS - 1, heads - 1, track - 1
    return bytes([head, index + 1 | cylinder >> 2 & 0xC0, cylinder & 0xFF])


@frozen(kw_only=True)
class _Places:
    """Where things lie on the output.

    Attributes:
        layout: the places of images.
        usable_end: the end of what a GPT gives to partitions.
        end: the end of the disk.
    """

    layout: IsoLayout
    usable_end: int
    end: int

    def find(self, image: Image) -> Extent:
        """Return the place of an image."""
        if isinstance(image, int):
            return self.layout.appended[image]
        extent = self.layout.files.get(image)
        if extent is None:
            raise UnrepresentableError(
                f"{display(image)}, which a partition or the MBR of the base boots, is not on the "
                "ISO",
                hint="keep the file",
            )
        return extent

    def sector(self, border: Border) -> int:
        """Return the sector of a border."""
        if border.anchor is Anchor.FIXED:
            return border.offset
        if border.anchor is Anchor.VOLUME_END:
            return self.layout.volume_sectors * SECTORS
        if border.anchor is Anchor.USABLE_END:
            return self.usable_end // border.unit * border.unit
        if border.anchor is Anchor.DISK_END:
            return self.end
        extent = self.find(border.image)
        start = extent.sector * SECTORS + border.offset
        if border.anchor is Anchor.START:
            return start
        unit_bytes = border.unit * LOAD_BYTES
        return start + -(-extent.size_bytes // unit_bytes) * border.unit

    def borders(self, moved: Moved) -> tuple[int, int]:
        """Return the first sector of a partition, and the one after its last."""
        return self.sector(moved.start), self.sector(moved.end)

    def place(self, partitions: Sequence[Moved]) -> Iterator[tuple[Moved, int, int]]:
        """Yield the partitions of a table with their borders.

        Images may lie in another order than in the base, so what fills a gap there may overlap a
        partition here. It ends before that, or is empty.
        """
        others = [self.borders(moved) for moved in partitions if not moved.is_gap]
        for moved in partitions:
            start, end = self.borders(moved)
            if moved.is_gap:
                for other_start, other_end in others:
                    if other_start <= start < other_end:
                        end = start
                    elif start < other_start:
                        end = min(end, other_start)
            yield moved, start, end


def _move_gpt(area: bytearray, moved: Moved, start: int, end: int) -> None:
    if end > start:
        _GPT_RANGE.pack_into(area, moved.at + _GPT_RANGE_AT, start, end - 1)
    else:  # nothing is left of a partition that fills a gap
        area[moved.at : moved.at + 128] = bytes(128)


def _move_apple(area: bytearray, moved: Moved, start: int, end: int) -> None:
    first = start * LOAD_BYTES // moved.block_bytes
    count = max(0, -(-(end - start) * LOAD_BYTES // moved.count_bytes))
    _APPLE_RANGE.pack_into(area, moved.at + _APPLE_RANGE_AT, first, count)
    struct.pack_into(">I", area, moved.at + _APPLE_COUNT_AT, count)


def _finish_gpt(area: bytearray, gpt: Gpt, places: _Places) -> tuple[tuple[int, Buffer], ...]:
    """Set the header of the GPT, and return its backup."""
    table = bytes(area[gpt.table : gpt.table + gpt.table_bytes])
    last = places.end - 1
    backup_table = last - gpt.table_sectors
    own, other = (1, gpt.table // LOAD_BYTES), (last, backup_table)
    header = _gpt_header(area, table, own=own, other=last, usable_end=places.usable_end)
    backup = _gpt_header(area, table, own=other, other=1, usable_end=places.usable_end)
    area[GPT_AT : GPT_AT + len(header)] = header
    return ((backup_table * LOAD_BYTES, table), (last * LOAD_BYTES, backup))


def _gpt_header(
    area: bytearray, table: bytes, *, own: tuple[int, int], other: int, usable_end: int
) -> bytes:
    """Return a header of the GPT, like that of ``area``.

    Args:
        area: the system area.
        table: the entries.
        own: the sectors of this header and of its table.
        other: the sector of the other header.
        usable_end: the end of what partitions may use.
    """
    (
        signature, revision, size_bytes, _check, zero, _own, _other, first_usable, _last_usable,
        disk_id, _table, count, entry_bytes, _table_check,
    ) = GPT_HEADER.unpack_from(area, GPT_AT)  # fmt: skip
    rest = bytes(area[GPT_AT + GPT_HEADER.size : GPT_AT + size_bytes])

    def pack(check: int) -> bytes:
        return GPT_HEADER.pack(
            signature, revision, size_bytes, check, zero, own[0], other, first_usable,
            usable_end - 1, disk_id, own[1], count, entry_bytes, zlib.crc32(table),
        ) + rest  # fmt: skip

    return pack(zlib.crc32(pack(0))).ljust(LOAD_BYTES, b"\0")
