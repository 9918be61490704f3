"""Compress bytes to one whole raw deflate stream (RFC 1951)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from purekernel.encode.libraries import load_deflate, load_zopfli
from purekernel.errors import EncodingError, FormatError
from purekernel.formats.gzip import build_gzip
from purekernel.formats.inflate import inflate
from purekernel.input import Input, Limits
from purekernel.interruption import interruptibly
from purekernel.records import frozen
from purekernel.tree import Buffer

# libdeflate's slowest level: it searches for the cheapest parse, as zopfli does, fifty times as
# fast.
SLOWEST = 12

# libdeflate takes a tenth of a second for this size. Longer calls must be interruptible.
_LONG_BYTES = 1 << 20

# The longest stored block: its length has 16 bits.
_STORED_BYTES = 0xFFFF


class Encoder(Protocol):
    """An encoder of raw deflate streams."""

    @property
    def name(self) -> str:
        """Return its name with settings and version: equal names mean equal output."""
        ...

    def encode(self, data: Buffer) -> bytes:
        """Return ``data`` as one whole raw deflate stream, the same bytes each time."""
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
    """Return ``data`` as one gzip member, with ``name`` and ``mtime`` in its header."""
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
    """zopfli, through the ``zopfli`` package; it releases the GIL.

    zopfli spends most of its time on where to split the data into blocks, and most of its gain
    comes from that. Its default limit, fifteen blocks in a megabyte, is worse than libdeflate. No
    limit takes three times as long as a limit that is hardly ever reached.

    Attributes:
        iterations: the number of passes over the data.
        block_bytes: allows one block per this many bytes of input; 0 for a single block.
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
        # Strip the zlib header (2 bytes) and checksum (4 bytes).
        return bytes(stream[2:-4])


def encode_smallest(data: Buffer, encoders: Iterable[Encoder]) -> bytes:
    """Return the smallest stream that ``encoders`` make of ``data``; the first of equals."""
    return min((encoder.encode(data) for encoder in encoders), key=len)


def encode_checked(content: bytes, encoders: Iterable[Encoder]) -> bytes:
    """Return the smallest deflate stream of ``content``, checked by unpacking it.

    Raises:
        EncodingError: the stream does not unpack to ``content``.
    """
    stream = encode_smallest(content, encoders)
    if not inflates_to(stream, content):
        raise wrong_stream()
    return stream


def wrong_stream() -> EncodingError:
    """Return the error for a stream that fails its check."""
    return EncodingError("an encoder returned a deflate stream that does not unpack to its input")


def inflates_to(stream: Buffer, content: Buffer) -> bool:
    """Say whether ``stream`` is exactly one raw deflate stream of ``content``.

    At most ``len(content)`` bytes are unpacked.
    """
    limits = Limits(unpacked_bytes=len(content))
    try:
        inflated = inflate(Input(stream, name="a deflate stream", limits=limits))
    except FormatError:
        return False
    return inflated.end == len(stream) and inflated.content == content


class Effort(Enum):
    """The efforts, by the names that users choose."""

    FAST = "fast"
    BALANCED = "balanced"
    MAX = "max"


@frozen
class Rung:
    """The encoders for data of up to a given size.

    Attributes:
        most_bytes: the largest size; ``None`` for no limit.
        encoders: the encoders to try; the smallest result is used.
    """

    most_bytes: int | None
    encoders: tuple[Encoder, ...]


@frozen(kw_only=True)
class EffortEncoders:
    """The encoders of an effort.

    Attributes:
        plain: the encoder for all data that no other attribute covers.
        text: the encoders to try on segments of text; ``plain`` if empty.
        programs: the encoders to try on other compressible segments; ``plain`` if empty.
        nested: the encoders to try on gzip files inside the image, by unpacked size, in ascending
            order; if empty, such files are kept unchanged.
    """

    plain: Encoder
    text: tuple[Encoder, ...] = ()
    programs: tuple[Encoder, ...] = ()
    nested: tuple[Rung, ...] = ()

    def for_nested(self, size_bytes: int) -> tuple[Encoder, ...]:
        """Return the encoders for a gzip file that unpacks to ``size_bytes``."""
        return next(
            rung.encoders
            for rung in self.nested
            if rung.most_bytes is None or size_bytes <= rung.most_bytes
        )


# zopfli gains most on small files, and quickly, because they have few places to split. Each further
# block costs more and gains less.
RECIPES = {
    Effort.FAST: EffortEncoders(plain=Libdeflate()),
    Effort.BALANCED: EffortEncoders(
        plain=Libdeflate(),
        nested=(
            Rung(4_000, (Libdeflate(), Zopfli(iterations=2, block_bytes=0))),
            Rung(16_000, (Libdeflate(), Zopfli(iterations=1, block_bytes=8_000))),
            Rung(None, (Libdeflate(),)),
        ),
    ),
    Effort.MAX: EffortEncoders(
        plain=Libdeflate(),
        # Overlays mostly change text: fewer blocks keep builds with a warm cache fast.
        text=(Libdeflate(), Zopfli(iterations=5, block_bytes=12_000)),
        programs=(Libdeflate(), Zopfli(iterations=5, block_bytes=8_000)),
        nested=(
            Rung(4_000, (Libdeflate(), Zopfli(block_bytes=0))),
            Rung(None, (Libdeflate(), Zopfli(iterations=10, block_bytes=2_200))),
        ),
    ),
}
