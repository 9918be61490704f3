"""Read header and release of a Linux kernel image for x86 (bzImage), and unpack its kernel.

Source: Documentation/arch/x86/boot.rst of Linux, "The Real-Mode Kernel Header";
arch/x86/boot/compressed/Makefile and scripts/Makefile.lib for the bytes after the payload.
"""

from __future__ import annotations

import struct

from purekernel.errors import FormatError
from purekernel.formats.compression import COMPRESSED, unpack
from purekernel.formats.detect import FileKind, detect, name_kind
from purekernel.formats.gzip import parse_member
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer

_SECTOR_BYTES = 512
_SETUP_SECTORS_OFFSET = 0x1F1
# The meaning of 0 in that field.
_DEFAULT_SETUP_SECTORS = 4
_VERSION_OFFSET = 0x206
# The first boot protocol whose header has the location of the payload.
_HAS_PAYLOAD_FIELDS = 0x0208
_PAYLOAD_OFFSET = 0x248
_VERSION_POINTER_OFFSET = 0x20E
# The first boot protocol with xloadflags, and the flag XLF_KERNEL_64 in it.
_HAS_LOAD_FLAGS = 0x020C
_LOAD_FLAGS_OFFSET = 0x236
_KERNEL_64 = 1
# The end of the header's last field that is read, init_size.
_HEADER_END = 0x264
_HIGH_MEMORY = 1 << 20
# Of protocols that do not say it.
_OLD_INITRD_LIMIT, _OLD_WORDS_BYTES = 0x38000000, 255
# The pointer counts from the end of the boot sector.
_POINTER_BASE = 0x200
# The limit of the version text, "6.1.0-13-amd64 (debian-kernel@…) #1 SMP …", which is much shorter.
_MOST_VERSION_BYTES = 512
# How many occurrences of the gzip magic to try in a kernel without payload fields. The payload is
# among the first; a hostile file may contain very many.
_MOST_ATTEMPTS = 8


@frozen(kw_only=True)
class BootHeader:
    """What a boot loader must know of a bzImage.

    Attributes:
        setup_sectors: the size of the boot sector and the real-mode code, in sectors of 512 bytes.
        is_high: whether the rest is loaded to 1 MiB, as it is of every bzImage.
        has_command_line: whether its command line can be anywhere below 640 KiB: boot protocol
            2.02, since Linux 2.4.
        max_words_bytes: the size of the longest command line.
        initrd_limit: the first byte after the memory that initrds may have.
        needed_end: the first byte after the memory that the kernel needs while it unpacks itself.
        protocol: major and minor version of the boot protocol, such as (2, 10).
    """

    setup_sectors: int
    is_high: bool
    has_command_line: bool
    max_words_bytes: int
    initrd_limit: int
    needed_end: int
    protocol: tuple[int, int]


def parse_boot_header(file: Input) -> BootHeader:
    """Return what a boot loader must know of a bzImage.

    Raises:
        FormatError: ``file`` is not a bzImage.
    """
    view = file.view
    if not _is_bzimage(view) or len(view) < _HEADER_END:
        kind = name_kind(view)
        start = bytes(view[0x202:0x206]).hex(" ") or "the end of the file"
        raise file.fail_kind(0x202, "a Linux kernel for x86 (48 64 72 53)", kind, start)
    (version,) = struct.unpack_from("<H", view, _VERSION_OFFSET)
    setup_sectors = (view[_SETUP_SECTORS_OFFSET] or _DEFAULT_SETUP_SECTORS) + 1
    needed_end = _HIGH_MEMORY + len(view) - setup_sectors * _SECTOR_BYTES
    initrd_limit, max_words_bytes = _OLD_INITRD_LIMIT, _OLD_WORDS_BYTES
    if version >= 0x0203:
        initrd_limit = struct.unpack_from("<I", view, 0x22C)[0] + 1
    if version >= 0x0206:
        (max_words_bytes,) = struct.unpack_from("<I", view, 0x238)
    if version >= 0x020A:
        preferred, size_bytes = struct.unpack_from("<QI", view, 0x258)
        needed_end = max(needed_end, max(preferred, _HIGH_MEMORY) + size_bytes)
    return BootHeader(
        setup_sectors=setup_sectors,
        is_high=bool(view[0x211] & 1),
        has_command_line=version >= 0x0202,
        max_words_bytes=max_words_bytes,
        initrd_limit=initrd_limit,
        needed_end=needed_end,
        protocol=(version >> 8, version & 0xFF),
    )


