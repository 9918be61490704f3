"""Test the command that starts QEMU, for each medium, firmware, host and hostile name."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from purekernel.analysis.bootable import Bootable, Medium
from purekernel.errors import ProgramError, UsageError
from purekernel.tools.qemu import Machine, RunHost, make_command

DEBIAN = RunHost(
    system="linux",
    processor="x86_64",
    folders=("/usr/local/bin", "/usr/bin"),
    has_kvm=False,
    has_display=True,
    packages="debian",
    is_file=lambda path: str(path).startswith(("/usr/bin", "/usr/share/OVMF")),
)
ISO = Bootable(medium=Medium.CD, path=Path("/my.iso"), is_64_bit=False, loaded_bytes=8 << 20)
DISK = evolve(ISO, medium=Medium.DISK, is_64_bit=None)

posix = pytest.mark.skipif(sys.platform == "win32", reason="not for Windows")
pytestmark = posix


def command(image: Bootable, host: RunHost = DEBIAN, **machine: Any) -> str:
    initrd = image.initrds[0] if image.initrds else None
    words = make_command(image, Machine(**machine), host, initrd=initrd)
    return shlex.join(words)


def test_cd_is_started_read_only_on_the_processor_of_its_kernel() -> None:
    assert command(ISO) == (
        "/usr/bin/qemu-system-i386 -cpu max,arch-capabilities=off -accel tcg -m 768M "
        "-drive if=none,id=image,format=raw,file=/my.iso,media=cdrom,readonly=on "
        "-device ide-cd,drive=image,bus=ide.1,bootindex=0 "
        "-netdev user,id=net -device e1000,netdev=net,romfile="
    )
    assert command(evolve(ISO, is_64_bit=True)).startswith("/usr/bin/qemu-system-x86_64 ")
    assert command(evolve(ISO, is_64_bit=None)).startswith("/usr/bin/qemu-system-x86_64 ")
    assert command(ISO, processor="x86_64").startswith("/usr/bin/qemu-system-x86_64 ")


def test_disk_is_started_with_a_snapshot_unless_it_may_be_written() -> None:
    drive = "if=none,id=image,format=qcow2,file=/my.iso"
    disk = evolve(DISK, is_qcow2=True)
    assert f" {drive},snapshot=on -device ide-hd,drive=image" in command(disk)
    assert f" {drive} -device ide-hd,drive=image" in command(disk, is_writable=True)
    assert "snapshot=on -device ide-hd,drive=image" in command(ISO, as_disk=True)
    usb = "-device usb-ehci,id=usb -device usb-storage,bus=usb.0,drive=image,bootindex=0"
    assert usb in command(ISO, as_usb=True)


def test_uefi_has_firmware_of_the_loaders_with_fresh_variables() -> None:
    made = command(ISO, uefi=True)
    assert made.startswith(
        "/usr/bin/qemu-system-x86_64 -machine q35 "
        "-drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd "
        "-drive if=pflash,unit=1,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd "
    )
    assert "OVMF32_CODE" in command(evolve(ISO, loaders=frozenset({"ia32"})), uefi=True)
    assert "OVMF_CODE_4M.fd" in command(evolve(ISO, loaders=frozenset({"ia32", "x64"})), uefi=True)
    only_uefi = evolve(DISK, has_bios_code=False)
    assert "OVMF_CODE_4M.fd" in command(only_uefi)
    assert "OVMF" not in command(only_uefi, uefi=False)
    secure = command(ISO, secure_boot=True)
    assert "-machine q35,smm=on -global driver=cfi.pflash01,property=secure,value=on" in secure
    assert "OVMF_VARS_4M.ms.fd" in secure


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"has_kvm": True}, "-accel kvm -accel tcg"),
        ({"has_kvm": True, "processor": "aarch64"}, "-accel tcg"),
        ({"system": "darwin"}, "-accel hvf -accel tcg"),
        ({"system": "darwin", "processor": "arm64"}, "-accel tcg"),
        ({"processor": "riscv64"}, "-accel tcg"),
    ],
)
def test_accelerator_is_chosen_by_the_host(changes: dict[str, Any], expected: str) -> None:
    assert f" max,arch-capabilities=off {expected} -m" in command(ISO, evolve(DEBIAN, **changes))
    assert " -accel xen -m" in command(ISO, evolve(DEBIAN, **changes), accelerator="xen")


def test_program_of_windows_is_searched_in_its_folder() -> None:
    found = {str(Path("C:/Program Files/qemu", "qemu-system-i386.exe"))}
    windows = evolve(
        DEBIAN, system="win32", processor="amd64", folders=("C:/Program Files/qemu",),
        is_file=found.__contains__,
    )  # fmt: skip
    made = make_command(ISO, Machine(), windows, initrd=None)
    assert {made[0]} == found
    assert made[3:7] == ["-accel", "whpx", "-accel", "tcg"]


def test_kernel_is_loaded_directly_with_commas_as_they_are() -> None:
    image = Bootable(
        medium=Medium.KERNEL, path=Path("/k,1"), kernel=Path("/k,1"), initrds=(Path("/i,2"),),
        is_64_bit=True, loaded_bytes=1,
    )  # fmt: skip
    assert " -kernel /k,1 -initrd /i,2 -netdev" in command(image)
    made = command(image, append="quiet", serial=True)
    assert " -append 'quiet console=ttyS0' " in made
    assert made.endswith(" -nographic")


def test_folder_of_a_server_is_booted_by_the_rom_of_the_card() -> None:
    image = Bootable(medium=Medium.NETWORK, path=Path("/x,y.pxe"), loaded_bytes=1)
    assert command(image).endswith(
        "-netdev user,id=net,tftp=/x,,y.pxe,bootfile=boot.ipxe -device e1000,netdev=net,bootindex=0"
    )


def test_ports_are_forwarded_from_this_host_only_and_more_words_come_last() -> None:
    made = command(ISO, forwards=((2222, 22), (8080, 80)), more=("-smp", "2"))
    assert "hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:8080-:80" in made
    assert made.endswith(" -smp 2")


@pytest.mark.parametrize(
    ("megabytes", "memory", "expected"),
    [(1, None, 768), (24, None, 768), (200, None, 2304), (5000, None, 3072), (1, 100_000_000, 96)],
)
def test_memory_is_chosen_by_what_is_loaded(
    megabytes: int, memory: int | None, expected: int
) -> None:
    image = evolve(ISO, loaded_bytes=megabytes << 20)
    assert f" -m {expected}M " in command(image, memory_bytes=memory)


@pytest.mark.parametrize(
    "name", ["a,b", "a,,b", "nbd:host:1", "-x.iso", "json:{}", "a b'c", "fat:rw:x", "x\ny", "if=sd"]
)
def test_hostile_name_stays_one_absolute_value(name: str) -> None:
    image = evolve(DISK, path=Path(name))
    words = make_command(image, Machine(), DEBIAN, initrd=None)
    (drive,) = [word for word in words if word.startswith("if=none")]
    start = "if=none,id=image,format=raw,file="
    assert drive == f"{start}{str(Path.cwd() / name).replace(',', ',,')},snapshot=on"


@pytest.mark.parametrize(
    ("packages", "hint"),
    [
        ("debian", "install it: apt install qemu-system-x86"),
        ("darwin", "install it: brew install qemu"),
        ("", "install QEMU for x86 with the package manager of this system"),
    ],
)
def test_missing_qemu_says_what_to_install(packages: str, hint: str) -> None:
    host = evolve(DEBIAN, packages=packages, is_file=lambda _path: False)
    with pytest.raises(ProgramError, match="qemu-system-i386 is not installed") as caught:
        command(ISO, host)
    assert caught.value.hint == hint


def test_missing_firmware_says_what_to_install() -> None:
    host = evolve(DEBIAN, is_file=lambda path: str(path).startswith("/usr/bin"))
    for changes, message, hint in (
        ({"uefi": True}, "no UEFI firmware for 64 bits is installed", "apt install ovmf"),
        (
            {"uefi": True, "processor": "i386"},
            "no UEFI firmware for 32 bits is installed",
            "apt install ovmf-ia32",
        ),
        ({"secure_boot": True}, "no UEFI firmware with Secure Boot is installed", "install ovmf"),
    ):
        with pytest.raises(ProgramError, match=message) as caught:
            command(ISO, host, **changes)
        assert caught.value.hint.endswith(hint)


@pytest.mark.parametrize(
    ("image", "machine", "message"),
    [
        (ISO, {"is_writable": True}, "nothing can be written to a CD"),
        (ISO, {"append": "x"}, "--append is for a kernel that is loaded directly"),
        (
            Bootable(medium=Medium.KERNEL, path=Path("k"), kernel=Path("k"), loaded_bytes=0),
            {"as_usb": True},
            "--disk, --usb and --write are for an ISO",
        ),
        (evolve(ISO, is_64_bit=None, loaders=frozenset({"aa64"})), {}, "is for ARM processors"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    image: Bootable, machine: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        command(image, **machine)


def test_window_needs_a_display() -> None:
    host = evolve(DEBIAN, has_display=False)
    with pytest.raises(UsageError, match="no display is available"):
        command(ISO, host)
    assert "-nographic" in command(ISO, host, serial=True)
    assert "curses" in command(ISO, host, more=("-display", "curses"))


def test_this_host_is_described() -> None:
    here = RunHost.here()
    assert here.system == sys.platform
    assert all(Path(folder).is_absolute() for folder in here.folders)
    assert here.find("no-such-program") is None
