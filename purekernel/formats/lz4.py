"""LZ4 as Linux takes it: the legacy frame, read without a library.

The kernel's own image may be packed so. Some 20 MB a second come of it, and a kernel is read once.

Source: lz4_Frame_format.md ("Legacy frame") and lz4_Block_format.md of LZ4.
"""

from __future__ import annotations

import struct

from purekernel.errors import FormatError
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.tree import Buffer

MAGIC = b"\x02\x21\x4c\x18"
# Every block unpacks to this many bytes, save the last, which may be shorter.
BLOCK_BYTES = 8 << 20

_SIZE = struct.Struct("<I")
# A length of which a token's half byte is this goes on in the bytes that follow, until one is not
# 255.
_LONGER, _STILL_LONGER = 15, 255
_LEAST_MATCH_BYTES = 4


def parse_lz4(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return what a legacy frame unpacks to; frames may stand one behind the other.

    Raises:
        FormatError: a block is damaged or ends early.
        LimitError: it unpacks to more than ``limits`` allow.
    """
    view = memoryview(data)
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise FormatError(
            source=source, offset=0, expected="an LZ4 legacy frame", got=bytes(view[:4]).hex(" ")
        )
    offset = len(MAGIC)
    blocks: list[bytearray] = []
    size_bytes = 0
    while offset < len(view):
        if bytes(view[offset : offset + len(MAGIC)]) == MAGIC:
            offset += len(MAGIC)
            continue
        start = offset + _SIZE.size
        packed = b""
        if start <= len(view):
            (packed_bytes,) = _SIZE.unpack_from(view, offset)
            packed = bytes(view[start : start + packed_bytes])
        if start > len(view) or len(packed) != packed_bytes:
            raise _damaged(source, offset, "the end of the file")
        block = _unpack_block(packed, source=source, offset=start)
        blocks.append(block)
        size_bytes += len(block)
        limits.check_unpacked(size_bytes, source=source, offset=offset)
        offset = start + packed_bytes
    return b"".join(blocks)


def _unpack_block(packed: bytes, *, source: str, offset: int) -> bytearray:
    """Return what one block unpacks to, at most :data:`BLOCK_BYTES`."""
    out = bytearray()
    here = 0
    try:
        while True:
            token = packed[here]
            here += 1
            length = token >> 4
            if length == _LONGER:
                more = _STILL_LONGER
                while more == _STILL_LONGER:
                    more = packed[here]
                    here += 1
                    length += more
            out += packed[here : here + length]
            here += length
            # The last sequence of a block is literals alone.
            if here >= len(packed):
                break
            distance = packed[here] | packed[here + 1] << 8
            here += 2
            length = (token & 15) + _LEAST_MATCH_BYTES
            if length == _LONGER + _LEAST_MATCH_BYTES:
                more = _STILL_LONGER
                while more == _STILL_LONGER:
                    more = packed[here]
                    here += 1
                    length += more
            start = len(out) - distance
            if start < 0 or not distance or len(out) + length > BLOCK_BYTES:
                raise _damaged(source, offset + here, f"{length} bytes from {distance} before")
            if length <= distance:
                out += out[start : start + length]
            else:  # what is copied is part of what it makes: the last bytes again and again
                out += (out[start:] * (length // distance + 1))[:length]
    except IndexError:
        raise _damaged(source, offset + here, "its end") from None
    if here != len(packed) or len(out) > BLOCK_BYTES:
        raise _damaged(source, offset + here, "other lengths")
    return out


def _damaged(source: str, offset: int, got: str) -> FormatError:
    return FormatError(source=source, offset=offset, expected="a sound LZ4 block", got=got)
