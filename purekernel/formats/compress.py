"""Compress an initramfs as the kernel undoes it; gzip is the business of :mod:`purekernel.encode`.

The same library gives the same bytes every time, another release of it may give others.

Source: lib/decompress_unxz.c, lib/xz/xz_dec_stream.c, lib/decompress_unzstd.c and
lib/decompress_unlz4.c of Linux; Documentation/staging/xz.rst.
"""

from __future__ import annotations

import lzma

from purekernel.errors import UsageError
from purekernel.formats.initramfs import Compression
from purekernel.formats.lz4 import build_lz4
from purekernel.tree import Buffer

# How far back xz and zstd look, and so what the kernel allocates beside the image while it unpacks:
# what every zstd decoder must give (RFC 8878, 3.1.1.1.2), and more than a core of some MB can use.
WINDOW_BYTES = 8 << 20
# Less than this is no dictionary of LZMA2.
_LEAST_DICTIONARY_BYTES = 4096
# The strongest that needs no window beyond the above; 20 to 22 gain 0.01 % in twice the time.
_ZSTD_LEVEL = 19

# What is written for a kernel that takes it, the smallest first.
_SMALLEST_FIRST = (Compression.XZ, Compression.ZSTD, Compression.GZIP, Compression.LZ4)
_WRITTEN = "gzip, xz, zstd or lz4"


def choose_compression(taken: frozenset[Compression] | None) -> Compression:
    """Return what makes the smallest core for a kernel.

    Args:
        taken: the compressions that it takes; ``None``, and gzip is chosen, where that is unknown.

    Raises:
        UsageError: it is known to take none that is written here.
    """
    if taken is None:
        return Compression.GZIP
    for compression in _SMALLEST_FIRST:
        if compression in taken:
            return compression
    raise UsageError(
        f"the kernel cannot unpack a core that is compressed with anything written here: "
        f"it takes {_names(taken)}",
        hint=f"use a base ISO whose kernel takes {_WRITTEN}",
    )


def check_taken(compression: Compression, taken: frozenset[Compression] | None) -> None:
    """Refuse a compression that a kernel is known not to take.

    Raises:
        UsageError: ``taken``, the compressions that it takes, is known and lacks it.
    """
    if taken is not None and compression not in taken:
        raise UsageError(
            f"the kernel cannot unpack a core that is compressed with {compression.value}: "
            f"it takes {_names(taken)}",
            hint="choose auto, which is the smallest that the kernel takes",
        )


def compress(archive: Buffer, compression: Compression) -> bytes:
    """Return ``archive`` compressed with xz, zstd or LZ4.

    Raises:
        UsageError: it is another compression.
    """
    if compression is Compression.XZ:
        return build_xz(archive)
    if compression is Compression.ZSTD:
        return build_zstd(archive)
    if compression is Compression.LZ4:
        return build_lz4(archive)
    raise UsageError(
        f"a core cannot be compressed with {compression.value}: nothing here writes that",
        hint=f"choose {_WRITTEN}",
    )


def build_xz(data: Buffer) -> bytes:
    """Return one stream of xz, of one block, as small as LZMA2 makes it.

    With a CRC32, the one check that every kernel's decoder has; without a filter for machine code,
    of which a kernel may have been configured without.
    """
    least = max(_LEAST_DICTIONARY_BYTES, min(WINDOW_BYTES, len(memoryview(data))))
    # The kernel allocates all of the dictionary, also for less data than fits in.
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
    """Return one frame of zstd, with its size in front and a checksum behind.

    The kernel verifies the checksum, so that a core damaged on its way is refused.
    """
    from purekernel.formats.zstd import CompressionParameter  # noqa: PLC0415  # as it says there
    from purekernel.formats.zstd import compress as compress_zstd  # noqa: PLC0415

    options: dict[int, int] = {
        CompressionParameter.compression_level: _ZSTD_LEVEL,
        CompressionParameter.window_log: (WINDOW_BYTES - 1).bit_length(),
        CompressionParameter.content_size_flag: 1,
        CompressionParameter.checksum_flag: 1,
    }
    return compress_zstd(data, options=options)


def _names(taken: frozenset[Compression]) -> str:
    return ", ".join(item.value for item in Compression if item in taken)
