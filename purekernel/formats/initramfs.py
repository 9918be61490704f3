"""Detect which compressions of an initramfs a kernel supports.

The kernel has a table of compressions, each with its decompressor, or NULL if the decompressor is
not configured. Magic and name are always in the table, so that the kernel can print "compression
method xz not configured". Only the error messages of a decompressor show that it is present.

Source: lib/decompress.c, lib/decompress_*.c and init/initramfs.c of Linux; for kernels before
2.6.30, lib/inflate.c.
"""

from __future__ import annotations

from enum import Enum

from purekernel.formats.bzimage import unpack_kernel
from purekernel.input import Input


class Compression(Enum):
    """A compression of an initramfs, with the kernel's name for it."""

    GZIP = "gzip"
    BZIP2 = "bzip2"
    LZMA = "lzma"
    XZ = "xz"
    LZO = "lzo"
    LZ4 = "lz4"
    ZSTD = "zstd"


# The texts of each decompressor. It contains at least one of them, and no other known source file
# of Linux contains any. docs/kernels.md lists the kernels that were tested.
_TEXTS = {
    Compression.GZIP: (
        b"Out of memory while allocating z_stream\0",
        b"bad gzip magic numbers\0",  # before 2.6.30
    ),
    Compression.BZIP2: (b"Data integrity error when decompressing.\0",),
    Compression.LZMA: (
        b"LZMA data is corrupt\0",
        b"Could not allocate input bufer\0",  # older kernels, with this spelling
    ),
    Compression.XZ: (b"XZ-compressed data is corrupt\0",),
    Compression.LZO: (b"dest len longer than block size\0",),
    Compression.LZ4: (b"chunk length is longer than allocated\0",),
    Compression.ZSTD: (b"ZSTD-compressed data is corrupt\0",),
}


def read_compressions(kernel: Input) -> frozenset[Compression] | None:
    """Return the compressions of an initramfs that a bzImage supports.

    Returns:
        ``None`` if they are unknown: ``kernel`` is not a bzImage, its kernel cannot be unpacked, or
        the kernel contains none of the known texts.
    """
    unpacked = unpack_kernel(kernel)
    if unpacked is None:
        return None
    content = bytes(unpacked)
    supported = frozenset(
        compression
        for compression, texts in _TEXTS.items()
        if any(text in content for text in texts)
    )
    return supported or None
