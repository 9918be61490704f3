"""Read and write the frames of LZ4: those of the program lz4, and the legacy frames of Linux.

Linux uses legacy frames for an initramfs and for itself. A legacy frame is a magic number and
blocks. A block is its compressed size, little-endian, and up to 8 MiB of data, compressed
independently. A legacy frame has no end mark and no checksum; it ends with the file.

The package lz4 is optional: for some systems it has no wheels. The functions here raise a
``LibraryError`` where it is missing.

Source: lz4_Frame_format.md of LZ4; lib/decompress_unlz4.c of Linux.
"""

from __future__ import annotations

import struct

from purekernel.errors import inside
from purekernel.formats.detect import FileKind
from purekernel.formats.inflate import FIRST_STEP_BYTES, STEP_BYTES, Inflated
from purekernel.input import Input
from purekernel.libraries import load_library
from purekernel.tree import Buffer

MAGIC = FileKind.LZ4.magic
# Every block unpacks to this many bytes; only the last may be shorter. Linux does not support more.
BLOCK_BYTES = 8 << 20

_SIZE = struct.Struct("<I")
# The most bytes of a packed block (LZ4_COMPRESSBOUND in lz4.h). Larger numbers are magic numbers.
_MOST_PACKED_BYTES = BLOCK_BYTES + BLOCK_BYTES // 255 + 16
# The flags of a frame, after its magic number.
_FLAGS_OFFSET = 4
_HAS_DICTIONARY = 0x01
# A byte of a block adds at most this many bytes to the result, as the extension of a length.
_MOST_OF_A_BYTE = 255
# The highest level. Core 4.4's core takes three times as long as with level 3, and is 0.9 %
# smaller.
_LEVEL = 12


def require_lz4(name: str = "") -> None:
    """Check that the optional package is installed.

    Args:
        name: the file that needs it, for the message.

    Raises:
        LibraryError: the package is missing or unusable.
    """
    with inside(name):
        load_library("lz4.block", extra="lz4")


def parse_legacy_frame(file: Input, start: int = 0, *, already_bytes: int = 0) -> Inflated:
    """Return the content and the end of a legacy frame.

    The frame ends at the end of the file, at a size of 0, or at a size that no block has, such as
    the magic number of another frame.

    Args:
        file: the data, which has :data:`MAGIC` at ``start``.
        start: the offset of the frame.
        already_bytes: a size that already counts towards the limit.

    Raises:
        FormatError: a block is damaged or truncated.
        LimitError: the unpacked size exceeds the limit.
    """
    require_lz4(file.name)
    view = file.view
    offset = start + len(MAGIC)
    unpacked = bytearray()
    while len(view) - offset >= _SIZE.size:
        (packed_bytes,) = _SIZE.unpack_from(view, offset)
        if not 0 < packed_bytes <= _MOST_PACKED_BYTES:
            break
        block_start = offset + _SIZE.size
        packed = view[block_start : block_start + packed_bytes]
        if len(packed) != packed_bytes:
            got = f"{len(packed)} of its {packed_bytes} bytes"
            raise file.fail(offset, "a valid LZ4 block", got)
        try:
            block = parse_block(packed, BLOCK_BYTES)
        except ValueError as error:
            raise file.fail(offset, "a valid LZ4 block", str(error)) from None
        already_bytes = file.count_unpacked(len(block), offset, already_bytes=already_bytes)
        unpacked += block
        offset = block_start + packed_bytes
    return Inflated(content=bytes(unpacked), end=offset)


def parse_frame(file: Input, start: int = 0, *, already_bytes: int = 0) -> Inflated:
    """Return the content and the end of a frame, as the program lz4 writes it by default.

    All checksums and the size of the content are checked, where the frame has them.

    Args:
        file: the data, which has the magic number of a frame at ``start``.
        start: the offset of the frame.
        already_bytes: a size that already counts towards the limit.

    Raises:
        FormatError: the frame is damaged or truncated, or needs a dictionary.
        LimitError: the unpacked size exceeds the limit.
    """
    require_lz4(file.name)
    view = file.view
    flags = bytes(view[start + _FLAGS_OFFSET : start + _FLAGS_OFFSET + 1])
    if flags and flags[0] & _HAS_DICTIONARY:
        raise file.unsupported(
            start,
            "an LZ4 frame without a dictionary",
            "one that needs a dictionary",
            hint="compress the file again without a dictionary",
        )
    stream = load_library("lz4.frame", extra="lz4").LZ4FrameDecompressor()
    pieces: list[bytes] = []
    size_bytes = already_bytes
    offset = start
    step_bytes = FIRST_STEP_BYTES
    while not stream.eof:
        pending = view[offset : offset + step_bytes] if stream.needs_input else b""
        offset += len(pending)
        step_bytes = min(2 * step_bytes, STEP_BYTES)
        try:
            piece = stream.decompress(pending, STEP_BYTES)
        except RuntimeError as error:
            raise file.fail(start, "a valid LZ4 frame", _reason(error)) from None
        pieces.append(piece)
        size_bytes = file.count_unpacked(len(piece), start, already_bytes=size_bytes)
        if not piece and offset == len(view) and stream.needs_input and not stream.eof:
            raise file.fail(len(view), "the rest of an LZ4 frame", "the end of the file")
    content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return Inflated(content=content, end=offset - len(stream.unused_data or b""))


def _reason(error: RuntimeError) -> str:
    """Return the name of the fault at the end of a message of liblz4."""
    return str(error).rpartition(": ")[2].removeprefix("ERROR_")


def build_frame(data: Buffer) -> bytes:
    """Return ``data`` as one frame with checksums of its content, at the highest level.

    The same release of liblz4 gives the same bytes on every processor.
    """
    frame = load_library("lz4.frame", extra="lz4")
    packed = frame.compress(
        data, compression_level=_LEVEL, content_checksum=True, block_size=frame.BLOCKSIZE_MAX4MB
    )
    return bytes(packed)


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
    block = load_library("lz4.block", extra="lz4")
    if not is_small:
        return bytes(block.compress(data, store_size=False))
    packed = block.compress(data, mode="high_compression", compression=_LEVEL, store_size=False)
    return bytes(packed)


def parse_block(packed: Buffer, most_bytes: int) -> bytes:
    """Return the unpacked content of one block.

    Raises:
        ValueError: the block is damaged, or unpacks to more than ``most_bytes``.
    """
    block = load_library("lz4.block", extra="lz4")
    # The library allocates this size, so it is limited by that of the block.
    buffer_bytes = min(most_bytes, _MOST_OF_A_BYTE * len(packed))
    try:
        return bytes(block.decompress(packed, uncompressed_size=buffer_bytes))
    except block.LZ4BlockError:
        raise ValueError(
            f"a block that is damaged or unpacks to more than {most_bytes} bytes"
        ) from None
