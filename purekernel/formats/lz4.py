"""Read and write the legacy frame of LZ4, which Linux uses for an initramfs and for itself.

A frame is a magic number and blocks. A block is its compressed size, little-endian, and up to 8 MiB
of data, compressed independently. A frame has no end mark and no checksum; it ends with the file.

Source: lz4_Frame_format.md ("Legacy frame") of LZ4; lib/decompress_unlz4.c of Linux.
"""

from __future__ import annotations

import struct

from purekernel.formats.detect import FileKind
from purekernel.formats.inflate import skip_zeros
from purekernel.input import Input
from purekernel.libraries import load_library
from purekernel.tree import Buffer

MAGIC = FileKind.LZ4.magic
# Every block unpacks to this many bytes; only the last may be shorter. Linux does not support more.
BLOCK_BYTES = 8 << 20

_SIZE = struct.Struct("<I")
# A byte of a block adds at most this many bytes to the result, as the extension of a length.
_MOST_OF_A_BYTE = 255
# The highest level. Core 4.4's core takes three times as long as with level 3, and is 0.9 %
# smaller.
_LEVEL = 12


def parse_lz4(file: Input, *, already_bytes: int = 0) -> bytes:
    """Return the joined contents of legacy frames; zeros may follow the last.

    Args:
        file: the frames, which start with :data:`MAGIC`.
        already_bytes: a size that already counts towards the limit.

    Raises:
        FormatError: a block is damaged or truncated, or other data follows.
        LimitError: the unpacked size exceeds the limit.
    """
    view = file.view
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise file.fail(0, "an LZ4 legacy frame", bytes(view[:4]).hex(" "))
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
            got = f"{len(packed)} of its {packed_bytes} bytes"
            raise file.fail(offset, "a valid LZ4 block", got)
        try:
            unpacked += parse_block(packed, BLOCK_BYTES)
        except ValueError as error:
            raise file.fail(offset, "a valid LZ4 block", str(error)) from None
        file.check_unpacked(already_bytes + len(unpacked), offset)
        offset = start + packed_bytes
    if skip_zeros(view, offset) != len(view):
        got = bytes(view[offset : offset + _SIZE.size]).hex(" ")
        raise file.fail(offset, "a valid LZ4 block", got)
    return bytes(unpacked)


def build_lz4(data: Buffer) -> bytes:
    """Return ``data`` as one legacy frame at the highest level, as ``lz4 -l -12`` does.

    The same release of liblz4 gives the same bytes on every processor. For empty data the frame has
    no block.
    """
    view = memoryview(data)
    pieces = [MAGIC]
    for start in range(0, len(view), BLOCK_BYTES):
        block = build_block(view[start : start + BLOCK_BYTES])
        pieces += (_SIZE.pack(len(block)), block)
    return b"".join(pieces)


def build_block(data: Buffer, *, is_small: bool = True) -> bytes:
    """Return ``data`` as one block without a frame, as in squashfs.

    Args:
        data: the data to compress.
        is_small: whether to use the highest level; else the fast encoder, which takes a twentieth
            of the time.
    """
    block = load_library("lz4.block")
    if not is_small:
        return bytes(block.compress(data, store_size=False))
    packed = block.compress(data, mode="high_compression", compression=_LEVEL, store_size=False)
    return bytes(packed)


def parse_block(packed: Buffer, most_bytes: int) -> bytes:
    """Return the unpacked content of one block.

    Raises:
        ValueError: the block is damaged, or unpacks to more than ``most_bytes``.
    """
    block = load_library("lz4.block")
    # The library allocates this size, so it is limited by that of the block.
    buffer_bytes = min(most_bytes, _MOST_OF_A_BYTE * len(packed))
    try:
        return bytes(block.decompress(packed, uncompressed_size=buffer_bytes))
    except block.LZ4BlockError:
        raise ValueError(
            f"a block that is damaged or unpacks to more than {most_bytes} bytes"
        ) from None
