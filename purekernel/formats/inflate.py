"""Inflate one stream within limits, and report where it ends.

Source: RFC 1950 and RFC 1951.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from attrs import field

from purekernel.errors import FormatError, LimitError
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer

# The window_bits of zlib for a raw deflate stream, and for one with a zlib header and checksum.
RAW, ZLIB = -zlib.MAX_WBITS, zlib.MAX_WBITS

# The limit is checked after each step of this size: small compared to any limit, large compared to
# the cost of a call. The first step is smaller, because a file may have very many small streams.
STEP_BYTES = 1 << 20
FIRST_STEP_BYTES = 1 << 12

PADDING_STEP_BYTES = 4096


class Stream(NamedTuple):
    """A compressed stream, such as a member of a gzip file.

    Attributes:
        offset: where it starts, in bytes.
        end: the first byte after it.
        unpacked_bytes: the size of its content.
    """

    offset: int
    end: int
    unpacked_bytes: int


@frozen(kw_only=True)
class Inflated:
    """An inflated stream, or the joined content of several.

    Attributes:
        content: the unpacked content.
        end: the first byte after the stream.
        is_cut: whether unpacking stopped at a fault, which was reported.
        streams: the streams, if there may be several.
    """

    content: bytes = field(repr=False)
    end: int
    is_cut: bool = False
    streams: tuple[Stream, ...] = ()


def inflate(
    file: Input,
    start: int = 0,
    *,
    window_bits: int = RAW,
    already_bytes: int = 0,
    header: int | None = None,
) -> Inflated:
    """Inflate the stream that starts at ``start``; ignore the data after it.

    Args:
        file: the data that contains the stream.
        start: the first byte of the stream.
        window_bits: ``RAW`` or ``ZLIB``.
        already_bytes: a size that already counts towards the limit.
        header: the offset to show in a :class:`LimitError`; ``None`` for ``start``.

    Raises:
        FormatError: the stream is damaged or truncated.
        LimitError: the unpacked size, with ``already_bytes``, exceeds the limit.
    """
    view = file.view
    inflater = zlib.decompressobj(wbits=window_bits)
    pieces: list[bytes] = []
    size_bytes = already_bytes
    fed = start
    step_bytes = FIRST_STEP_BYTES
    pending: Buffer = b""
    fault: FormatError | None = None
    try:
        while not inflater.eof:
            # Input is passed in steps too, because zlib copies the input that it does not consume.
            if not pending:
                pending = view[fed : fed + step_bytes]
                fed += len(pending)
                step_bytes = min(2 * step_bytes, STEP_BYTES)
            piece = inflater.decompress(pending, STEP_BYTES)
            pending = inflater.unconsumed_tail
            pieces.append(piece)
            size_bytes = file.count_unpacked(
                len(piece), start if header is None else header, already_bytes=size_bytes
            )
            if fed == len(view) and not pending and not piece and not inflater.eof:
                raise file.fail(len(view), "the rest of a deflate stream", "the end of the file")
    except zlib.error as error:
        fault = file.fail(start, "a valid deflate stream", str(error))
    except LimitError:
        raise
    except FormatError as error:
        fault = error
    content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if fault is not None:
        file.stop_at(fault)
        return Inflated(content=content, end=len(view), is_cut=True)
    return Inflated(content=content, end=fed - len(inflater.unused_data))


# Zeros between and after the parts of a file.


def skip_zeros(view: memoryview, start: int) -> int:
    """Return the offset of the first byte from ``start`` on that is not zero, or the end."""
    offset = start
    while offset < len(view):
        block = bytes(view[offset : offset + PADDING_STEP_BYTES])
        rest = block.lstrip(b"\0")
        offset += len(block) - len(rest)
        if rest:
            break
    return offset
