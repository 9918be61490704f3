"""Read and write the boot catalog of El Torito.

pycdlib reads catalogs, but neither keeps nor writes identifiers, selection criteria, flags, and
platforms other than BIOS and UEFI. So catalogs are ours, both ways; pycdlib only places them.

Source: "El Torito" Bootable CD-ROM Format Specification 1.0, 2.0 to 2.4.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from attrs import evolve

from purekernel.formats.iso.boot import BootEntry
from purekernel.formats.iso.layout import SECTOR_BYTES
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer

RECORD_BYTES = 32

# The boot record says "EL TORITO SPECIFICATION", and has the sector of the catalog.
_BOOT_RECORD = struct.Struct("<B5sB32s32sI")
_SYSTEM = b"EL TORITO SPECIFICATION"

_VALIDATION = struct.Struct("<BBH24sHBB")
_HEADER = struct.Struct("<BBH28s")
_ENTRY = struct.Struct("<BBHBBHI20s")

_VALIDATION_ID = 0x01
_MORE_HEADERS, _LAST_HEADER = 0x90, 0x91
_EXTENSION = 0x44
_BOOTABLE, _NOT_BOOTABLE = 0x88, 0x00

# The specification has no limit. Real catalogs have two to five entries.
MAX_ENTRIES = 256


@frozen(kw_only=True)
class CatalogEntry:
    """An entry as the catalog has it.

    Attributes:
        entry: the entry, without its image.
        sector: where the image starts, in sectors of 2048 bytes.
        offset: where the entry is in the ISO, in bytes.
    """

    entry: BootEntry
    sector: int
    offset: int


def find_catalog(boot_record: bytes) -> int | None:
    """Return the sector of the catalog that a boot record names; ``None`` if it names none."""
    *_fields, system, _identifier, sector = _BOOT_RECORD.unpack_from(boot_record)
    return int(sector) if system.rstrip(b"\0 ") == _SYSTEM else None


def parse_catalog(file: Input, sector: int) -> tuple[CatalogEntry, ...]:
    """Return the entries of the catalog at ``sector`` of an ISO, the default entry first.

    Raises:
        FormatError: the catalog is damaged.
        LimitError: it has too many entries.
    """
    start = sector * SECTOR_BYTES
    record = _record(file, start)
    identifier, platform, _reserved, name, _sum, *keys = _VALIDATION.unpack(record)
    if identifier != _VALIDATION_ID or bytes(keys) != b"\x55\xaa":
        raise file.fail(
            start, "a validation entry of El Torito (01, ending in 55 aa)", f"{record.hex(' ')}"
        )
    if checksum := _checksum(record):
        raise file.fail(start, "a validation entry whose words add up to 0", f"{checksum:#06x}")
    entries: list[CatalogEntry] = []
    starts, left, offset = True, 1, start
    while True:
        offset += RECORD_BYTES
        record = _record(file, offset)
        if len(entries) > MAX_ENTRIES:
            raise file.exceed(offset, f"at most {MAX_ENTRIES} boot entries", "more")
        kind = record[0]
        if kind in (_MORE_HEADERS, _LAST_HEADER) and entries:
            _kind, platform, left, name = _HEADER.unpack(record)
            starts = True
        elif kind == _EXTENSION and entries:
            last = entries[-1]
            extensions = last.entry.extensions + record
            entries[-1] = evolve(last, entry=evolve(last.entry, extensions=extensions))
        elif kind == _BOOTABLE or (kind == _NOT_BOOTABLE and left > 0 and any(record)):
            # Entries behind the default one without a header, as some writers leave them.
            _mark, media, segment, system, _unused, sectors, image, selection = _ENTRY.unpack(
                record
            )
            entry = BootEntry(
                platform=platform,
                is_bootable=kind == _BOOTABLE,
                media=media,
                load_segment=segment,
                system_type=system,
                load_sectors=sectors,
                selection=selection,
                starts_section=starts,
                section_name=name.rstrip(b"\0") if starts else b"",
            )
            entries.append(CatalogEntry(entry=entry, sector=image, offset=offset))
            starts, left = False, left - 1
        elif kind == _NOT_BOOTABLE:
            return tuple(entries)
        else:
            raise file.fail(offset, "an entry of a boot catalog", record.hex(" "))


def build_catalog(entries: Sequence[BootEntry], images: Sequence[tuple[int, int]]) -> bytes:
    """Return a catalog, padded to whole sectors.

    Args:
        entries: the entries, the default entry first.
        images: the sector and the size in bytes of each entry's image.
    """
    records: list[bytes] = []
    headers = [number for number, entry in enumerate(entries) if number and entry.starts_section]
    for number, (entry, (sector, size_bytes)) in enumerate(zip(entries, images, strict=True)):
        if not number:
            records.append(_validation(entry))
        elif entry.starts_section:
            ends = [*headers, len(entries)]
            count = ends[ends.index(number) + 1] - number
            kind = _LAST_HEADER if number == headers[-1] else _MORE_HEADERS
            records.append(_HEADER.pack(kind, entry.platform, count, entry.section_name))
        mark = _BOOTABLE if entry.is_bootable else _NOT_BOOTABLE
        record = _ENTRY.pack(
            mark, entry.media, entry.load_segment, entry.system_type, 0,
            entry.sectors_for(size_bytes), sector, entry.selection,
        )  # fmt: skip
        records += [record, entry.extensions]
    # A record of zeros ends the catalog.
    data = b"".join(records) + bytes(RECORD_BYTES)
    return data + bytes(-len(data) % SECTOR_BYTES)


def catalog_bytes(entries: Sequence[BootEntry]) -> int:
    """Return the size of the catalog of ``entries``, in whole sectors."""
    return len(build_catalog(entries, [(0, 0)] * len(entries)))


def _validation(entry: BootEntry) -> bytes:
    parts = (_VALIDATION_ID, entry.platform, 0, entry.section_name)
    record = _VALIDATION.pack(*parts, 0, 0x55, 0xAA)
    return _VALIDATION.pack(*parts, -_checksum(record) & 0xFFFF, 0x55, 0xAA)


def _checksum(record: Buffer) -> int:
    """Return the sum of all words of a record."""
    return int(sum(word for (word,) in struct.iter_unpack("<H", record))) & 0xFFFF


def _record(file: Input, offset: int) -> bytes:
    record = bytes(file.view[offset : offset + RECORD_BYTES])
    if len(record) < RECORD_BYTES:
        raise file.fail(offset, "an entry of a boot catalog", "the end of the file")
    return record
