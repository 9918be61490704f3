"""Read the partition tables of a disk.

A table may have overlapping partitions, as that of an isohybrid image has: :func:`parse_mbr` and
:func:`parse_gpt` keep what it says, and :func:`parse_partitions` refuses it.

Source: UEFI specification 2.10, chapter 5; for logical partitions, block/partitions/msdos.c of the
Linux kernel.
"""

from __future__ import annotations

import zlib
from uuid import UUID

from attrs import evolve

from purekernel.errors import FormatError, raise_all
from purekernel.formats.partitions.layout import (
    ACTIVE,
    BOOT_SIGNATURE,
    CODE_BYTES,
    EXTENDED,
    GPT_ENTRY,
    GPT_HEADER,
    GPT_SIGNATURE,
    MBR_ENTRIES_AT,
    MBR_ENTRY,
    SECTOR_BYTES,
    Gpt,
    GptPartition,
    Mbr,
    MbrPartition,
    PartitionTable,
    gpt_faults,
    mbr_faults,
)
from purekernel.input import Input
from purekernel.records import frozen

_UNUSED = UUID(int=0)

# Linux numbers at most 255 partitions on a disk.
_MAX_LOGICAL = 251

# Tables of 128 entries are usual, and xorriso writes 248. This bound is far above both.
_MAX_ENTRIES = 4096


def parse_partitions(file: Input) -> PartitionTable:
    """Return the tables of a disk whose partitions do not overlap and are all on the disk.

    Raises:
        FormatError: there is no MBR, a table is damaged, partitions overlap, or one ends after
            the end of ``file``.
    """
    table = PartitionTable(mbr=parse_mbr(file), gpt=parse_gpt(file))
    sectors = len(file) // SECTOR_BYTES
    faults = list(mbr_faults(table.mbr, sectors))
    if table.gpt is not None:
        faults += gpt_faults(table.gpt, sectors)
    raise_all(file.fail(None, *fault) for fault in faults)
    return table


def parse_mbr(file: Input) -> Mbr:
    """Return the MBR in the first sector of ``file``, with the logical partitions.

    Raises:
        FormatError: there is none, or the chain of logical partitions is damaged.
    """
    sector = _read_boot_record(file, 0)
    partitions = _read_entries(file, sector)
    containers = [each for each in partitions if each.kind in EXTENDED]
    for container in containers:
        partitions += _read_logical(file, container, len(partitions) - len(containers))
    return Mbr(
        partitions=tuple(partitions),
        disk_id=int.from_bytes(sector[CODE_BYTES : CODE_BYTES + 4], "little"),
        code=sector[:CODE_BYTES],
    )


def _read_boot_record(file: Input, number: int) -> bytes:
    start = number * SECTOR_BYTES
    sector = bytes(file.view[start : start + SECTOR_BYTES])
    if sector[510:] != BOOT_SIGNATURE:
        raise file.fail(
            start + 510, "the signature 55 AA of a partition table", sector[510:].hex(" ") or "end"
        )
    return sector


def _read_entries(file: Input, sector: bytes, start: int = 0) -> list[MbrPartition]:
    """Return the entries that are not empty; ``start`` is the offset of ``sector``, in bytes."""
    partitions = []
    for index in range(4):
        at = MBR_ENTRIES_AT + index * MBR_ENTRY.size
        status, _first, kind, _last, first, sectors = MBR_ENTRY.unpack_from(sector, at)
        if status & ~ACTIVE:
            raise file.fail(start + at, "a partition with status 0 or 0x80", f"{status:#04x}")
        if sectors:
            partitions.append(
                MbrPartition(
                    number=index + 1,
                    kind=kind,
                    first=first,
                    sectors=sectors,
                    is_active=status == ACTIVE,
                )
            )
    return partitions


def _read_logical(file: Input, container: MbrPartition, count: int) -> list[MbrPartition]:
    """Return the logical partitions in ``container``, numbered after ``count`` others.

    Each one has a record: an entry for itself, relative to the record, and one for the next
    record, relative to the container.
    """
    found: list[MbrPartition] = []
    seen: set[int] = set()
    at = container.first
    while True:
        if at in seen or len(seen) >= _MAX_LOGICAL:
            raise file.fail(
                at * SECTOR_BYTES, f"at most {_MAX_LOGICAL} logical partitions", "a chain with more"
            )
        seen.add(at)
        entries = _read_entries(file, _read_boot_record(file, at), at * SECTOR_BYTES)
        following = [each for each in entries if each.kind in EXTENDED]
        for each in entries:
            if each.kind not in EXTENDED:
                number = max(count, 4) + len(found) + 1
                found.append(evolve(each, number=number, first=at + each.first))
        if not following:
            return found
        at = container.first + following[0].first


