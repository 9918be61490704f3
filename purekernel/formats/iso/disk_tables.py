"""Read the partition tables of an ISO: MBR, GPT and Apple partition map.

Partitions of an ISO may overlap: that of the whole disk holds those with boot images.

Source: UEFI specification 2.10, chapter 5; "Inside Macintosh: Devices", 3; libisofs,
doc/boot_sectors.txt.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator

from purekernel.formats.iso.boot import LOAD_BYTES
from purekernel.formats.iso.carried_disk import (
    GPT_AT,
    GPT_HEADER,
    MBR_COUNT,
    MBR_ENTRIES,
    MBR_ENTRY,
    Gpt,
)
from purekernel.formats.iso.layout import FIRST_DESCRIPTOR, SECTOR_BYTES
from purekernel.records import frozen

SYSTEM_AREA_BYTES = FIRST_DESCRIPTOR * SECTOR_BYTES
AREA_SECTORS = SYSTEM_AREA_BYTES // LOAD_BYTES

_GPT_SIGNATURE = b"EFI PART"
GPT_ENTRY_BYTES = 128
APPLE_SIGNATURE, _APPLE_ENTRY = b"ER", b"PM"
_APPLE_MAP = b"Apple_partition_map"
_HFS_PLUS = bytes.fromhex("005346480000aa11aa1100306543ecac")

# xorriso fills the space between other partitions with partitions of these names and this type.
_GAP = re.compile(r"Gap[0-9]+")
_APPLE_GAP = b"ISO9660_data"
_APPLE_HYBRID = b"HFSPLUS_Hybrid"


@frozen(kw_only=True)
class TablePartition:
    """An entry of a partition table.

    Attributes:
        at: where the entry is in the system area, in bytes.
        start: the first sector.
        end: the sector after the last one.
        what: what it is, for messages.
        is_gap: whether it only fills the space between others.
        is_hfs: whether it is a file system of macOS over files of the ISO.
        is_apple: whether the entry is in an Apple partition map.
        is_map: whether it is that map itself, which does not move.
        block_bytes: the unit of the start.
        count_bytes: the unit of the size.
    """

    at: int
    start: int
    end: int
    what: str
    is_gap: bool = False
    is_hfs: bool = False
    is_apple: bool = False
    is_map: bool = False
    block_bytes: int = LOAD_BYTES
    count_bytes: int = LOAD_BYTES


@frozen(kw_only=True)
class ReadGpt:
    """A GPT.

    Attributes:
        gpt: where it has its table.
        partitions: its partitions.
        usable_end: the end of what partitions may use.
        backup: the sectors of its backup: the first, and the one after the last.
    """

    gpt: Gpt
    partitions: tuple[TablePartition, ...]
    usable_end: int
    backup: tuple[int, int]


SizeAt = Callable[[int], int | None]
"""Returns the size in bytes of the image that begins at a sector, or ``None`` without any."""


def read_mbr(area: bytearray) -> Iterator[TablePartition]:
    """Yield the partitions of the MBR in a system area."""
    for number in range(1, MBR_COUNT + 1):
        at = MBR_ENTRIES + (number - 1) * MBR_ENTRY.size
        _status, _first, kind, _last, start, sectors = MBR_ENTRY.unpack_from(area, at)
        if sectors:
            what = f"partition {number} of its MBR (type {kind:#04x})"
            yield TablePartition(at=at, start=start, end=start + sectors, what=what)


def has_gpt(area: bytearray) -> bool:
    """Return whether a system area has a GPT, damaged or not."""
    return area.startswith(_GPT_SIGNATURE, GPT_AT)


def read_gpt(area: bytearray, size_at: SizeAt) -> ReadGpt | None:
    """Return the GPT in a system area; ``None`` if it is damaged."""
    header = bytes(area[GPT_AT : GPT_AT + LOAD_BYTES])
    (
        _signature, _revision, size_bytes, check, _zero, own, other, _first, last_usable,
        _disk_id, table_sector, count, entry_bytes, table_check,
    ) = GPT_HEADER.unpack_from(header)  # fmt: skip
    start, table_bytes = table_sector * LOAD_BYTES, count * entry_bytes
    if (
        not GPT_HEADER.size <= size_bytes <= LOAD_BYTES
        or own != 1
        or zlib.crc32(header[:16] + bytes(4) + header[20:size_bytes]) != check
        or not GPT_ENTRY_BYTES <= entry_bytes <= LOAD_BYTES
        or not 2 <= table_sector <= AREA_SECTORS
        or start + table_bytes > SYSTEM_AREA_BYTES
        or zlib.crc32(area[start : start + table_bytes]) != table_check
    ):
        return None
    gpt = Gpt(table=start, table_bytes=table_bytes, tail=max(other - last_usable, 0))
    return ReadGpt(
        gpt=gpt,
        partitions=tuple(_gpt_partitions(area, start, count, entry_bytes, size_at)),
        usable_end=last_usable + 1,
        backup=(other - gpt.table_sectors, other + 1),
    )


def _gpt_partitions(
    area: bytearray, start: int, count: int, entry_bytes: int, size_at: SizeAt
) -> Iterator[TablePartition]:
    for number in range(count):
        at = start + number * entry_bytes
        kind = bytes(area[at : at + 16])
        if not any(kind):
            continue
        first, last = struct.unpack_from("<QQ", area, at + 32)
        name = area[at + 56 : at + 128].decode("utf-16-le", "replace").partition("\0")[0]
        yield TablePartition(
            at=at,
            start=first,
            end=last + 1,
            what=f"partition {number + 1} of its GPT ({name!r})",
            is_gap=_GAP.fullmatch(name) is not None,
            is_hfs=kind == _HFS_PLUS and not _holds(size_at(first), last + 1 - first),
        )


def _holds(size_bytes: int | None, sectors: int) -> bool:
    """Return whether a partition of that size holds an image and no more."""
    return size_bytes is not None and 0 <= sectors * LOAD_BYTES - size_bytes < SECTOR_BYTES


def read_apple(area: bytearray, size_at: SizeAt) -> Iterator[TablePartition]:
    """Yield the partitions of the Apple partition map in a system area."""
    block_bytes = int.from_bytes(area[2:4], "big") if area.startswith(APPLE_SIGNATURE) else 0
    if block_bytes not in (512, 2048) or not area.startswith(_APPLE_ENTRY, block_bytes):
        return
    (count,) = struct.unpack_from(">I", area, block_bytes + 4)
    for number in range(1, min(count, SYSTEM_AREA_BYTES // block_bytes - 1) + 1):
        at = number * block_bytes
        if not area.startswith(_APPLE_ENTRY, at):
            return
        first, blocks = struct.unpack_from(">II", area, at + 8)
        name, kind = (
            bytes(area[at + field : at + field + 32]).partition(b"\0")[0] for field in (16, 48)
        )
        start = first * block_bytes // LOAD_BYTES
        size_bytes = size_at(start)
        # isohybrid counts sectors of 512 bytes whatever the block.
        is_short = size_bytes is not None and blocks == -(-size_bytes // LOAD_BYTES)
        count_bytes = LOAD_BYTES if is_short else block_bytes
        yield TablePartition(
            at=at,
            start=start,
            end=start + blocks * count_bytes // LOAD_BYTES,
            what=f"partition {number} of its Apple partition map ({name.decode('latin-1')!r})",
            is_gap=kind == _APPLE_GAP,
            is_hfs=name == _APPLE_HYBRID,
            is_apple=True,
            is_map=kind == _APPLE_MAP,
            block_bytes=block_bytes,
            count_bytes=count_bytes,
        )
