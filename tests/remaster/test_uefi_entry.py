"""Test that the UEFI entry of an output boots if that of its base does, by xorriso and mtools.

An entry in the boot catalog alone does not count: firmware starts a program for its processor, from
a FAT file system.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from fixtures.core_iso import BOOT_CATALOG, BOOT_IMAGE, make_core_iso
from purekernel.cli.app import main
from tests import pes
from tests.hybrids import GRUB_MENU
from tests.oracles import require, run
from tests.workshop import notes

pytestmark = pytest.mark.oracle

EFI_IMAGE = "EFI/BOOT/efiboot.img"
LOADER = "::/EFI/BOOT/BOOTX64.EFI"
MENU = "::/EFI/BOOT/grub.cfg"

_ENTRY = re.compile(r"El Torito boot img : +\d+ +UEFI +y .* (\d+)$", re.MULTILINE)


def make_base(folder: Path, efi: bytes) -> None:
    """Write an ISO that boots by BIOS, and has a UEFI entry for the image ``efi``."""
    core, files = folder / "core.iso", folder / "files"
    core.write_bytes(make_core_iso())
    run(require("xorriso"), "-osirrox", "on", "-indev", core, "-extract", "/", files)
    run("chmod", "-R", "u+w", files)
    (files / EFI_IMAGE).parent.mkdir(parents=True)
    (files / EFI_IMAGE).write_bytes(efi)
    by_bios = ("-b", BOOT_IMAGE.decode(), "-c", BOOT_CATALOG.decode(), "-no-emul-boot")
    by_uefi = ("-eltorito-alt-boot", "-e", EFI_IMAGE, "-no-emul-boot")
    command = (*by_bios, "-boot-load-size", "4", "-boot-info-table", *by_uefi)
    run("xorriso", "-as", "mkisofs", "-quiet", "-R", *command, "-o", folder / "base.iso", files)


def make_efi(folder: Path) -> bytes:
    """Return a FAT file system with GRUB and its menu."""
    image = folder / "efi.img"
    run(require("mformat"), "-C", "-f", "1440", "-i", image, "::")
    run(require("mmd"), "-i", image, "::/EFI", "::/EFI/BOOT")
    for target, content in ((LOADER, pes.make_grub()), (MENU, GRUB_MENU)):
        (folder / "content").write_bytes(content)
        run(require("mcopy"), "-i", image, folder / "content", target)
    return image.read_bytes()


def started_by_uefi(iso: Path) -> bytes:
    """Return the image that firmware of 64 bits boots, or nothing if it boots none."""
    report = run(require("xorriso"), "-indev", iso, "-report_el_torito", "plain").decode()
    for start in _ENTRY.findall(report):
        image = iso.with_suffix(".img")
        image.write_bytes(iso.read_bytes()[int(start) * 2048 :][: 1440 << 10])
        try:
            run(require("fsck.fat"), "-n", image)
            loader = run(require("mtype"), "-i", image, LOADER)
        except AssertionError:  # no FAT, or no loader
            continue
        (header,) = struct.unpack_from("<I", loader, 0x3C)
        signature, machine = struct.unpack_from("<4sH", loader, header)
        (subsystem,) = struct.unpack_from("<H", loader, header + 24 + 68)
        if (loader[:2], signature, machine, subsystem) == (b"MZ", b"PE\0\0", 0x8664, 10):
            return image.read_bytes()
    return b""


def build(folder: Path, monkeypatch: pytest.MonkeyPatch, *, boot: str = "") -> Path:
    monkeypatch.chdir(folder)
    (folder / "purekernel.toml").write_text(
        f'name = "t"\n[core]\niso = "base.iso"\n{boot}', encoding="utf-8"
    )
    assert main(["build", "--effort", "fast", "--cache-dir", "cache", "-o", "out/", "-q"]) == 0
    return folder / "out" / "t.iso"


def test_entry_over_an_image_of_zeros_does_not_count(tmp_path: Path) -> None:
    make_base(tmp_path, bytes(1440 << 10))
    assert not started_by_uefi(tmp_path / "base.iso")


@pytest.mark.parametrize("boot", ["", '[boot]\nappend = "word"\n'])
def test_entry_that_boots_in_the_base_boots_in_the_output(
    boot: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_base(tmp_path, make_efi(tmp_path))
    before = started_by_uefi(tmp_path / "base.iso")
    assert before
    iso = build(tmp_path, monkeypatch, boot=boot)
    assert notes(capsys.readouterr().err) == []
    after = started_by_uefi(iso)
    assert after
    assert (after == before) == (not boot)
    menu = run(require("mtype"), "-i", iso.with_suffix(".img"), MENU)
    assert menu == GRUB_MENU.replace(b"quiet", b"quiet word" if boot else b"quiet")