def parse_gpt(file: Input) -> Gpt | None:
    """Return the GPT of a disk; ``None`` if it has none at its start and at its end.

    Both copies are checked. If one is damaged or missing, the other counts, with a note.

    Raises:
        FormatError: no copy is intact.
    """
    sectors = len(file) // SECTOR_BYTES
    primary = _try_gpt(file, 1)
    alternate = sectors - 1
    if isinstance(primary, _GptCopy) and primary.alternate < sectors:
        alternate = primary.alternate
    backup = _try_gpt(file, alternate) if alternate > 1 else None
    if primary is None and backup is None:
        return None
    if isinstance(primary, _GptCopy):
        if not isinstance(backup, _GptCopy) or backup.content != primary.content:
            reason = _describe_fault(backup)
            file.note(f"the backup of the GPT in sector {alternate} is {reason}")
        return primary.gpt
    if isinstance(backup, _GptCopy):
        file.note(f"the GPT in sector 1 is {_describe_fault(primary)}; its backup is used")
        return backup.gpt
    raise next(fault for fault in (primary, backup) if fault is not None)


def _describe_fault(copy: _GptCopy | FormatError | None) -> str:
    if copy is None:
        return "missing"
    if isinstance(copy, FormatError):
        return f"damaged (must have {copy.expected}, got {copy.got})"
    return "different"


@frozen(kw_only=True)
class _GptCopy:
    """One of the two copies of a GPT, where its other copy is, and what must be the same."""

    gpt: Gpt
    alternate: int
    content: tuple[object, ...]


def _try_gpt(file: Input, number: int) -> _GptCopy | FormatError | None:
    """Return the copy whose header is in sector ``number``, its fault, or ``None`` without one."""
    at = number * SECTOR_BYTES
    header = bytes(file.view[at : at + SECTOR_BYTES])
    if len(header) < SECTOR_BYTES or not header.startswith(GPT_SIGNATURE):
        return None
    try:
        return _read_gpt(file, number, header)
    except FormatError as error:
        return error


def _read_gpt(file: Input, number: int, header: bytes) -> _GptCopy:
    at = number * SECTOR_BYTES
    (
        _signature, revision, size_bytes, check, _zero, own, alternate, first_usable, last_usable,
        disk_id, entries_sector, count, entry_bytes, entries_check,
    ) = GPT_HEADER.unpack_from(header)  # fmt: skip
    if not GPT_HEADER.size <= size_bytes <= SECTOR_BYTES or revision >> 16 != 1:
        raise file.fail(at + 8, "the header of a GPT 1.0", "another size or revision")
    blanked = header[:16] + bytes(4) + header[20:size_bytes]
    if zlib.crc32(blanked) != check or own != number:
        raise file.fail(at + 16, "a header with its own checksum and sector", "others")
    if entry_bytes < GPT_ENTRY.size or entry_bytes % 8 or count > _MAX_ENTRIES:
        raise file.fail(
            at + 80,
            f"at most {_MAX_ENTRIES} entries of 128 bytes or more",
            f"{count} entries of {entry_bytes} bytes",
        )
    start = entries_sector * SECTOR_BYTES
    table = file.view[start : start + count * entry_bytes]
    if len(table) < count * entry_bytes or zlib.crc32(table) != entries_check:
        raise file.fail(at + 88, "entries with the checksum of the header", "others")
    partitions = []
    for index in range(count):
        kind, own_id, first, last, attributes, name = GPT_ENTRY.unpack_from(
            table, index * entry_bytes
        )
        if UUID(bytes_le=kind) == _UNUSED:
            continue
        if last < first:
            at = start + index * entry_bytes
            raise file.fail(at, "a last sector after the first", f"{first} to {last}")
        partitions.append(
            GptPartition(
                number=index + 1,
                kind=UUID(bytes_le=kind),
                id=UUID(bytes_le=own_id),
                first=first,
                sectors=last - first + 1,
                name=name.decode("utf-16-le", "replace").partition("\0")[0],
                attributes=attributes,
            )
        )
    gpt = Gpt(
        disk_id=UUID(bytes_le=disk_id),
        partitions=tuple(partitions),
        first_usable=first_usable,
        end_usable=last_usable + 1,
        sectors=max(own, alternate) + 1,
    )
    return _GptCopy(gpt=gpt, alternate=alternate, content=(evolve(gpt, sectors=0), count))
