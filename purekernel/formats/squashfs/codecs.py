"""What packs the blocks of an image that is written."""

from __future__ import annotations

import lzma
from collections.abc import Callable

from attrs import frozen

from purekernel.formats.squashfs.blocks import XZ, ZSTD
from purekernel.formats.squashfs.layout import METADATA_BYTES

Pack = Callable[[bytes], bytes]
"""Packs one block, the same way every time; an executor of other processes must be able to send
it. What it makes may be longer than the block, which is then stored as it is."""


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


def xz_codec(block_bytes: int, *, is_extreme: bool = True) -> Codec:
    """Return what packs blocks of at most ``block_bytes`` with xz."""
    return Codec(compression=XZ, pack=XzPacker(block_bytes=block_bytes, is_extreme=is_extreme))


def zstd_codec(level: int = 19) -> Codec:
    """Return what packs blocks with zstd."""
    return Codec(compression=ZSTD, pack=ZstdPacker(level=level))
