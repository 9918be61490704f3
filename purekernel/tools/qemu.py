"""Make the command that starts QEMU with an image."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from purekernel.analysis.bootable import IPXE_SCRIPT, Bootable, Medium
from purekernel.errors import ProgramError, PurekernelError, UsageError, raise_all
from purekernel.records import frozen

_MIB = 1 << 20
# A kernel, a small system and firmware for UEFI run in this.
_LEAST_MEMORY_MIB = 512
# Unpacked, an initrd has four times its size; half of the memory can be used for it.
_MEMORY_PER_BYTE = 8
_MEMORY_STEP_MIB = 256
# What a 32-bit kernel without PAE can use.
_MOST_MEMORY_MIB = 3072

_ON_WINDOWS = ("C:/Program Files/qemu", "C:/msys64/ucrt64/bin", "C:/msys64/mingw64/bin")
_ON_MACOS = ("/opt/homebrew/bin", "/usr/local/bin", "/opt/local/bin")

# Code and variables of UEFI firmware, by processor: Debian, Fedora, Arch, openSUSE, and QEMU's own
# as Homebrew, MacPorts and the installer for Windows lay it down.
_QEMU_SHARES = (
    "/usr/share/qemu", "/opt/homebrew/share/qemu", "/usr/local/share/qemu", "/opt/local/share/qemu",
    "C:/Program Files/qemu/share", "C:/msys64/ucrt64/share/qemu", "C:/msys64/mingw64/share/qemu",
)  # fmt: skip
_FIRMWARE = {
    "x64": (
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
        ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
        ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
        *((f"{share}/edk2-x86_64-code.fd", f"{share}/edk2-i386-vars.fd") for share in _QEMU_SHARES),
    ),
    "ia32": (
        ("/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF32_VARS_4M.fd"),
        ("/usr/share/edk2/ovmf-ia32/OVMF_CODE.fd", "/usr/share/edk2/ovmf-ia32/OVMF_VARS.fd"),
        ("/usr/share/edk2/ia32/OVMF_CODE.4m.fd", "/usr/share/edk2/ia32/OVMF_VARS.4m.fd"),
        ("/usr/share/qemu/ovmf-ia32-code.bin", "/usr/share/qemu/ovmf-ia32-vars.bin"),
        *((f"{share}/edk2-i386-code.fd", f"{share}/edk2-i386-vars.fd") for share in _QEMU_SHARES),
    ),
    # With Microsoft's keys, and Secure Boot on.
    "secure": (
        ("/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
        (
            "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd",
            "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd",
        ),
        ("/usr/share/qemu/ovmf-x86_64-ms-code.bin", "/usr/share/qemu/ovmf-x86_64-ms-vars.bin"),
    ),
}

# Packages of QEMU, of firmware, and of firmware for 32 bits, by the ID of os-release(5).
_PACKAGES = {
    "debian": ("apt install qemu-system-x86", "apt install ovmf", "apt install ovmf-ia32"),
    "fedora": (
        "dnf install qemu-system-x86", "dnf install edk2-ovmf", "dnf install edk2-ovmf-ia32",
    ),
    "arch": ("pacman -S qemu-system-x86", "pacman -S edk2-ovmf", "pacman -S edk2-ovmf"),
    "suse": (
        "zypper install qemu-x86",
        "zypper install qemu-ovmf-x86_64",
        "zypper install qemu-ovmf-ia32",
    ),
    "alpine": ("apk add qemu-system-x86_64 qemu-system-i386", "apk add ovmf", "apk add ovmf"),
    "darwin": ("brew install qemu",) * 3,
    "win32": ("winget install SoftwareFreedomConservancy.QEMU",) * 3,
}  # fmt: skip


@frozen(kw_only=True)
class Machine:
    """How to run an image; what is ``None`` or empty is chosen by the image and the host.

    Attributes:
        as_disk: start an ISO as a disk.
        as_usb: start an ISO or a disk image as a USB stick.
        uefi: with firmware for UEFI, or a BIOS.
        secure_boot: with firmware for UEFI that starts signed loaders only.
        processor: ``i386`` or ``x86_64``.
        memory_bytes: the size of the memory.
        accelerator: an accelerator of QEMU, such as ``kvm`` or ``tcg``.
        serial: use the terminal as first serial port, and open no window.
        append: words for the command line of a kernel that is loaded directly.
        forwards: ports of the host and of the guest, for TCP.
        is_writable: whether the guest may change a disk image.
        more: further arguments for QEMU.
    """

    as_disk: bool = False
    as_usb: bool = False
    uefi: bool | None = None
    secure_boot: bool = False
    processor: str | None = None
    memory_bytes: int | None = None
    accelerator: str | None = None
    serial: bool = False
    append: str = ""
    forwards: tuple[tuple[int, int], ...] = ()
    is_writable: bool = False
    more: tuple[str, ...] = ()


@frozen(kw_only=True)
class RunHost:
    """What of the host decides how QEMU is started.

    Attributes:
        system: ``sys.platform``.
        processor: the machine's name, as ``platform.machine()`` gives it.
        folders: where programs are searched, in order.
        has_kvm: whether the user may use KVM.
        has_display: whether a window can be opened.
        packages: the family of the distribution, a key of the table of packages; may be empty.
        is_file: tells whether a path is a file.
    """

    system: str
    processor: str
    folders: tuple[str, ...]
    has_kvm: bool
    has_display: bool
    packages: str
    is_file: Callable[[str], bool] = os.path.isfile

    @classmethod
    def here(cls) -> RunHost:
        """Return the host that this runs on."""
        # A relative folder in PATH, such as ".", may hold anything.
        folders = [folder for folder in os.get_exec_path() if Path(folder).is_absolute()]
        more = {"win32": _ON_WINDOWS, "darwin": _ON_MACOS}.get(sys.platform, ())
        display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        return cls(
            system=sys.platform,
            processor=platform.machine().lower(),
            folders=(*folders, *more),
            has_kvm=_can_open("/dev/kvm"),
            has_display=display or sys.platform in ("win32", "darwin"),
            packages=_distribution(),
        )

    def find(self, program: str) -> str | None:
        """Return the path of a program, or ``None``."""
        name = f"{program}.exe" if self.system == "win32" else program
        paths = (str(Path(folder, name)) for folder in self.folders)
        return next(filter(self.is_file, paths), None)

    def advice(self, number: int, otherwise: str) -> str:
        """Return how to install a package of the table."""
        packages = _PACKAGES.get(self.packages)
        return otherwise if packages is None else f"install it: {packages[number]}"


def _can_open(device: str) -> bool:
    """Return whether a device can be opened: it may exist without anything behind it."""
    try:
        os.close(os.open(device, os.O_RDWR | getattr(os, "O_CLOEXEC", 0)))
    except OSError:
        return False
    return True


def _distribution() -> str:
    """Return the key of this system in the table of packages; empty for another."""
    if sys.platform in _PACKAGES:
        return sys.platform
    try:
        fields = platform.freedesktop_os_release()
    except OSError:
        return ""
    names = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    return next((name for name in names if name in _PACKAGES), "")


def make_command(
    image: Bootable, machine: Machine, host: RunHost, *, initrd: Path | None
) -> list[str]:
    """Return the program and the arguments that boot ``image``.

    Args:
        image: what boots.
        machine: how it is to be run.
        host: the host.
        initrd: the file with all initrds of ``image``; ``None`` without any.

    Raises:
        ProgramError: QEMU, or firmware for UEFI, is not installed.
        UsageError: the options do not fit the image.
    """
    _check(image, machine, host)
    firmware = _choose_firmware(image, machine)
    return [
        _program(image, machine, host, firmware),
        *([] if firmware is None else _firmware(firmware, host)),
        # Under a hypervisor, KVM may refuse to set the register that this feature needs.
        "-cpu", "max,arch-capabilities=off",
        *_accelerators(machine, host),
        "-m", f"{_memory_mib(image, machine)}M",
        *_medium(image, machine),
        *_kernel(image, machine, initrd),
        *_network(image, machine),
        *(["-nographic"] if machine.serial else []),
        *machine.more,
    ]  # fmt: skip


def _choose_firmware(image: Bootable, machine: Machine) -> str | None:
    """Return the kind of UEFI firmware, a key of the table; ``None`` for a BIOS."""
    if machine.secure_boot:
        return "secure"
    if not (not image.has_bios_code if machine.uefi is None else machine.uefi):
        return None
    only_32 = "ia32" in image.loaders and "x64" not in image.loaders
    return "ia32" if only_32 or machine.processor == "i386" else "x64"


def _check(image: Bootable, machine: Machine, host: RunHost) -> None:
    is_drive = image.medium in (Medium.CD, Medium.DISK)
    errors: list[PurekernelError] = []
    if (machine.as_disk or machine.as_usb or machine.is_writable) and not is_drive:
        errors.append(
            UsageError(
                "--disk, --usb and --write are for an ISO or a disk image",
                hint="leave them out for a kernel, initrds and a folder",
            )
        )
    if machine.is_writable and _is_cd(image, machine):
        errors.append(
            UsageError("nothing can be written to a CD", hint="leave out --write, or add --disk")
        )
    if machine.append and image.kernel is None:
        errors.append(
            UsageError(
                "--append is for a kernel that is loaded directly; an image has a boot menu",
                hint="add --kernel FILE, or build the image with --boot-append",
            )
        )
    if "aa64" in image.loaders and image.is_64_bit is None and "x64" not in image.loaders:
        errors.append(UsageError(f"{image.path} is for ARM processors", hint="start QEMU yourself"))
    if not (machine.serial or host.has_display or _shows_itself(machine.more)):
        errors.append(
            UsageError(
                "no display is available for QEMU's window",
                hint="add --serial for an image with a serial console, or -- -display curses",
            )
        )
    raise_all(errors)


def _shows_itself(more: Sequence[str]) -> bool:
    windows = ("display", "vnc", "nographic", "curses", "spice")
    return any(word.startswith("-") and word.lstrip("-") in windows for word in more)


def _is_cd(image: Bootable, machine: Machine) -> bool:
    return image.medium is Medium.CD and not (machine.as_disk or machine.as_usb)


def _program(image: Bootable, machine: Machine, host: RunHost, firmware: str | None) -> str:
    is_32_bit = image.is_64_bit is False and firmware in (None, "ia32")
    processor = machine.processor or ("i386" if is_32_bit else "x86_64")
    # The program for x86_64 runs 32-bit systems too.
    names = [f"qemu-system-{processor}"]
    if processor == "i386":
        names.append("qemu-system-x86_64")
    for name in names:
        if found := host.find(name):
            return found
    raise ProgramError(
        f"{names[0]} is not installed, or not in a folder of PATH",
        hint=host.advice(0, "install QEMU for x86 with the package manager of this system"),
    )


def _firmware(kind: str, host: RunHost) -> list[str]:
    """Return the options for UEFI firmware.

    Its variables are written to a temporary file that QEMU makes, because what one image stores
    there may keep another from booting.
    """
    for code, variables in _FIRMWARE[kind]:
        if host.is_file(code) and host.is_file(variables):
            break
    else:
        what = {"x64": "for 64 bits", "ia32": "for 32 bits", "secure": "with Secure Boot"}[kind]
        raise ProgramError(
            f"no UEFI firmware {what} is installed",
            hint=host.advice(2 if kind == "ia32" else 1, "install OVMF, or leave out --uefi"),
        )
    # Firmware with Secure Boot keeps its variables in memory that only it can write.
    needs_smm = kind == "secure" or "secboot" in code
    return [
        "-machine", "q35,smm=on" if needs_smm else "q35",
        *(["-global", "driver=cfi.pflash01,property=secure,value=on"] if needs_smm else []),
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_quoted(Path(code))}",
        "-drive", f"if=pflash,unit=1,format=raw,snapshot=on,file={_quoted(Path(variables))}",
    ]  # fmt: skip


def _accelerators(machine: Machine, host: RunHost) -> list[str]:
    """Return the options for acceleration; QEMU takes the first that works."""
    if machine.accelerator is not None:
        return ["-accel", machine.accelerator]
    is_x86 = host.processor in ("x86_64", "amd64", "i386", "i686")
    fast = {
        "linux": "kvm" if host.has_kvm else None, "darwin": "hvf", "win32": "whpx",
    }.get(host.system)  # fmt: skip
    names = [fast, "tcg"] if is_x86 and fast else ["tcg"]
    return [word for name in names for word in ("-accel", name)]


def _memory_mib(image: Bootable, machine: Machine) -> int:
    if machine.memory_bytes is not None:
        return max(1, -(-machine.memory_bytes // _MIB))
    wanted = _LEAST_MEMORY_MIB + image.loaded_bytes * _MEMORY_PER_BYTE // _MIB
    return min(-(-wanted // _MEMORY_STEP_MIB) * _MEMORY_STEP_MIB, _MOST_MEMORY_MIB)


def _medium(image: Bootable, machine: Machine) -> list[str]:
    if image.medium in (Medium.KERNEL, Medium.NETWORK):
        return []
    form = "qcow2" if image.is_qcow2 else "raw"
    drive = f"if=none,id=image,format={form},file={_quoted(image.path)}"
    if _is_cd(image, machine):
        drive += ",media=cdrom,readonly=on"
        device = ["-device", "ide-cd,drive=image,bus=ide.1,bootindex=0"]
    else:
        # What the guest writes goes to a temporary file.
        drive += "" if machine.is_writable else ",snapshot=on"
        device = ["-device", "ide-hd,drive=image,bus=ide.0,bootindex=0"]
        if machine.as_usb:
            device = [
                "-device", "usb-ehci,id=usb",
                "-device", "usb-storage,bus=usb.0,drive=image,bootindex=0",
            ]  # fmt: skip
    return ["-drive", drive, *device]


def _kernel(image: Bootable, machine: Machine, initrd: Path | None) -> list[str]:
    if image.kernel is None:
        return []
    words = " ".join(filter(None, (machine.append, "console=ttyS0" if machine.serial else "")))
    # These options take the rest of their argument as it is, commas too.
    return [
        "-kernel", str(image.kernel.absolute()),
        *([] if initrd is None else ["-initrd", str(initrd.absolute())]),
        *(["-append", words] if words else []),
    ]  # fmt: skip


def _network(image: Bootable, machine: Machine) -> list[str]:
    netdev = "user,id=net"
    for host_port, guest_port in machine.forwards:
        netdev += f",hostfwd=tcp:127.0.0.1:{host_port}-:{guest_port}"
    # Linux has had a driver for this card since 2.4. Its boot ROM is a package of its own.
    device = "e1000,netdev=net"
    if image.medium is not Medium.NETWORK:
        return ["-netdev", netdev, "-device", f"{device},romfile="]
    netdev += f",tftp={_quoted(image.path)},bootfile={IPXE_SCRIPT}"
    return ["-netdev", netdev, "-device", f"{device},bootindex=0"]


def _quoted(path: Path) -> str:
    """Return a path as the value of a QEMU option.

    A comma would end the value, and is doubled. The path is absolute: QEMU takes what stands before
    a colon for a protocol unless a slash, or a drive of Windows, comes first.
    """
    return str(path.absolute()).replace(",", ",,")
