"""Tell which boot loader of UEFI a PE file is, and where it looks for its menu.

An image of GRUB has a section of objects: modules, the prefix (the folder of GRUB's files), a
script that runs first, and perhaps a small archive or file system, the memdisk, with more scripts.

Source: include/grub/kernel.h and util/mkimage.c of GRUB 2.06; systemd-boot(7), systemd-stub(7); the
Syslinux Project's page on UEFI; SBAT.md and README.fallback of shim.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from enum import Enum

from attrs import field

from purekernel.errors import PurekernelError
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.pe import Machine, PeImage, parse_pe
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import File, Metadata, loaded

# The folder of the program that firmware starts from a removable medium (UEFI 2.10, 3.5.1.1).
BOOT_FOLDER = b"EFI/BOOT"

GRUB_MENU = b"grub.cfg"

# The section of GRUB's objects, and their types.
_OBJECTS = b"mods"
_OBJECTS_MAGIC = b"mimg"
_MEMDISK, _CONFIG, _PREFIX = 1, 2, 3
_MAX_OBJECTS = 4096

# Scripts in loaders have some hundred bytes.
_MAX_SCRIPT_BYTES = 1 << 16
_MAX_SCRIPTS = 8

_DEVICE = re.compile(r"\(([^)]*)\)(.*)", re.DOTALL)
_SETS_PREFIX = re.compile(r"(?:set\s+)?prefix=(\S+)")
_READS = re.compile(r"(?:configfile|source|normal|\.)\s+(\S+)")
_ROOT = ("$root", "${root}")
_OPENS = re.compile(r"(if|while|until|for|function)\b")
_CLOSES = re.compile(r"(fi|done|\})\b")


class LoaderKind(Enum):
    """A kind of boot loader."""

    GRUB = "grub"
    SYSTEMD_BOOT = "systemd-boot"
    SYSLINUX = "syslinux"
    SHIM = "shim"
    UNIFIED = "unified"
    OTHER = "other"

    @property
    def title(self) -> str:
        """Its name, for messages."""
        return _TITLES.get(self, self.value)

    @property
    def reads_iso(self) -> bool:
        """Whether it can load files of an ISO; else they must be in the EFI system partition."""
        return self is LoaderKind.GRUB


_TITLES = {
    LoaderKind.GRUB: "GRUB",
    LoaderKind.UNIFIED: "a unified kernel image",
    LoaderKind.OTHER: "an unknown program",
}


@frozen(kw_only=True)
class EfiLoader:
    """A program that UEFI can start.

    Attributes:
        image: the PE file.
        kind: what it is; ``None`` if nothing in it tells.
        is_stub: whether it is the stub of unified kernel images, without a kernel.
        is_kernel: whether it is a Linux kernel.
    """

    image: PeImage = field(repr=False)
    kind: LoaderKind | None
    is_stub: bool = False
    is_kernel: bool = False

    @property
    def machine(self) -> Machine:
        """The processor."""
        assert self.image.machine is not None  # noqa: S101  # parse_loader() checks it
        return self.image.machine


def parse_loader(file: Input) -> EfiLoader:
    """Return the boot loader in a file.

    Raises:
        FormatError: the file is no PE file, is damaged, or is no program that UEFI can start.
    """
    image = parse_pe(file)
    if not image.is_program:
        raise file.fail(
            None,
            "a program for UEFI on " + ", ".join(each.title for each in Machine),
            f"subsystem {image.subsystem}, for {image.machine.title}"
            if image.machine
            else "one for another processor",
        )
    magic = bytes(image.section(b".sdmagic") or b"")
    is_stub = b"systemd-stub" in magic
    kind: LoaderKind | None = None
    content = file.view
    if is_stub:
        kind = LoaderKind.UNIFIED if image.section(b".linux") is not None else None
    elif b"systemd-boot" in magic:
        kind = LoaderKind.SYSTEMD_BOOT
    elif _objects(image) is not None:
        kind = LoaderKind.GRUB
    elif re.search(rb"(^|\n)shim,", bytes(image.section(b".sbat") or b"")):
        kind = LoaderKind.SHIM
    elif re.search(rb"ldlinux\.e(32|64)", content):
        kind = LoaderKind.SYSLINUX
    return EfiLoader(
        image=image,
        kind=kind,
        is_stub=is_stub and kind is None,
        is_kernel=detect(content) is FileKind.BZIMAGE,
    )


def _objects(image: PeImage) -> list[tuple[int, memoryview]] | None:
    """Return type and content of each object in an image of GRUB; ``None`` for other images."""
    section = image.section(_OBJECTS)
    if section is None or len(section) < 24 or bytes(section[:4]) != _OBJECTS_MAGIC:
        return None
    # The fields have the size of a pointer; then they are aligned to that.
    is_wide = image.machine in (Machine.X64, Machine.AA64, Machine.RISCV64)
    offset, size_bytes = struct.unpack_from(
        "<QQ" if is_wide else "<II", section, 8 if is_wide else 4
    )
    end = min(size_bytes, len(section))
    objects: list[tuple[int, memoryview]] = []
    while offset + 8 <= end and len(objects) < _MAX_OBJECTS:
        kind, object_bytes = struct.unpack_from("<II", section, offset)
        if object_bytes < 8:
            break
        objects.append((kind, section[offset + 8 : min(offset + object_bytes, end)]))
        offset += object_bytes
    return objects


def find_grub_menu(loader: EfiLoader) -> bytes | None:
    """Return the path of the menu that an image of GRUB reads, from the top of a file system.

    The file system is the one that GRUB itself was loaded from: the ISO, if firmware started GRUB
    from the image in its boot catalog, or else the EFI system partition.

    Returns:
        ``None`` if the menu is in the image itself.
    """
    objects = dict(reversed(_objects(loader.image) or []))
    prefix = _text(objects.get(_PREFIX))
    script = _text(objects.get(_CONFIG))
    memdisk = _open_memdisk(objects.get(_MEMDISK), loader.image.file)
    device, folder = _split(prefix)
    if device == "memdisk" and not script:
        script = f"normal {prefix}/grub.cfg"
    script = _with_included(script, prefix, memdisk)
    depth = 0
    for line in _statements(script):
        depth += bool(_OPENS.match(line)) - bool(_CLOSES.match(line))
        if depth <= 0 and (match := _SETS_PREFIX.fullmatch(line)):
            device, folder = _split(match[1])
    if device == "memdisk":
        return None
    return "/".join([*folder.strip("/").split("/"), GRUB_MENU.decode()]).lstrip("/").encode()


def find_scripts(loader: EfiLoader) -> tuple[bytes, ...]:
    """Return the scripts inside an image of GRUB: the one that it runs first, and its memdisk's."""
    objects = dict(reversed(_objects(loader.image) or []))
    memdisk = _open_memdisk(objects.get(_MEMDISK), loader.image.file)
    first = _text(objects.get(_CONFIG)).encode()
    scripts = (bytes(data) for path, data in sorted(memdisk.items()) if path.endswith(b".cfg"))
    return tuple(filter(None, (first, *scripts)))


