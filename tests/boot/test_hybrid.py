"""Test that a hybrid ISO starts each version of isolinux from disks, and says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from purekernel.formats.iso import HybridDisk, IsoBoot, VolumeFields, build_iso
from purekernel.tree import Metadata, Tree, put_file
from tests.boot.machine import boot
from tests.boot.media import from_cd, from_disk, from_floppy
from tests.oracles import skip_or_fail
from tests.shared import modern

pytestmark = pytest.mark.boot

MENU = b"SERIAL 0 115200\nPROMPT 1\nDEFAULT x\nLABEL x\nKERNEL /none\n"
BOOT = IsoBoot.by_bios(boot_image=b"isolinux/isolinux.bin", catalog=b"isolinux/boot.cat")
FLOPPY_BYTES = 2880 * 1024

# The versions, what they print, and where they and their modules are.
DEBIAN = Path("/usr/lib/ISOLINUX/isolinux.bin")
LDLINUX = Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")


def isolinux(version: str) -> list[Path]:
    if version == "4.05":
        return [modern() / "bootfiles/SlizR+Nil_OS/boot/isolinux/isolinux.bin"]
    for path in (DEBIAN, LDLINUX):
        if not path.is_file():
            skip_or_fail(f"{path} is not installed")
    return [DEBIAN, LDLINUX]


def make_iso(version: str) -> bytes:
    tree = Tree()
    for path in isolinux(version):
        name = b"isolinux/" + path.name.encode()
        put_file(tree, name, path.read_bytes(), metadata=Metadata(mode=0o644))
    put_file(tree, b"isolinux/isolinux.cfg", MENU, metadata=Metadata(mode=0o644))
    disk = HybridDisk(isolinux=BOOT.boot_image, seed=b"")
    settings = evolve(BOOT, disk=disk)
    return build_iso(tree, fields=VolumeFields(), boot=settings, timestamp=0)


@pytest.mark.parametrize("version", ["4.05", "6.04"])
@pytest.mark.parametrize("medium", ["cd", "disk", "floppy"])
def test_isolinux_starts_from_medium(version: str, medium: str, tmp_path: Path) -> None:
    path = tmp_path / "x.iso"
    iso = make_iso(version)
    start = {"cd": from_cd, "disk": from_disk, "floppy": from_floppy}[medium]
    path.write_bytes(iso.ljust(FLOPPY_BYTES, b"\0") if medium == "floppy" else iso)
    heard = boot(*start(path), log=tmp_path / "serial", until=b"boot: ", memory_mb=64)
    assert f"ISOLINUX {version}".encode() in heard


@pytest.mark.parametrize(
    ("lba", "words"),
    [
        (4, b"isolinux.bin is missing or damaged on the boot disk."),
        (1 << 30, b"The boot disk cannot be read."),
    ],
)
def test_mbr_says_what_is_wrong(lba: int, words: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.iso"
    iso = bytearray(make_iso("6.04"))
    iso[432:436] = lba.to_bytes(4, "little")
    path.write_bytes(iso)
    # Without graphics, SeaBIOS prints to the serial line.
    machine = ("-machine", "pc,graphics=off")
    boot(*machine, *from_disk(path), log=tmp_path / "serial", until=words, memory_mb=64)
