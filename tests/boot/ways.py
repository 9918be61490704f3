"""The table "base x output x firmware": which images boot, and how each is tried.

``docs/boot.md`` shows the table, and ``test_ways.py`` boots each cell that says so. When another
way to boot is made, its cell changes here, and both follow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path

from attrs import evolve

from fixtures.compress import gzip
from fixtures.core import make_core_tree
from fixtures.program import make_executable
from purekernel import Context, Effort, Outputs, build, load_recipe
from purekernel.analysis.bootable import find_bootable
from purekernel.errors import ProgramError
from purekernel.formats.cpio import build_cpio
from purekernel.records import frozen
from purekernel.tools.qemu import Machine, RunHost, make_command
from tests.boot.machine import watch
from tests.oracles import require, run, skip_or_fail
from tests.shared import core_iso, modern

# What the program prints that the kernel starts in place of init. It starts only if the words that
# the recipe appends reach the kernel.
LINE = "the program of the overlay runs"
WORDS = "console=ttyS0 rdinit=/opt/marker"


class Way(Enum):
    """Firmware, and the medium that it boots."""

    BIOS_CD = "BIOS, CD"
    BIOS_DISK = "BIOS, disk"
    UEFI_CD = "UEFI, CD"
    UEFI_DISK = "UEFI, disk"
    UEFI32_CD = "UEFI of 32 bits, CD"
    SECURE_CD = "Secure Boot, CD"
    NETWORK = "network"
    DIRECT = "QEMU's loader"


MACHINES: Mapping[Way, Machine] = {
    Way.BIOS_CD: Machine(uefi=False),
    Way.BIOS_DISK: Machine(uefi=False, as_disk=True),
    Way.UEFI_CD: Machine(uefi=True),
    Way.UEFI_DISK: Machine(uefi=True, as_disk=True),
    Way.UEFI32_CD: Machine(uefi=True, processor="i386"),
    Way.SECURE_CD: Machine(secure_boot=True),
    Way.NETWORK: Machine(),
    Way.DIRECT: Machine(append=WORDS),
}


def small_core() -> bytes:
    """Return a core that has little more than folders, so that a machine unpacks it at once."""
    return gzip(build_cpio(make_core_tree()))


def _core_4_4(folder: Path) -> str:
    """Core 4.4 as it is published, with a small core."""
    iso = folder / "base.iso"
    _remap(core_iso(), iso, {"/boot/core.gz": small_core()})
    return f'iso = "{iso}"'


def _pure64_17(folder: Path) -> str:
    iso = folder / "base.iso"
    source = modern() / "TinyCorePure64-look.iso"
    if not source.is_file():
        skip_or_fail(f"no shared data at {source}")
    _remap(source, iso, {"/boot/corepure64.gz": small_core()})
    return f'iso = "{iso}"'


def _pair_6_4_1(folder: Path) -> str:
    del folder
    source = modern() / "roots" / "6.4.1"
    return f'kernel = "{source}/vmlinuz64"\ninitrd = ["{source}/rootfs64.gz"]'


def _grub(folder: Path) -> str:
    """An ISO by grub-mkrescue, which boots by BIOS and by UEFI of 32 and 64 bits."""
    files, iso = folder / "files", folder / "base.iso"
    (files / "boot" / "grub").mkdir(parents=True)
    run("xorriso", "-osirrox", "on", "-indev", core_iso(), "-extract", "/boot/vmlinuz",
        files / "boot" / "vmlinuz")  # fmt: skip
    (files / "boot" / "core.gz").write_bytes(small_core())
    (files / "boot" / "grub" / "grub.cfg").write_text(
        "set timeout=1\nmenuentry core {\n  linux /boot/vmlinuz quiet\n  initrd /boot/core.gz\n}\n"
    )
    run(require("grub-mkrescue"), "-o", iso, files)
    return f'iso = "{iso}"'


def _remap(source: Path, iso: Path, files: Mapping[str, bytes]) -> None:
    """Copy an ISO with other contents of some files; all that it boots by stays."""
    mapped: list[str | Path] = []
    for number, (path, content) in enumerate(files.items()):
        new = iso.with_suffix(f".{number}")
        new.write_bytes(content)
        mapped += ["-map", new, path]
    run(
        require("xorriso"),
        "-indev",
        source,
        "-outdev",
        iso,
        "-boot_image",
        "any",
        "replay",
        *mapped,
    )


@frozen(kw_only=True)
class BootBase:
    """A base of the table.

    Attributes:
        words: what it is, for the page.
        make: makes it in a folder, and returns the keys of ``[core]`` that name it.
    """

    words: str
    make: Callable[[Path], str]


CORE = BootBase(words="Core 4.4 (isolinux)", make=_core_4_4)
PURE64 = BootBase(words="TinyCorePure64 17.0 (isolinux, GRUB for UEFI, hybrid)", make=_pure64_17)
PAIR = BootBase(words="CorePure64 6.4.1 (kernel and initrd)", make=_pair_6_4_1)
GRUB = BootBase(words="grub-mkrescue (GRUB for BIOS and UEFI, hybrid)", make=_grub)

# GRUB for UEFI of 64 and of 32 bits, as Debian builds it.
_EFI = (
    '[boot.efi]\nloader = "/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"\n'
    'loader-ia32 = "/usr/lib/grub/i386-efi/monolithic/grubia32.efi"\n'
)

# Each output: what --emit and the recipe say, and the name of what is started.
OUTPUTS: Mapping[str, tuple[str, str, str]] = {
    "iso": ("iso", "", "t.iso"),
    "iso, hybrid": ("iso", "[iso]\nhybrid = true\n", "t.iso"),
    "iso, boot.efi": ("iso", _EFI, "t.iso"),
    "iso, hybrid, boot.efi": ("iso", f"[iso]\nhybrid = true\n{_EFI}", "t.iso"),
    "disk, raw": ("disk", '[disk]\nformat = "raw"\n', "t.img"),
    "disk, qcow2": ("disk", '[disk]\nformat = "qcow2"\n', "t.qcow2"),
    "disk, raw, boot.efi": ("disk", f'[disk]\nformat = "raw"\n{_EFI}', "t.img"),
    "pxe": ("pxe", "", "t.pxe"),
    "core": ("core", "", ""),
}


@frozen(kw_only=True)
class Cell:
    """A cell of the table.

    Attributes:
        base: the base.
        output: a key of ``OUTPUTS``.
        way: the firmware and the medium.
        reason: why it does not boot; empty if it does.
        at_landing: whether it is booted for each change, and not each night only.
    """

    base: BootBase
    output: str
    way: Way
    reason: str = ""
    at_landing: bool = False

    @property
    def name(self) -> str:
        """Name the cell in test names."""
        words = (self.base.words.partition(" (")[0], self.output, self.way.value)
        return "-".join(word.replace(", ", "-").replace(" ", "-") for word in words)


ON_DISC = (
    Way.BIOS_CD, Way.BIOS_DISK, Way.UEFI_CD, Way.UEFI_DISK, Way.UEFI32_CD, Way.SECURE_CD,
)  # fmt: skip
ON_DISK = (Way.BIOS_DISK, Way.UEFI_DISK)
# What each output can be started by at all.
WAYS_OF: Mapping[str, Sequence[Way]] = {
    "iso": ON_DISC,
    "iso, hybrid": ON_DISC,
    "iso, boot.efi": ON_DISC,
    "iso, hybrid, boot.efi": ON_DISC,
    "disk, raw": ON_DISK,
    "disk, qcow2": ON_DISK,
    "disk, raw, boot.efi": ON_DISK,
    "pxe": (Way.NETWORK,),
    "core": (Way.DIRECT,),
}

NO_EFI = "the base has no loader for UEFI; `[boot.efi]` adds one"
NO_CODE = "the base has no boot code for a disk; `hybrid = true` adds it"
NO_LOADER = "a kernel and initrds have no boot loader; `[boot.efi]` adds one for UEFI"
NO_BIOS = "the image has a loader for UEFI only"
NO_TABLES = "the image has no partitions; `hybrid = true` adds them"
NOT_SIGNED = "the loader, or the kernel, is not signed by a key that firmware has"
NOT_32 = "the base has a loader for UEFI of 64 bits only"
HFS = "the build stops: the output would lose the HFS+ file system of grub-mkrescue"

# For each base and output: the ways that boot, and the reason for each other way.
Row = tuple[BootBase, str, Sequence[Way], Mapping[Way, str]]


def _no(reason: str, *ways: Way) -> dict[Way, str]:
    return dict.fromkeys(ways, reason)


_NO_EFI = _no(NO_EFI, Way.UEFI_CD, Way.UEFI_DISK, Way.UEFI32_CD, Way.SECURE_CD)
ROWS: Sequence[Row] = (
    (CORE, "iso", [Way.BIOS_CD], {**_no(NO_CODE, Way.BIOS_DISK), **_NO_EFI}),
    (CORE, "iso, hybrid", [Way.BIOS_CD, Way.BIOS_DISK], _NO_EFI),
    (
        CORE,
        "iso, hybrid, boot.efi",
        [Way.BIOS_CD, Way.BIOS_DISK, Way.UEFI_CD, Way.UEFI_DISK, Way.UEFI32_CD],
        _no(NOT_SIGNED, Way.SECURE_CD),
    ),
    (CORE, "disk, raw", [Way.BIOS_DISK], _no(NO_EFI, Way.UEFI_DISK)),
    (CORE, "disk, qcow2", [Way.BIOS_DISK], _no(NO_EFI, Way.UEFI_DISK)),
    (CORE, "disk, raw, boot.efi", [Way.BIOS_DISK, Way.UEFI_DISK], {}),
    (CORE, "pxe", [Way.NETWORK], {}),
    (CORE, "core", [Way.DIRECT], {}),
    (PAIR, "iso", [], _no(NO_LOADER, *ON_DISC)),
    (
        PAIR,
        "iso, boot.efi",
        [Way.UEFI_CD, Way.UEFI32_CD],
        {
            **_no(NO_BIOS, Way.BIOS_CD, Way.BIOS_DISK),
            **_no(NO_TABLES, Way.UEFI_DISK),
            **_no(NOT_SIGNED, Way.SECURE_CD),
        },
    ),
    (PAIR, "pxe", [Way.NETWORK], {}),
    (PAIR, "core", [Way.DIRECT], {}),
    (
        PURE64,
        "iso",
        [Way.BIOS_CD, Way.BIOS_DISK, Way.UEFI_CD, Way.UEFI_DISK],
        {**_no(NOT_32, Way.UEFI32_CD), **_no(NOT_SIGNED, Way.SECURE_CD)},
    ),
    (PURE64, "pxe", [Way.NETWORK], {}),
    (PURE64, "core", [Way.DIRECT], {}),
    (GRUB, "iso", [], _no(HFS, *ON_DISC)),
)

# Those that each change boots; the others are for the night.
_AT_LANDING = {
    (CORE, "iso", Way.BIOS_CD),
    (CORE, "iso, hybrid", Way.BIOS_DISK),
    (CORE, "iso, hybrid, boot.efi", Way.UEFI_CD),
    (CORE, "iso, hybrid, boot.efi", Way.UEFI_DISK),
    (CORE, "iso, hybrid, boot.efi", Way.UEFI32_CD),
    (PAIR, "iso, boot.efi", Way.UEFI_CD),
    (PAIR, "core", Way.DIRECT),
    (PURE64, "pxe", Way.NETWORK),
}


def cells() -> Iterator[Cell]:
    """Yield all cells of the table, in its order."""
    for base, output, boots, reasons in ROWS:
        assert {*boots, *reasons} == set(WAYS_OF[output]), (base.words, output)
        for way in WAYS_OF[output]:
            yield Cell(
                base=base,
                output=output,
                way=way,
                reason="" if way in boots else reasons[way],
                at_landing=(base, output, way) in _AT_LANDING,
            )


def render() -> str:
    """Return the table as it stands in the page, and the reasons after it."""
    reasons = list(dict.fromkeys(cell.reason for cell in cells() if cell.reason))
    shown: dict[tuple[str, str], dict[Way, str]] = {}
    for cell in cells():
        text = f"no ({reasons.index(cell.reason) + 1})" if cell.reason else "yes"
        shown.setdefault((cell.base.words, cell.output), {})[cell.way] = text
    lines = [
        "| base | output | " + " | ".join(way.value for way in Way) + " |",
        "|---|---|" + "---|" * len(Way),
    ]
    for (base, output), ways in shown.items():
        row = " | ".join(ways.get(way, "") for way in Way)
        lines.append(f"| {base} | {output} | {row} |")
    lines.append("")
    lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join(lines) + "\n"


def make_output(cell: Cell, folder: Path) -> Path:
    """Build the output of a cell in a folder, and return what is to be started."""
    emit, tables, name = OUTPUTS[cell.output]
    keys = cell.base.make(folder)
    (folder / "marker").write_bytes(make_executable(LINE))
    timeout = "" if cell.base is PAIR else "timeout = 1\n"
    (folder / "purekernel.toml").write_text(
        f'name = "t"\n[core]\n{keys}\n[boot]\nappend = "{WORDS}"\n{timeout}{tables}'
        '[[file]]\npath = "opt/marker"\nsource = "marker"\nmode = "0755"\n'
        f'[output]\nemit = ["{emit}"]\n',
        encoding="utf-8",
    )
    context = Context(cache_dir=folder / "cache")
    outputs = Outputs(folder=folder / "out", effort=Effort.FAST)
    build(load_recipe(folder), context, outputs)
    return folder / "out" / name


def boot_cell(cell: Cell, folder: Path, *, accelerator: str = "tcg") -> bytes:
    """Build and boot a cell; return what the guest prints, up to the line of the program."""
    machine = evolve(
        MACHINES[cell.way],
        accelerator=accelerator,
        more=("-display", "none", "-monitor", "none", "-no-reboot"),
    )
    image = find_bootable(make_output(cell, folder))
    initrd = image.initrds[0] if image.initrds else None
    try:
        command = make_command(image, machine, RunHost.here(), initrd=initrd)
    except ProgramError:
        skip_or_fail("what QEMU needs for this cell is not installed", program=True)
    if image.is_64_bit and machine.processor == "i386":
        # Firmware of 32 bits on a processor of 64: QEMU's i386 cannot run such a kernel.
        command[0] = command[0].replace("qemu-system-i386", "qemu-system-x86_64")
    return watch(command, log=folder / "serial", until=LINE.encode())


if __name__ == "__main__":
    sys.stdout.write(render())
