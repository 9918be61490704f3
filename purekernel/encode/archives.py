"""Compress an archive as it is made, in blocks: each is a gzip member or a zstd frame of its own.

All programs that read such files read joined members and frames (RFC 1952, 2.2; RFC 8878, 3). A
core needs one member, and an exact join of deflate streams (:mod:`.segments`), which takes several
times as long as the quick encoders that are used here.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from enum import Enum
from functools import partial

from purekernel.encode.encoders import Effort, Libdeflate, encode_checked, wrong_stream
from purekernel.formats import gzip, zstd
from purekernel.interruption import result_of
from purekernel.tree import Buffer

# A block without the text before it loses little at this size, and each processor gets some.
GZIP_BLOCK_BYTES, ZSTD_BLOCK_BYTES = 1 << 20, 2 << 20
# Blocks that are compressed ahead of the writer, in bytes.
_AHEAD_BYTES = 12 << 20


class ArchiveCompression(Enum):
    """The compressions of an archive."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


# A build must take hardly longer with an archive than without: on two processors, these levels
# compress and check 60 MB in half a second. libdeflate's third level takes a third longer, for 6 %.
_DEFLATE_LEVELS = {Effort.FAST: 1, Effort.BALANCED: 1, Effort.MAX: 12}
_ZSTD_LEVELS = {Effort.FAST: 1, Effort.BALANCED: 3, Effort.MAX: 19}


def compress_archive(
    pieces: Iterable[Buffer],
    *,
    compression: ArchiveCompression,
    effort: Effort,
    executor: Executor,
) -> Iterator[Buffer]:
    """Yield the compressed archive; its bytes do not depend on the executor.

    Args:
        pieces: the archive, in pieces of any size.
        compression: the compression.
        effort: the effort of compression.
        executor: runs the encoders, in threads of this process.

    Raises:
        EncodingError: an encoder returned data that does not unpack to its input.
    """
    encode: Callable[[bytes], bytes]
    if compression is ArchiveCompression.NONE:
        yield from pieces
        return
    if compression is ArchiveCompression.GZIP:
        encode = partial(_gzip_member, level=_DEFLATE_LEVELS[effort])
        block_bytes = GZIP_BLOCK_BYTES
    else:
        encode = partial(_zstd_frame, level=_ZSTD_LEVELS[effort])
        block_bytes = ZSTD_BLOCK_BYTES
    pending: deque[Future[bytes]] = deque()
    for block in _blocks(pieces, block_bytes):
        if len(pending) * block_bytes >= _AHEAD_BYTES:
            yield result_of(pending.popleft())
        pending.append(executor.submit(encode, block))
    while pending:
        yield result_of(pending.popleft())


def _blocks(pieces: Iterable[Buffer], size_bytes: int) -> Iterator[bytes]:
    """Yield the bytes of ``pieces`` in blocks of one size; the last may be shorter."""
    block = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        while view:
            taken = view[: size_bytes - len(block)]
            block += taken
            view = view[len(taken) :]
            if len(block) == size_bytes:
                yield bytes(block)
                block.clear()
    if block:
        yield bytes(block)


def _gzip_member(block: bytes, *, level: int) -> bytes:
    stream = encode_checked(block, (Libdeflate(level=level),))
    return gzip.build_gzip(stream, crc32=zlib.crc32(block), size_bytes=len(block))


def _zstd_frame(block: bytes, *, level: int) -> bytes:
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: level,
        zstd.CompressionParameter.content_size_flag: 1,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    frame = zstd.compress(block, options=options)
    if zstd.ZstdDecompressor().decompress(frame) != block:
        raise wrong_stream()
    return frame
