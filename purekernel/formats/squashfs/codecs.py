"""What packs the blocks of an image that is written."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable

from attrs import frozen

from purekernel.errors import FormatError
from purekernel.formats.lz4 import build_block, parse_block
from purekernel.formats.squashfs.layout import METADATA_BYTES
from purekernel.tree import Buffer

Pack = Callable[[bytes], bytes]
"""Packs one block, the same way every time; an executor of other processes must be able to send
it. What it makes may be longer than the block, which is then stored as it is."""


Unpacker = Callable[[Buffer, int], bytes]
"""Takes a packed block and the most bytes it may unpack to; may return one byte more."""


# The dictionary of an xz block is at most the block, 1 MiB; decoders need little besides.
# Without a bound, a header of a few bytes could ask for 4 GiB.
XZ_MEMORY_BYTES = 1 << 26


# Source: squashfs_fs.h of squashfs-tools.
NAMES = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
GZIP, XZ, LZ4, ZSTD = 1, 4, 5, 6
ERRORS = (zlib.error, lzma.LZMAError, EOFError, ValueError)


@frozen(kw_only=True)
class Codec:
    """One way to pack blocks.

    Attributes:
        compression: its number in the superblock.
        pack: packs a block.
        options: what stands behind the superblock for the kernel to unpack with, if anything.
    """

    compression: int
    pack: Pack
    options: bytes = b""


@frozen(kw_only=True)
class XzPacker:
    """xz, with no more dictionary than the kernel has, which is a block.

    With a CRC32, as mksquashfs writes; without filters for machine code, of which a kernel may have
    been configured without. (Source: fs/squashfs/xz_wrapper.c of Linux.)

    Attributes:
        block_bytes: the image's block size.
        is_extreme: whether it tries harder, in about twice the time.
    """

    block_bytes: int
    is_extreme: bool = True

    def __call__(self, block: bytes) -> bytes:
        """Return ``block`` as one stream of xz."""
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
    """zstd; its window is the block, as the kernel has it.

    Attributes:
        level: 1 (fastest) to 22 (smallest).
    """

    level: int = 19

    def __call__(self, block: bytes) -> bytes:
        """Return ``block`` as one frame, without a checksum."""
        from purekernel.formats.zstd import compress  # noqa: PLC0415  # as it says there

        return bytes(compress(block, self.level))


# What the kernel asks of images with LZ4: the version of its streams, and whether its slow encoder
# made them, which changes nothing for who reads. (Source: fs/squashfs/lz4_wrapper.c of Linux.)
_LZ4_OPTIONS = struct.Struct("<II")
_LZ4_LEGACY, _LZ4_SLOW = 1, 1


@frozen(kw_only=True)
class Lz4Packer:
    """LZ4, each block without a frame.

    Attributes:
        is_small: whether blocks are made as small as can be, in much more time.
    """

    is_small: bool = True

    def __call__(self, block: bytes) -> bytes:
        """Return ``block`` as one block of LZ4."""
        return build_block(block, is_small=self.is_small)


def lz4_codec(*, is_small: bool = True) -> Codec:
    """Return what packs blocks with LZ4."""
    return Codec(
        compression=LZ4,
        pack=Lz4Packer(is_small=is_small),
        options=_LZ4_OPTIONS.pack(_LZ4_LEGACY, _LZ4_SLOW if is_small else 0),
    )


def xz_codec(block_bytes: int, *, is_extreme: bool = True) -> Codec:
    """Return what packs blocks of at most ``block_bytes`` with xz."""
    return Codec(compression=XZ, pack=XzPacker(block_bytes=block_bytes, is_extreme=is_extreme))


def zstd_codec(level: int = 19) -> Codec:
    """Return what packs blocks with zstd."""
    return Codec(compression=ZSTD, pack=ZstdPacker(level=level))


# Unpack single squashfs blocks, each within the size that the image states.
#
# PySquashfsImage's own decompressors have no bound, and its one for lz4 expects a framing
# that squashfs does not use.


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
