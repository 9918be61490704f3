"""Boot images by UEFI whose base does not: with Debian's boot loaders, on the base's own kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from fixtures.compress import gzip
from fixtures.core import make_core_tree
from fixtures.program import make_executable
from purekernel import Context, Effort, Outputs, build, load_recipe
from purekernel.analysis.bootable import find_bootable
from purekernel.formats.cpio import build_cpio
from purekernel.tools.qemu import Machine, RunHost, make_command
from tests import debian
from tests.boot.machine import watch
from tests.oracles import skip_or_fail
from tests.shared import core_iso, modern

pytestmark = pytest.mark.boot

LINE = "the program of the overlay runs"

GRUB = 'loader = "grub-efi-amd64-bin.deb:usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"\n'
GRUB_IA32 = 'loader = "grub-efi-ia32-bin.deb:usr/lib/grub/i386-efi/monolithic/grubia32.efi"\n'
SYSTEMD = "systemd-boot-efi.deb:usr/lib/systemd/boot/efi"
SYSTEMD_BOOT = f'loader = "{SYSTEMD}/systemd-bootx64.efi"\n'
UNIFIED = f'unified = true\nstub = "{SYSTEMD}/linuxx64.efi.stub"\n'
SIGNED = """\
loader = "shim-signed.deb:usr/lib/shim/shimx64.efi.signed"
[[boot.efi.file]]
path = "EFI/BOOT/grubx64.efi"
source = "grub-efi-amd64-signed.deb:usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
"""

CD, DISK = Machine(uefi=True), Machine(uefi=True, as_disk=True)


def pair() -> str:
    """Return the keys of the kernel and the initrd of CorePure64 6.4.1."""
    folder = modern() / "roots" / "6.4.1"
    return f'arch = "x86_64"\nkernel = "{folder}/vmlinuz64"\ninitrd = ["{folder}/rootfs64.gz"]\n'


def build_iso(folder: Path, core: str, efi: str) -> Path:
    """Build an ISO with a program that prints a line, and return its path."""
    (index,) = debian.archive().glob("dists/*/main/binary-amd64/Packages")
    (folder / "marker").write_bytes(make_executable(LINE))
    (folder / "purekernel.toml").write_text(
        f'name = "t"\n[core]\n{core}[mirrors]\ndebian-packages = ["{index}"]\n'
        '[boot]\nappend = "console=ttyS0 rdinit=/opt/marker"\ntimeout = 1\n'
        '[[file]]\npath = "opt/marker"\nsource = "marker"\nmode = "0755"\n'
        f"[boot.efi]\n{efi}",
        encoding="utf-8",
    )
    outputs = Outputs(folder=folder / "out", effort=Effort.FAST)
    build(load_recipe(folder), Context(cache_dir=folder / "cache"), outputs)
    return folder / "out" / "t.iso"


def boot(iso: Path, machine: Machine, folder: Path) -> bytes:
    """Boot an ISO in QEMU; return what the guest prints, up to the line of the program."""
    more = ("-display", "none", "-monitor", "none", "-no-reboot")
    machine = evolve(machine, accelerator="tcg", more=more)
    command = make_command(find_bootable(iso), machine, RunHost.here(), initrd=None)
    return watch(command, log=folder / "serial", until=LINE.encode())


NIGHTLY = pytest.mark.nightly


@pytest.mark.parametrize(
    ("efi", "machine"),
    [
        pytest.param(UNIFIED, CD, id="unified-cd"),
        pytest.param(UNIFIED, DISK, id="unified-disk", marks=NIGHTLY),
        pytest.param(GRUB, CD, id="grub-cd", marks=NIGHTLY),
        pytest.param(GRUB, DISK, id="grub-disk", marks=NIGHTLY),
        pytest.param(SYSTEMD_BOOT, CD, id="systemd-boot-cd", marks=NIGHTLY),
        pytest.param(SYSTEMD_BOOT, DISK, id="systemd-boot-disk", marks=NIGHTLY),
        pytest.param(SYSTEMD_BOOT + UNIFIED, CD, id="systemd-boot-unified-cd", marks=NIGHTLY),
        pytest.param(GRUB_IA32, CD, id="grub-ia32-cd", marks=NIGHTLY),
    ],
)
def test_kernel_and_initrd_boot_by_uefi(efi: str, machine: Machine, tmp_path: Path) -> None:
    iso = build_iso(tmp_path, pair(), efi)
    assert LINE.encode() in boot(iso, machine, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("machine", [CD, DISK, Machine(uefi=False)])
def test_core_without_an_efi_stub_boots_by_grub_and_by_bios(
    machine: Machine, tmp_path: Path
) -> None:
    efi = GRUB.replace(".deb", ":amd64.deb")  # the architecture of Core is i386
    iso = build_iso(tmp_path, f'iso = "{core_iso()}"\n', efi)
    assert LINE.encode() in boot(iso, machine, tmp_path)


@pytest.mark.nightly
def test_signed_loaders_and_kernel_boot_with_secure_boot(tmp_path: Path) -> None:
    root, release = debian.kernel("amd64")
    kernel = root / "boot" / f"vmlinuz-{release}"
    if not kernel.is_file():
        skip_or_fail(f"there is no {kernel}")
    small = make_core_tree()
    small.remove(b"lib/modules")
    (tmp_path / "core.gz").write_bytes(gzip(build_cpio(small)))
    core = f'arch = "x86_64"\nkernel = "{kernel}"\ninitrd = ["core.gz"]\n'
    iso = build_iso(tmp_path, core, SIGNED)
    assert LINE.encode() in boot(iso, Machine(secure_boot=True), tmp_path)


@pytest.mark.nightly
def test_second_initrd_beside_copies_in_the_partition_boots_by_systemd_boot(
    tmp_path: Path,
) -> None:
    base, core = tmp_path / "base", f'iso = "{modern() / "TinyCorePure64-look.iso"}"\n'
    base.mkdir()
    iso = build_iso(base, f'{core}arch = "x86_64"\n', SYSTEMD_BOOT)
    (tmp_path / "marker").write_bytes(make_executable(f"from the second initrd, {LINE}"))
    (tmp_path / "purekernel.toml").write_text(
        f'name = "t"\n[core]\niso = "{iso}"\narch = "x86_64"\nlayout = "second-initrd"\n'
        '[[file]]\npath = "opt/marker"\nsource = "marker"\nmode = "0755"\n',
        encoding="utf-8",
    )
    outputs = Outputs(folder=tmp_path / "out", effort=Effort.FAST)
    build(load_recipe(tmp_path), Context(cache_dir=tmp_path / "cache"), outputs)
    said = boot(tmp_path / "out" / "t.iso", CD, tmp_path)
    assert f"from the second initrd, {LINE}".encode() in said
