"""Compress squashfs blocks, each to a whole zlib stream."""

from __future__ import annotations

import zlib

from purekernel.encode.encoders import Effort, Encoder, Libdeflate, Zopfli, encode_smallest
from purekernel.records import frozen

# Deflate with a window of 32 KiB, and the hint "compressed as much as possible". The header, read
# as a big-endian 16-bit number, is a multiple of 31. (Source: RFC 1950, 2.2.)
_ZLIB_HEADER = b"\x78\xda"


@frozen(kw_only=True)
class BlockDeflater:
    """Compress blocks to zlib streams, as one effort says.

    Attributes:
        first: the encoder whose result is used unless another one is smaller.
        small: further encoders for blocks of up to :data:`SMALL_BYTES`.
        large: further encoders for longer blocks.
    """

    first: Encoder
    small: tuple[Encoder, ...] = ()
    large: tuple[Encoder, ...] = ()

    def __call__(self, block: bytes) -> bytes:
        """Return the smallest zlib stream of ``block``."""
        stream = self.first.encode(block)
        others = self.small if len(block) <= SMALL_BYTES else self.large
        # squashfs stores a block that does not shrink uncompressed, so other encoders need not try.
        if others and len(stream) < len(block):
            stream = min(stream, encode_smallest(block, others), key=len)
        return _ZLIB_HEADER + stream + zlib.adler32(block).to_bytes(4, "big")


# Up to this size zopfli may split a block every 2 KiB: that doubles the gain of zopfli without
# splits, in about twice the time. In longer blocks each split costs more and gains less.
SMALL_BYTES = 8 << 10

# Level 10 is as fast as zlib's best level and gains nearly as much as libdeflate's best. Level 12
# takes three times as long for 0.2 % more.
_QUICK = 10

DEFLATERS = {
    Effort.FAST: BlockDeflater(first=Libdeflate(level=_QUICK)),
    Effort.BALANCED: BlockDeflater(first=Libdeflate()),
    Effort.MAX: BlockDeflater(
        first=Libdeflate(),
        # 5 iterations give 99 % of the gain of 15.
        small=(Zopfli(iterations=5, block_bytes=2_048),),
        large=(Zopfli(iterations=5, block_bytes=12_000),),
    ),
}
