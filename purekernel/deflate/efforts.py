"""How much is done for a small image: which encoders are tried on what.

What each effort gives and takes is in docs/benchmarks.md.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from purekernel.deflate.encoders import Encoder, Libdeflate, Zopfli


class Effort(Enum):
    """The efforts, under the names that people choose them by."""

    FAST = "fast"
    BALANCED = "balanced"
    MAX = "max"


@frozen(kw_only=True)
class Recipe:
    """What an effort does.

    Attributes:
        all_else: what encodes all that no slow encoder is for.
        slow: the encoders tried on what shrinks, segment by segment; none: it is all one segment.
        nested: those tried on gzip files inside the image; none: they stay as they are.
    """

    all_else: Encoder
    slow: tuple[Encoder, ...] = ()
    nested: tuple[Encoder, ...] = ()


RECIPES = {
    Effort.FAST: Recipe(all_else=Libdeflate()),
    Effort.BALANCED: Recipe(all_else=Libdeflate(), nested=(Libdeflate(),)),
    Effort.MAX: Recipe(
        all_else=Libdeflate(),
        slow=(Libdeflate(), Zopfli()),
        nested=(Libdeflate(), Zopfli(block_bytes=2500)),
    ),
}
