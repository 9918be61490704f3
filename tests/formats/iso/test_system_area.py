"""Test that what makes an ISO a disk follows the files to where they lie on an output."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, UnrepresentableError
from purekernel.formats.iso import IsoBoot, IsoImage, build_iso, parse_iso
from purekernel.formats.iso.carried_disk import CarriedDisk
from purekernel.input import Input
from tests.formats.fats import make_fat12
from tests.formats.iso.disk_makers import (
    GRUB_CODE,
    HFS_PLUS,
    ISOLINUX_CODE,
    Part,
    add_apple_map,
    make_disk,
)
from tests.formats.iso.disks import BOOT, FIELDS, TIME, boot_tree, file, plant

EFI_PATH = b"boot/efi.img"
FAT = bytes(make_fat12({"EFI/BOOT/BOOTX64.EFI": b"MZ"}))
FAT_SECTORS = len(FAT) // 512
BY_UEFI = BOOT.with_efi(EFI_PATH)


def master(boot: IsoBoot = BY_UEFI, *, efi: bytes = FAT, more: int = 0) -> bytes:
    tree = boot_tree()
    plant(tree, EFI_PATH, file(efi))
    if more:
        plant(tree, b"boot/a", file(b"more" * more))
        for number in range(40):
            plant(tree, b"folder%d/a" % number, file(b""))
    return build_iso(tree, fields=FIELDS, boot=boot, timestamp=TIME)


def read(data: bytes) -> IsoImage:
    return parse_iso(Input(data, name="x"))


def again(data: bytes, *, efi: bytes = FAT) -> bytes:
    """Return an ISO with another layout, that boots as the one in ``data``."""
    image = read(data)
    assert image.lost == ()
    return master(image.boot or BOOT, efi=efi, more=400_000)


def sector_of(data: bytes, entry: int) -> int:
    """Return the sector of 512 bytes where the image of a boot entry starts."""
    (catalog,) = struct.unpack_from("<I", data, 17 * 2048 + 71)
    (sector,) = struct.unpack_from("<I", data, catalog * 2048 + 32 + 8 + 64 * entry)
    return int(sector) * 4


def mbr_of(data: bytes) -> list[tuple[int, int]]:
    found = [struct.unpack_from("<II", data, at + 8) for at in range(446, 510, 16)]
    return [(start, start + count) for start, count in found if count]


def gpt_of(data: bytes, header: int = 1) -> list[tuple[int, int]]:
    """Return the partitions of a GPT, whose checksums must be right."""
    at = header * 512
    assert data[at : at + 8] == b"EFI PART"
    (check,) = struct.unpack_from("<I", data, at + 16)
    own, other = struct.unpack_from("<QQ", data, at + 24)
    assert own == header
    assert zlib.crc32(data[at : at + 16] + bytes(4) + data[at + 20 : at + 92]) == check
    table_sector, count, entry_bytes, table_check = struct.unpack_from("<QIII", data, at + 72)
    table = data[table_sector * 512 :][: count * entry_bytes]
    assert zlib.crc32(table) == table_check
    if header == 1:
        assert other == len(data) // 512 - 1
        assert gpt_of(data, other) == gpt_of_table(table)
    return gpt_of_table(table)


def gpt_of_table(table: bytes) -> list[tuple[int, int]]:
    ranges = [struct.unpack_from("<QQ", table, at + 32) for at in range(0, len(table), 128)]
    return [(first, last + 1) for first, last in ranges if last]


def whole(iso: bytes) -> int:
    """Return the sectors of a disk with ``iso``, in whole MiB."""
    return -(-len(iso) // (1 << 20)) * 2048


def isohybrid(iso: bytes, *, code: bytes = ISOLINUX_CODE, offset: int = 0) -> bytes:
    efi = sector_of(iso, 1)
    end = whole(iso + bytes(2048))
    parts = [Part(0, end, 0), Part(efi, efi + FAT_SECTORS, 0xEF)]
    gpt = [Part(0, end - 3), Part(efi, efi + FAT_SECTORS)]
    return make_disk(iso, parts, code=code, address=sector_of(iso, 0) + offset, gpt=gpt)


@pytest.mark.parametrize(("code", "offset"), [(ISOLINUX_CODE, 0), (GRUB_CODE, 4)])
def test_address_in_code_and_partitions_follow(code: bytes, offset: int) -> None:
    base = isohybrid(master(), code=code, offset=offset)
    made = again(base)
    efi, end = sector_of(made, 1), len(made) // 512
    assert (efi, end) != (sector_of(base, 1), len(base) // 512)
    assert struct.unpack_from("<Q", made, 432) == (sector_of(made, 0) + offset,)
    assert mbr_of(made) == [(0, end), (efi, efi + FAT_SECTORS)]
    assert gpt_of(made) == [(0, end - 3), (efi, efi + FAT_SECTORS)]
    assert made[efi * 512 :][: len(FAT)] == FAT
    assert end % 2048 == 0
    assert made[: len(code)] == code
    last = made[446 + 5 : 446 + 8]
    assert last == bytes([63, 32, end // 2048 - 1])


def test_output_without_a_change_of_layout_has_the_same_system_area() -> None:
    base = isohybrid(master())
    assert master(read(base).boot or BOOT) == base


def test_partition_and_entry_follow_a_larger_efi_image() -> None:
    larger = FAT + bytes(len(FAT))
    made = again(isohybrid(master()), efi=larger)
    efi = sector_of(made, 1)
    assert mbr_of(made)[1] == (efi, efi + 2 * FAT_SECTORS)
    assert gpt_of(made)[1] == (efi, efi + 2 * FAT_SECTORS)
    assert read(made).boot is not None
    (catalog,) = struct.unpack_from("<I", made, 17 * 2048 + 71)
    assert struct.unpack_from("<H", made, catalog * 2048 + 102) == (2 * FAT_SECTORS,)


def test_appended_partition_follows_the_volume() -> None:
    appended = b"partition".ljust(4096, b"x")
    iso = master()
    start = whole(iso)
    disk = iso + bytes(start * 512 - len(iso)) + appended
    base = make_disk(disk, [Part(0, start), Part(start, start + 8, 0x83)], code=b"")
    image = read(base)
    assert image.lost == ()
    assert image.boot is not None
    assert [bytes(each) for each in image.boot.appended] == [appended]
    made = again(base)
    (_first, (start, end)) = mbr_of(made)
    assert _first == (0, start)
    assert made[start * 512 : end * 512] == appended
    assert start % 2048 == 0


def test_gaps_between_partitions_are_filled_again() -> None:
    iso = master()
    efi, end = sector_of(iso, 1), whole(iso + bytes(2048)) - 3
    gpt = [
        Part(64, efi, name="Gap0"),
        Part(efi, efi + FAT_SECTORS),
        Part(efi + FAT_SECTORS, end, name="Gap1"),
    ]
    made = again(make_disk(iso, [Part(1, end + 3, 0xEE)], code=b"", gpt=gpt))
    efi, end = sector_of(made, 1), len(made) // 512
    assert mbr_of(made) == [(1, end)]
    assert gpt_of(made) == [(64, efi), (efi, efi + FAT_SECTORS), (efi + FAT_SECTORS, end - 3)]


def test_gap_does_not_overlap_partitions_that_changed_places() -> None:
    first, second = (name.ljust(4096, b"x") for name in (b"first", b"second"))
    iso = master()
    start = whole(iso)
    disk = iso + bytes(start * 512 - len(iso)) + first + bytes(4096) + second
    end = whole(disk)
    gpt = [
        Part(64, start, name="Gap0"),
        Part(start, start + 8),
        Part(start + 8, start + 16, name="Gap1"),
        Part(start + 16, start + 24),
        Part(start + 24, end - 3, name="Gap2"),
    ]
    # A partition of the MBR is read first, and first on the output.
    base = make_disk(disk, [Part(1, end, 0xEE), Part(start + 16, start + 24)], code=b"", gpt=gpt)
    made = again(base)
    ranges = sorted(gpt_of(made))
    assert all(one[1] <= other[0] for one, other in pairwise(ranges))
    contents = [made[at * 512 : stop * 512] for at, stop in ranges]
    assert first in contents
    assert second in contents


def test_apple_map_follows() -> None:
    iso = master()
    block = sector_of(iso, 1) // 4
    base = bytearray(make_disk(iso, [Part(0, whole(iso))], address=sector_of(iso, 0)))
    add_apple_map(base, [(b"EFI", b"Apple_HFS", block, len(FAT) // 2048)])
    base[64 : 64 + len(ISOLINUX_CODE)] = ISOLINUX_CODE
    made = again(bytes(base))
    assert struct.unpack_from(">II", made, 4096 + 8) == (
        sector_of(made, 1) // 4,
        len(FAT) // 2048,
    )
    assert made[:32] == base[:32]


def test_file_system_of_macs_is_named_and_the_rest_carried() -> None:
    iso = master()
    efi, end = sector_of(iso, 1), whole(iso + bytes(2048)) - 3
    middle = efi + FAT_SECTORS
    gpt = [
        Part(64, efi, name="Gap0"),
        Part(efi, middle),
        Part(middle, end - 8, name="HFSPLUS", guid=HFS_PLUS),
        Part(end - 8, end, name="Gap1"),
    ]
    base = make_disk(
        iso, [Part(1, end + 3, 0xEE)], code=GRUB_CODE, address=sector_of(iso, 0) + 4, gpt=gpt
    )
    image = read(base)
    assert image.lost == ("its HFS+ file system, from which Macs boot",)
    made = master(image.boot or BOOT, more=1000)
    efi, end = sector_of(made, 1), len(made) // 512
    assert gpt_of(made) == [(64, efi), (efi, efi + FAT_SECTORS), (efi + FAT_SECTORS, end - 3)]
    assert struct.unpack_from("<Q", made, 432) == (sector_of(made, 0) + 4,)


def test_second_set_of_folders_is_named() -> None:
    iso = bytearray(master())
    descriptor = 32 * 2048
    iso[descriptor : descriptor + 6] = b"\1CD001"
    end = whole(bytes(iso))
    image = read(make_disk(bytes(iso), [Part(64, end)], code=b""))
    assert image.lost == (
        (
            "the second set of folders for a disk whose partition starts at sector 64 "
            "(-partition_offset of xorriso)"
        ),
    )
    assert mbr_of(master(image.boot or BOOT))[0][0] == 0


def losses(data: bytes) -> str:
    image = read(data)
    assert image.boot is not None
    assert image.boot.disk is None
    (lost,) = image.lost
    return lost


def test_unknown_code_is_named() -> None:
    iso = master()
    assert losses(make_disk(iso, [Part(0, whole(iso))], code=b"\xfa\xeb\xfe")) == (
        "its system area, an MBR with 1 partition, for booting from USB sticks and disks: "
        "the code in its MBR is neither isolinux's nor GRUB's for ISOs"
    )


def test_code_that_loads_no_boot_image_is_named() -> None:
    iso = master()
    base = make_disk(iso, [Part(0, whole(iso))], address=12)
    assert losses(base).endswith("the code in its MBR loads sector 12, which is no boot image")


def test_partition_over_no_image_is_named() -> None:
    iso = master()
    start = sector_of(iso, 1) + 4
    base = make_disk(iso, [Part(0, whole(iso)), Part(start, start + 4, 0x83)], code=b"")
    assert losses(base).endswith(
        "partition 2 of its MBR (type 0x83) is not over an image that it boots from"
    )


def test_damaged_gpt_is_named() -> None:
    base = bytearray(isohybrid(master()))
    base[1024 + 40] ^= 1
    assert losses(bytes(base)) == (
        "its system area, an MBR with 2 partitions and a GPT, for booting from USB sticks and "
        "disks: its GPT is damaged"
    )


def test_unknown_bytes_beside_the_tables_are_named() -> None:
    base = bytearray(isohybrid(master()))
    base[30000:30003] = b"abc"
    assert losses(bytes(base)).endswith("3 bytes of unknown purpose are in it")


def test_bytes_after_the_volume_in_no_partition_are_named() -> None:
    iso = master()
    base = make_disk(iso + b"lost", [Part(0, whole(iso))], code=b"")
    image = read(base)
    assert image.lost == (
        f"{len(base) - len(iso)} bytes after the end of the volume, which no partition has",
    )
    assert image.boot is not None
    assert image.boot.disk is not None


def test_missing_file_of_a_partition_is_an_error() -> None:
    image = read(isohybrid(master()))
    assert image.boot is not None
    boot = evolve(BOOT, disk=image.boot.disk)
    with pytest.raises(UnrepresentableError, match=r"'boot/efi\.img', which a partition"):
        build_iso(boot_tree(), fields=FIELDS, boot=boot, timestamp=TIME)


HYBRID = isohybrid(master())


@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 2048), st.integers(446, 510)),
            st.binary(min_size=1, max_size=8),
        ),
        max_size=4,
    )
)
def test_any_system_area_is_carried_or_named(changes: list[tuple[int, bytes]]) -> None:
    base = bytearray(HYBRID)
    for at, data in changes:
        base[at : at + len(data)] = data
    try:
        image = read(bytes(base))
    except FormatError:
        return
    assert image.boot is not None
    if image.boot.disk is None:
        assert image.lost or not any(base[:32768])
        return
    assert isinstance(image.boot.disk, CarriedDisk)
    made = master(image.boot)
    assert read(made).lost == ()
