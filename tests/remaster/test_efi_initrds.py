"""Test that new initrds reach menus inside images for UEFI, and are added to the image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel import Context, Image, Outputs, build, load_recipe
from purekernel.errors import BootLossError
from purekernel.formats.fat import build_fat, parse_fat
from purekernel.formats.iso import parse_iso
from purekernel.input import Input
from purekernel.tree import File, Metadata, Tree, put_file
from tests.hybrids import EFI_IMAGE, add_boot_entry, content_of
from tests.oracles import require, run

KERNEL, CORE = (
    content_of(parse_iso(Input(make_core_iso(), name="x")).tree, path)
    for path in (b"boot/vmlinuz", b"boot/core.gz")
)
ENTRY = b"title a\r\nlinux /linux\r\ninitrd /kernels/Core.gz\r\noptions quiet\r\n"
FILES = {
    b"EFI/BOOT/BOOTX64.EFI": b"MZ loader",
    b"loader/entries/a.conf": ENTRY,
    b"linux": KERNEL,
    b"kernels/core.gz": CORE,
}
SECOND = 'layout = "second-initrd"\n'
GRUB = b"EFI/BOOT/grub.cfg"


def make(
    folder: Path,
    files: Mapping[bytes, bytes],
    *,
    core: str = SECOND,
    boot: str = "",
    top: str = "",
) -> Image:
    """Build from an ISO with an image for UEFI that has ``files``."""
    tree = Tree()
    for path, content in files.items():
        put_file(tree, path, content, metadata=Metadata(mode=0o644, mtime=10**9))
    efi = build_fat(tree, timestamp=10**9).to_bytes()
    iso = add_boot_entry(make_core_iso(beside_boot={EFI_IMAGE: efi}), efi)
    (folder / "base.iso").write_bytes(iso)
    (folder / "site/etc").mkdir(parents=True)
    (folder / "site/etc/motd").write_bytes(b"hello\n")
    (folder / "purekernel.toml").write_text(
        f'{top}name = "mine"\n[core]\niso = "base.iso"\n{core}[[overlay]]\npath = "site"\n{boot}',
        encoding="utf-8",
    )
    return build(load_recipe(folder), Context(cache_dir=folder / "cache"), Outputs())


def inside(image: Image) -> dict[bytes, bytes]:
    """Return the files inside the image for UEFI."""
    tree = parse_fat(Input(content_of(image.iso, EFI_IMAGE), name="efi"))
    return {path: bytes(node.content) for path, node in tree.walk() if isinstance(node, File)}


def test_second_initrd_is_added_beside_the_copy_of_the_first_and_named(tmp_path: Path) -> None:
    image = make(tmp_path, FILES)
    assert image.notes == ()
    second = content_of(image.iso, b"boot/changes.gz")
    assert len(second) < 1000
    assert content_of(image.iso, b"boot/core.gz") == CORE
    assert inside(image) == {
        **FILES,
        b"loader/entries/a.conf": ENTRY.replace(
            b"Core.gz\r\n", b"Core.gz\r\ninitrd /kernels/changes.gz\r\n"
        ),
        b"kernels/changes.gz": second,
    }


def test_file_of_that_name_in_the_image_stays(tmp_path: Path) -> None:
    image = make(tmp_path, {**FILES, b"CHANGES.GZ": b"other"})
    files = inside(image)
    assert files[b"CHANGES.GZ"] == b"other"
    assert files[b"kernels/changes-2.gz"] == content_of(image.iso, b"boot/changes.gz")
    assert b"initrd /kernels/changes-2.gz\r\n" in files[b"loader/entries/a.conf"]


def test_menu_of_grub_that_boots_from_the_iso_needs_no_copy(tmp_path: Path) -> None:
    menu = b"menuentry a {\n linux /boot/vmlinuz\n initrd /boot/core.gz\n}\n"
    image = make(tmp_path, {b"EFI/BOOT/BOOTX64.EFI": b"MZ", GRUB: menu})
    assert inside(image) == {
        b"EFI/BOOT/BOOTX64.EFI": b"MZ",
        GRUB: menu.replace(b"core.gz", b"core.gz /boot/changes.gz"),
    }


def test_core_that_becomes_larger_makes_the_image_larger(tmp_path: Path) -> None:
    image = make(tmp_path, FILES, core="")
    files = inside(image)
    assert files.keys() == FILES.keys()
    assert files[b"kernels/core.gz"] == content_of(image.iso, b"boot/core.gz") != CORE


def test_settings_that_systemd_boot_lacks_are_added(tmp_path: Path) -> None:
    image = make(tmp_path, FILES, core="", boot="[boot]\ntimeout = 70\n")
    assert inside(image)[b"loader/loader.conf"] == b"timeout 7\n"


OTHER = {**FILES, b"kernels/core.gz": b"another system"}
UNREACHED = (
    "'loader/loader.conf' inside 'EFI/BOOT/efiboot.img', which boots 'kernels/core.gz' inside that "
    "image, and not the base's initrds"
)


@pytest.mark.parametrize("core", ["", SECOND])
def test_menu_that_boots_another_system_inside_the_image_is_refused(
    core: str, tmp_path: Path
) -> None:
    with pytest.raises(BootLossError) as caught:
        make(tmp_path, OTHER, core=core)
    assert caught.value.message == f"base.iso: the new system would not reach {UNREACHED}"


def test_drop_boot_reports_the_menu_that_boots_another_system(tmp_path: Path) -> None:
    image = make(tmp_path, OTHER, core="", top="drop-boot = true\n")
    assert image.notes == (f"base.iso: the new system does not reach {UNREACHED}",)
    assert inside(image) == OTHER


@pytest.mark.oracle
def test_image_with_the_second_initrd_is_clean_for_fsck_and_mtools(tmp_path: Path) -> None:
    image = make(tmp_path, FILES)
    path = tmp_path / "efi.img"
    path.write_bytes(content_of(image.iso, EFI_IMAGE))
    run(require("fsck.fat"), "-n", path)
    for name, content in inside(image).items():
        assert run(require("mtype"), "-i", path, f"::/{name.decode()}") == content