def _with_included(script: str, prefix: str, memdisk: Mapping[bytes, memoryview]) -> str:
    """Return a script with those of the memdisk that it reads in place of the statements."""
    lines: list[str] = []
    pending = list(_statements(script))[::-1]
    included = 0
    while pending:
        line = pending.pop()
        match = _READS.fullmatch(line)
        device, path = _split(match[1].replace("$prefix", prefix)) if match else ("", "")
        name = path.strip("/").lower().encode() if device == "memdisk" else b""
        if name in memdisk and included < _MAX_SCRIPTS:
            included += 1
            pending += list(_statements(_text(memdisk[name])))[::-1]
        else:
            lines.append(line)
    return "\n".join(lines)


def _statements(script: str) -> Iterator[str]:
    for line in re.split(r"[\n;]", script):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield stripped.replace('"', "").replace("'", "")


def _split(place: str) -> tuple[str, str]:
    """Return device and path of a place of GRUB; the device is empty for the current one."""
    for root in _ROOT:
        place = place.replace(f"({root})", "")
    match = _DEVICE.fullmatch(place)
    return (match[1], match[2]) if match else ("", place)


def _text(data: memoryview | bytes | None) -> str:
    """Return a text that a NUL or the end of its object ends."""
    return bytes((data or b"")[:_MAX_SCRIPT_BYTES]).partition(b"\0")[0].decode("utf-8", "replace")


def _open_memdisk(data: memoryview | None, file: Input) -> dict[bytes, memoryview]:
    """Return the files of a memdisk by their paths in lower case, as FAT has no case.

    Of one in a format that is not supported, return none.
    """
    from purekernel.formats.archive import open_archive  # noqa: PLC0415  # 40 ms, with pycdlib

    if data is None:
        return {}
    memdisk = file.unpacked(data, name=f"{file.name}: the memdisk")
    try:
        archive = open_archive(memdisk, name=b"memdisk", metadata=Metadata(mode=0o644))
        nodes = [] if archive is None else list(archive.tree.walk())
        return {
            path.lower(): memoryview(loaded(node.content))
            for path, node in nodes
            if isinstance(node, File) and len(node.content) <= _MAX_SCRIPT_BYTES
        }
    except PurekernelError:
        return {}
