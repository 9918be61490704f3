"""Test that images of each form of base boot, and that the guest sees what the recipe adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel import Context, Effort, Emit, Outputs, build, load_recipe
from purekernel.formats.cpio import build_cpio, parse_cpio
from purekernel.input import Input
from purekernel.remaster.core import build_archive
from purekernel.remaster.image import Image
from purekernel.tree import Tree
from tests.boot.machine import Machine, talk
from tests.boot.media import from_cd
from tests.oracles import skip_or_fail
from tests.shared import core_iso, modern

pytestmark = pytest.mark.boot

# Runs in place of init, when the kernel has unpacked all initrds.
MARKER = """#!/bin/sh
mount -t proc proc /proc
exec >/dev/ttyS0 2>&1
echo "machine $(uname -m)"
echo "second $(cat /etc/second)"
echo "base $(echo $(ls -d /etc/passwd /usr/bin))"
echo "=== end"
poweroff -f
"""

# Runs as root when Tiny Core has started.
BOOTLOCAL = """#!/bin/sh
exec >/dev/ttyS0 2>&1
echo "machine $(uname -m)"
echo "second $(cat /etc/second)"
echo "=== end"
poweroff -f
"""


def make(folder: Path, core: str, *, kinds: tuple[Emit, ...], append: str = "") -> Image:
    site = folder / "site"
    for path, text in (
        ("etc/second", "seen\n"), ("opt/marker", MARKER), ("opt/bootlocal.sh", BOOTLOCAL),
    ):  # fmt: skip
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text, encoding="utf-8")
        (site / path).chmod(0o755)
    (folder / "purekernel.toml").write_text(
        f'name = "mine"\ndrop-boot = true\n[core]\n{core}\n[[overlay]]\npath = "site"\n'
        f'[boot]\nappend = "console=ttyS0 {append}"\n',
        encoding="utf-8",
    )
    outputs = Outputs(kinds=kinds, folder=folder, effort=Effort.FAST)
    return build(load_recipe(folder), Context(cache_dir=folder / "cache"), outputs)


def loaded(image: Image, folder: Path, append: str) -> list[str | Path]:
    """Return the QEMU arguments that load kernel and initrds, as a boot loader joins them."""
    joined = b"".join(bytes(content) + bytes(-len(content) % 4) for _path, content in image.initrds)
    (folder / "initrd").write_bytes(joined)
    (folder / "kernel").write_bytes(image.kernel)
    return [
        "-kernel", folder / "kernel", "-initrd", folder / "initrd",
        "-append", f"console=ttyS0 {append}", "-net", "none", "-cpu", "max",
    ]  # fmt: skip


def heard(machine: Machine) -> list[str]:
    text = machine.expect(b"=== end").decode("latin-1")
    lines = text.replace("\r", "").split("\n")
    return [line for line in lines if line.split(" ")[0] in ("machine", "second", "base")]


def pair() -> str:
    folder = modern() / "roots" / "6.4.1"
    return f'kernel = "{folder}/vmlinuz64"\ninitrd = ["{folder}/rootfs64.gz"]'


def split(root: Tree, folder: bytes) -> tuple[Tree, Tree]:
    """Return the files of ``root`` outside ``folder`` and those in it."""
    inside, outside = Tree(), root.copy()
    for path, node in root.walk(folder):
        inside.add_parents(path)
        inside.add(path, node)
    outside.remove(folder)
    return outside, inside


def split_pair(folder: Path) -> str:
    """Write the root of the pair as two initrds, and return the keys that name them."""
    source = modern() / "roots" / "6.4.1"
    root = parse_cpio(Input((source / "rootfs64.gz").read_bytes(), name="rootfs64.gz"))
    first, second = split(root, b"usr")
    (folder / "rootfs64.gz").write_bytes(build_archive(first))
    (folder / "usr64.gz").write_bytes(build_cpio(second))
    return f'kernel = "{source}/vmlinuz64"\ninitrd = ["rootfs64.gz", "usr64.gz"]'


def test_64_bit_kernel_with_one_initrd_boots_to_bootlocal(tmp_path: Path) -> None:
    image = make(tmp_path, pair(), kinds=(Emit.CORE,))
    with talk(*loaded(image, tmp_path, ""), memory_mb=768, processor="x86_64") as machine:
        assert heard(machine) == ["machine x86_64", "second seen"]


def test_64_bit_kernel_with_split_initrds_and_a_second_boots(tmp_path: Path) -> None:
    core = f'{split_pair(tmp_path)}\nlayout = "second-initrd"'
    image = make(tmp_path, core, kinds=(Emit.CORE,))
    assert len(image.initrds) == 3
    arguments = loaded(image, tmp_path, "rdinit=/opt/marker")
    with talk(*arguments, memory_mb=768, processor="x86_64") as machine:
        seen = heard(machine)
    assert seen == ["machine x86_64", "second seen", "base /etc/passwd /usr/bin"]


@pytest.mark.nightly
def test_iso_of_17_with_a_second_initrd_boots_through_isolinux(tmp_path: Path) -> None:
    iso = modern() / "TinyCorePure64-look.iso"
    if not iso.is_file():
        skip_or_fail(f"no {iso}")
    make(tmp_path, f'iso = "{iso}"\nlayout = "second-initrd"', kinds=(Emit.ISO,))
    arguments = [*from_cd(tmp_path / "mine.iso"), "-net", "none", "-cpu", "max"]
    with talk(*arguments, memory_mb=768, processor="x86_64") as machine:
        assert heard(machine) == ["machine x86_64", "second seen"]


@pytest.mark.nightly
@pytest.mark.parametrize("layout", ["second-initrd", "as-base"])
def test_iso_of_core_4_4_boots_in_each_layout(layout: str, tmp_path: Path) -> None:
    core = f'iso = "{core_iso()}"\nlayout = "{layout}"'
    make(tmp_path, core, kinds=(Emit.ISO,), append="rdinit=/opt/marker")
    with talk(*from_cd(tmp_path / "mine.iso"), "-net", "none") as machine:
        assert heard(machine)[:2] == ["machine i686", "second seen"]


@pytest.mark.nightly
def test_split_initrds_of_core_4_4_boot(tmp_path: Path) -> None:
    iso = make(tmp_path, f'iso = "{core_iso()}"', kinds=(Emit.CORE,))
    (tmp_path / "vmlinuz").write_bytes(iso.kernel)
    root, modules = split(iso.root, b"lib/modules")
    (tmp_path / "rootfs.gz").write_bytes(build_archive(root))
    (tmp_path / "modules.gz").write_bytes(build_cpio(modules))
    core = 'kernel = "vmlinuz"\ninitrd = ["rootfs.gz", "modules.gz"]'
    image = make(tmp_path, core, kinds=(Emit.CORE,))
    assert len(image.initrds) == 2
    with talk(*loaded(image, tmp_path, "rdinit=/opt/marker")) as machine:
        assert heard(machine)[:2] == ["machine i686", "second seen"]
