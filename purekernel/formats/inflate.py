"""Inflate one stream within bounds, and say where it ends.

Source: RFC 1950 and RFC 1951.
"""

from __future__ import annotations

import zlib

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.tree import Buffer

# What zlib calls a raw deflate stream, and one with a zlib header and checksum.
RAW, ZLIB = -zlib.MAX_WBITS, zlib.MAX_WBITS


# How much is unpacked before the bound is looked at again: small beside any bound, large
# beside the cost of a call. Smaller at first, for there may be very many very small streams.
STEP_BYTES = 1 << 20
FIRST_STEP_BYTES = 1 << 12


PADDING_STEP_BYTES = 4096


@frozen(kw_only=True)
class Inflated:
    """A stream as it was read.

    Attributes:
        content: what it unpacks to.
        end: the first byte behind it.
    """

    content: bytes = field(repr=False)
    end: int


def inflate(
    data: Buffer,
    start: int = 0,
    *,
    source: str,
    window_bits: int = RAW,
    limits: Limits = DEFAULT_LIMITS,
    already_bytes: int = 0,
    header: int | None = None,
) -> Inflated:
    """Return what the stream that starts at ``start`` unpacks to, whatever follows it.

    Args:
        data: what the stream lies in.
        start: its first byte.
        source: for messages.
        window_bits: ``RAW`` or ``ZLIB``.
        limits: the bound on what it may unpack to.
        already_bytes: what counts towards that bound beforehand.
        header: where what holds the stream begins, for messages; ``None`` for its start.

    Raises:
        FormatError: it is damaged or ends early.
        LimitError: with ``already_bytes`` it unpacks to more than ``limits`` allow.
    """
    view = memoryview(data)
    inflater = zlib.decompressobj(wbits=window_bits)
    pieces: list[bytes] = []
    size_bytes = 0
    fed = start
    step_bytes = FIRST_STEP_BYTES
    pending: Buffer = b""
    try:
        while not inflater.eof:
            # By steps on both sides: zlib copies whatever input it leaves over.
            if not pending:
                pending = view[fed : fed + step_bytes]
                fed += len(pending)
                step_bytes = min(2 * step_bytes, STEP_BYTES)
            piece = inflater.decompress(pending, STEP_BYTES)
            pending = inflater.unconsumed_tail
            size_bytes += len(piece)
            pieces.append(piece)
            limits.check_unpacked(
                already_bytes + size_bytes,
                source=source,
                offset=start if header is None else header,
            )
            if fed == len(view) and not pending and not piece and not inflater.eof:
                raise FormatError(
                    source=source,
                    offset=len(view),
                    expected="the rest of a deflate stream",
                    got="the end of the file",
                )
    except zlib.error as error:
        raise FormatError(
            source=source, offset=start, expected="a sound deflate stream", got=str(error)
        ) from None
    content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return Inflated(content=content, end=fed - len(inflater.unused_data))


# Zeros between and behind what a file holds.


def skip_zeros(view: memoryview, start: int) -> int:
    """Return the first place from ``start`` on that holds no zero, or the end."""
    here = start
    while here < len(view):
        block = bytes(view[here : here + PADDING_STEP_BYTES])
        rest = block.lstrip(b"\0")
        here += len(block) - len(rest)
        if rest:
            break
    return here
