"""Define how an ISO boots: its El Torito entries, and what a disk needs around the volume.

Source: "El Torito" Bootable CD-ROM Format Specification 1.0; isolinux's boot info table, as
mkisofs(8) describes it; ``--grub2-boot-info`` in xorrisofs(1); UEFI specification 2.10, 13.3.2.1.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Protocol, Self

from attrs import evolve, field

from purekernel.formats.iso.layout import FIRST_DESCRIPTOR, SECTOR_BYTES
from purekernel.records import frozen
from purekernel.tree import Buffer, File, Tree, display

# Platforms of El Torito entries. (Source: El Torito 1.0, 2.1; UEFI specification 2.10, 13.3.2.1.)
X86 = 0
EFI = 0xEF
_PLATFORMS = {X86: "BIOS", 1: "PowerPC", 2: "Mac", EFI: "UEFI"}

NO_EMULATION = 0
_EMULATION_MASK = 0x0F

# What a catalog counts in.
LOAD_BYTES = 512

# The field for it has 16 bits. For a larger image, UEFI takes 0 as "to the end of the medium".
MAX_LOAD_SECTORS = 0xFFFF

# The boot info table occupies these bytes of the boot image. Its checksum covers the bytes after.
BOOT_INFO_OFFSET = 8
BOOT_INFO_END = 64

# GRUB's cdboot.img and core.img hold the address of the second block of core.img, in sectors of
# 512 bytes, 12 bytes before the end of the first block.
GRUB_INFO_OFFSET = 2548
GRUB_INFO_END = GRUB_INFO_OFFSET + 8
_GRUB_INFO_SECTORS = 5


@frozen(kw_only=True)
class BootEntry:
    """An entry of an El Torito catalog, and its boot image.

    The image is a file of the tree (``path``), or one of the ISO's areas outside its file system
    (``appended``, an index of :attr:`IsoBoot.appended`).

    Attributes:
        platform: the firmware that the entry is for: :data:`X86`, :data:`EFI`, ...
        path: the path of the boot image in the tree; ``None`` for an area.
        appended: the index of the area; ``None`` for a file.
        is_bootable: whether the entry is marked as bootable.
        media: the type of disk that the firmware emulates, in bits 0 to 3, and flags in bits 5 to
            7. 0 for neither.
        load_segment: the segment that BIOS loads to; 0 for its default.
        system_type: the partition type of an emulated hard disk.
        load_sectors: how much of the image the firmware loads, in sectors of 512 bytes.
        load_unit: if it is not 0, ``load_sectors`` is the size of the image, rounded up to a
            multiple of so many sectors, and follows the image. 0 for a number of its own.
        selection: 20 bytes of criteria, by which firmware may choose the entry.
        extensions: more criteria, in records of 32 bytes.
        starts_section: whether the entry is the first of a section of the catalog.
        section_name: the identifier of that section, or of the catalog; without zeros at its end.
        boot_info_table: whether bytes 8 to 63 of the image are a boot info table.
        grub_boot_info: whether the image has an address for GRUB.
    """

    platform: int = X86
    path: bytes | None = None
    appended: int | None = None
    is_bootable: bool = True
    media: int = NO_EMULATION
    load_segment: int = 0
    system_type: int = 0
    load_sectors: int = 4
    load_unit: int = 0
    selection: bytes = bytes(20)
    extensions: bytes = b""
    starts_section: bool = True
    section_name: bytes = b""
    boot_info_table: bool = False
    grub_boot_info: bool = False

    @property
    def emulation(self) -> int:
        """The type of disk that the firmware emulates; 0 for none."""
        return self.media & _EMULATION_MASK

    @property
    def firmware(self) -> str:
        """The name of the firmware."""
        return _PLATFORMS.get(self.platform, f"platform {self.platform:#04x}")

    @property
    def location(self) -> str:
        """The path of the boot image, or what it is if it is not a file, for messages."""
        if self.path is not None:
            return display(self.path)
        return f"the image for {self.firmware} outside the file system"

    def sectors_for(self, size_bytes: int) -> int:
        """Return the field of the catalog for an image of ``size_bytes``."""
        if not self.load_unit:
            return self.load_sectors
        unit_bytes = self.load_unit * LOAD_BYTES
        sectors = -(-size_bytes // unit_bytes) * self.load_unit
        return sectors if sectors <= MAX_LOAD_SECTORS else 0

    def patch(self, content: Buffer, sector: int) -> Buffer:
        """Return the boot image with the tables that it needs, for its new place.

        Args:
            content: the boot image. It is copied only if it changes.
            sector: where it starts, in sectors of 2048 bytes.
        """
        if not (self.boot_info_table or self.grub_boot_info):
            return content
        patched = bytearray(content)
        if self.grub_boot_info:
            address = sector * (SECTOR_BYTES // LOAD_BYTES) + _GRUB_INFO_SECTORS
            patched[GRUB_INFO_OFFSET:GRUB_INFO_END] = struct.pack("<Q", address)
        if self.boot_info_table:
            summed = bytes(patched[BOOT_INFO_END:])
            summed += bytes(-len(summed) % 4)
            patched[BOOT_INFO_OFFSET:BOOT_INFO_END] = struct.pack(
                "<4I40x",
                FIRST_DESCRIPTOR,
                sector,
                len(patched),
                sum(word for (word,) in struct.iter_unpack("<I", summed)) & 0xFFFFFFFF,
            )
        return patched


def has_boot_info(content: Buffer, sector: int) -> bool:
    """Return whether an image that starts at ``sector`` has a boot info table that says so.

    The first descriptor may be anywhere: xorriso -outdev writes it once more at 48, and names that.
    """
    view = memoryview(content)
    if len(view) < BOOT_INFO_END:
        return False
    descriptor, *found = struct.unpack_from("<3I", view, BOOT_INFO_OFFSET)
    return descriptor >= FIRST_DESCRIPTOR and found == [sector, len(view)]


def has_grub_info(content: Buffer, sector: int) -> bool:
    """Return whether an image that starts at ``sector`` has GRUB's address of its second block."""
    view = memoryview(content)
    if len(view) < GRUB_INFO_END:
        return False
    (found,) = struct.unpack_from("<Q", view, GRUB_INFO_OFFSET)
    return bool(found == sector * (SECTOR_BYTES // LOAD_BYTES) + _GRUB_INFO_SECTORS)


@frozen(kw_only=True)
class Extent:
    """Where some content lies on an ISO.

    Attributes:
        sector: where it starts, in sectors of 2048 bytes.
        size_bytes: its size.
    """

    sector: int
    size_bytes: int


@frozen(kw_only=True)
class IsoLayout:
    """Where the parts of an ISO lie that is being written.

    Attributes:
        volume_sectors: the size of the volume, in sectors of 2048 bytes.
        files: the place of each file with content, by path.
        appended: the place of each of :attr:`IsoBoot.appended`, after the volume.
    """

    volume_sectors: int
    files: Mapping[bytes, Extent]
    appended: tuple[Extent, ...] = ()

    @property
    def end_bytes(self) -> int:
        """Where the volume and what is appended to it end, in bytes."""
        ends = [extent.sector * SECTOR_BYTES + extent.size_bytes for extent in self.appended]
        return max([self.volume_sectors * SECTOR_BYTES, *ends])


@frozen(kw_only=True)
class DiskParts:
    """What makes a volume a disk, too.

    Attributes:
        system_area: the first bytes of the image, at most 32 KiB: MBR and partition tables.
        after: more bytes after :attr:`IsoLayout.end_bytes`, such as the backup of a GPT: offset in
            the image and content, in ascending order.
        size_bytes: the size of the image; zeros fill it up.
    """

    system_area: bytes = field(repr=False)
    after: tuple[tuple[int, Buffer], ...] = field(default=(), repr=False)
    size_bytes: int = 0


class DiskBoot(Protocol):
    """How an ISO boots as a disk: what makes the system area once the layout is known."""

    @property
    def paths(self) -> frozenset[bytes]:
        """The files that it needs on the ISO."""
        ...

    def lay_out(self, layout: IsoLayout) -> DiskParts:
        """Return what is around the volume.

        Raises:
            UnrepresentableError: the tables cannot describe this layout.
        """
        ...


@frozen(kw_only=True)
class IsoBoot:
    """How an ISO boots.

    Attributes:
        catalog: the path of the boot catalog. The writer makes it; it is not a file of the tree.
        entries: the entries of the catalog, the default entry first.
        appended: areas outside the file system, which entries and partitions hold. The writer puts
            them after the volume.
        disk: how it boots as a disk; ``None`` if it does not.
    """

    catalog: bytes
    entries: tuple[BootEntry, ...]
    appended: tuple[Buffer, ...] = field(default=(), repr=False)
    disk: DiskBoot | None = None

    @classmethod
    def by_bios(
        cls,
        *,
        boot_image: bytes,
        catalog: bytes,
        load_sectors: int = 4,
        boot_info_table: bool = True,
    ) -> Self:
        """Return the settings of an ISO that boots by BIOS from CD, as isolinux needs them.

        Args:
            boot_image: the path of the file that the firmware loads.
            catalog: the path of the boot catalog.
            load_sectors: how much of it the firmware loads, in sectors of 512 bytes.
            boot_info_table: whether the boot image has a boot info table.
        """
        entry = BootEntry(
            path=boot_image, load_sectors=load_sectors, boot_info_table=boot_info_table
        )
        return cls(catalog=catalog, entries=(entry,))

    @property
    def boot_image(self) -> bytes:
        """The path of the file that BIOS loads without emulating a disk; empty if there is none."""
        for entry in self.entries:
            if (
                entry.platform == X86
                and entry.is_bootable
                and entry.emulation == NO_EMULATION
                and entry.path is not None
                and entry.load_sectors
            ):
                return entry.path
        return b""

    @property
    def efi_entries(self) -> tuple[BootEntry, ...]:
        """The entries that UEFI boots."""
        return tuple(each for each in self.entries if each.platform == EFI and each.is_bootable)

    @property
    def paths(self) -> frozenset[bytes]:
        """The files of the tree that firmware loads, and those that partitions hold."""
        paths = {entry.path for entry in self.entries if entry.path is not None}
        return frozenset(paths) | (frozenset() if self.disk is None else self.disk.paths)

    @property
    def is_bootable(self) -> bool:
        """Whether any firmware boots the ISO from CD."""
        return any(entry.is_bootable for entry in self.entries)

    def with_entry(self, entry: BootEntry) -> Self:
        """Return the settings with one more entry at the end of the catalog."""
        return evolve(self, entries=(*self.entries, entry))

    def with_efi(self, path: bytes) -> Self:
        """Return the settings with an entry by which UEFI boots the FAT image at ``path``."""
        return self.with_entry(BootEntry(platform=EFI, path=path, load_unit=1))

    def image_of(self, entry: BootEntry, tree: Tree) -> Buffer:
        """Return the boot image of an entry; empty if its file is not in ``tree``."""
        if entry.appended is not None:
            return self.appended[entry.appended]
        node = None if entry.path is None else tree.get(entry.path)
        return node.content if isinstance(node, File) else b""
