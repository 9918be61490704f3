"""Test that a plain Core boots over the network: by UEFI with GRUB, and from the menu of iPXE."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest
from attrs import evolve

from fixtures.core import make_core_tree
from fixtures.program import make_executable
from purekernel import Context, Effort, Outputs, build, load_recipe
from purekernel.formats.cpio import build_cpio
from purekernel.formats.iso import IsoImage, build_iso, parse_iso
from purekernel.input import Input
from purekernel.tree import Tree, newest_time
from tests.boot.cores import put
from tests.boot.machine import talk
from tests.boot.media import from_ipxe
from tests.oracles import skip_or_fail
from tests.shared import core_iso, modern

pytestmark = [pytest.mark.boot, pytest.mark.nightly]

LINE = "the program of the initrd runs"

# Debian's packages ovmf and grub-efi-amd64-bin.
OVMF = Path("/usr/share/ovmf/OVMF.fd")
GRUB = Path("/usr/lib/grub/x86_64-efi/monolithic/grubnetx64.efi")

# The timer of an emulated machine on a busy host may fail the kernel's check.
APPEND = "console=ttyS0 rdinit=/opt/marker no_timer_check"


# The second entry boots after a second.
MENU = b"""\
default second
prompt 1
timeout 10
label first
\tmenu label First of two
\tkernel /boot/vmlinuz
\tappend initrd=/boot/core.gz
label second
\tkernel /boot/vmlinuz
\tappend initrd=/boot/core.gz
"""


def small_core() -> bytes:
    root: Tree = make_core_tree()
    root.remove(b"lib/modules")  # of another kernel
    put(root, b"opt/marker", make_executable(LINE), mode=0o755)
    return gzip.compress(build_cpio(root), mtime=0)


def read_iso(path: Path) -> IsoImage:
    return parse_iso(Input(path.read_bytes(), name=path.name))


def serve(folder: Path, base: str) -> Path:
    """Build the folder for a server from a base, and return it."""
    (folder / "purekernel.toml").write_text(
        f'name = "my-core"\n[core]\n{base}\n[boot]\nappend = "{APPEND}"\n'
        '[output]\nemit = ["pxe"]\n',
        encoding="utf-8",
    )
    outputs = Outputs(folder=folder / "out", effort=Effort.FAST)
    build(load_recipe(folder), Context(cache_dir=folder / "cache"), outputs)
    return folder / "out" / "my-core.pxe"


def test_uefi_boots_the_grub_menu_over_tftp(tmp_path: Path) -> None:
    kernel = read_iso(modern() / "TinyCorePure64-look.iso").tree.read("boot/vmlinuz64")
    (tmp_path / "vmlinuz").write_bytes(kernel)
    (tmp_path / "core.gz").write_bytes(small_core())
    folder = serve(tmp_path, 'kernel = "vmlinuz"\ninitrd = ["core.gz"]')
    for file in (OVMF, GRUB):
        if not file.is_file():
            skip_or_fail(f"{file} is not installed", program=True)
    shutil.copy(GRUB, folder)
    netdev = f"user,id=net,restrict=on,tftp={folder},bootfile={GRUB.name}"
    arguments = ["-bios", OVMF, "-netdev", netdev, "-device", "virtio-net-pci,netdev=net"]
    with talk(*arguments, "-cpu", "max", memory_mb=768, processor="x86_64") as machine:
        machine.expect(b"Welcome to GRUB!")
        machine.expect(LINE.encode())


def test_ipxe_menu_boots_the_default_of_the_base(tmp_path: Path) -> None:
    base = read_iso(core_iso())
    tree = base.tree.copy()
    for path, data in ((b"boot/core.gz", small_core()), (b"boot/isolinux/isolinux.cfg", MENU)):
        tree.replace(path, evolve(tree[path], content=data))
    iso = build_iso(tree, fields=base.fields, boot=base.boot, timestamp=newest_time(tree))
    (tmp_path / "base.iso").write_bytes(iso)
    folder = serve(tmp_path, 'iso = "base.iso"')
    assert b"choose --default entry1 --timeout 1000 " in (folder / "boot.ipxe").read_bytes()
    with talk(*from_ipxe(folder)) as machine:
        machine.expect(LINE.encode())
