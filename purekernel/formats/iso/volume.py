"""Read what an ISO says about itself, from its descriptors alone: also if its files are damaged.

Source: ECMA-119, 8.4 and 8.5; "El Torito" Bootable CD-ROM Format Specification 1.0, 2.0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from purekernel.formats.iso.boot_catalog import CatalogEntry, find_catalog, parse_catalog
from purekernel.formats.iso.check import (
    BOOT,
    IDENTIFIER,
    JOLIET_ESCAPES,
    MAX_DESCRIPTORS,
    PRIMARY,
    ROCK_RIDGE_MARK,
    SUPPLEMENTARY,
    TERMINATOR,
    UDF_DESCRIPTORS,
    UDF_IDENTIFIERS,
)
from purekernel.formats.iso.layout import (
    BOOT_RECORD,
    FIRST_DESCRIPTOR,
    SECTOR_BYTES,
    SIZES_BYTES,
    VolumeFields,
)
from purekernel.input import Input
from purekernel.records import frozen

# Where the text fields of a primary descriptor are.
_OFFSETS = {
    "system_id": 8,
    "volume_id": 40,
    "publisher_id": 318,
    "preparer_id": 446,
    "application_id": 574,
    "copyright_file_id": 702,
}
_CREATED, _MODIFIED = 813, 830
_ROOT = 156
_DATE_BYTES = 17
_QUARTER_HOURS = 15


@frozen(kw_only=True)
class IsoVolume:
    """What the descriptors of an ISO say.

    Attributes:
        fields: the text fields.
        block_bytes: the size of a block.
        blocks: the size of the volume in blocks.
        created: when it was made, such as ``2013-05-14 08:12:01 +00:00``; empty if not stated.
        modified: when it was changed.
        has_rock_ridge: whether it has names, owners and modes of POSIX.
        has_joliet: whether it has names for Windows.
        has_udf: whether it has a UDF file system too.
        catalog_sector: the sector of the boot catalog; ``None`` if it has no boot record.
    """

    fields: VolumeFields
    block_bytes: int
    blocks: int
    created: str
    modified: str
    has_rock_ridge: bool
    has_joliet: bool
    has_udf: bool
    catalog_sector: int | None


def read_volume(file: Input) -> IsoVolume:
    """Return what the descriptors of an ISO say.

    Raises:
        FormatError: it has no primary descriptor.
    """
    descriptors = list(_descriptors(file))
    primary = next((raw for _number, raw in descriptors if raw[0] == PRIMARY), None)
    if primary is None:
        at = FIRST_DESCRIPTOR * SECTOR_BYTES
        raise file.fail(at, "a primary volume descriptor", "no such descriptor")
    boot = next((raw for at, raw in descriptors if raw[0] == BOOT and at == BOOT_RECORD), None)
    (blocks,) = struct.unpack_from("<I", primary, 80)
    (block_bytes,) = struct.unpack_from("<H", primary, 128)
    texts = {
        key: primary[at : at + SIZES_BYTES[key]].rstrip(b" \0").decode("utf-8", "surrogateescape")
        for key, at in _OFFSETS.items()
    }
    return IsoVolume(
        fields=VolumeFields(**texts),
        block_bytes=block_bytes,
        blocks=blocks,
        created=_date(primary[_CREATED : _CREATED + _DATE_BYTES]),
        modified=_date(primary[_MODIFIED : _MODIFIED + _DATE_BYTES]),
        has_rock_ridge=_has_rock_ridge(file, primary, block_bytes),
        has_joliet=any(
            raw[0] == SUPPLEMENTARY and raw[88:91] in JOLIET_ESCAPES for _at, raw in descriptors
        ),
        has_udf=_has_udf(file, descriptors[-1][0] + 1),
        catalog_sector=None if boot is None else find_catalog(boot),
    )


def read_catalog(file: Input, volume: IsoVolume) -> tuple[CatalogEntry, ...]:
    """Return the entries of the boot catalog; none without one.

    Raises:
        FormatError: the catalog is damaged.
        LimitError: it has too many entries.
    """
    return () if volume.catalog_sector is None else parse_catalog(file, volume.catalog_sector)


def _descriptors(file: Input) -> Iterator[tuple[int, bytes]]:
    """Yield sector and bytes of each descriptor, to the last that is whole."""
    for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + MAX_DESCRIPTORS):
        raw = bytes(file.view[number * SECTOR_BYTES : (number + 1) * SECTOR_BYTES])
        if len(raw) < SECTOR_BYTES or raw[1:6] != IDENTIFIER:
            return
        yield number, raw
        if raw[0] == TERMINATOR:
            return


def _has_rock_ridge(file: Input, primary: bytes, block_bytes: int) -> bool:
    (extent,) = struct.unpack_from("<I", primary, _ROOT + 2)
    first = bytes(file.view[extent * block_bytes : extent * block_bytes + 255])
    return ROCK_RIDGE_MARK in first[: first[0]] if first else False


def _has_udf(file: Input, sector: int) -> bool:
    starts = (number * SECTOR_BYTES for number in range(sector, sector + UDF_DESCRIPTORS))
    return any(bytes(file.view[at + 1 : at + 6]) in UDF_IDENTIFIERS for at in starts)


def _date(raw: bytes) -> str:
    """Return a date and time of ECMA-119, 8.4.26.1: 16 digits, and quarters of an hour."""
    digits, (quarters,) = raw[:16], struct.unpack("b", raw[16:])
    if not digits.isdigit() or not digits.strip(b"0"):
        return ""
    text = digits.decode()
    hours, minutes = divmod(abs(quarters) * _QUARTER_HOURS, 60)
    sign = "-" if quarters < 0 else "+"
    return (
        f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[8:10]}:{text[10:12]}:{text[12:14]} "
        f"{sign}{hours:02}:{minutes:02}"
    )
