"""Encoders: each turns bytes into one whole raw deflate stream (RFC 1951)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from attrs import frozen

from purekernel.encode.libraries import load_deflate, load_zopfli
from purekernel.errors import EncodingError, FormatError
from purekernel.formats.gzip import build_gzip
from purekernel.formats.inflate import inflate
from purekernel.formats.limits import Limits
from purekernel.interruption import interruptibly
from purekernel.tree import Buffer

# libdeflate's slowest: it searches for the cheapest parse, much like zopfli, at fifty
# times its speed.
SLOWEST = 12


# What libdeflate needs a tenth of a second for: who waits longer may want to stop it.
_LONG_BYTES = 1 << 20


# The most that a stored block holds.
_STORED_BYTES = 0xFFFF


class Encoder(Protocol):
    """What turns bytes into a raw deflate stream."""

    @property
    def name(self) -> str:
        """Return what it is, with its settings and version: the same name, the same bytes."""
        ...

    def encode(self, data: Buffer) -> bytes:
        """Return ``data`` as one whole raw deflate stream, the same bytes every time."""
        ...


@frozen(kw_only=True)
class Stored:
    """No compression: blocks that hold the bytes themselves."""

    @property
    def name(self) -> str:
        """Return its name."""
        return "stored"

    def encode(self, data: Buffer) -> bytes:
        """Return ``data`` in stored blocks."""
        view = memoryview(data)
        pieces: list[Buffer] = []
        for start in range(0, max(len(view), 1), _STORED_BYTES):
            piece = view[start : start + _STORED_BYTES]
            is_last = start + _STORED_BYTES >= len(view)
            size = len(piece)
            pieces += (
                bytes([is_last]),
                size.to_bytes(2, "little"),
                (size ^ 0xFFFF).to_bytes(2, "little"),
                piece,
            )
        return b"".join(pieces)


def compress(data: Buffer, *, encoder: Encoder, name: bytes = b"", mtime: int = 0) -> bytes:
    """Return ``data`` as one gzip member, encoded by ``encoder``, with that in its header."""
    return build_gzip(
        encoder.encode(data),
        crc32=zlib.crc32(data),
        size_bytes=len(data),
        name=name,
        mtime=mtime,
    )


@frozen(kw_only=True)
class Libdeflate:
    """libdeflate, through the ``deflate`` package; it releases the GIL.

    Attributes:
        level: 1 (fastest) to 12 (smallest).
    """

    level: int = SLOWEST

    @property
    def name(self) -> str:
        """Return its name."""
        return f"libdeflate {self.level} of deflate {load_deflate().version}"

    def encode(self, data: Buffer) -> bytes:
        """Return ``data`` as one whole raw deflate stream."""
        compress = load_deflate().compress
        if len(data) < _LONG_BYTES:
            return bytes(compress(data, self.level))
        return interruptibly(lambda: bytes(compress(data, self.level)))


@frozen(kw_only=True)
class Zopfli:
    """zopfli, which parses the data as often as it is told; it releases the GIL.

    Most of its time goes into looking where to cut the data into blocks, and most of what it wins
    comes of that. Its own default, fifteen blocks in a megabyte, is worse than libdeflate; no bound
    at all takes three times as long as one that is hardly ever met.

    Attributes:
        iterations: how often it parses.
        block_bytes: there are at most as many blocks as the data has of these; 0 for one block.
    """

    iterations: int = 15
    block_bytes: int = 16 << 10

    @property
    def name(self) -> str:
        """Return its name."""
        return f"zopfli {self.iterations} {self.block_bytes} of zopfli {load_zopfli().version}"

    def encode(self, data: Buffer) -> bytes:
        """Return ``data`` as one whole raw deflate stream."""
        compress = load_zopfli().compress
        blocks = max(2, len(data) // self.block_bytes) if self.block_bytes else 0
        stream = interruptibly(
            lambda: compress(
                bytes(data),
                numiterations=self.iterations,
                blocksplitting=bool(blocks),
                blocksplittingmax=blocks,
            )
        )
        # Without the two bytes before and the checksum behind that make it a zlib stream.
        return bytes(stream[2:-4])


def encode_smallest(data: Buffer, encoders: Iterable[Encoder]) -> bytes:
    """Return the smallest of what ``encoders`` make of ``data``, of several the first."""
    return min((encoder.encode(data) for encoder in encoders), key=len)


def encode_checked(content: bytes, encoders: Iterable[Encoder]) -> bytes:
    """Return the smallest deflate stream of ``content``, which was unpacked and compared.

    Raises:
        EncodingError: it unpacks to something else.
    """
    stream = encode_smallest(content, encoders)
    if not inflates_to(stream, content):
        raise wrong_stream()
    return stream


def wrong_stream() -> EncodingError:
    """Return the error for a stream that fails its check."""
    return EncodingError("an encoder returned a deflate stream that does not unpack to its input")


def inflates_to(stream: Buffer, content: Buffer) -> bool:
    """Say whether ``stream`` is one raw deflate stream of ``content`` and has nothing behind it.

    No more is unpacked than ``content`` has.
    """
    limits = Limits(unpacked_bytes=len(content))
    try:
        found = inflate(stream, source="a deflate stream", limits=limits)
    except FormatError:
        return False
    return found.end == len(stream) and found.content == content


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
