from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest
from attrs import evolve

from purekernel.formats.hybrid_mbr import NEXT_DISK, is_hybrid_code
from purekernel.formats.iso import HybridDisk, build_iso, parse_iso
from purekernel.formats.partitions import (
    EFI_SYSTEM,
    GPT_BASIC_DATA,
    GPT_EFI_SYSTEM,
    PROTECTIVE,
    PartitionTable,
    parse_partitions,
)
from purekernel.input import Input
from purekernel.tree import Tree
from tests.formats.iso.disks import BOOT, FIELDS, TIME, boot_tree, file, plant
from tests.oracles import require, run

EFI_IMAGE = b"EFI/BOOT/efiboot.img"
CONTENT = b"the EFI image".ljust(40 * 512, b"\xee")
SECOND = b"another EFI image".ljust(50 * 512, b"\xdd")
MIB = 1 << 20

# Its first bytes, a signature by which isolinux.bin is known, and room for the boot info table.
ISOLINUX = (bytes(range(8)).ljust(64, b"\0") + b"\xfb\xc0\x78\x70").ljust(4000, b"\x90")


def disk_tree() -> Tree:
    """Return the files that isolinux needs, with a boot image like it."""
    tree = boot_tree()
    tree.replace(BOOT.boot_image, file(ISOLINUX))
    return tree


def hybrid(*, efi: tuple[bytes | int, ...] = (), isolinux: bytes | None = BOOT.boot_image) -> bytes:
    """Return an ISO that boots as a disk, with EFI images in its tree and after the volume."""
    tree = disk_tree()
    boot = BOOT
    if EFI_IMAGE in efi:
        plant(tree, EFI_IMAGE, file(CONTENT))
        boot = boot.with_efi(EFI_IMAGE)
    disk = HybridDisk(isolinux=isolinux, efi=efi, seed=b"seed")
    boot = evolve(boot, disk=disk, appended=(SECOND,) if 0 in efi else ())
    return build_iso(tree, fields=FIELDS, boot=boot, timestamp=TIME)


def table_of(iso: bytes) -> PartitionTable:
    notes: list[str] = []
    table = parse_partitions(Input(iso, name="x.iso"))
    assert notes == []
    return table


def content_of(iso: bytes, first: int, sectors: int) -> bytes:
    return iso[first * 512 : (first + sectors) * 512]


