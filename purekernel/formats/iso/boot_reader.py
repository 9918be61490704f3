"""Read how an ISO boots: the entries of its boot catalog, and their images."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from attrs import evolve

from purekernel.formats.iso.boot import (
    EFI,
    LOAD_BYTES,
    NO_EMULATION,
    X86,
    BootEntry,
    IsoBoot,
    has_boot_info,
    has_grub_info,
)
from purekernel.formats.iso.boot_catalog import CatalogEntry, find_catalog, parse_catalog
from purekernel.formats.iso.layout import SECTOR_BYTES
from purekernel.formats.iso.system_area import KnownImage, read_disk
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import ROOT, Buffer
from purekernel.tree.path import join, parent

# The sizes of emulated floppy disks, by their type (El Torito, 2.2).
_FLOPPY_BYTES = {1: 1200 * 1024, 2: 1440 * 1024, 3: 2880 * 1024}
_HARD_DISK = 4

# UEFI takes these numbers of sectors as "to the end of the medium".
_TO_THE_END = (0, 1)


@frozen(kw_only=True)
class IsoFile:
    """A file of an ISO.

    Attributes:
        path: its path in the tree.
        content: its content.
    """

    path: bytes
    content: Buffer


@frozen(kw_only=True)
class ReadBoot:
    """How an ISO boots.

    Attributes:
        boot: what an output can have; ``None`` if the ISO has no boot catalog with entries.
        lost: what an output cannot have, in words for messages.
        catalog_offset: where the boot catalog is, in bytes; ``None`` if there is none.
    """

    boot: IsoBoot | None
    lost: tuple[str, ...]
    catalog_offset: int | None


def read_boot(file: Input, boot_record: bytes, files: Mapping[int, IsoFile]) -> ReadBoot:
    """Return how the ISO ``file`` boots.

    Args:
        file: the ISO.
        boot_record: its boot record; empty if it has none.
        files: the files with content, by their offset in bytes. Of several names, the first.

    Raises:
        FormatError: the boot catalog is damaged, or an image is truncated.
        LimitError: the catalog has too many entries.
    """
    sector = find_catalog(boot_record) if boot_record else None
    found = () if sector is None else parse_catalog(file, sector)
    areas: dict[int, int] = {}
    entries = [_with_image(file, each, files, areas) for each in found]
    booted = {entry.path for entry in entries}
    disk = read_disk(
        file,
        {
            offset: KnownImage(
                image=each.path, size_bytes=len(each.content), is_booted=each.path in booted
            )
            for offset, each in files.items()
        },
        areas,
    )
    if sector is None or not found:
        return ReadBoot(boot=None, lost=disk.lost, catalog_offset=None)
    boot = IsoBoot(
        catalog=_catalog_path(sector, entries, files),
        entries=tuple(entries),
        appended=tuple(file.view[at : at + size] for at, size in disk.areas.items()),
        disk=disk.disk,
    )
    return ReadBoot(boot=boot, lost=disk.lost, catalog_offset=sector * SECTOR_BYTES)


def _with_image(
    file: Input, found: CatalogEntry, files: Mapping[int, IsoFile], areas: dict[int, int]
) -> BootEntry:
    """Return an entry with its image, which becomes one of ``areas`` if it is not a file."""
    entry, offset = found.entry, found.sector * SECTOR_BYTES
    known = files.get(offset)
    if known is not None:
        entry, content = evolve(entry, path=known.path), known.content
    elif entry.is_bootable or offset in areas:
        areas[offset] = max(areas.get(offset, 0), _area_end(file, found) - offset)
        entry = evolve(entry, appended=[*areas].index(offset))
        content = file.view[offset : offset + areas[offset]]
    else:  # firmware does not load it
        return entry
    return evolve(
        entry,
        load_unit=_load_unit(entry, len(content)),
        boot_info_table=has_boot_info(content, found.sector),
        grub_boot_info=has_grub_info(content, found.sector),
    )


def _load_unit(entry: BootEntry, size_bytes: int) -> int:
    """Return the unit in which an entry gives the size of its image; 0 for another number.

    BIOS loads what its loader needs, whose image does not change.
    """
    if entry.platform == X86 or entry.emulation != NO_EMULATION:
        return 0
    for unit in (1, SECTOR_BYTES // LOAD_BYTES):
        whole = -(-size_bytes // (unit * LOAD_BYTES)) * unit
        if entry.load_sectors == whole:
            return unit
    return 0


def _area_end(file: Input, found: CatalogEntry) -> int:
    """Return where a boot image ends that is not a file of the tree, in bytes."""
    start = found.sector * SECTOR_BYTES
    left = file.view[start:]
    if not len(left):
        raise file.fail(found.offset, "a boot image in the ISO", f"one in sector {found.sector}")
    size_bytes = _area_bytes(found.entry, left)
    if size_bytes > len(left):
        raise file.fail(start, f"a boot image of {size_bytes} bytes", "the end of the file")
    return start + size_bytes


def _area_bytes(entry: BootEntry, left: memoryview) -> int:
    """Return the size of a boot image that is at the start of ``left`` and is not a file."""
    if entry.emulation in _FLOPPY_BYTES:
        return _FLOPPY_BYTES[entry.emulation]
    if entry.emulation == _HARD_DISK:
        return max(_partition_ends(left), default=LOAD_BYTES)
    if entry.platform == EFI and entry.load_sectors in _TO_THE_END:
        return _fat_bytes(left) or len(left)
    return max(entry.load_sectors * LOAD_BYTES, _fat_bytes(left))


def _partition_ends(disk: memoryview) -> list[int]:
    """Return where the partitions of an emulated hard disk end, in bytes."""
    return [
        LOAD_BYTES * sum(struct.unpack_from("<II", disk, at + 8))
        for at in range(446, 510, 16)
        if len(disk) >= LOAD_BYTES
    ]


def _fat_bytes(left: memoryview) -> int:
    """Return the size that the boot sector of a FAT file system gives; 0 if it is none."""
    if len(left) < LOAD_BYTES or bytes(left[510:512]) != b"\x55\xaa" or left[0] not in (0xEB, 0xE9):
        return 0
    sector_bytes, total16, total32 = struct.unpack_from("<H6xH11xI", left, 11)
    if sector_bytes not in (512, 1024, 2048, 4096):
        return 0
    return int(sector_bytes * (total16 or total32))


def _catalog_path(sector: int, entries: Sequence[BootEntry], files: Mapping[int, IsoFile]) -> bytes:
    """Return the path of the catalog, or an unused one, beside an image, if it is not a file."""
    catalog = files.get(sector * SECTOR_BYTES)
    if catalog is not None:
        return catalog.path
    taken = {file.path for file in files.values()}
    folder = next((parent(entry.path) for entry in entries if entry.path), ROOT)
    path = join(folder, b"boot.cat")
    while path in taken:
        path += b"_"
    return path
