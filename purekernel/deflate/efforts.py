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


@frozen
class Rung:
    """Encoders for data up to a size.

    Attributes:
        most_bytes: the size; ``None`` for any.
        encoders: those of which the smallest result counts.
    """

    most_bytes: int | None
    encoders: tuple[Encoder, ...]


@frozen(kw_only=True)
class Recipe:
    """What an effort does.

    Attributes:
        plain: what encodes all that no slow encoder is for.
        text: the encoders tried on what is text, segment by segment; none: as ``plain``.
        programs: those tried on what else shrinks; none: as ``plain``.
        nested: those tried on gzip files inside the image, by the size of what they hold, in
            rising order; none: they stay as they are.
    """

    plain: Encoder
    text: tuple[Encoder, ...] = ()
    programs: tuple[Encoder, ...] = ()
    nested: tuple[Rung, ...] = ()

    def for_nested(self, size_bytes: int) -> tuple[Encoder, ...]:
        """Return the encoders for what unpacks to ``size_bytes``."""
        return next(
            rung.encoders
            for rung in self.nested
            if rung.most_bytes is None or size_bytes <= rung.most_bytes
        )


# Of small files zopfli wins most, and soon: there are few places to cut them. Each further block
# that it may make is dearer and wins less.
RECIPES = {
    Effort.FAST: Recipe(plain=Libdeflate()),
    Effort.BALANCED: Recipe(
        plain=Libdeflate(),
        nested=(
            Rung(4_000, (Libdeflate(), Zopfli(iterations=2, block_bytes=0))),
            Rung(16_000, (Libdeflate(), Zopfli(iterations=1, block_bytes=8_000))),
            Rung(None, (Libdeflate(),)),
        ),
    ),
    Effort.MAX: Recipe(
        plain=Libdeflate(),
        # Text is what overlays change: it has fewer blocks, so that a warm build is soon done.
        text=(Libdeflate(), Zopfli(iterations=5, block_bytes=12_000)),
        programs=(Libdeflate(), Zopfli(iterations=5, block_bytes=8_000)),
        nested=(
            Rung(4_000, (Libdeflate(), Zopfli(block_bytes=0))),
            Rung(None, (Libdeflate(), Zopfli(iterations=10, block_bytes=2_200))),
        ),
    ),
}
