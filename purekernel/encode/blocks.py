"""Deflate small blocks, each a whole zlib stream, as squashfs has them."""

from __future__ import annotations

import zlib

from attrs import frozen

from purekernel.encode.encoders import Effort, Encoder, Libdeflate, Zopfli, encode_smallest

# Deflate with a window of 32 KiB, and the hint "compressed as much as possible". The number of all
# sixteen bits divides by 31. (Source: RFC 1950, 2.2.)
_ZLIB_HEADER = b"\x78\xda"


@frozen(kw_only=True)
class BlockDeflater:
    """Makes zlib streams by one effort.

    Attributes:
        first: the encoder whose result is taken where no other makes a smaller one.
        small: those that are tried as well on blocks of up to :data:`SMALL_BYTES`.
        large: those tried on longer ones.
    """

    first: Encoder
    small: tuple[Encoder, ...] = ()
    large: tuple[Encoder, ...] = ()

    def __call__(self, block: bytes) -> bytes:
        """Return the smallest zlib stream of ``block``."""
        stream = self.first.encode(block)
        others = self.small if len(block) <= SMALL_BYTES else self.large
        # What does not shrink is stored as it is, whoever tries.
        if others and len(stream) < len(block):
            stream = min(stream, encode_smallest(block, others), key=len)
        return _ZLIB_HEADER + stream + zlib.adler32(block).to_bytes(4, "big")


# Up to here a block may be cut for each 2 KiB: that wins as much again as zopfli without cuts, in
# about twice the time. In longer ones each place to cut is dearer, and wins less.
SMALL_BYTES = 8 << 10

# Of the steps from zlib's best to libdeflate's, 10 takes nearly all of the gain in the time of the
# former; 12 takes three times as long for 0.2 % more.
_QUICK = 10

DEFLATERS = {
    Effort.FAST: BlockDeflater(first=Libdeflate(level=_QUICK)),
    Effort.BALANCED: BlockDeflater(first=Libdeflate()),
    Effort.MAX: BlockDeflater(
        first=Libdeflate(),
        # Of what 15 iterations win over none, 5 give all but a hundredth.
        small=(Zopfli(iterations=5, block_bytes=2_048),),
        large=(Zopfli(iterations=5, block_bytes=12_000),),
    ),
}
