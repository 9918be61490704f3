"""Compress an initramfs with xz, zstd or LZ4 so that the kernel can unpack it.

For gzip see :mod:`purekernel.encode`. The same release of a compression library always gives the
same bytes; another release may give other bytes.

Source: lib/decompress_unxz.c, lib/xz/xz_dec_stream.c, lib/decompress_unzstd.c and
lib/decompress_unlz4.c of Linux; Documentation/staging/xz.rst.
"""

from __future__ import annotations

import lzma

from purekernel.errors import UsageError
from purekernel.formats import zstd
from purekernel.formats.initramfs import Compression
from purekernel.formats.lz4 import build_lz4, require_lz4
from purekernel.tree import Buffer

# The window of xz and zstd, which the kernel allocates in addition to the image while it unpacks.
# Every zstd decoder must support 8 MiB (RFC 8878, 3.1.1.1.2), and a core of some MB needs no more.
WINDOW_BYTES = 8 << 20
# The minimum dictionary of LZMA2.
_LEAST_DICTIONARY_BYTES = 4096
# The highest level that needs no larger window; 20 to 22 gain 0.01 % in twice the time.
_ZSTD_LEVEL = 19

# The compressions that purekernel writes, the smallest result first.
_SMALLEST_FIRST = (Compression.XZ, Compression.ZSTD, Compression.GZIP, Compression.LZ4)
_WRITTEN = "gzip, xz, zstd or lz4"


def choose_compression(taken: frozenset[Compression] | None) -> Compression:
    """Return the compression that makes the smallest core for a kernel.

    Args:
        taken: the compressions that the kernel supports; ``None`` if unknown, which selects gzip.

    Raises:
        UsageError: the kernel supports no compression that purekernel writes.
        LibraryError: the kernel supports only LZ4, and the optional package for it is missing.
    """
    if taken is None:
        return Compression.GZIP
    for compression in _SMALLEST_FIRST:
        if compression in taken:
            _check_library(compression)
            return compression
    raise UsageError(
        f"the kernel must support a compression that purekernel writes ({_WRITTEN}), "
        f"got {_names(taken)}",
        hint=f"use a base ISO whose kernel supports {_WRITTEN}",
    )


def check_taken(compression: Compression, taken: frozenset[Compression] | None) -> None:
    """Check that a kernel supports a compression, and that purekernel can write it.

    Raises:
        UsageError: ``taken``, the compressions that the kernel supports, is known and lacks it.
        LibraryError: the optional package that the compression needs is missing.
    """
    if taken is not None and compression not in taken:
        raise UsageError(
            f"the kernel cannot unpack a core compressed with {compression.value}: "
            f"it supports {_names(taken)}",
            hint="use auto, the smallest compression that the kernel supports",
        )
    _check_library(compression)


def _check_library(compression: Compression) -> None:
    if compression is Compression.LZ4:
        require_lz4()


def compress(archive: Buffer, compression: Compression) -> bytes:
    """Return ``archive`` compressed with xz, zstd or LZ4.

    Raises:
        UsageError: ``compression`` is another one.
    """
    if compression is Compression.XZ:
        return build_xz(archive)
    if compression is Compression.ZSTD:
        return build_zstd(archive)
    if compression is Compression.LZ4:
        return build_lz4(archive)
    raise UsageError(
        f"the compression of a core must be {_WRITTEN}, got {compression.value}",
        hint=f"choose {_WRITTEN}",
    )


def build_xz(data: Buffer) -> bytes:
    """Return ``data`` as one xz stream of one block, at the highest level of LZMA2.

    The stream has a CRC32, the only check that every kernel supports. It has no filter for machine
    code, because a kernel may be configured without it.
    """
    least = max(_LEAST_DICTIONARY_BYTES, min(WINDOW_BYTES, len(memoryview(data))))
    # The kernel always allocates the whole dictionary, so it is no larger than the data needs.
    dictionary_bytes = 1 << (least - 1).bit_length()
    filters = [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": 9 | lzma.PRESET_EXTREME,
            "dict_size": dictionary_bytes,
        }
    ]
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)


def build_zstd(data: Buffer) -> bytes:
    """Return ``data`` as one zstd frame with its size and a checksum.

    The kernel verifies the checksum, and so refuses a damaged core.
    """
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: _ZSTD_LEVEL,
        zstd.CompressionParameter.window_log: (WINDOW_BYTES - 1).bit_length(),
        zstd.CompressionParameter.content_size_flag: 1,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    return zstd.compress(data, options=options)


def _names(taken: frozenset[Compression]) -> str:
    return ", ".join(item.value for item in Compression if item in taken)
