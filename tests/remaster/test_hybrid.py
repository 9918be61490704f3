"""Test ``hybrid`` under ``[iso]``, and ``--hybrid``."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from fixtures.core_iso import BOOT_IMAGE, make_core_iso
from purekernel.errors import UsageError
from purekernel.formats.hybrid_mbr import is_hybrid_code
from purekernel.formats.iso import HybridDisk, build_iso, parse_iso
from purekernel.input import Input
from purekernel.recipe.iso_files import IsoChoice
from purekernel.recipe.request import Request
from purekernel.remaster.boot.hybrid import add_hybrid
from purekernel.remaster.image import Image
from purekernel.tree import File, Metadata, put_file
from tests.builds import make_image

BASE = """name = "x"
version = "1"
[core]
iso = "base.iso"
"""


def make_base(*, starts_from_disk: bool = True) -> bytes:
    """Return an ISO whose boot image has isolinux's signature, or has not."""
    image = parse_iso(Input(make_core_iso(), name="base.iso"))
    tree = image.tree.copy()
    node = tree[BOOT_IMAGE]
    assert isinstance(node, File)
    content = bytearray(bytes(node.content).ljust(4096, b"\0"))
    content[64:68] = b"\xfb\xc0\x78\x70" if starts_from_disk else bytes(4)
    tree.replace(BOOT_IMAGE, evolve(node, content=bytes(content)))
    return build_iso(tree, fields=image.fields, boot=image.boot, timestamp=0)


def make(folder: Path, base: bytes, recipe: str = "", *, hybrid: bool | None = None) -> Image:
    (folder / "base.iso").write_bytes(base)
    path = folder / "purekernel.toml"
    path.write_text(BASE + recipe, encoding="utf-8")
    return make_image(request=Request(recipe=path, hybrid=hybrid), cache_dir=folder / "cache")


def test_iso_boots_as_a_disk_if_the_recipe_says_so(tmp_path: Path) -> None:
    image = make(tmp_path, make_base(), "[iso]\nhybrid = true\n")
    assert isinstance(image.boot and image.boot.disk, HybridDisk)
    assert is_hybrid_code(image.iso_bytes())
    assert image.notes == ()


def test_option_counts_more_than_the_recipe(tmp_path: Path) -> None:
    assert make(tmp_path, make_base(), hybrid=True).iso_bytes()[:512].strip(b"\0")
    off = make(tmp_path, make_base(), "[iso]\nhybrid = true\n", hybrid=False)
    assert not off.iso_bytes()[:512].strip(b"\0")


def test_iso_boots_from_cd_alone_by_default(tmp_path: Path) -> None:
    assert not make(tmp_path, make_base()).iso_bytes()[:512].strip(b"\0")


def test_ids_follow_the_content(tmp_path: Path) -> None:
    recipe = "[iso]\nhybrid = true\n"
    first = make(tmp_path, make_base(), recipe).iso_bytes()
    assert make(tmp_path, make_base(), recipe).iso_bytes() == first
    more = '[[iso.file]]\npath = "a.txt"\ntext = "a"\n'
    assert make(tmp_path, make_base(), recipe + more).iso_bytes()[440:444] != first[440:444]


def test_boot_loader_that_cannot_start_from_a_disk_is_refused(tmp_path: Path) -> None:
    base = make_base(starts_from_disk=False)
    with pytest.raises(UsageError) as caught:
        make(tmp_path, base, "[iso]\nhybrid = true\n")
    assert str(caught.value) == (
        f"{tmp_path / 'purekernel.toml'}, line 6, hybrid under [iso]: base.iso: "
        "'boot/isolinux/isolinux.bin' cannot start from a disk: must be isolinux.bin of version "
        "3.72 or later"
    )
    assert caught.value.hint == "leave out hybrid, or use another base"


def test_default_with_another_boot_loader_is_uefi_alone_and_noted() -> None:
    image = parse_iso(Input(make_base(starts_from_disk=False), name="base.iso"))
    tree = image.tree.copy()
    put_file(tree, b"efi.img", b"\xee" * 4096, metadata=Metadata(mode=0o644))
    assert image.boot is not None
    boot = image.boot.with_efi(b"efi.img")
    notes: list[str] = []
    made = add_hybrid(boot, tree, IsoChoice(), default=True, notes=notes)
    assert made is not None
    assert isinstance(made.disk, HybridDisk)
    assert (made.disk.isolinux, made.disk.efi) == (None, (b"efi.img",))
    (note,) = notes
    assert note.startswith("the ISO boots from disks by UEFI alone: 'boot/isolinux/isolinux.bin'")
    assert add_hybrid(boot, tree, IsoChoice(hybrid=False), default=True, notes=notes) == boot
    assert add_hybrid(None, tree, IsoChoice(hybrid=True), default=True, notes=notes) is None


def test_boot_code_of_the_base_is_kept() -> None:
    image = parse_iso(Input(make_base(), name="base.iso"))
    assert image.boot is not None
    boot = evolve(image.boot, disk=HybridDisk(isolinux=BOOT_IMAGE, seed=b"its own"))
    assert add_hybrid(boot, image.tree, IsoChoice(hybrid=True), default=False, notes=[]) == boot
