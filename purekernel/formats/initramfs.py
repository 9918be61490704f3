"""What a kernel can unpack of an initramfs.

The kernel has a table of compressions, each with the function that undoes it, or none where that
one was not configured. Magic and name stand in the table either way, so that the kernel can say
"compression method xz not configured". What does tell are the errors that only the function itself
reports.

Source: lib/decompress.c, lib/decompress_*.c and init/initramfs.c of Linux; for kernels before
2.6.30, lib/inflate.c.
"""

from __future__ import annotations

from enum import Enum

from purekernel.formats.bzimage import unpack_kernel
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.tree import Buffer


class Compression(Enum):
    """What an initramfs may be compressed with, under the kernel's own names."""

    GZIP = "gzip"
    BZIP2 = "bzip2"
    LZMA = "lzma"
    XZ = "xz"
    LZO = "lzo"
    LZ4 = "lz4"
    ZSTD = "zstd"


# Of each, texts of which its decompressor has one at least, and no other source of Linux any that
# is known. What kernels this was held against is in docs/kernels.md.
_TEXTS = {
    Compression.GZIP: (
        b"Out of memory while allocating z_stream\0",
        b"bad gzip magic numbers\0",  # before 2.6.30
    ),
    Compression.BZIP2: (b"Data integrity error when decompressing.\0",),
    Compression.LZMA: (
        b"LZMA data is corrupt\0",
        b"Could not allocate input bufer\0",  # older kernels, and spelt so
    ),
    Compression.XZ: (b"XZ-compressed data is corrupt\0",),
    Compression.LZO: (b"dest len longer than block size\0",),
    Compression.LZ4: (b"chunk length is longer than allocated\0",),
    Compression.ZSTD: (b"ZSTD-compressed data is corrupt\0",),
}


def read_compressions(
    kernel: Buffer, *, source: str = "the kernel", limits: Limits = DEFAULT_LIMITS
) -> frozenset[Compression] | None:
    """Return the compressions of an initramfs that a bzImage can undo.

    Returns:
        ``None`` where that cannot be told: it is no bzImage, the kernel in it cannot be unpacked,
        or nothing in it is known.
    """
    unpacked = unpack_kernel(kernel, source=source, limits=limits)
    if unpacked is None:
        return None
    content = bytes(unpacked)
    found = frozenset(
        compression
        for compression, texts in _TEXTS.items()
        if any(text in content for text in texts)
    )
    return found or None
