"""Unpack single squashfs blocks, each within the size that the image states.

PySquashfsImage's own decompressors have no bound, and its one for lz4 expects a framing
that squashfs does not use.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable

from purekernel.errors import FormatError
from purekernel.formats.lz4 import parse_block
from purekernel.tree import Buffer

Unpacker = Callable[[Buffer, int], bytes]
"""Takes a packed block and the most bytes it may unpack to; may return one byte more."""

# The dictionary of an xz block is at most the block, 1 MiB; decoders need little besides.
# Without a bound, a header of a few bytes could ask for 4 GiB.
XZ_MEMORY_BYTES = 1 << 26

# Source: squashfs_fs.h of squashfs-tools.
NAMES = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
GZIP, XZ, LZ4, ZSTD = 1, 4, 5, 6

ERRORS = (zlib.error, lzma.LZMAError, EOFError, ValueError)


def unpacker(compression: int, *, source: str) -> Unpacker:
    """Return what unpacks blocks of the kind that the superblock names.

    Raises:
        FormatError: purekernel has nothing for it.
    """
    if compression == GZIP:
        return _unpack_gzip
    if compression == XZ:
        return _unpack_xz
    if compression == LZ4:
        return parse_block
    if compression == ZSTD:
        return _unpack_zstd
    raise FormatError(
        source=source,
        offset=20,
        expected="blocks compressed with gzip, xz, lz4 or zstd",
        got=NAMES.get(compression, f"compression {compression}"),
        hint="make it again with 'mksquashfs -comp gzip -b 4096', which Tiny Core loads",
    )


def _unpack_gzip(data: Buffer, most_bytes: int) -> bytes:
    inflater = zlib.decompressobj()
    unpacked = inflater.decompress(data, most_bytes + 1)
    if not inflater.eof and len(unpacked) <= most_bytes:
        raise EOFError("the block ends early")
    return unpacked


def _unpack_xz(data: Buffer, most_bytes: int) -> bytes:
    stream = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)
    unpacked = stream.decompress(data, most_bytes + 1)
    if not stream.eof and len(unpacked) <= most_bytes:
        raise EOFError("the block ends early")
    return unpacked


def _unpack_zstd(data: Buffer, most_bytes: int) -> bytes:
    from purekernel.formats.zstd import ZstdDecompressor, ZstdError  # noqa: PLC0415  # rare

    stream = ZstdDecompressor()
    try:
        unpacked = stream.decompress(data, most_bytes + 1)
    except ZstdError as error:
        raise EOFError(str(error)) from None
    if not stream.eof and len(unpacked) <= most_bytes:
        raise EOFError("the block ends early")
    return unpacked
