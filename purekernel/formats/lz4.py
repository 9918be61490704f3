"""LZ4 as Linux takes it, of an initramfs or around itself: the legacy frame.

A magic number, and blocks: the size of each, little-endian, then what LZ4 made of up to 8 MiB, each
by itself. Nothing says where a frame ends but the end of the file, and nothing whether it is sound.

Source: lz4_Frame_format.md ("Legacy frame") of LZ4; lib/decompress_unlz4.c of Linux.
"""

from __future__ import annotations

import struct

from purekernel.errors import FormatError
from purekernel.formats.inflate import skip_zeros
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.tree import Buffer

MAGIC = b"\x02\x21\x4c\x18"
# Every block unpacks to this many bytes, save the last, which may be shorter. Linux has no room for
# more.
BLOCK_BYTES = 8 << 20

_SIZE = struct.Struct("<I")
# No byte of a block stands for more bytes than this: one that makes a length longer.
_MOST_OF_A_BYTE = 255
# The strongest: Core 4.4's core takes three times as long as with 3, and gets 0.9 % smaller.
_LEVEL = 12


def parse_lz4(
    data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS, already_bytes: int = 0
) -> bytes:
    """Return what legacy frames unpack to, one behind the other, and zeros behind the last.

    Args:
        data: starts with :data:`MAGIC`.
        source: its name, for messages.
        limits: the bound on what it may unpack to.
        already_bytes: what counts towards that bound beforehand.

    Raises:
        FormatError: a block is damaged or ends early, or something else follows.
        LimitError: it unpacks to more than ``limits`` allow.
    """
    view = memoryview(data)
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise FormatError(
            source=source, offset=0, expected="an LZ4 legacy frame", got=bytes(view[:4]).hex(" ")
        )
    offset = len(MAGIC)
    unpacked = bytearray()
    while len(view) - offset >= _SIZE.size:
        if bytes(view[offset : offset + len(MAGIC)]) == MAGIC:
            offset += len(MAGIC)
            continue
        (packed_bytes,) = _SIZE.unpack_from(view, offset)
        if not packed_bytes:
            break
        start = offset + _SIZE.size
        packed = view[start : start + packed_bytes]
        if len(packed) != packed_bytes:
            raise _damaged(source, offset, f"{len(packed)} of its {packed_bytes} bytes")
        unpacked += _unpack_block(packed, source=source, offset=offset)
        limits.check_unpacked(already_bytes + len(unpacked), source=source, offset=offset)
        offset = start + packed_bytes
    if skip_zeros(view, offset) != len(view):
        raise _damaged(source, offset, bytes(view[offset : offset + _SIZE.size]).hex(" "))
    return bytes(unpacked)


def build_lz4(data: Buffer) -> bytes:
    """Return ``data`` in one legacy frame, as small as LZ4 makes it; nothing, in no block.

    The same release of liblz4 gives the same bytes on every processor; those of ``lz4 -l -12``.
    """
    view = memoryview(data)
    pieces = [MAGIC]
    for start in range(0, len(view), BLOCK_BYTES):
        block = build_block(view[start : start + BLOCK_BYTES])
        pieces += (_SIZE.pack(len(block)), block)
    return b"".join(pieces)


def build_block(data: Buffer, *, is_small: bool = True) -> bytes:
    """Return one block and no frame: what squashfs has, too.

    Args:
        data: what it unpacks to.
        is_small: whether it is made as small as LZ4 makes it; else in a twentieth of the time.
    """
    from lz4.block import compress  # noqa: PLC0415  # rare

    if not is_small:
        return bytes(compress(data, store_size=False))
    return bytes(compress(data, mode="high_compression", compression=_LEVEL, store_size=False))


def parse_block(packed: Buffer, most_bytes: int) -> bytes:
    """Return what one block unpacks to.

    Raises:
        ValueError: it is damaged, or unpacks to more than ``most_bytes``.
    """
    from lz4.block import LZ4BlockError, decompress  # noqa: PLC0415  # rare

    # As much is allocated at once, also for a block of a few bytes.
    room_bytes = min(most_bytes, _MOST_OF_A_BYTE * len(packed))
    try:
        return bytes(decompress(packed, uncompressed_size=room_bytes))
    except LZ4BlockError:
        raise ValueError(
            f"one that is damaged, or unpacks to more than {most_bytes} bytes"
        ) from None


def _unpack_block(packed: memoryview, *, source: str, offset: int) -> bytes:
    """Return what one block of a frame unpacks to."""
    try:
        return parse_block(packed, BLOCK_BYTES)
    except ValueError as error:
        raise _damaged(source, offset, str(error)) from None


def _damaged(source: str, offset: int, got: str) -> FormatError:
    return FormatError(source=source, offset=offset, expected="a sound LZ4 block", got=got)
