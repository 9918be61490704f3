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

XORRISO = {
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
    lines = run(require("xorriso"), "-indev", path, *words).decode().splitlines()
    facts, images, partitions = [], [], []
    for line in lines:
        entry, partition = _ENTRY.match(line), _PARTITION.match(line)
        if entry is not None:
            facts.append(entry[1])
            at = int(entry[2]) * 2048
            # Without the boot info table, which has the address.
            images.append(data[at : at + 8] + data[at + 64 : at + 2048])
        elif partition is not None:
            facts.append(partition[1])
            unit = 2048 if line.startswith("APM") else 512
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
    options = [word.format(code=CODE, efi=efi) for word in XORRISO[ways]]
    command = ("-as", "mkisofs", "-quiet", "-J", "-R", *options, "-o", base, tmp_path / "files")
    run(require("xorriso"), *command)
    require_same_ways(base)


@pytest.mark.parametrize("options", [(), ("--uefi",)], ids=["MBR", "GPT"])
def test_output_has_the_boot_ways_of_isohybrid(options: tuple[str, ...], tmp_path: Path) -> None:
    write_folder(tmp_path)
    base = tmp_path / "base.iso"
    more = UEFI if options else ()
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
