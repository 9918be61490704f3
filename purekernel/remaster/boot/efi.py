"""Make the files that boot an image by UEFI: the EFI system partition, and what is on the ISO.

The partition has the programs that firmware starts, ``EFI/BOOT/BOOTX64.EFI`` and the like, and
their menu. Kernel and initrds are in it only for loaders that cannot read the ISO.

Source: UEFI Specification 2.10, 3.5.1.1 and 13.3; systemd-stub(7); the UAPI Group's "Unified Kernel
Image" and "Boot Loader Specification".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from attrs import field

from purekernel.formats.efi_loader import BOOT_FOLDER, LoaderKind, find_grub_menu
from purekernel.formats.menu import (
    Menu,
    build_grub_config,
    build_loader_config,
    build_syslinux_config,
)
from purekernel.formats.pe import NewSection, add_sections
from purekernel.recipe.system import SerialLine
from purekernel.records import frozen
from purekernel.remaster.boot.efi_check import EfiBoot
from purekernel.tree import Buffer, Metadata, Tree, put_file
from purekernel.tree.path import join, name

# systemd-boot lists unified kernel images that are here (Boot Loader Specification, "Type #2").
UNIFIED = b"EFI/Linux/linux.efi"

LOADER_SETTINGS = b"loader/loader.conf"
SYSLINUX_MENU = join(BOOT_FOLDER, b"syslinux.cfg")

# An initrd in memory begins at a multiple of 4 bytes.
_INITRD_ALIGNMENT = 4


@frozen(kw_only=True)
class EfiFiles:
    """The files that boot an image by UEFI.

    Attributes:
        partition: the EFI system partition.
        iso: files that a loader reads from the ISO, by path.
        reads_iso: whether a loader reads kernel and initrds from the ISO; else they are in the
            partition, and on the ISO only for BIOS.
    """

    partition: Tree
    iso: Mapping[bytes, Buffer] = field(factory=dict, repr=False)
    reads_iso: bool = False


def make_efi_files(
    efi: EfiBoot,
    menu: Menu,
    contents: Mapping[bytes, Buffer],
    *,
    os_release: bytes,
    serial: SerialLine | None,
    metadata: Metadata,
) -> EfiFiles:
    """Return the files that boot ``menu`` by UEFI.

    Args:
        efi: the programs.
        menu: the menu; at least one entry.
        contents: the kernels and initrds of its entries, by path.
        os_release: the content of os-release, for a unified kernel image.
        serial: a serial port to show GRUB's menu on, too.
        metadata: that of the files.

    Raises:
        FormatError: the stub has no room for the sections of a unified kernel image.
        BootMenuError: a menu cannot hold a label or a path.
    """
    unified = None if efi.stub is None else _unified(efi, menu, contents, os_release)
    files: dict[bytes, Buffer] = {**efi.files, **dict(_programs(efi, unified))}
    iso: dict[bytes, Buffer] = {}
    marker = _marker(contents)
    for loader in efi.loaders:
        if loader.kind is LoaderKind.GRUB:
            config = _grub_prelude(serial) + build_grub_config(menu, search=marker)
            iso |= {find_grub_menu(loader) or b"": config, marker: b""}
        elif loader.kind is LoaderKind.SYSLINUX:
            files[SYSLINUX_MENU] = build_syslinux_config(menu)
        elif loader.kind is LoaderKind.SYSTEMD_BOOT:
            settings = build_loader_config(menu)
            files |= settings if unified is None else _settings_for_unified(settings)
    # From a CD, GRUB reads its menu on the ISO; from a disk, in the partition.
    files |= {path: content for path, content in iso.items() if path != marker}
    if efi.needs_kernel:
        files |= contents
    partition = Tree()
    for path, content in files.items():
        put_file(partition, path, content, metadata=metadata)
    return EfiFiles(partition=partition, iso=iso, reads_iso=not efi.is_self_contained)


def _programs(efi: EfiBoot, unified: Buffer | None) -> Iterator[tuple[bytes, Buffer]]:
    """Yield the programs that firmware starts, or that systemd-boot lists, and their paths."""
    for machine, program in efi.programs.items():
        path = join(BOOT_FOLDER, machine.boot_name.encode())
        if program is not efi.stub:
            yield path, program.image.file.data
        elif unified is not None:
            yield path, unified
    if unified is not None and efi.stub not in efi.programs.values():
        yield UNIFIED, unified


def _marker(contents: Mapping[bytes, Buffer]) -> bytes:
    """Return the path of a file that only this image has.

    GRUB looks for it on all disks, where another image may have a kernel of the same name.
    """
    digest = hashlib.sha256()
    for path, content in sorted(contents.items()):
        digest.update(hashlib.sha256(path).digest() + hashlib.sha256(content).digest())
    return join(BOOT_FOLDER, digest.hexdigest()[:16].encode() + b".id")


def _grub_prelude(serial: SerialLine | None) -> bytes:
    # A kernel without an EFI stub gets the screen from GRUB, which needs a driver of it.
    lines = [b"insmod all_video", b"set gfxpayload=keep"]
    if serial is not None and serial.tty.startswith("ttyS"):
        lines += [
            b"serial --unit=%s --speed=%d"
            % (serial.tty.removeprefix("ttyS").encode(), serial.baud),
            b"terminal_input console serial",
            b"terminal_output console serial",
        ]
    return b"\n".join([*lines, b""])


def _settings_for_unified(files: Mapping[bytes, bytes]) -> dict[bytes, Buffer]:
    """Return systemd-boot's settings for a unified kernel image, without entries of files."""
    lines = files[LOADER_SETTINGS].split(b"\n")
    default = b"default " + name(UNIFIED)
    changed = [default if line.startswith(b"default ") else line for line in lines]
    return {LOADER_SETTINGS: b"\n".join(changed)}


def _unified(
    efi: EfiBoot, menu: Menu, contents: Mapping[bytes, Buffer], os_release: bytes
) -> Buffer:
    """Return the unified kernel image of the default entry."""
    assert efi.stub is not None  # noqa: S101  # only called with a stub
    entry = menu.entries[menu.default_index]
    initrds: list[Buffer] = []
    for path in entry.initrds:
        content = contents[path]
        initrds += [content, bytes(-len(content) % _INITRD_ALIGNMENT)]
    kernel = contents[entry.kernel]
    sections = [
        NewSection(name=b".osrel", content=[os_release]),
        NewSection(name=b".cmdline", content=[b" ".join(entry.words)]),
        NewSection(name=b".initrd", content=initrds),
        # The last, as a kernel that unpacks itself in place may write beyond its end.
        NewSection(
            name=b".linux",
            content=[kernel],
            memory_bytes=0 if efi.kernel is None else efi.kernel.image_bytes,
        ),
    ]
    return add_sections(efi.stub.image, [each for each in sections if each.size_bytes])
