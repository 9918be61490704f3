"""Verify how an image boots: its volume, its boot catalog, and its partition tables.

Source: "El Torito" Bootable CD-ROM Format Specification 1.0; isolinux's boot info table, as
mkisofs(8) describes it; ECMA-119, 8.4; UEFI specification 2.10, chapter 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from attrs import evolve

from purekernel.analysis.results import Check, Result
from purekernel.errors import PurekernelError
from purekernel.formats.hybrid_mbr import is_hybrid_code
from purekernel.formats.iso import IsoImage
from purekernel.formats.iso.boot import (
    BOOT_INFO_END,
    BOOT_INFO_OFFSET,
    LOAD_BYTES,
    NO_EMULATION,
    X86,
    BootEntry,
)
from purekernel.formats.iso.boot_catalog import CatalogEntry, find_catalog, parse_catalog
from purekernel.formats.iso.layout import BOOT_RECORD, FIRST_DESCRIPTOR
from purekernel.formats.iso.layout import SECTOR_BYTES as ISO_SECTOR_BYTES
from purekernel.formats.partitions import (
    CODE_BYTES,
    PROTECTIVE,
    SECTOR_BYTES,
    Mbr,
    parse_gpt,
    parse_mbr,
)
from purekernel.input import Input
from purekernel.tree import Buffer

VOLUME, CATALOG, BOOT_IMAGE, BOOT_INFO = "volume", "boot-catalog", "boot-image", "boot-info-table"
MBR, GPT, BOOT_CODE = "mbr", "gpt", "boot-code"

_VOLUME_BLOCKS = FIRST_DESCRIPTOR * ISO_SECTOR_BYTES + 80
_BLOCK_BYTES = FIRST_DESCRIPTOR * ISO_SECTOR_BYTES + 128

# Where a first descriptor may be, as xorriso writes it a second time at 48.
_DESCRIPTORS = (FIRST_DESCRIPTOR, 48)
_ISOLINUX = b"ISOLINUX"

# The code of isolinux and of GRUB for the MBR of an ISO loads the address in it: a text, and the
# instruction that does. GRUB's loads what follows the first sector of a CD.
_ISOLINUX_CODE = (b"isolinux.bin missing or corrupt", b"\x66\xa1\xb0\x07")
_GRUB_CODE = (b"GRUB \0Geom\0", b"\x66\x8b\x1e\xb0\x7d")
_ADDRESS_AT = 432
_GRUB_SKIPS = ISO_SECTOR_BYTES // SECTOR_BYTES


def verify_iso(file: Input, iso: IsoImage | None) -> Iterator[Check]:
    """Yield the checks of an ISO's volume, boot catalog and boot images.

    Args:
        file: the ISO.
        iso: its content; ``None`` if it could not be read.
    """
    yield _verify_volume(file)
    sector = find_catalog(_boot_record(file))
    if sector is None:
        yield Check(CATALOG, "", Result.ABSENT, "no boot record of El Torito")
        return
    try:
        found = parse_catalog(file, sector)
    except PurekernelError as error:
        yield Check.of_error(CATALOG, "", error)
        return
    count = "1 entry" if len(found) == 1 else f"{len(found)} entries"
    yield Check(CATALOG, "", Result.OK, f"its checksum holds; {count}")
    known = iso.boot.entries if iso is not None and iso.boot is not None else ()
    for number, each in enumerate(found):
        entry = known[number] if number < len(known) else each.entry
        yield from _verify_entry(file, each, entry, number + 1, iso)


def _verify_volume(file: Input) -> Check:
    if len(file) < _BLOCK_BYTES + 4:
        return Check(VOLUME, "", Result.FAILED, "the image ends before its volume descriptor")
    (little,) = struct.unpack_from("<I", file.view, _VOLUME_BLOCKS)
    (big,) = struct.unpack_from(">I", file.view, _VOLUME_BLOCKS + 4)
    (block_bytes,) = struct.unpack_from("<H", file.view, _BLOCK_BYTES)
    if little != big:
        got = f"{little} and {big}"
        error = file.fail(_VOLUME_BLOCKS, "the same number in both byte orders", got)
        return Check.of_error(VOLUME, "", error)
    size_bytes = little * block_bytes
    if size_bytes > len(file):
        return Check(
            VOLUME, "", Result.FAILED,
            f"the image must have the {size_bytes} bytes of the volume, got {len(file)}",
        )  # fmt: skip
    return Check(VOLUME, "", Result.OK, f"all {size_bytes} bytes are there")


def _verify_entry(
    file: Input, found: CatalogEntry, entry: BootEntry, number: int, iso: IsoImage | None
) -> Iterator[Check]:
    """Yield the checks of one entry of the boot catalog."""
    place = f"entry {number} ({entry.location})"
    if not entry.is_bootable:
        return
    offset = found.sector * ISO_SECTOR_BYTES
    size_bytes = entry.load_sectors * LOAD_BYTES
    if found.sector <= FIRST_DESCRIPTOR or offset >= len(file):
        got = f"one in sector {found.sector}"
        error = file.fail(found.offset, "a boot image in the ISO", got)
        yield Check.of_error(BOOT_IMAGE, place, error)
        return
    if offset + size_bytes > len(file):
        error = file.fail(offset, f"a boot image of {size_bytes} bytes", "the end of the file")
        yield Check.of_error(BOOT_IMAGE, place, error)
        return
    yield Check(BOOT_IMAGE, place, Result.OK, f"in sector {found.sector}")
    if iso is None or iso.boot is None:
        return
    if entry.platform == X86 and entry.emulation == NO_EMULATION:
        yield _verify_boot_info(iso.boot.image_of(entry, iso.tree), found.sector, place)


def _verify_boot_info(content: Buffer, sector: int, place: str) -> Check:
    view = memoryview(content).cast("B")
    if len(view) < BOOT_INFO_END:
        return Check(BOOT_INFO, place, Result.ABSENT, "the boot image is too small for one")
    descriptor, at, size_bytes, checksum = struct.unpack_from("<4I", view, BOOT_INFO_OFFSET)
    names_itself = (at, size_bytes) == (sector, len(view))
    if descriptor not in _DESCRIPTORS and not names_itself and _ISOLINUX not in bytes(view):
        return Check(BOOT_INFO, place, Result.ABSENT, "the boot image has none")
    summed = bytes(view[BOOT_INFO_END:])
    summed += bytes(-len(summed) % 4)
    actual = sum(word for (word,) in struct.iter_unpack("<I", summed)) & 0xFFFFFFFF
    wrong = [
        f"{name} must be {expected}, got {got}"
        for name, expected, got, holds in (
            ("the first descriptor", FIRST_DESCRIPTOR, descriptor, descriptor in _DESCRIPTORS),
            ("the sector", sector, at, at == sector),
            ("the size", len(view), size_bytes, size_bytes == len(view)),
            ("the checksum", f"{actual:#010x}", f"{checksum:#010x}", checksum == actual),
        )
        if not holds
    ]
    if wrong:
        return Check(BOOT_INFO, place, Result.FAILED, "; ".join(wrong))
    return Check(BOOT_INFO, place, Result.OK, "sector, size and checksum hold")


def verify_tables(file: Input, *, is_disk: bool) -> Iterator[Check]:
    """Yield the checks of the partition tables of a disk, or of an ISO that is one too.

    Args:
        file: the disk or ISO.
        is_disk: whether it must have a partition table.
    """
    notes: list[str] = []
    quiet = evolve(file, limits=evolve(file.limits, report=notes.append))
    mbr: Mbr | None = None
    has_gpt = bytes(file.view[SECTOR_BYTES : SECTOR_BYTES + 8]) == b"EFI PART"
    signature = bytes(file.view[SECTOR_BYTES - 2 : SECTOR_BYTES])
    if signature != b"\x55\xaa" and not (is_disk or has_gpt or _is_code(file.view[:CODE_BYTES])):
        yield Check(MBR, "", Result.ABSENT, "the image has no partition table")
    else:
        try:
            mbr = parse_mbr(quiet)
            yield _verify_mbr(file, mbr)
        except PurekernelError as error:
            yield Check.of_error(MBR, "", error)
    try:
        gpt = parse_gpt(quiet)
    except PurekernelError as error:
        yield Check.of_error(GPT, "", error)
        return
    if notes:
        yield Check(GPT, "", Result.FAILED, notes[0].removeprefix(f"{file.name}: "))
    elif gpt is not None:
        ends = [partition.first + partition.sectors for partition in gpt.partitions]
        if max(ends, default=0) > len(file) // SECTOR_BYTES:
            yield Check(GPT, "", Result.FAILED, _outside(max(ends), file))
        else:
            detail = "both copies have the right checksums, and are the same"
            yield Check(GPT, "", Result.OK, detail)
    elif mbr is not None and any(each.kind == PROTECTIVE for each in mbr.partitions):
        yield Check(GPT, "", Result.FAILED, "the MBR says that there is a GPT, and there is none")
    else:
        yield Check(GPT, "", Result.ABSENT, "the image has no GPT")


def _is_code(code: Buffer) -> bool:
    """Return whether code of an MBR is known to load a boot image of an ISO."""
    return is_hybrid_code(code) or _has(code, _ISOLINUX_CODE) or _has(code, _GRUB_CODE)


def _has(code: Buffer, marks: Sequence[bytes]) -> bool:
    return all(mark in bytes(code) for mark in marks)


def _verify_mbr(file: Input, mbr: Mbr) -> Check:
    ends = [
        partition.first + partition.sectors
        for partition in mbr.partitions
        if partition.kind != PROTECTIVE
    ]
    if max(ends, default=0) > len(file) // SECTOR_BYTES:
        return Check(MBR, "", Result.FAILED, _outside(max(ends), file))
    count = "1 partition" if len(mbr.partitions) == 1 else f"{len(mbr.partitions)} partitions"
    return Check(MBR, "", Result.OK, count)


def _outside(end: int, file: Input) -> str:
    sectors = len(file) // SECTOR_BYTES
    return f"partitions must end in the {sectors} sectors of the image, got one that ends at {end}"


def verify_boot_code(file: Input) -> Iterator[Check]:
    """Yield the check that the code in an ISO's MBR loads a boot image, if it loads one.

    The boot catalog must hold.
    """
    code = bytes(file.view[:CODE_BYTES])
    sector = find_catalog(_boot_record(file))
    if not _is_code(code) or sector is None:
        return
    (address,) = struct.unpack_from("<Q", code, _ADDRESS_AT)
    skipped = _GRUB_SKIPS if _has(code, _GRUB_CODE) else 0
    blocks = ISO_SECTOR_BYTES // SECTOR_BYTES
    starts = [each.sector * blocks + skipped for each in parse_catalog(file, sector)]
    if address in starts:
        yield Check(BOOT_CODE, "", Result.OK, f"it loads the boot image in sector {address}")
    else:
        detail = f"it must load a boot image, got sector {address}, where none is"
        yield Check(BOOT_CODE, "", Result.FAILED, detail)


def _boot_record(file: Input) -> bytes:
    start = BOOT_RECORD * ISO_SECTOR_BYTES
    return bytes(file.view[start : start + ISO_SECTOR_BYTES]).ljust(ISO_SECTOR_BYTES, b"\0")
