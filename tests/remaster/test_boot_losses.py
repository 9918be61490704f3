"""Test that every boot method of a base that the new image lacks is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve

from fixtures.bundle import make_bundle
from fixtures.core_iso import make_core_iso
from purekernel.cli.app import main
from purekernel.errors import BootLossError, BundleError, CombinedError
from purekernel.formats.cpio import build_cpio, early_names, parse_cpio
from purekernel.formats.fat import parse_fat
from purekernel.formats.iso import parse_iso
from purekernel.input import Input
from purekernel.razor.bundle import parse_bundle
from purekernel.recipe.boot import BootChanges
from purekernel.remaster.image import Image
from purekernel.remaster.outputs.write import write_image
from purekernel.tools.roots import open_root
from purekernel.tree import Metadata, Tree, put_file
from tests import shared
from tests.builds import Options, build_image
from tests.formats.fats import make_fat12
from tests.hybrids import (
    EFI_IMAGE,
    GRUB_MENU,
    MICROCODE,
    add_boot_entry,
    add_system_area,
    content_of,
    make_core_with_microcode,
    make_efi_image,
    make_microcode,
    make_uefi_iso,
)
from tests.workshop import notes

SYSTEM_AREA = (
    "its system area, an MBR with 1 partition and a GPT, for booting from USB sticks and disks: "
    "its GPT is damaged"
)


def make(iso: bytes, options: Options | None = None) -> Image:
    bundle = evolve(parse_bundle(make_bundle(), source="bundle.tar.gz"), iso=iso)
    return build_image(bundle, options=evolve(options or Options(), version="1"))


def losses(iso: bytes, options: Options | None = None) -> list[str]:
    with pytest.raises((BootLossError, CombinedError)) as caught:
        make(iso, options)
    error = caught.value
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    assert all(isinstance(each, BootLossError) for each in errors)
    return [each.message for each in errors]


def test_base_that_boots_by_bios_from_cd_loses_nothing() -> None:
    image = make(make_core_iso(), Options(boot=BootChanges(append="x", timeout=5)))
    assert image.notes == ()
    assert image.iso_losses == ()


def test_uefi_entry_is_kept_and_system_area_is_named() -> None:
    (area,) = losses(make_uefi_iso())
    assert area == f"Core-current.iso: the output would lose {SYSTEM_AREA}"


def test_system_area_alone_is_kept() -> None:
    iso = add_system_area(make_core_iso())
    image = make(iso)
    assert image.notes == ()
    made = image.iso_bytes()
    assert made[446:455] == iso[446:455]
    assert int.from_bytes(made[458:462], "little") == len(made) // 512


def test_unknown_bytes_in_the_system_area_are_named() -> None:
    (loss,) = losses(b"\x01" + make_core_iso()[1:])
    assert "its system area, 1 bytes of unknown purpose" in loss


def test_partition_after_the_volume_is_named() -> None:
    (loss,) = losses(make_core_iso() + b"partition".ljust(2048, b"\0"))
    assert "2048 bytes after the end of the volume" in loss


def test_zeros_after_the_volume_are_no_loss() -> None:
    assert make(make_core_iso() + bytes(300 * 1024)).iso_losses == ()


@pytest.mark.parametrize("platform", [0, 1, 2, 0xEF])
def test_additional_boot_entries_of_any_platform_are_kept(platform: int) -> None:
    content = make_efi_image()
    iso = make_core_iso(beside_boot={b"other.img": content})
    image = make(add_boot_entry(iso, content, platform=platform))
    made = parse_iso(Input(image.iso_bytes(), name="x"))
    assert made.boot is not None
    assert [(entry.platform, entry.path) for entry in made.boot.entries] == [
        (0, b"boot/isolinux/isolinux.bin"),
        (platform, b"other.img"),
    ]
    assert content_of(made.tree, b"other.img") == content


def test_boot_image_outside_the_file_system_is_kept() -> None:
    iso = make_core_iso()
    appended = make_efi_image()
    image = make(add_boot_entry(iso + appended, appended))
    made = parse_iso(Input(image.iso_bytes(), name="x"))
    assert made.boot is not None
    assert [entry.appended for entry in made.boot.entries] == [None, 0]
    assert bytes(made.boot.appended[0]) == appended


def test_early_microcode_stays_in_front_and_uncompressed() -> None:
    image = make(make_core_iso(core=make_core_with_microcode()))
    front = make_microcode()
    assert image.notes == ()
    assert image.core.startswith(front)
    assert early_names(Input(image.core, name="x")) == (MICROCODE,)
    assert parse_cpio(Input(image.core[len(front) :], name="x")) == image.root
    assert MICROCODE not in image.root


def test_core_of_nothing_but_microcode_is_refused() -> None:
    with pytest.raises(BundleError, match=r"boot/core\.gz: no root file system"):
        make(make_core_iso(core=make_microcode()))


def test_microcode_in_the_archive_of_the_root_is_named() -> None:
    tree = parse_cpio(Input(make_microcode(), name="x"))
    put_file(tree, b"sbin/init", b"#!/bin/sh", metadata=Metadata(mode=0o755))
    (loss,) = losses(make_core_iso(core=build_cpio(tree)))
    assert "the uncompressed archive in front of boot/core.gz" in loss
    assert "kernel/x86/microcode/GenuineIntel.bin" in loss


def test_uncompressed_archive_without_microcode_is_no_loss() -> None:
    front = build_cpio(Tree())
    core = content_of(parse_iso(Input(make_core_iso(), name="x")).tree, b"boot/core.gz")
    assert early_names(Input(front + core, name="x")) == ()
    assert make(make_core_iso(core=front + core)).notes == ()


@pytest.mark.parametrize(
    "changes",
    [BootChanges(append="word"), BootChanges(timeout=5), BootChanges(default="sample")],
)
def test_menus_of_grub_change_on_the_iso_and_inside_the_efi_image(changes: BootChanges) -> None:
    menu = b"set default=0\n" + GRUB_MENU + b'menuentry "sample" {\n  linux /boot/vmlinuz x\n}\n'
    image = make_efi_image(menu)
    files = {EFI_IMAGE: image, b"boot/grub/grub.cfg": menu}
    iso = add_boot_entry(make_core_iso(beside_boot=files), image)
    made = make(iso, Options(boot=changes, keep_iso_files=True))
    assert made.notes == ()
    on_iso = content_of(made.iso, b"boot/grub/grub.cfg")
    new_image = content_of(made.iso, EFI_IMAGE)
    assert on_iso != menu
    old, new = (parse_fat(Input(each, name="efi")) for each in (image, new_image))
    assert content_of(new, b"EFI/BOOT/GRUB.CFG") == on_iso
    assert content_of(new, b"EFI/BOOT/BOOTX64.EFI") == content_of(old, b"EFI/BOOT/BOOTX64.EFI")


def test_copy_of_the_core_inside_the_efi_image_is_the_new_core() -> None:
    core = content_of(parse_iso(Input(make_core_iso(), name="x")).tree, b"boot/core.gz")
    files = {"EFI/BOOT/BOOTX64.EFI": b"MZ", "CORE.GZ": core, "OTHER.GZ": core[:-1]}
    image = bytes(make_fat12(files))
    made = make(add_boot_entry(make_core_iso(beside_boot={EFI_IMAGE: image}), image))
    new = parse_fat(Input(content_of(made.iso, EFI_IMAGE), name="efi"))
    assert content_of(new, b"CORE.GZ") == content_of(made.iso, b"boot/core.gz") != core
    assert content_of(new, b"OTHER.GZ") == core[:-1]


def test_menu_is_not_named_without_a_change() -> None:
    named = losses(make_uefi_iso(GRUB_MENU), Options(keep_iso_files=True))
    assert [loss for loss in named if "reach" in loss] == []


def test_menu_without_kernel_is_not_named_for_boot_append() -> None:
    iso = make_core_iso(beside_boot={b"boot/grub/grub.cfg": b"configfile /other.cfg\n"})
    assert make(iso, Options(boot=BootChanges(append="x"))).notes == ()


@pytest.mark.parametrize("path", ["boot__refind.conf", "boot__limine.conf", "boot__menu.lst"])
def test_menus_of_other_boot_loaders_are_named(path: str) -> None:
    menu = b"label x\n  linux /boot/vmlinuz\n  options quiet\n"
    iso = make_core_iso(beside_boot={path.replace("__", "/").encode(): menu})
    (loss,) = losses(iso, Options(boot=BootChanges(append="x")))
    assert path.replace("__", "/") in loss


def test_unreadable_efi_image_is_named_if_the_menu_changes() -> None:
    broken = b"no FAT".ljust(4096, b"\1")
    iso = add_boot_entry(make_core_iso(beside_boot={b"efi.img": broken}), broken)
    (loss,) = losses(iso, Options(boot=BootChanges(append="x")))
    assert "a menu inside 'efi.img', if it has one" in loss


@pytest.mark.slow
def test_drop_boot_continues_and_reports_each_loss() -> None:
    iso = make_uefi_iso(GRUB_MENU)
    image = make(iso, Options(drop_boot=True, boot=BootChanges(append="x")))
    assert [note.removeprefix("Core-current.iso: ") for note in image.notes] == [
        f"dropped {SYSTEM_AREA}"
    ]


def test_image_made_for_other_outputs_is_not_written_as_an_iso(tmp_path: Path) -> None:
    image = make(make_uefi_iso(), Options(writes_iso=False))
    assert image.notes == ()
    assert [output.path.name for output in write_image(image, tmp_path, kinds=["core"])] == [
        "core.gz",
        "vmlinuz",
    ]
    with pytest.raises(BootLossError, match="the output would lose"):
        write_image(image, tmp_path, kinds=["iso"])
    assert not list(tmp_path.glob("*.iso"))


def test_microcode_in_the_archive_of_the_root_is_a_loss_for_every_output() -> None:
    tree = parse_cpio(Input(make_microcode(), name="x"))
    put_file(tree, b"sbin/init", b"#!/bin/sh", metadata=Metadata(mode=0o755))
    iso = make_core_iso(core=build_cpio(tree))
    with pytest.raises(BootLossError, match="uncompressed archive"):
        make(iso, Options(writes_iso=False))
    image = make(iso, Options(drop_boot=True))
    assert "dropped the uncompressed archive" in image.notes[0]
    assert early_names(Input(image.core, name="x")) == ()


def test_base_that_boots_only_by_uefi_is_built() -> None:
    image = make_efi_image()
    iso = bytearray(make_core_iso(beside_boot={b"efi.img": image}))
    catalog = int.from_bytes(iso[17 * 2048 + 71 : 17 * 2048 + 75], "little") * 2048
    iso[catalog + 1] = 0xEF
    checksum = sum(
        int.from_bytes(iso[at : at + 2], "little") for at in range(catalog, catalog + 32, 2)
    ) - int.from_bytes(iso[catalog + 28 : catalog + 30], "little")
    iso[catalog + 28 : catalog + 30] = (-checksum & 0xFFFF).to_bytes(2, "little")
    made = parse_iso(Input(make(bytes(iso)).iso_bytes(), name="x"))
    assert made.boot is not None
    assert [entry.platform for entry in made.boot.entries] == [0xEF]


def save(path: Path, *, drop_boot: bool) -> tuple[str, ...]:
    root = open_root(str(path), drop_boot=drop_boot)
    changed = root.tree.copy()
    changed.remove(b"etc/passwd")
    return root.save(changed)


def test_tools_refuse_the_same_losses_as_builds(tmp_path: Path) -> None:
    path = tmp_path / "core.iso"
    data = make_uefi_iso()
    path.write_bytes(data)
    with pytest.raises(BootLossError, match=r"system area"):
        save(path, drop_boot=False)
    assert path.read_bytes() == data
    assert [SYSTEM_AREA in note for note in save(path, drop_boot=True)] == [True]


def test_tools_refuse_to_lose_microcode(tmp_path: Path) -> None:
    path = tmp_path / "core.gz"
    path.write_bytes(make_core_with_microcode())
    with pytest.raises(BootLossError, match="GenuineIntel"):
        save(path, drop_boot=False)
    (note,) = save(path, drop_boot=True)
    assert "dropped the uncompressed archive" in note
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert MICROCODE in open_root(str(path)).tree


def write_recipe(folder: Path, base: Path, *, top: str = "", rest: str = "") -> None:
    (folder / "purekernel.toml").write_text(
        f'{top}name = "t"\n[core]\niso = {json.dumps(base.as_posix())}\n'
        f'arch = "x86_64"\nversion = "17.x"\n[mirrors]\ntinycore = ["m"]\n{rest}'
    )


@pytest.mark.slow
def test_real_hybrid_base_is_carried_and_both_its_menus_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    base = shared.modern() / "TinyCorePure64-look.iso"
    boot = '[boot]\nappend = "word"\n'
    write_recipe(tmp_path, base)
    arguments = ["build", "--effort", "fast", "--cache-dir", "cache", "--quiet"]
    assert main(arguments) == 0
    assert notes(capsys.readouterr().err) == []
    before = parse_iso(Input(base.read_bytes(), name="x"))
    after = parse_iso(Input((tmp_path / "t.iso").read_bytes(), name="x"))
    assert before.boot is not None
    assert after.boot is not None
    assert after.boot.entries == before.boot.entries
    assert (after.lost, after.boot.disk is None) == ((), False)
    for path in (b"EFI/BOOT/efiboot.img", b"EFI/BOOT/BOOTX64.EFI"):
        assert content_of(after.tree, path) == content_of(before.tree, path)
    write_recipe(tmp_path, base, rest=boot)
    assert main(arguments) == 0
    assert notes(capsys.readouterr().err) == []
    changed = parse_iso(Input((tmp_path / "t.iso").read_bytes(), name="x")).tree
    for path, count in ((b"boot/isolinux/isolinux.cfg", 4), (b"EFI/BOOT/grub/grub.cfg", 2)):
        assert content_of(changed, path).count(b" word\n") == count
