"""Test what is found in an image, in depth."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.compress import gzip
from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from fixtures.kernel import make_kernel
from purekernel.analysis.contents import Contents, read_contents
from purekernel.errors import InputError
from purekernel.formats.cpio import build_cpio
from purekernel.formats.detect import FileKind
from purekernel.tree import Tree
from tests.analysis.images import pack, tree_of
from tests.hybrids import EFI_IMAGE, GRUB_MENU, make_uefi_iso

EXTENSION = tree_of({"usr/local/bin/hello": b"#!/bin/sh\n"})


def read(folder: Path, content: bytes, name: str = "image") -> Contents:
    path = folder / name
    path.write_bytes(content)
    return read_contents(str(path))


def places(contents: Contents) -> list[tuple[str, FileKind | None]]:
    return [(part.place, part.kind) for part in contents.parts]


def test_iso_has_its_core_and_kernel(tmp_path: Path) -> None:
    contents = read(tmp_path, make_core_iso())
    assert places(contents) == [("", FileKind.ISO), ("boot/core.gz", FileKind.CPIO)]
    assert contents.root == make_core_tree()
    assert contents.kernel is not None
    assert contents.kernel.data == make_kernel()
    assert contents.disc is contents.parts[0].tree
    assert [menu.menu.path for menu in contents.menus] == [b"boot/isolinux/isolinux.cfg"]
    assert not contents.faults


def test_iso_for_uefi_has_its_boot_image_and_the_menu_in_it(tmp_path: Path) -> None:
    contents = read(tmp_path, make_uefi_iso(GRUB_MENU))
    efi = EFI_IMAGE.decode()
    assert (efi, FileKind.FAT) in places(contents)
    assert [(menu.part.place, menu.menu.path) for menu in contents.menus] == [
        ("", b"boot/isolinux/isolinux.cfg"),
        (efi, b"EFI/BOOT/GRUB.CFG"),
    ]


def test_several_initrds_are_a_part_each_and_one_root(tmp_path: Path) -> None:
    second = gzip(build_cpio(tree_of({"etc/extra": b"more"})))
    menu = b"default a\nlabel a\nkernel /boot/vmlinuz\nappend initrd=/boot/core.gz,/boot/b.gz\n"
    iso = make_core_iso(menu=menu, beside_boot={b"boot/b.gz": second})
    contents = read(tmp_path, iso)
    assert [place for place, _kind in places(contents)] == ["", "boot/core.gz", "boot/b.gz"]
    assert contents.root is not None
    assert contents.root.read("etc/extra") == b"more"
    assert b"bin/busybox" in contents.root


def test_extensions_on_the_disc_and_in_the_core_are_parts(tmp_path: Path) -> None:
    root = make_core_tree()
    image = pack(EXTENSION)
    inner = tree_of({"tmp/builtin/optional/b.tcz": image})
    for path, node in inner.walk():
        root.add(path, node)
    iso = make_core_iso(root=root, beside_boot={b"cde/optional/a.tcz": image})
    contents = read(tmp_path, iso)
    assert [part.place for part in contents.extensions] == [
        "boot/core.gz:tmp/builtin/optional/b.tcz",
        "cde/optional/a.tcz",
    ]
    assert b"usr/local/bin/hello" in contents.extensions[0].tree


def test_extension_alone_is_one_of_its_extensions(tmp_path: Path) -> None:
    contents = read(tmp_path, pack(EXTENSION))
    assert contents.extensions == contents.parts
    assert contents.root is None


def test_initrd_alone_is_a_root(tmp_path: Path) -> None:
    contents = read(tmp_path, gzip(build_cpio(make_core_tree())))
    assert contents.root == make_core_tree()
    assert contents.parts[0].compression is FileKind.GZIP


def test_kernel_alone_is_a_kernel(tmp_path: Path) -> None:
    contents = read(tmp_path, make_kernel())
    assert contents.kernel is not None
    assert contents.parts[0].tree == Tree()


def test_folder_with_a_root_is_a_root(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/issue").write_bytes(b"x")
    contents = read_contents(str(tmp_path))
    assert contents.root is not None
    assert contents.root.read("etc/issue") == b"x"


def test_damaged_initrd_is_a_fault_and_the_disc_is_still_there(tmp_path: Path) -> None:
    contents = read(tmp_path, make_core_iso(core=b"\x1f\x8b\x08 no deflate data"))
    assert len(contents.faults) == 1
    assert str(tmp_path / "image") + ":boot/core.gz" in str(contents.faults[0])
    assert b"boot/core.gz" in contents.disc
    assert contents.kernel is not None


def test_missing_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_contents(str(tmp_path / "absent"))
