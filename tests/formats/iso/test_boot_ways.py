"""Test that an output boots in every way that its base boots, as xorriso reports both.

Bases are made by xorriso, genisoimage with isohybrid, and grub-mkrescue.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from fixtures.core_iso import BOOT_CATALOG, BOOT_IMAGE, make_core_iso
from purekernel.formats.iso import IsoImage, build_iso, parse_iso
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import File
from tests.oracles import require, run, skip_or_fail
from tests.shared import modern

pytestmark = pytest.mark.oracle

TIME = 1_700_000_000
CODE = Path("/usr/lib/ISOLINUX")
GRUB = Path("/usr/lib/grub/i386-pc/boot_hybrid.img")
BIOS = (
    "-b", BOOT_IMAGE.decode(), "-c", BOOT_CATALOG.decode(),
    "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
)  # fmt: skip
UEFI = ("-eltorito-alt-boot", "-e", "EFI/efi.img", "-no-emul-boot")
HYBRID = ("-isohybrid-mbr", "{code}/isohdpfx.bin")
PART_HYBRID = ("-isohybrid-mbr", "{code}/isohdppx.bin")
APPENDED = ("-append_partition", "2", "0xef", "{efi}")
FROM_APPENDED = (
    "-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::", "-no-emul-boot"
)  # fmt: skip

XORRISO: dict[str, tuple[str, ...]] = {
    "BIOS": BIOS,
    "BIOS and UEFI": (*BIOS, *UEFI),
    "UEFI alone": ("-e", "EFI/efi.img", "-no-emul-boot"),
    "floppy": (*BIOS, "-eltorito-alt-boot", "-b", "EFI/efi.img"),
    "five entries": (*BIOS, *UEFI, *UEFI, "-eltorito-alt-boot", "-b", "EFI/efi.img", *UEFI),
    "isohybrid": (*BIOS, *HYBRID),
    "isohybrid with GPT": (*BIOS, *HYBRID, *UEFI, "-isohybrid-gpt-basdat"),
    "isohybrid of a partition": (*BIOS, *PART_HYBRID, *UEFI, "-isohybrid-gpt-basdat"),
    "isohybrid with Apple map": (
        *(*BIOS, *HYBRID, *UEFI),
        *("-isohybrid-gpt-basdat", "-isohybrid-apm-hfsplus"),
    ),
    "appended": (*BIOS, *HYBRID, *APPENDED, *FROM_APPENDED),
    "appended in a GPT": (*BIOS, *HYBRID, *APPENDED, "-appended_part_as_gpt", *FROM_APPENDED),
    "appended without code": (*BIOS, *UEFI, "-append_partition", "3", "0x83", "{efi}"),
    "EFI boot partition": (*BIOS, *UEFI, "-efi-boot-part", "--efi-boot-image"),
    "GRUB": (*BIOS, "--grub2-boot-info", "--grub2-mbr", "{grub}", *UEFI),
    "appended in an Apple map": (*BIOS, *APPENDED, "-appended_part_as_apm"),
    "appended twice": (*BIOS, *PART_HYBRID, *APPENDED, "-append_partition", "3", "0x83", "{efi}"),
    "appended by type": (
        *(*BIOS, *HYBRID, *FROM_APPENDED),
        *("-append_partition", "2", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "{efi}"),
    ),
    "hard disk": (*BIOS, "-eltorito-alt-boot", "-b", "EFI/efi.img", "-hard-disk-boot"),
    "Macs and PowerPC": (
        *(*BIOS, "-eltorito-alt-boot", "-eltorito-platform", "Mac", "-b", "EFI/efi.img"),
        *("-no-emul-boot", "-eltorito-alt-boot", "-eltorito-platform", "PPC", "-b"),
        *("EFI/efi.img", "-no-emul-boot"),
    ),
    "whole sizes, id and criteria": (
        *(*BIOS, "-eltorito-id", "ME", "-eltorito-selcrit", "00aabb"),
        *(*UEFI, "-boot-load-size", "full"),
    ),
    "partition of another type": (*BIOS, *HYBRID, "-iso_mbr_part_type", "0x83", *UEFI),
    "cylinders": (*BIOS, *HYBRID, *APPENDED, "-partition_cyl_align", "all"),
}

# What an output cannot have, and the words that name it.
NOT_CARRIED: dict[str, tuple[tuple[str, ...], str]] = {
    "other code": (("-G", "{code}/isolinux.bin"), "of unknown purpose"),
    "SGI": (("-mips-boot", "boot/vmlinuz"), "a volume header of SGI for MIPS"),
    "DEC": (("-mipsel-boot", "boot/elf"), "a boot block of DEC for MIPS"),
    "DEC Alpha": (("-alpha-boot", "boot/vmlinuz"), "a boot block for DEC Alpha"),
    "SUN": (("-sparc-label", "x", "-B", "{efi}"), "a disk label of SUN for SPARC"),
    "HP": (
        (
            *("-hppa-kernel-32", "boot/vmlinuz", "-hppa-kernel-64", "boot/vmlinuz"),
            *("-hppa-cmdline", "x", "-hppa-bootloader", "boot/vmlinuz"),
            *("-hppa-ramdisk", "boot/core.gz"),
        ),
        "a boot block for HP PA-RISC",
    ),
    "PReP": (("-prep-boot-part", "{efi}"), "(type 0xcd) is not over an image"),
    "HFS+ alone": (("-hfsplus",), "an Apple partition map without an MBR"),
    "HFS+": ((*HYBRID, "-hfsplus"), "its HFS+ file system, from which Macs boot"),
    "two sets of folders": ((*HYBRID, "-partition_offset", "16"), "-partition_offset of xorriso"),
}


def write_folder(folder: Path) -> Path:
    """Write the files of a Core ISO with isolinux and an EFI image, and return the EFI image."""
    if not CODE.is_dir():
        skip_or_fail("Debian's package isolinux is not installed")
    core = folder / "core.iso"
    core.write_bytes(make_core_iso())
    files = folder / "files"
    run("xorriso", "-osirrox", "on", "-indev", core, "-extract", "/", files)
    run("chmod", "-R", "u+w", files)
    shutil.copy(CODE / "isolinux.bin", files / BOOT_IMAGE.decode())
    (files / "EFI").mkdir()
    efi = files / "EFI" / "efi.img"
    run(require("mformat"), "-C", "-f", "1440", "-N", "1", "-i", efi, "::")
    # The EFI image is not the only copy of its bytes, so that comparing them means something.
    outside = folder / "outside.img"
    run(require("mformat"), "-C", "-f", "1440", "-N", "2", "-i", outside, "::")
    return outside


@frozen
class Report:
    """What xorriso says of an image.

    Attributes:
        facts: its lines, without addresses and sizes.
        images: the first and last bytes of the boot image of each entry.
        partitions: the same for each partition behind the system area, with its size.
    """

    facts: list[str]
    images: list[bytes]
    partitions: list[tuple[int, bytes]]


_MOVING = re.compile(
    r"El Torito catalog |ISO image size|GPT lba range|.* img blks |System area options|.* path "
)
_ENTRY = re.compile(r"(El Torito boot img : .*\S)\s+(\d+)$")
_PARTITION = re.compile(r"((?:MBR partition|(?:GPT|APM) start and size)\s*:.*?)(\d+)\s+(\d+)$")
# Whether sizes are whole cylinders follows from the sizes.
_ALIGNED = re.compile(r" cyl-align-\w+")


def report(path: Path) -> Report:
    data = path.read_bytes()
    words = ("-report_el_torito", "plain", "-report_system_area", "plain")
    apple_bytes = 2048
    lines = run(require("xorriso"), "-indev", path, *words).decode().splitlines()
    facts, images, partitions = [], [], []
    for line in lines:
        if line.startswith("APM block size"):
            apple_bytes = int(line.partition(":")[2])
        entry, partition = _ENTRY.match(line), _PARTITION.match(line)
        if entry is not None:
            facts.append(entry[1])
            at = int(entry[2]) * 2048
            # Without the boot info table, which has the address.
            images.append(data[at : at + 8] + data[at + 64 : at + 2048])
        elif partition is not None:
            facts.append(partition[1].rstrip())
            unit = apple_bytes if line.startswith("APM") else 512
            at, size = int(partition[2]) * unit, int(partition[3]) * unit
            assert at + size <= len(data)
            if at > 64 * 512:
                partitions.append((size, data[at : at + 2048]))
        elif not _MOVING.match(line):
            facts.append(_ALIGNED.sub("", line))
    return Report(facts, images, partitions)


def remake(base: Path) -> tuple[IsoImage, Path]:
    """Write what is read of an ISO with one more file, in another layout."""
    image = parse_iso(Input(base.read_bytes(), name=base.name))
    tree = image.tree.copy()
    metadata = tree[BOOT_IMAGE].metadata
    # Names come before those of the base, and move what is there.
    for number in range(60):
        tree.add(b"%03d" % number, File(metadata=metadata, content=b"%d" % number * 5000))
    output = base.with_name("output.iso")
    output.write_bytes(build_iso(tree, fields=image.fields, boot=image.boot, timestamp=TIME))
    return image, output


def require_same_ways(base: Path) -> None:
    image, output = remake(base)
    assert image.lost == ()
    before, after = report(base), report(output)
    assert after.facts == before.facts
    assert after.images == before.images
    # Those over an image have the same bytes; those that fill gaps have what is there.
    kept = [each for each in before.partitions if each[1][510:512] == b"\x55\xaa"]
    assert [each for each in after.partitions if each[1][510:512] == b"\x55\xaa"] == kept


@pytest.mark.parametrize("ways", XORRISO)
def test_output_has_the_boot_ways_that_xorriso_made(ways: str, tmp_path: Path) -> None:
    efi = write_folder(tmp_path)
    base = tmp_path / "base.iso"
    options = [word.format(code=CODE, efi=efi, grub=GRUB) for word in XORRISO[ways]]
    command = ("-as", "mkisofs", "-quiet", "-J", "-R", *options)
    run(require("xorriso"), *command, "-o", base, tmp_path / "files")
    require_same_ways(base)


@pytest.mark.parametrize("ways", NOT_CARRIED)
def test_boot_way_that_an_output_cannot_have_is_named(ways: str, tmp_path: Path) -> None:
    efi = write_folder(tmp_path)
    (tmp_path / "files" / "boot" / "elf").write_bytes(b"\x7fELF" + bytes(5000))
    base = tmp_path / "base.iso"
    given, named = NOT_CARRIED[ways]
    options = [word.format(code=CODE, efi=efi) for word in (*BIOS, *given)]
    command = ("-as", "mkisofs", "-quiet", "-J", "-R", *options)
    run(require("xorriso"), *command, "-o", base, tmp_path / "files")
    lost = remake(base)[0].lost
    assert [named in what for what in lost] == [True], lost


def test_gap_of_a_gpt_does_not_overlap_partitions(tmp_path: Path) -> None:
    efi = write_folder(tmp_path)
    base = tmp_path / "base.iso"
    parts = ("-efi-boot-part", efi, "-append_partition", "2", "0x83", efi)
    command: list[str | Path] = ["-as", "mkisofs", "-quiet", *BIOS, *parts]
    run(require("xorriso"), *command, "-o", base, tmp_path / "files")
    image, output = remake(base)
    assert image.lost == ()
    for path in (base, output):
        # The protective entry of an MBR overlaps its other ones, as in the base.
        said = run(require("sgdisk"), "-v", path).decode()
        assert re.findall("Problem: .*", said) == ["Problem: MBR partitions 1 and 2 overlap!"]


ISOHYBRID: dict[str, tuple[str, ...]] = {
    "MBR": (),
    "GPT": ("--uefi",),
    "Apple map": ("--uefi", "--mac"),
    "for a partition": ("--partok",),
    "third entry": ("--entry", "3", "--type", "0x83", "--id", "0x12345678"),
    "other geometry": ("-h", "255", "-s", "63"),
    "first disk": ("--ctrlhd0",),
}


@pytest.mark.parametrize("ways", ISOHYBRID)
def test_output_has_the_boot_ways_of_isohybrid(ways: str, tmp_path: Path) -> None:
    write_folder(tmp_path)
    base = tmp_path / "base.iso"
    options = ISOHYBRID[ways]
    more = (*UEFI * ("--uefi" in options), *UEFI * ("--mac" in options))
    genisoimage = (require("genisoimage"), "-quiet", "-J", "-R", *BIOS, *more)
    run(*genisoimage, "-o", base, tmp_path / "files")
    run(require("isohybrid"), *options, base)
    require_same_ways(base)


def test_output_has_the_boot_ways_of_grub_but_that_of_macs(tmp_path: Path) -> None:
    write_folder(tmp_path)
    base = tmp_path / "base.iso"
    run(require("grub-mkrescue"), "-o", base, tmp_path / "files")
    image, output = remake(base)
    assert image.lost == ("its HFS+ file system, from which Macs boot",)
    before, after = report(base), report(output)
    assert after.images == before.images
    assert [line for line in after.facts if "boot img" in line or "img opts" in line] == [
        line for line in before.facts if "boot img" in line or "img opts" in line
    ]
    assert any("grub2-mbr" in line and "GPT" in line for line in after.facts)
    assert not any("APM" in line for line in after.facts)
    run(require("sgdisk"), "-v", output)


def test_output_has_the_boot_ways_of_a_real_hybrid(tmp_path: Path) -> None:
    base = tmp_path / "base.iso"
    shutil.copy(modern() / "TinyCorePure64-look.iso", base)
    require_same_ways(base)


def test_base_with_two_sets_of_folders_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path)
    base = tmp_path / "base.iso"
    options = [word.format(code=CODE) for word in (*BIOS, *HYBRID, "-partition_offset", "16")]
    run("xorriso", "-as", "mkisofs", "-quiet", *options, "-o", base, tmp_path / "files")
    image, output = remake(base)
    (lost,) = image.lost
    assert "-partition_offset of xorriso" in lost
    assert any("Partition offset   : 0" in line for line in report(output).facts)
