"""Tell from the content of an image how a machine boots it."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path

from purekernel.errors import InputError, PurekernelError, UsageError
from purekernel.formats.booted import Booted, read_booted
from purekernel.formats.bzimage import is_64_bit
from purekernel.formats.detect import FileKind, detect, name_kind
from purekernel.formats.fat import parse_fat
from purekernel.formats.iso import parse_iso
from purekernel.formats.qcow2 import MAGIC as QCOW2_MAGIC
from purekernel.formats.qcow2 import parse_qcow2
from purekernel.host.read import load_file, open_file
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.records import frozen
from purekernel.tree import Buffer, File, Tree, display, loaded

IPXE_SCRIPT = "boot.ipxe"

# Enough to tell any kind, see detect().
_HEAD_BYTES = 33 * 1024
# What a machine needs memory for, where the initrds of an image are not known. Extensions on a disk
# are not loaded into memory.
_MOST_LOADED_BYTES = 64 << 20
_BOOT_CODE_BYTES = 440
_LOADERS = {
    b"efi/boot/bootx64.efi": "x64",
    b"efi/boot/bootia32.efi": "ia32",
    b"efi/boot/bootaa64.efi": "aa64",
    b"efi/boot/bootarm.efi": "arm",
}
# What kernels unpack as an initrd.
_INITRDS = frozenset({
    FileKind.GZIP, FileKind.BZIP2, FileKind.XZ, FileKind.LZMA, FileKind.ZSTD, FileKind.LZ4,
    FileKind.CPIO,
})  # fmt: skip


class Medium(Enum):
    """What a machine boots."""

    CD = "cd"
    DISK = "disk"
    KERNEL = "kernel"
    NETWORK = "network"


@frozen(kw_only=True)
class Bootable:
    """What a machine boots, and what it needs for that.

    Attributes:
        medium: what it is.
        path: the image, the kernel, or the folder of the server's files.
        is_qcow2: whether the image is qcow2; otherwise raw.
        kernel: the kernel to load directly; ``None`` for that of the medium.
        initrds: the initrds to load with ``kernel``, in order.
        is_64_bit: whether its kernel is; ``None`` if that is not known.
        loaded_bytes: the size of the initrds; of the whole image where they are not known.
        loaders: the processors that it has loaders for UEFI for: ``x64``, ``ia32``, ``aa64``,
            ``arm``.
        has_bios_code: whether a BIOS boots it.
    """

    medium: Medium
    path: Path
    is_qcow2: bool = False
    kernel: Path | None = None
    initrds: tuple[Path, ...] = ()
    is_64_bit: bool | None = None
    loaded_bytes: int
    loaders: frozenset[str] = frozenset()
    has_bios_code: bool = True


def find_bootable(
    path: Path | None,
    *,
    kernel: Path | None = None,
    initrds: Sequence[Path] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Bootable:
    """Look at an image, a folder of outputs, or a kernel and initrds.

    Args:
        path: an ISO, a disk image, an initrd, a kernel, or the folder of an output; ``None`` for
            ``kernel`` alone.
        kernel: a kernel to load directly.
        initrds: the initrds to load with it.
        limits: the limits of what is read.

    Raises:
        InputError: a file is missing, unreadable, or nothing that boots.
        FormatError: the image is damaged.
        UsageError: the arguments do not fit one another.
    """
    if kernel is not None and (path is None or _kind(path) in _INITRDS):
        return _kernel(kernel, initrds if path is None else (path, *initrds))
    if path is None:
        raise UsageError("nothing to boot is named", hint="name an image, or --kernel FILE")
    found = _folder(path, initrds) if path.is_dir() else _file(path, initrds, limits)
    if kernel is None:
        if initrds and found.kernel is None:
            raise UsageError(
                "--initrd is for a kernel that is loaded directly", hint="add --kernel FILE"
            )
        return found
    direct = _kernel(kernel, initrds)
    return Bootable(
        medium=found.medium, path=found.path, is_qcow2=found.is_qcow2, kernel=kernel,
        initrds=direct.initrds, is_64_bit=direct.is_64_bit, loaded_bytes=direct.loaded_bytes,
    )  # fmt: skip


def _kind(path: Path) -> FileKind | None:
    return None if path.is_dir() else detect(_head(path))


def _head(path: Path) -> bytes:
    with open_file(path) as stream:
        return stream.read(_HEAD_BYTES)


def _file(path: Path, initrds: Sequence[Path], limits: Limits) -> Bootable:
    head = _head(path)
    kind = detect(head)
    if kind is FileKind.ISO:
        return _iso(path, limits)
    if head.startswith(QCOW2_MAGIC):
        disk = parse_qcow2(_map(path, limits))
        start = next((part.content for part in disk.parts if not part.offset), b"")
        return _disk(path, bytes(loaded(start)[:_HEAD_BYTES]), is_qcow2=True)
    if kind is FileKind.BZIMAGE:
        return _kernel(path, initrds)
    if kind in _INITRDS:
        raise InputError(
            f"{path} is {kind.description}, which boots only as the initrd of a kernel",
            hint="add --kernel FILE, or unpack the image in it first",
            file=path,
        )
    if kind is FileKind.FAT or (head[510:512] == b"\x55\xaa" and not head.startswith(b"MZ")):
        return _disk(path, head, is_qcow2=False)
    raise InputError(
        f"{path} is {name_kind(head) or 'a file of an unknown kind'}, which no machine boots",
        hint="name an ISO, a disk image, a kernel, or a folder of --emit core or pxe",
        file=path,
    )


def _map(path: Path, limits: Limits) -> Input:
    """Return a file of any size as an input; only what is looked at is read."""
    with open_file(path) as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return Input(memoryview(data), name=str(path), limits=limits)


def _disk(path: Path, start: bytes, *, is_qcow2: bool) -> Bootable:
    """Describe a disk image by its first bytes: a BIOS boots it if it has code in its MBR."""
    return Bootable(
        medium=Medium.DISK,
        path=path,
        is_qcow2=is_qcow2,
        loaded_bytes=min(path.stat().st_size, _MOST_LOADED_BYTES),
        has_bios_code=any(start[:_BOOT_CODE_BYTES]),
    )


def _iso(path: Path, limits: Limits) -> Bootable:
    image = parse_iso(_map(path, limits))
    booted = None
    if image.boot is not None:
        with suppress(PurekernelError):  # the menu of another loader
            booted = read_booted(image.tree, image.boot.boot_image)
    kernels = list(_kernels(image.tree, booted))
    sizes = [] if booted is None else [_size(image.tree, name) for name in booted.initrds]
    size_bytes = path.stat().st_size
    return Bootable(
        medium=Medium.CD,
        path=path,
        is_64_bit=is_64_bit(kernels[0]) if kernels else None,
        loaded_bytes=sum(sizes) or min(size_bytes, _MOST_LOADED_BYTES),
        loaders=frozenset(_loaders(image.tree, limits)),
        has_bios_code=image.boot is not None,
    )


def _kernels(tree: Tree, booted: Booted | None) -> Iterator[Buffer]:
    """Yield the kernel that boots by default, or else all, those in boot/ first."""
    paths = [path for path, _node in tree.walk()] if booted is None else [booted.kernel]
    for path in sorted(paths, key=lambda path: not path.startswith(b"boot/")):
        node = tree.get(path)
        if isinstance(node, File) and detect(node.content[:_HEAD_BYTES]) is FileKind.BZIMAGE:
            yield node.content


def _size(tree: Tree, path: bytes) -> int:
    node = tree.get(path)
    return len(node.content) if isinstance(node, File) else 0


def _loaders(tree: Tree, limits: Limits) -> Iterator[str]:
    """Yield the processors of the UEFI loaders in FAT images of an ISO, and on the ISO itself."""
    for path, node in tree.walk():
        if loader := _LOADERS.get(path.lower()):
            yield loader
        if not isinstance(node, File) or detect(node.content[:_HEAD_BYTES]) is not FileKind.FAT:
            continue
        with suppress(PurekernelError):  # damaged, or none after all
            inner = parse_fat(Input(node.content, name=display(path), limits=limits))
            names = [name.lower() for name, _node in inner.walk()]
            yield from (_LOADERS[name] for name in names if name in _LOADERS)


def _folder(path: Path, initrds: Sequence[Path]) -> Bootable:
    """Describe a folder of outputs: of a server's files, or of a kernel and initrds."""
    if (path / IPXE_SCRIPT).is_file():
        files = [each for each in path.rglob("*") if each.is_file()]
        kernels = [each for each in files if _kind(each) is FileKind.BZIMAGE]
        return Bootable(
            medium=Medium.NETWORK,
            path=path,
            is_64_bit=is_64_bit(load_file(kernels[0])) if kernels else None,
            loaded_bytes=sum(each.stat().st_size for each in files),
        )
    files = sorted(each for each in path.iterdir() if each.is_file())
    kinds = {each: _kind(each) for each in files}
    kernels = [each for each in files if kinds[each] is FileKind.BZIMAGE]
    found = [each for each in files if kinds[each] in _INITRDS and each not in initrds]
    if len(kernels) != 1 or (not initrds and len(found) != 1):
        raise InputError(
            f"{path} must have one kernel and one initrd, got {len(kernels)} and {len(found)}",
            hint="name the files: --kernel FILE --initrd FILE, with --initrd again for each more, "
            "in order",
            file=path,
        )
    return _kernel(kernels[0], initrds or found)


def _kernel(kernel: Path, initrds: Sequence[Path]) -> Bootable:
    data = load_file(kernel)
    if detect(data) is not FileKind.BZIMAGE:
        raise InputError(
            f"{kernel} is {name_kind(data) or 'a file of an unknown kind'}, not a Linux kernel for "
            "x86",
            hint="name a kernel, such as vmlinuz or vmlinuz64",
            file=kernel,
        )
    for initrd in initrds:
        if _kind(initrd) not in _INITRDS:
            raise InputError(
                f"{initrd} is not an initrd: a cpio archive, mostly compressed",
                hint="name an initrd, such as core.gz",
                file=initrd,
            )
    return Bootable(
        medium=Medium.KERNEL,
        path=kernel,
        kernel=kernel,
        initrds=tuple(initrds),
        is_64_bit=is_64_bit(data),
        loaded_bytes=sum(each.stat().st_size for each in initrds),
    )
