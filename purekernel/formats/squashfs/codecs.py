"""Compress and decompress the blocks of a squashfs image."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable

from purekernel.formats import zstd
from purekernel.formats.lz4 import build_block, parse_block, require_lz4
from purekernel.formats.squashfs.layout import METADATA_BYTES
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer

Pack = Callable[[bytes], bytes]
"""Compress one block. The result is deterministic. The callable must be picklable, because an
executor may run it in another process. If the result is not smaller than the block, the block is
stored uncompressed."""

Unpacker = Callable[[Buffer, int], bytes]
"""Decompress a block. Arguments: the compressed block and the maximum size of the result in bytes.
The result may be one byte longer than the maximum, so that the caller sees the overrun."""


# The dictionary of an xz block is no larger than the block, 1 MiB; a decoder needs little more.
# Without a limit, a header of a few bytes could request 4 GiB.
XZ_MEMORY_BYTES = 1 << 26


# Source: squashfs_fs.h of squashfs-tools.
NAMES = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
GZIP, XZ, LZ4, ZSTD = 1, 4, 5, 6
ERRORS = (zlib.error, lzma.LZMAError, EOFError, ValueError)


@frozen(kw_only=True)
class Codec:
    """A compression method for the blocks of an image.

    Attributes:
        compression: the compression number in the superblock.
        pack: compresses a block.
        options: the compressor options that follow the superblock; empty for none.
    """

    compression: int
    pack: Pack
    options: bytes = b""


@frozen(kw_only=True)
class XzPacker:
    """Compress blocks with xz and a dictionary of one block, as much as the kernel allocates.

    The stream has a CRC32, as mksquashfs writes. It has no filters for machine code, because a
    kernel may be configured without them.

    Source: fs/squashfs/xz_wrapper.c of Linux.

    Attributes:
        block_bytes: the image's block size.
        is_extreme: whether to use the "extreme" preset, which takes about twice the time.
    """

    block_bytes: int
    is_extreme: bool = True

    def __call__(self, block: bytes) -> bytes:
        """Return ``block`` as one xz stream."""
        filters = [
            {
                "id": lzma.FILTER_LZMA2,
                "preset": 9 | (lzma.PRESET_EXTREME if self.is_extreme else 0),
                "dict_size": max(self.block_bytes, METADATA_BYTES),
            }
        ]
        return lzma.compress(block, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)


@frozen(kw_only=True)
class ZstdPacker:
    """Compress blocks with zstd and a window of one block, which is what the kernel allocates.

    Attributes:
        level: 1 (fastest) to 22 (smallest).
    """

    level: int = 19

    def __call__(self, block: bytes) -> bytes:
        """Return ``block`` as one frame, without a checksum."""
        return bytes(zstd.compress(block, self.level))


# The compressor options that the kernel requires for LZ4: the stream version, and a flag for the
# slow encoder, which readers ignore. (Source: fs/squashfs/lz4_wrapper.c of Linux.)
_LZ4_OPTIONS = struct.Struct("<II")
_LZ4_LEGACY, _LZ4_SLOW = 1, 1


@frozen(kw_only=True)
class Lz4Packer:
    """Compress blocks with LZ4, without a frame.

    Attributes:
        is_small: whether to use the slow encoder, which makes smaller blocks.
    """

    is_small: bool = True

    def __call__(self, block: bytes) -> bytes:
        """Return ``block`` as one LZ4 block."""
        return build_block(block, is_small=self.is_small)


def lz4_codec(*, is_small: bool = True) -> Codec:
    """Return the codec for LZ4."""
    return Codec(
        compression=LZ4,
        pack=Lz4Packer(is_small=is_small),
        options=_LZ4_OPTIONS.pack(_LZ4_LEGACY, _LZ4_SLOW if is_small else 0),
    )


def xz_codec(block_bytes: int, *, is_extreme: bool = True) -> Codec:
    """Return the codec for xz with blocks of at most ``block_bytes``."""
    return Codec(compression=XZ, pack=XzPacker(block_bytes=block_bytes, is_extreme=is_extreme))


def zstd_codec(level: int = 19) -> Codec:
    """Return the codec for zstd."""
    return Codec(compression=ZSTD, pack=ZstdPacker(level=level))


# Decompress single blocks, each limited to the size that the image states.
#
# The decompressors of PySquashfsImage have no limit, and its LZ4 decompressor expects frames, which
# squashfs does not use.


def unpacker(compression: int, file: Input) -> Unpacker:
    """Return the decompressor for the compression number in the superblock of ``file``.

    Raises:
        FormatError: purekernel does not support the compression.
        LibraryError: the optional package that supports it is missing.
    """
    if compression == GZIP:
        return _unpack_gzip
    if compression == XZ:
        return _unpack_xz
    if compression == LZ4:
        require_lz4(file.name)
        return parse_block
    if compression == ZSTD:
        return _unpack_zstd
    raise file.unsupported(
        20,
        "blocks compressed with gzip, xz, lz4 or zstd",
        NAMES.get(compression, f"compression {compression}"),
        hint="build the image again with 'mksquashfs -comp gzip -b 4096', which Tiny Core loads",
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
    stream = zstd.ZstdDecompressor()
    try:
        unpacked = stream.decompress(data, most_bytes + 1)
    except zstd.ZstdError as error:
        raise EOFError(str(error)) from None
    if not stream.eof and len(unpacked) <= most_bytes:
        raise EOFError("the block ends early")
    return unpacked
