"""Test that a kernel of the user's own reaches every menu of the base, or is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from fixtures.kernel import RELEASE, make_kernel
from purekernel import Context, Effort, Image, Outputs, build, load_recipe
from purekernel.errors import BootLossError, CombinedError
from purekernel.formats.fat import build_fat, parse_fat
from purekernel.formats.iso import parse_iso
from purekernel.input import Input
from purekernel.tree import Metadata, Tree, put_file
from tests import pes, shared
from tests.hybrids import EFI_IMAGE, add_boot_entry, content_of

OWN = make_kernel(f"{RELEASE} (mine) #2") + bytes(300_000)
OLD, CORE = (
    content_of(parse_iso(Input(make_core_iso(), name="x")).tree, path)
    for path in (b"boot/vmlinuz", b"boot/core.gz")
)
GRUB = b"boot/grub/grub.cfg"


def make(
    folder: Path,
    *,
    on_iso: Mapping[bytes, bytes] | None = None,
    in_image: Mapping[bytes, bytes] | None = None,
    top: str = "",
    kernel: bytes = OWN,
) -> Image:
    """Build from an ISO with more files, and perhaps an image for UEFI, and another kernel."""
    files = dict(on_iso or {})
    if in_image is None:
        iso = make_core_iso(beside_boot=files)
    else:
        image = make_image(in_image)
        iso = add_boot_entry(make_core_iso(beside_boot={**files, EFI_IMAGE: image}), image)
    (folder / "base.iso").write_bytes(iso)
    (folder / "own").write_bytes(kernel)
    (folder / "purekernel.toml").write_text(
        f'{top}name = "mine"\n[core]\niso = "base.iso"\nkernel = "own"\n', encoding="utf-8"
    )
    return build(load_recipe(folder), Context(cache_dir=folder / "cache"), Outputs())


def make_image(files: Mapping[bytes, bytes]) -> bytes:
    tree = Tree()
    for path, content in files.items():
        put_file(tree, path, content, metadata=Metadata(mode=0o644))
    return build_fat(tree, timestamp=0).to_bytes()


def refusals(folder: Path, **settings: Mapping[bytes, bytes]) -> list[str]:
    with pytest.raises((BootLossError, CombinedError)) as caught:
        make(folder, **settings)  # type: ignore[arg-type]
    error = caught.value
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    start = f"base.iso: the kernel ({folder / 'purekernel.toml'}, line 4, kernel under [core])"
    start += " would not reach "
    assert all(each.message.startswith(start) for each in errors)
    return [each.message.removeprefix(start) for each in errors]


def test_copy_that_another_menu_boots_is_the_new_kernel(tmp_path: Path) -> None:
    image = make(
        tmp_path,
        on_iso={
            GRUB: b"menuentry a {\n linux ($root)/Kernels/Linux\n initrd /boot/core.gz\n}\n"
            b"menuentry b {\n linux /rescue/vmlinuz\n initrd /rescue/core.gz\n}\n",
            b"kernels/linux": OLD,
            b"kernels/spare": OLD,
            b"rescue/vmlinuz": OLD,
            b"rescue/core.gz": CORE,
        },
    )
    assert image.notes == ()
    contents = {path: content_of(image.iso, path) for path in (
        b"boot/vmlinuz", b"kernels/linux", b"kernels/spare", b"rescue/vmlinuz", b"rescue/core.gz",
    )}  # fmt: skip
    assert list(contents.values()) == [OWN, OWN, OLD, OLD, CORE]
    assert content_of(image.iso, b"boot/core.gz") != CORE


def test_copies_inside_the_image_for_uefi_are_the_new_kernel_and_core(tmp_path: Path) -> None:
    entry = b"title a\nlinux /linux\ninitrd /core.gz\n"
    files = {
        b"EFI/BOOT/BOOTX64.EFI": b"MZ loader",
        b"loader/entries/a.conf": entry,
        b"linux": OLD,
        b"core.gz": CORE,
    }
    image = make(tmp_path, in_image=files)
    assert image.notes == ()
    tree = parse_fat(Input(content_of(image.iso, EFI_IMAGE), name="efi"))
    assert content_of(tree, b"linux") == OWN
    assert content_of(tree, b"core.gz") == content_of(image.iso, b"boot/core.gz")
    assert content_of(tree, b"EFI/BOOT/BOOTX64.EFI") == b"MZ loader"
    assert content_of(tree, b"loader/entries/a.conf") == entry


OTHER = {
    b"loader/entries/a.conf": b"title a\nlinux /linux\ninitrd /core.gz\n",
    b"linux": b"another build",
    b"core.gz": CORE,
}
UNIFIED = {
    b"EFI/Linux/a.efi": pes.make_pe({b".sdmagic": pes.STUB_MAGIC, b".linux": OLD}),
}

MENU, LINUX, PROGRAM = (
    f"{path!r} inside 'EFI/BOOT/efiboot.img'"
    for path in ("loader/loader.conf", "linux", "EFI/Linux/a.efi")
)


def test_menu_that_boots_another_kernel_with_the_core_is_refused(tmp_path: Path) -> None:
    assert refusals(tmp_path, in_image=OTHER) == [f"{MENU}, which boots another one, {LINUX}"]


def test_menu_with_one_entry_for_the_kernel_may_have_others(tmp_path: Path) -> None:
    more = {
        b"loader/entries/b.conf": b"title b\nlinux /boot/vmlinuz\ninitrd /core.gz\n",
        b"boot/vmlinuz": OLD,
    }
    image = make(tmp_path, in_image={**OTHER, **more})
    tree = parse_fat(Input(content_of(image.iso, EFI_IMAGE), name="efi"))
    assert content_of(tree, b"boot/vmlinuz") == OWN
    assert content_of(tree, b"linux") == b"another build"


def test_kernel_inside_a_unified_kernel_image_is_refused(tmp_path: Path) -> None:
    assert refusals(tmp_path, in_image=UNIFIED) == [f"the kernel inside {PROGRAM}"]


def test_unclear_menu_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refusals(tmp_path, on_iso={GRUB: b"menuentry a {\n linux $k\n}\n"}) == [
        "'boot/grub/grub.cfg', line 2: the name of the kernel is a variable"
    ]


def test_unclear_menu_is_no_matter_for_the_same_kernel(tmp_path: Path) -> None:
    files = {GRUB: b"menuentry a {\n linux $k\n}\n"}
    assert make(tmp_path, on_iso=files, kernel=OLD).notes == ()


def test_drop_boot_reports_the_menus_with_another_kernel(tmp_path: Path) -> None:
    image = make(tmp_path, in_image={**OTHER, **UNIFIED}, top="drop-boot = true\n")
    assert [note.partition(": ")[2] for note in image.notes] == [
        f"the kernel does not reach {MENU}, which boots another one, {LINUX}",
        f"the kernel does not reach the kernel inside {PROGRAM}",
    ]


@pytest.mark.slow
def test_real_hybrid_base_boots_the_kernel_in_both_menus(tmp_path: Path) -> None:
    base = shared.modern() / "TinyCorePure64-look.iso"
    before = parse_iso(Input(base.read_bytes(), name="x")).tree
    own = content_of(before, b"boot/vmlinuz64") + b"another build"
    (tmp_path / "own").write_bytes(own)
    (tmp_path / "purekernel.toml").write_text(
        f'name = "t"\n[core]\niso = {json.dumps(base.as_posix())}\nkernel = "own"\n'
        'arch = "x86_64"\nversion = "17.x"\nlayout = "second-initrd"\n',
        encoding="utf-8",
    )
    context = Context(cache_dir=tmp_path / "cache")
    image = build(load_recipe(tmp_path), context, Outputs(effort=Effort.FAST))
    assert image.notes == ()
    assert content_of(image.iso, b"boot/vmlinuz64") == own
    # GRUB inside it reads the kernel on the ISO.
    assert content_of(image.iso, EFI_IMAGE) == content_of(before, EFI_IMAGE)