def test_iso_for_bios_has_one_active_partition_over_all() -> None:
    iso = hybrid()
    assert len(iso) % MIB == 0
    table = table_of(iso)
    assert table.gpt is None
    (partition,) = table.mbr.partitions
    assert (partition.kind, partition.first, partition.end) == (0x17, 0, len(iso) // 512)
    assert partition.is_active
    # The geometry: whole cylinders of 64 heads and 32 sectors.
    assert iso[447:450] == bytes([0, 1, 0])
    assert iso[451:454] == bytes([63, 32, len(iso) // MIB - 1])


def test_mbr_starts_isolinux_where_it_lies() -> None:
    iso = hybrid()
    assert is_hybrid_code(iso)
    (sector,) = struct.unpack_from("<I", iso, 432)
    assert iso[sector * 512 : sector * 512 + 8] == bytes(range(8))
    assert struct.unpack_from("<I", iso, sector * 512 + 12) == (sector // 4,)  # its own table


def test_iso_without_bios_lets_it_try_the_next_disk() -> None:
    iso = hybrid(efi=(EFI_IMAGE,), isolinux=None)
    assert iso.startswith(NEXT_DISK)


def test_files_are_those_of_the_iso_without_tables() -> None:
    plain = build_iso(disk_tree(), fields=FIELDS, boot=BOOT, timestamp=TIME)
    iso = hybrid()
    assert iso[32768 : len(plain)] == plain[32768:]
    assert not iso[len(plain) :].strip(b"\0")


def test_efi_images_are_partitions_of_the_gpt_and_of_the_mbr() -> None:
    iso = hybrid(efi=(EFI_IMAGE, 0))
    assert len(iso) % MIB == 0
    table = table_of(iso)
    assert table.gpt is not None
    kinds = [each.kind for each in table.gpt.partitions]
    assert kinds == [GPT_BASIC_DATA, GPT_EFI_SYSTEM, GPT_BASIC_DATA, GPT_EFI_SYSTEM]
    volume, first, rest, second = table.gpt.partitions
    assert [volume.name, rest.name] == ["ISO 9660", "Gap3"]
    assert content_of(iso, first.first, first.sectors) == CONTENT
    assert content_of(iso, second.first, second.sectors) == SECOND
    assert second.first % 2048 == 0
    # The partitions cover the volume.
    assert (volume.first, volume.end, first.end, rest.end) == (
        64,
        first.first,
        rest.first,
        second.first,
    )
    protective, *images = table.mbr.partitions
    assert (protective.kind, protective.first) == (PROTECTIVE, 1)
    assert [(each.kind, each.first, each.sectors) for each in images] == [
        (EFI_SYSTEM, each.first, each.sectors) for each in (first, second)
    ]
    assert [each.is_active for each in table.mbr.partitions] == [False, True, False]


def test_disk_needs_the_files_that_it_boots() -> None:
    disk = HybridDisk(isolinux=BOOT.boot_image, efi=(EFI_IMAGE, 0), seed=b"")
    assert disk.paths == {BOOT.boot_image, EFI_IMAGE}


def test_ids_depend_on_the_seed_alone() -> None:
    table = table_of(hybrid(efi=(EFI_IMAGE,)))
    assert table == table_of(hybrid(efi=(EFI_IMAGE,)))
    ids = [each.id for each in table.gpt.partitions] if table.gpt else []
    assert len(set(ids)) == 3
    tree, boot = disk_tree(), evolve(BOOT, disk=HybridDisk(isolinux=BOOT.boot_image, seed=b"other"))
    other = build_iso(tree, fields=FIELDS, boot=boot, timestamp=TIME)
    assert table_of(other).mbr.disk_id != table_of(hybrid()).mbr.disk_id


def test_hybrid_iso_is_read_as_an_iso() -> None:
    image = parse_iso(Input(hybrid(efi=(EFI_IMAGE,)), name="x.iso"))
    assert b"boot/core.gz" in image.tree
    assert image.boot is not None
    assert image.boot.boot_image == BOOT.boot_image


@pytest.mark.parametrize("isolinux", [BOOT.boot_image, None])
@pytest.mark.parametrize("efi", [(), (EFI_IMAGE,), (EFI_IMAGE, 0)])
def test_tables_of_our_own_are_carried_to_where_things_lie(
    efi: tuple[bytes | int, ...], isolinux: bytes | None
) -> None:
    before = hybrid(efi=efi, isolinux=isolinux)
    image = parse_iso(Input(before, name="x.iso"))
    assert image.lost == ()
    tree = image.tree.copy()
    plant(tree, b"boot/a", file(b"a" * 3_000_000))
    after = build_iso(tree, fields=image.fields, boot=image.boot, timestamp=TIME)
    old, new = table_of(before), table_of(after)
    assert len(after) % MIB == 0
    assert new.mbr.disk_id == old.mbr.disk_id
    assert [each.kind for each in new.mbr.partitions] == [each.kind for each in old.mbr.partitions]
    if isolinux is not None:
        assert is_hybrid_code(after)
        (sector,) = struct.unpack_from("<I", after, 432)
        assert content_of(after, sector, 1)[:8] == ISOLINUX[:8]
    if old.gpt is None or new.gpt is None:
        assert old.gpt is new.gpt is None
        assert new.mbr.partitions[0].end == len(after) // 512
        return
    assert [(each.id, each.name) for each in new.gpt.partitions] == [
        (each.id, each.name) for each in old.gpt.partitions
    ]
    images = [each for each in new.gpt.partitions if each.kind == GPT_EFI_SYSTEM]
    assert content_of(after, images[0].first, images[0].sectors) == CONTENT


@pytest.mark.oracle
def test_xorriso_finds_what_starts_isolinux(tmp_path: Path) -> None:
    path = tmp_path / "x.iso"
    path.write_bytes(hybrid())
    report = run(require("xorriso"), "-indev", path, "-report_system_area", "plain").decode()
    assert re.search(r"^System area summary: MBR isohybrid cyl-align-on$", report, re.MULTILINE)
    sectors = path.stat().st_size // 512
    assert re.search(rf"^MBR partition +: +1 +0x80 +0x17 +0 +{sectors}$", report, re.MULTILINE)
    assert b"No errors detected" in run(require("sfdisk"), "--verify", path)


@pytest.mark.oracle
def test_partitioning_programs_find_no_fault_in_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.iso"
    iso = hybrid(efi=(EFI_IMAGE, 0))
    path.write_bytes(iso)
    assert b"No problems found" in run(require("sgdisk"), "-v", path)
    assert b"No errors detected" in run(require("sfdisk"), "--verify", path)
    report = run(require("xorriso"), "-indev", path, "-report_system_area", "plain").decode()
    assert re.search(r"^GPT partition path : +2 +/EFI/BOOT/efiboot.img$", report, re.MULTILINE)
    found = json.loads(run(require("sfdisk"), "--json", path))["partitiontable"]["partitions"]
    gpt = table_of(iso).gpt
    assert gpt is not None
    assert [(each["start"], each["size"]) for each in found] == [
        (each.first, each.sectors) for each in gpt.partitions
    ]
