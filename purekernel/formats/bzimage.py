"""Read the release of a Linux kernel image for x86 (bzImage), and unpack its kernel.

Source: Documentation/arch/x86/boot.rst of Linux, "The Real-Mode Kernel Header";
arch/x86/boot/compressed/Makefile and scripts/Makefile.lib for the bytes after the payload.
"""

from __future__ import annotations

import struct

from purekernel.errors import FormatError
from purekernel.formats.compression import is_compressed, unpack
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.gzip import parse_member
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.tree import Buffer

_SECTOR_BYTES = 512
_SETUP_SECTORS_OFFSET = 0x1F1
# The meaning of 0 in that field.
_DEFAULT_SETUP_SECTORS = 4
_MAGIC_OFFSET, _MAGIC = 0x202, b"HdrS"
_VERSION_OFFSET = 0x206
# The first boot protocol whose header has the location of the payload.
_HAS_PAYLOAD_FIELDS = 0x0208
_PAYLOAD_OFFSET = 0x248
_VERSION_POINTER_OFFSET = 0x20E
# The pointer counts from the end of the boot sector.
_POINTER_BASE = 0x200
# The limit of the version text, "6.1.0-13-amd64 (debian-kernel@…) #1 SMP …", which is much shorter.
_MOST_VERSION_BYTES = 512
# How many occurrences of the gzip magic to try in a kernel without payload fields. The payload is
# among the first; a hostile file may contain very many.
_MOST_ATTEMPTS = 8


def kernel_release(kernel: Buffer) -> str | None:
    """Return the release of a bzImage, such as ``3.0.3-tinycore``.

    Returns:
        ``None`` if ``kernel`` is not a bzImage or has no valid release.
    """
    view = memoryview(kernel)
    if not _is_bzimage(view):
        return None
    (pointer,) = struct.unpack_from("<H", view, _VERSION_POINTER_OFFSET)
    if not pointer:
        return None
    start = pointer + _POINTER_BASE
    text, nul, _rest = bytes(view[start : start + _MOST_VERSION_BYTES]).partition(b"\0")
    release = text.split(b" ")[0]
    if not nul or not release or not release.isascii() or b"/" in release:
        return None
    return release.decode("ascii")


def unpack_kernel(
    kernel: Buffer, *, source: str = "the kernel", limits: Limits = DEFAULT_LIMITS
) -> Buffer | None:
    """Return the kernel that a bzImage unpacks when it starts: its code and data.

    Supports gzip, bzip2, lzma, xz, zstd and LZ4.

    Returns:
        ``None`` if ``kernel`` is not a bzImage, has another compression (LZO), is damaged, or
        unpacks to more than ``limits`` allow.
    """
    view = memoryview(kernel)
    if not _is_bzimage(view):
        return None
    sectors = view[_SETUP_SECTORS_OFFSET] or _DEFAULT_SETUP_SECTORS
    protected = view[(sectors + 1) * _SECTOR_BYTES :]
    (version,) = struct.unpack_from("<H", view, _VERSION_OFFSET)
    try:
        if version < _HAS_PAYLOAD_FIELDS or len(view) < _PAYLOAD_OFFSET + 8:
            return _find_payload(protected, source, limits)
        offset, size_bytes = struct.unpack_from("<II", view, _PAYLOAD_OFFSET)
        payload = protected[offset : offset + size_bytes]
        return _unpack_payload(payload, source, limits) if len(payload) == size_bytes else None
    except FormatError:
        return None


def _is_bzimage(view: memoryview) -> bool:
    return (
        len(view) >= _VERSION_POINTER_OFFSET + 2
        and bytes(view[_MAGIC_OFFSET : _MAGIC_OFFSET + len(_MAGIC)]) == _MAGIC
    )


def _unpack_payload(payload: memoryview, source: str, limits: Limits) -> Buffer | None:
    if bytes(payload[:2]) == GZIP_MAGIC:
        return parse_member(Input(payload, name=source, limits=limits)).content
    # After other compressions the build appends the unpacked size; a gzip file ends with it anyway.
    if len(payload) < 4:
        return None
    (size_bytes,) = struct.unpack_from("<I", payload, len(payload) - 4)
    stream = payload[:-4]
    if not is_compressed(stream):
        return None
    unpacked = unpack(Input(stream, name=source, limits=limits))
    return unpacked if len(unpacked) & 0xFFFFFFFF == size_bytes else None


def _find_payload(protected: memoryview, source: str, limits: Limits) -> Buffer | None:
    """Return the content of the first valid gzip file; older kernels have no other compression."""
    content = bytes(protected)
    offset = -1
    for _attempt in range(_MOST_ATTEMPTS):
        offset = content.find(GZIP_MAGIC + b"\x08", offset + 1)
        if offset < 0:
            return None
        try:
            return parse_member(Input(content, name=source, limits=limits), offset).content
        except FormatError:
            continue
    return None
