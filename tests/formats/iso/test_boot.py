"""Test that boot entries and their images are written and read back."""

from __future__ import annotations

import struct

import pytest
from attrs import evolve

from purekernel.errors import FormatError, UsageError
from purekernel.formats.iso import (
    EFI,
    BootEntry,
    DiskParts,
    Extent,
    IsoBoot,
    IsoImage,
    IsoLayout,
    build_iso,
    parse_iso,
)
from purekernel.formats.iso.boot import has_boot_info, has_grub_info
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import File
from tests.formats.fats import make_fat12
from tests.formats.iso.disks import BOOT, FIELDS, TIME, boot_tree, file, plant

FAT = bytes(make_fat12({"EFI/BOOT/BOOTX64.EFI": b"MZ"}))
EFI_PATH = b"boot/efi.img"
GRUB_PATH = b"boot/grub.img"


def write(boot: IsoBoot) -> bytes:
    tree = boot_tree()
    plant(tree, EFI_PATH, file(FAT))
    plant(tree, GRUB_PATH, file(bytes(4096)))
    return build_iso(tree, fields=FIELDS, boot=boot, timestamp=TIME)


def read(data: bytes) -> IsoImage:
    return parse_iso(Input(data, name="x"))


def boot_of(image: IsoImage) -> IsoBoot:
    assert image.boot is not None
    return image.boot


def test_entries_for_files_round_trip() -> None:
    boot = BOOT.with_efi(EFI_PATH).with_entry(
        BootEntry(
            path=GRUB_PATH,
            load_segment=0x1000,
            selection=b"criteria".ljust(20),
            section_name=b"GRUB",
            boot_info_table=True,
            grub_boot_info=True,
        )
    )
    size_bytes = len(FAT)
    image = read(write(boot))
    efi = evolve(boot.entries[1], load_sectors=size_bytes // 512)
    assert image.boot == evolve(boot, entries=(boot.entries[0], efi, boot.entries[2]))
    node = image.tree[EFI_PATH]
    assert isinstance(node, File)
    assert node.content == FAT


def test_tables_in_images_say_where_they_are() -> None:
    boot = BOOT.with_entry(BootEntry(path=GRUB_PATH, boot_info_table=True, grub_boot_info=True))
    data = write(boot)
    (catalog,) = struct.unpack_from("<I", data, 17 * 2048 + 71)
    (isolinux,) = struct.unpack_from("<I", data, catalog * 2048 + 40)
    (grub,) = struct.unpack_from("<I", data, catalog * 2048 + 104)
    tree = read(data).tree
    for path, sector in ((BOOT.boot_image, isolinux), (GRUB_PATH, grub)):
        node = tree[path]
        assert isinstance(node, File)
        assert has_boot_info(node.content, sector)
        assert has_grub_info(node.content, sector) == (path == GRUB_PATH)


def test_image_outside_the_file_system_follows_the_volume() -> None:
    boot = evolve(BOOT, appended=(FAT,)).with_entry(
        BootEntry(platform=EFI, appended=0, load_sectors=len(FAT) // 512, load_unit=1)
    )
    data = write(boot)
    (volume,) = struct.unpack_from("<I", data, 16 * 2048 + 80)
    assert data[volume * 2048 :] == FAT + bytes(-len(FAT) % 2048)
    image = read(data)
    assert image.boot == boot
    assert bytes(boot_of(image).appended[0]) == FAT


def test_two_entries_share_an_image() -> None:
    boot = BOOT.with_efi(EFI_PATH).with_entry(
        BootEntry(platform=EFI, path=EFI_PATH, load_sectors=1)
    )
    entries = boot_of(read(write(boot))).entries
    assert [entry.path for entry in entries] == [BOOT.boot_image, EFI_PATH, EFI_PATH]
    assert [entry.load_sectors for entry in entries] == [4, len(FAT) // 512, 1]


@pytest.mark.parametrize(
    ("media", "load_sectors", "platform", "size_bytes"),
    [
        (1, 1, 0, 1228800),
        (2, 1, 0, 1474560),
        (3, 1, 0, 2949120),
        (4, 1, 0, 3 * 512),
        (0, 9, 0, 9 * 512),
        (0, 1, EFI, 4 * 512),
    ],
)
def test_size_of_an_image_outside_is_that_of_its_disk(
    media: int, load_sectors: int, platform: int, size_bytes: int
) -> None:
    disk = bytearray(b"\xeb".ljust(2949120, b"x"))
    struct.pack_into("<H6xH11xI", disk, 11, 512, 4 if platform == EFI else 0, 0)
    disk[446:510] = bytes(64)
    struct.pack_into("<II", disk, 446 + 8, 1, 2)
    disk[510:512] = b"\x55\xaa"
    boot = evolve(BOOT, appended=(bytes(disk),)).with_entry(
        BootEntry(platform=platform, appended=0, media=media, load_sectors=load_sectors)
    )
    assert len(boot_of(read(write(boot))).appended[0]) == size_bytes


def test_entry_that_firmware_does_not_load_needs_no_image() -> None:
    boot = evolve(BOOT, entries=(BootEntry(is_bootable=False), *BOOT.entries))
    assert read(write(boot)).boot == boot


def test_image_beyond_the_end_is_refused() -> None:
    data = bytearray(write(BOOT.with_efi(EFI_PATH)))
    (catalog,) = struct.unpack_from("<I", data, 17 * 2048 + 71)
    struct.pack_into("<I", data, catalog * 2048 + 104, 1 << 24)
    with pytest.raises(FormatError, match="expected a boot image in the ISO, got one in sector"):
        read(bytes(data))


def test_missing_image_is_refused() -> None:
    with pytest.raises(UsageError, match="the boot image 'none' must be a file that is not empty"):
        write(BOOT.with_efi(b"none"))


def test_small_image_cannot_hold_the_address_for_grub() -> None:
    with pytest.raises(UsageError, match="must be at least 2556 bytes"):
        write(BOOT.with_entry(BootEntry(path=b"LICENSE", grub_boot_info=True)))


@frozen
class Disk:
    """Stands for what makes a disk of an ISO: writes what it is told."""

    paths = frozenset[bytes]()

    def lay_out(self, layout: IsoLayout) -> DiskParts:
        end = layout.end_bytes
        where = layout.files[EFI_PATH]
        words = struct.pack("<3I", layout.volume_sectors, where.sector, where.size_bytes)
        return DiskParts(system_area=words, after=((end, b"end"),), size_bytes=end + 4096)


def test_disk_gets_the_layout_and_is_written_around_the_volume() -> None:
    boot = evolve(BOOT, appended=(FAT,), disk=Disk())
    data = write(boot)
    volume, sector, size_bytes = struct.unpack_from("<3I", data)
    assert data[sector * 2048 :][:size_bytes] == FAT
    appended = Extent(sector=-(-volume // 512) * 512, size_bytes=len(FAT))
    assert data[appended.sector * 2048 :][: appended.size_bytes] == FAT
    end = appended.sector * 2048 + appended.size_bytes
    assert data[end:] == b"end".ljust(4096, b"\0")
