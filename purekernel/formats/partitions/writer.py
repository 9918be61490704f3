"""Write the partition tables of a disk.

Source: UEFI specification 2.10, chapter 5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from purekernel.errors import UsageError, raise_all
from purekernel.formats.partitions.layout import (
    ACTIVE,
    BOOT_SIGNATURE,
    CODE_BYTES,
    GPT_ENTRIES,
    GPT_ENTRY,
    GPT_HEADER,
    GPT_SECTORS,
    GPT_SIGNATURE,
    MBR_ENTRIES_AT,
    MBR_ENTRY,
    PROTECTIVE,
    SECTOR_BYTES,
    Fault,
    Gpt,
    GptPartition,
    Mbr,
    MbrPartition,
    gpt_faults,
    mbr_faults,
    show_partition,
)

# Sector numbers have 32 bits in an MBR.
_MAX_SECTOR = 0xFFFFFFFF

# The cylinders that an old BIOS can number.
_CYLINDERS = 1024

_GPT_REVISION = 0x10000
_NAME_UNITS = 36


def build_mbr(mbr: Mbr, *, sectors: int, heads: int = 255, track_sectors: int = 63) -> bytes:
    """Return the sector of an MBR whose partitions do not overlap.

    Args:
        mbr: the MBR, with no logical partitions.
        sectors: the size of the disk in sectors.
        heads: the heads of a cylinder, for the addresses that old BIOSes use.
        track_sectors: the sectors of a track, likewise.

    Raises:
        UsageError: partitions overlap or end after the end of the disk, a number is given twice,
            is not from 1 to 4, or the code is too long.
    """
    _refuse(_numbering_faults([each.number for each in mbr.partitions], 4))
    _refuse(mbr_faults(mbr, sectors))
    if len(mbr.code) > CODE_BYTES:
        _refuse([(f"at most {CODE_BYTES} bytes of boot code", f"{len(mbr.code)}")])
    sector = bytearray(SECTOR_BYTES)
    sector[: len(mbr.code)] = mbr.code
    struct.pack_into("<I", sector, CODE_BYTES, mbr.disk_id)
    for each in mbr.partitions:
        if each.end - 1 > _MAX_SECTOR or each.sectors > _MAX_SECTOR:
            _refuse([(f"at most {_MAX_SECTOR} sectors in an MBR", show_partition(each))])
        MBR_ENTRY.pack_into(
            sector,
            MBR_ENTRIES_AT + (each.number - 1) * MBR_ENTRY.size,
            ACTIVE if each.is_active else 0,
            _chs(each.first, heads, track_sectors),
            each.kind,
            _chs(each.end - 1, heads, track_sectors),
            each.first,
            each.sectors,
        )
    sector[510:] = BOOT_SIGNATURE
    return bytes(sector)


def protect(sectors: int, *, number: int = 1) -> MbrPartition:
    """Return the entry of an MBR that protects the GPT of a disk with so many sectors."""
    return MbrPartition(
        number=number, kind=PROTECTIVE, first=1, sectors=min(sectors - 1, _MAX_SECTOR)
    )


def make_gpt(disk_id: UUID, partitions: Iterable[GptPartition], *, sectors: int) -> Gpt:
    """Return a GPT of 128 entries for a disk of ``sectors`` sectors."""
    return Gpt(
        disk_id=disk_id,
        partitions=tuple(partitions),
        first_usable=1 + GPT_SECTORS,
        end_usable=sectors - GPT_SECTORS,
        sectors=sectors,
    )


def build_gpt(gpt: Gpt) -> tuple[bytes, bytes]:
    """Return the sectors of a GPT after the MBR, and its backup, the last sectors of the disk.

    Each is :data:`GPT_SECTORS` sectors long.

    Raises:
        UsageError: partitions overlap or are not in the usable sectors, a number is given twice,
            or a name is too long.
    """
    numbers = [each.number for each in gpt.partitions]
    last_sector = gpt.sectors - 1
    _refuse(_numbering_faults(numbers, GPT_ENTRIES))
    if not GPT_SECTORS < gpt.first_usable <= gpt.end_usable <= gpt.sectors - GPT_SECTORS:
        usable = f"{gpt.first_usable} to {gpt.end_usable - 1} of {gpt.sectors}"
        _refuse([(f"{GPT_SECTORS} sectors for a GPT at both ends", f"usable sectors {usable}")])
    _refuse(gpt_faults(gpt, gpt.sectors))
    table = bytearray(GPT_ENTRIES * GPT_ENTRY.size)
    for each in gpt.partitions:
        name = each.name.encode("utf-16-le")
        if len(name) > 2 * _NAME_UNITS:
            _refuse([(f"names of at most {_NAME_UNITS} characters", repr(each.name))])
        GPT_ENTRY.pack_into(
            table,
            (each.number - 1) * GPT_ENTRY.size,
            each.kind.bytes_le,
            each.id.bytes_le,
            each.first,
            each.end - 1,
            each.attributes,
            name,
        )
    primary = _gpt_header(gpt, table, own=1, alternate=last_sector, entries_sector=2)
    entries_sector = last_sector - GPT_SECTORS + 1
    backup = _gpt_header(gpt, table, own=last_sector, alternate=1, entries_sector=entries_sector)
    return primary + bytes(table), bytes(table) + backup


def _gpt_header(
    gpt: Gpt, table: bytearray, *, own: int, alternate: int, entries_sector: int
) -> bytes:
    def pack(check: int) -> bytes:
        return GPT_HEADER.pack(
            GPT_SIGNATURE, _GPT_REVISION, GPT_HEADER.size, check, 0, own, alternate,
            gpt.first_usable, gpt.end_usable - 1, gpt.disk_id.bytes_le, entries_sector,
            GPT_ENTRIES, GPT_ENTRY.size, zlib.crc32(table),
        )  # fmt: skip

    return pack(zlib.crc32(pack(0))).ljust(SECTOR_BYTES, b"\0")


def _chs(sector: int, heads: int, track_sectors: int) -> bytes:
    """Return the address by cylinder, head and sector, or the last one that there is."""
    track, index = divmod(sector, track_sectors)
    cylinder, head = divmod(track, heads)
    if cylinder >= _CYLINDERS:
        cylinder, head, index = _CYLINDERS - 1, min(heads, 255) - 1, track_sectors - 1
    return bytes([head, index + 1 | cylinder >> 2 & 0xC0, cylinder & 0xFF])


def _numbering_faults(numbers: Sequence[int], most: int) -> Iterator[Fault]:
    if len(set(numbers)) < len(numbers) or not all(1 <= number <= most for number in numbers):
        yield f"numbers of partitions from 1 to {most}, each once", f"{numbers}"


def _refuse(faults: Iterable[Fault]) -> None:
    raise_all(
        UsageError(f"a partition table must have {expected}, got {got}", hint="change the layout")
        for expected, got in faults
    )
