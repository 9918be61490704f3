"""Encoders: each turns bytes into one whole raw deflate stream (RFC 1951)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from attrs import frozen

from purekernel.deflate.libraries import load_deflate, load_zopfli
from purekernel.errors import EncodingError, FormatError
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
