"""Test what is verified of an image: each kind of damage is found once."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from attrs import evolve

from fixtures.compress import gzip
from fixtures.core import make_core_tree
from fixtures.core_iso import BOOT_IMAGE, make_core_iso
from purekernel.analysis.results import Check, Result
from purekernel.analysis.verify import Pinned, Verification, verify_image
from purekernel.formats.cpio import build_cpio
from purekernel.formats.iso import HybridDisk, build_iso, parse_iso
from purekernel.formats.partitions import (
    GPT_BASIC_DATA,
    GptPartition,
    Mbr,
    build_gpt,
    build_mbr,
    make_gpt,
    make_id,
    protect,
)
from purekernel.formats.qcow2 import build_qcow2
from purekernel.formats.sparse import SparseImage
from purekernel.input import Input
from purekernel.tree import File, Metadata, put_file
from tests.analysis.images import pack, tree_of
from tests.hybrids import EFI_IMAGE, make_efi_image

SECTOR = 2048
EXTENSION = pack(tree_of({"usr/local/bin/hello": b"#!/bin/sh\n"}))
MD5 = hashlib.md5(EXTENSION, usedforsecurity=False).hexdigest()
DISC = {
    "cde/onboot.lst": b"a.tcz\nnet-KERNEL.tcz\n# b.tcz\n",
    "cde/optional/a.tcz": EXTENSION,
    "cde/optional/a.tcz.md5.txt": f"{MD5}  a.tcz\n".encode(),
    "cde/optional/a.tcz.dep": b"b.tcz\n",
    "cde/optional/b.tcz": EXTENSION,
    "cde/optional/b.tcz.dep": b"merged.tcz\n",
    "cde/optional/net-3.0.3-purekernel.tcz": EXTENSION,
}


def make_iso(changed: Mapping[str, bytes | None] | None = None) -> bytes:
    """Return an ISO that boots in every way, with extensions, and with changed files."""
    root = make_core_tree()
    put_file(root, b"usr/local/tce.installed/merged", b"", metadata=Metadata(mode=0o644))
    image = parse_iso(Input(make_core_iso(root=root), name="base.iso"))
    tree = image.tree.copy()
    boot_image = tree[BOOT_IMAGE]
    kernel, core = tree[b"boot/vmlinuz"], tree[b"boot/core.gz"]
    assert image.boot is not None
    assert isinstance(boot_image, File)
    assert isinstance(kernel, File)
    assert isinstance(core, File)
    code = bytearray(bytes(boot_image.content).ljust(4096, b"\0"))
    code[64:68] = b"\xfb\xc0\x78\x70"
    tree.replace(BOOT_IMAGE, evolve(boot_image, content=bytes(code)))
    files: dict[str, bytes | None] = {
        **DISC,
        EFI_IMAGE.decode(): make_efi_image(),
        "iso-metadata.yaml": make_metadata(bytes(kernel.content), bytes(core.content)),
        **(changed or {}),
    }
    for path, content in files.items():
        if content is not None:
            put_file(tree, path.encode(), content, metadata=Metadata(mode=0o644))
    boot = image.boot.with_efi(EFI_IMAGE)
    disk = HybridDisk(isolinux=BOOT_IMAGE, efi=(EFI_IMAGE,), seed=b"seed")
    boot = evolve(boot, disk=disk)
    return build_iso(tree, fields=image.fields, boot=boot, timestamp=0)


def make_metadata(kernel: bytes, core: bytes) -> bytes:
    lines = ["---", "kernel: boot/vmlinuz", "initrd: /boot/core.gz"]
    lines += [f"kernel_hash: '{hashlib.sha256(kernel).hexdigest()}'"]
    lines += [f'initrd_hash: "{hashlib.sha256(core).hexdigest()}"', "hash_description:"]
    return "\n".join([*lines, "  bitlen: 256", ""]).encode()


def verify(folder: Path, content: bytes, **options: object) -> Verification:
    path = folder / "image.iso"
    path.write_bytes(content)
    return verify_image(str(path), **options)  # type: ignore[arg-type]


def failures(done: Verification) -> list[tuple[str, str]]:
    return [(check.kind, check.detail) for check in done.failed]


@pytest.fixture(scope="module")
def intact() -> bytes:
    return make_iso()


def catalog_of(iso: bytes) -> int:
    (sector,) = struct.unpack_from("<I", iso, 17 * SECTOR + 71)
    return int(sector) * SECTOR


def test_intact_iso_holds_in_every_check(tmp_path: Path, intact: bytes) -> None:
    done = verify(tmp_path, intact)
    assert failures(done) == []
    assert done.faults == ()
    assert {check.kind for check in done.checks if check.result is Result.OK} == {
        "volume", "boot-catalog", "boot-image", "boot-info-table", "mbr", "gpt", "boot-code",
        "archive", "metadata", "md5", "list", "dependency",
    }  # fmt: skip
    assert [check.kind for check in done.checks if check.result is Result.ABSENT] == ["sha256sums"]


def flip(at: int) -> Callable[[bytearray], None]:
    def change(iso: bytearray) -> None:
        iso[at] ^= 0xFF

    return change


def flip_in_catalog(at: int) -> Callable[[bytearray], None]:
    return lambda iso: flip(catalog_of(bytes(iso)) + at)(iso)


def point_entry_out(iso: bytearray) -> None:
    struct.pack_into("<I", iso, catalog_of(bytes(iso)) + 32 + 8, len(iso) // SECTOR + 5)


def flip_in_boot_image(at: int) -> Callable[[bytearray], None]:
    def change(iso: bytearray) -> None:
        (sector,) = struct.unpack_from("<I", iso, catalog_of(bytes(iso)) + 32 + 8)
        iso[sector * SECTOR + at] ^= 0xFF

    return change


def change_digit(iso: bytearray) -> None:
    at = bytes(iso).index(b"kernel_hash") + 20
    iso[at] = ord("1") if iso[at] == ord("0") else ord("0")


def flip_near(mark: bytes, at: int = 0) -> Callable[[bytearray], None]:
    return lambda iso: flip(bytes(iso).index(mark) + at)(iso)


@pytest.mark.parametrize(
    ("damage", "kind", "detail"),
    [
        (flip(16 * SECTOR + 85), "volume", "the same number in both byte orders"),
        (flip_in_catalog(5), "boot-catalog", "a validation entry whose words add up to 0"),
        (flip_in_catalog(30), "boot-catalog", "a validation entry of El Torito"),
        (point_entry_out, "boot-image", "a boot image in the ISO, got one in sector"),
        (flip_in_boot_image(8), "boot-info-table", "the first descriptor must be 16"),
        (flip_in_boot_image(12), "boot-info-table", "the sector must be"),
        (flip_in_boot_image(16), "boot-info-table", "the size must be"),
        (flip_in_boot_image(20), "boot-info-table", "the checksum must be"),
        (flip_in_boot_image(1000), "boot-info-table", "the checksum must be"),
        (flip(511), "mbr", "the signature 55 AA of a partition table"),
        (flip(446), "mbr", "a partition with status 0 or 0x80"),
        (flip(446 + 16 + 15), "mbr", "partitions must end in the"),
        (flip(432), "boot-code", "it must load a boot image"),
        (flip(512), "gpt", "the GPT in sector 1 is missing; its backup is used"),
        (flip(512 + 40), "gpt", "the GPT in sector 1 is damaged"),
        (flip(1024 + 32), "gpt", "the GPT in sector 1 is damaged"),
        (flip(-512), "gpt", "the backup of the GPT"),
        (flip(-512 + 40), "gpt", "the backup of the GPT"),
        (change_digit, "metadata", "'boot/vmlinuz': SHA-256 must be"),
        (flip_near(b"initrd_hash", 0), "metadata", "must have initrd and initrd_hash"),
        (flip_near(MD5.encode()[4:]), "md5", "a line of md5sum"),
    ],
)
def test_damage_is_found_once(
    damage: Callable[[bytearray], None], kind: str, detail: str, tmp_path: Path, intact: bytes
) -> None:
    iso = bytearray(intact)
    damage(iso)
    done = verify(tmp_path, bytes(iso))
    assert [each for each, _detail in failures(done)] == [kind]
    assert detail in failures(done)[0][1]
    assert done.faults == ()


@pytest.mark.parametrize(
    ("changed", "kind", "place", "detail"),
    [
        (
            {"cde/optional/a.tcz": pack(tree_of({"x": b"y"}))},
            "md5", "cde/optional/a.tcz.md5.txt", f"MD5 must be {MD5}, got",
        ),
        (
            {"cde/optional/c.tcz.md5.txt": f"{MD5}  c.tcz\n".encode()},
            "md5", "cde/optional/c.tcz.md5.txt", "'c.tcz' must be beside it, and is missing",
        ),
        (
            {"cde/onboot.lst": b"a.tcz\nc\n"},
            "list", "cde/onboot.lst", "'c.tcz' must be in 'cde/optional', and is missing",
        ),
        (
            {"cde/optional/b.tcz.dep": b"c.tcz\n"},
            "dependency", "cde/optional/b.tcz.dep", "'c.tcz' is not in the image",
        ),
        (
            {"cde/optional/a.tcz.dep": b"\xff not a name\n"},
            "dependency", "cde/optional/a.tcz.dep", "expected an extension name",
        ),
        (
            {"iso-metadata.yaml": b"kernel: boot/gone\nkernel_hash: " + b"0" * 64},
            "metadata", "iso-metadata.yaml, kernel", "'boot/gone' is not a file of the image",
        ),
    ],
)  # fmt: skip
def test_changed_file_is_found(
    changed: dict[str, bytes], kind: str, place: str, detail: str, tmp_path: Path
) -> None:
    failed = verify(tmp_path, make_iso(changed)).failed
    found = [check for check in failed if check.place == place]
    assert [check.kind for check in found] == [kind]
    assert detail in found[0].detail


@pytest.mark.parametrize("kept", [0, 100, 16 * SECTOR + 90, 17 * SECTOR, 20 * SECTOR, -SECTOR])
def test_truncated_iso_fails_and_says_where_reading_stopped(
    kept: int, tmp_path: Path, intact: bytes
) -> None:
    done = verify(tmp_path, intact[:kept])
    assert done.failed or done.faults or kept < 16 * SECTOR + 6
    assert all(check.detail for check in done.checks)


def test_damaged_core_is_a_fault_and_the_disc_is_still_verified(tmp_path: Path) -> None:
    done = verify(tmp_path, make_core_iso(core=b"\x1f\x8b\x08 no deflate data"))
    assert len(done.faults) == 1
    assert failures(done) == []
    assert "boot-info-table" in {check.kind for check in done.checks}


def test_core_whose_end_is_missing_fails_though_its_first_files_are_shown(tmp_path: Path) -> None:
    core = gzip(build_cpio(make_core_tree()))
    done = verify(tmp_path, make_core_iso(core=core[: len(core) * 3 // 4]))
    assert [kind for kind, _detail in failures(done)] == ["archive"]
    assert done.faults == ()


def test_sums_beside_the_image_are_compared(tmp_path: Path, intact: bytes) -> None:
    sha256 = hashlib.sha256(intact).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{sha256}  image.iso\n", encoding="ascii")
    md5 = hashlib.md5(intact, usedforsecurity=False).hexdigest()
    (tmp_path / "image.iso.md5.txt").write_text(f"{md5}  image.iso\n", encoding="ascii")
    assert failures(verify(tmp_path, intact)) == []
    iso = bytearray(intact)
    iso[-20000] ^= 1  # in no structure
    assert [kind for kind, _detail in failures(verify(tmp_path, bytes(iso)))] == [
        "sha256sums", "md5",
    ]  # fmt: skip


def test_lock_pins_are_compared_with_the_files_of_the_image(tmp_path: Path, intact: bytes) -> None:
    sha256 = hashlib.sha256(EXTENSION).hexdigest()
    pins = [
        Pinned(name="a.tcz", sha256=sha256),
        Pinned(name="b.tcz", sha256="0" * 64),
        Pinned(name="z.tcz", sha256="0" * 64),
        Pinned(name="", sha256="1" * 64),
    ]
    done = verify(tmp_path, intact, pins=pins)
    assert [check for check in done.checks if check.kind == "lock"] == [
        Check("lock", "the kernel", Result.FAILED, done.failed[0].detail),
        Check("lock", "cde/optional/a.tcz", Result.OK, f"SHA-256 {sha256[:12]}…"),
        Check(
            "lock", "cde/optional/b.tcz", Result.FAILED,
            f"SHA-256 must be {'0' * 64}, got {sha256}",
        ),
        Check("lock", "", Result.ABSENT, "not in the image as files: 'z.tcz'"),
    ]  # fmt: skip


def make_disk() -> bytes:
    """Return a disk with a GPT and one partition."""
    sectors = 200
    basic = GptPartition(
        number=1, kind=GPT_BASIC_DATA, id=make_id(b"seed", "partition"), first=40, sectors=100,
        name="a",
    )  # fmt: skip
    primary, backup = build_gpt(make_gpt(make_id(b"seed", "disk"), [basic], sectors=sectors))
    mbr = Mbr(partitions=(protect(sectors),), disk_id=1, code=b"")
    disk = bytearray(sectors * 512)
    disk[:512] = build_mbr(mbr, sectors=sectors)
    disk[512 : 512 + len(primary)] = primary
    disk[-len(backup) :] = backup
    return bytes(disk)


@pytest.mark.parametrize("is_qcow2", [False, True])
def test_disk_holds_and_each_damage_is_found_once(is_qcow2: bool, tmp_path: Path) -> None:
    def pack(disk: bytes) -> bytes:
        if not is_qcow2:
            return disk
        stream = io.BytesIO()
        build_qcow2(SparseImage.of(len(disk), [(0, disk)])).write(stream)
        return stream.getvalue()

    done = verify(tmp_path, pack(make_disk()))
    assert failures(done) == []
    found = {check.kind for check in done.checks if check.result is Result.OK}
    assert {"mbr", "gpt"} <= found
    for at, kind in ((511, "mbr"), (512, "gpt"), (512 + 40, "gpt"), (-512, "gpt")):
        disk = bytearray(make_disk())
        disk[at] ^= 0xFF
        assert [each for each, _detail in failures(verify(tmp_path, pack(bytes(disk))))] == [kind]


def test_folder_is_verified(tmp_path: Path) -> None:
    (tmp_path / "optional").mkdir()
    (tmp_path / "onboot.lst").write_bytes(b"a.tcz\n")
    done = verify_image(str(tmp_path))
    assert failures(done) == [("list", "'a.tcz' must be in 'optional', and is missing")]


def test_lines_have_result_kind_place_and_detail(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"text")
    done = verify_image(str(tmp_path / "x"))
    assert next(done.lines()) == (
        "not there  sha256sums       no SHA256SUMS beside the image names it"
    )