def kernel_release(kernel: Buffer) -> str | None:
    """Return the release of a bzImage, such as ``3.0.3-tinycore``.

    Returns:
        ``None`` if ``kernel`` is not a bzImage or has no valid release.
    """
    text = kernel_version(kernel)
    release = b"" if text is None else text.split(b" ")[0]
    if not release or not release.isascii() or b"/" in release:
        return None
    return release.decode("ascii")


def kernel_version(kernel: Buffer) -> bytes | None:
    """Return the version of a bzImage, such as ``3.0.3-tinycore (root@box) #3393 SMP ...``.

    Returns:
        ``None`` if ``kernel`` is not a bzImage or has no version.
    """
    view = memoryview(kernel)
    if not _is_bzimage(view):
        return None
    (pointer,) = struct.unpack_from("<H", view, _VERSION_POINTER_OFFSET)
    if not pointer:
        return None
    start = pointer + _POINTER_BASE
    text, nul, _rest = bytes(view[start : start + _MOST_VERSION_BYTES]).partition(b"\0")
    return text if nul else None


def payload_kind(file: Input) -> FileKind | None:
    """Return how the kernel in a bzImage is compressed; ``None`` if its header does not say."""
    view = file.view
    if not _is_bzimage(view) or len(view) < _PAYLOAD_OFFSET + 8:
        return None
    (version,) = struct.unpack_from("<H", view, _VERSION_OFFSET)
    if version < _HAS_PAYLOAD_FIELDS:
        return None
    sectors = view[_SETUP_SECTORS_OFFSET] or _DEFAULT_SETUP_SECTORS
    (offset,) = struct.unpack_from("<I", view, _PAYLOAD_OFFSET)
    return detect(view[(sectors + 1) * _SECTOR_BYTES + offset :])


def is_64_bit(kernel: Buffer) -> bool:
    """Return whether a bzImage is known to be a 64-bit kernel, which says so since Linux 3.8."""
    view = memoryview(kernel)
    if not _is_bzimage(view) or len(view) < _LOAD_FLAGS_OFFSET + 2:
        return False
    (version,) = struct.unpack_from("<H", view, _VERSION_OFFSET)
    (flags,) = struct.unpack_from("<H", view, _LOAD_FLAGS_OFFSET)
    return version >= _HAS_LOAD_FLAGS and bool(flags & _KERNEL_64)


def unpack_kernel(file: Input) -> Buffer | None:
    """Return the kernel that a bzImage unpacks when it starts: its code and data.

    Supports gzip, bzip2, lzma, xz, zstd and LZ4.

    Returns:
        ``None`` if ``file`` is not a bzImage, has another compression (LZO), is damaged, or unpacks
        to more than the limit.
    """
    view = file.view
    if not _is_bzimage(view):
        return None
    sectors = view[_SETUP_SECTORS_OFFSET] or _DEFAULT_SETUP_SECTORS
    protected = file.part((sectors + 1) * _SECTOR_BYTES)
    (version,) = struct.unpack_from("<H", view, _VERSION_OFFSET)
    try:
        if version < _HAS_PAYLOAD_FIELDS or len(view) < _PAYLOAD_OFFSET + 8:
            return _find_payload(protected)
        offset, size_bytes = struct.unpack_from("<II", view, _PAYLOAD_OFFSET)
        payload = protected.part(offset, offset + size_bytes)
        return _unpack_payload(payload) if len(payload) == size_bytes else None
    except FormatError:
        return None


def _is_bzimage(view: memoryview) -> bool:
    return detect(view) is FileKind.BZIMAGE and len(view) >= _VERSION_POINTER_OFFSET + 2


def _unpack_payload(payload: Input) -> Buffer | None:
    if detect(payload.data) is FileKind.GZIP:
        return parse_member(payload).content
    # After other compressions the build appends the unpacked size; a gzip file ends with it anyway.
    if len(payload) < 4:
        return None
    (size_bytes,) = struct.unpack_from("<I", payload.view, len(payload) - 4)
    stream = payload.part(0, -4)
    if detect(stream.data) not in COMPRESSED:
        return None
    unpacked = unpack(stream)
    return unpacked if len(unpacked) & 0xFFFFFFFF == size_bytes else None


def _find_payload(protected: Input) -> Buffer | None:
    """Return the content of the first valid gzip file; older kernels have no other compression."""
    content = bytes(protected.data)
    offset = -1
    for _attempt in range(_MOST_ATTEMPTS):
        offset = content.find(FileKind.GZIP.magic + b"\x08", offset + 1)
        if offset < 0:
            return None
        try:
            return parse_member(protected, offset).content
        except FormatError:
            continue
    return None
