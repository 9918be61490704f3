"""Unpack compressed files within limits."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from typing import NamedTuple, Protocol

from purekernel.errors import FormatError
from purekernel.formats import zstd
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.inflate import FIRST_STEP_BYTES, STEP_BYTES, skip_zeros
from purekernel.formats.lz4 import parse_lz4
from purekernel.input import Input
from purekernel.tree import Buffer

COMPRESSED = frozenset(
    {
        FileKind.GZIP,
        FileKind.BZIP2,
        FileKind.XZ,
        FileKind.LZMA,
        FileKind.ZSTD,
        FileKind.LZ4,
    }
)
"""The kinds that :func:`unpack` decompresses."""


class _Decompressor(Protocol):
    """The common interface of the decompressors of bz2, lzma and zstd."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: Buffer, /, max_length: int = -1) -> bytes: ...


def unpack(file: Input, *, already_bytes: int = 0) -> Buffer:
    """Return ``file`` decompressed; return uncompressed data unchanged.

    Supports gzip, bzip2, xz, lzma, zstd and LZ4's legacy frame, and any number of concatenated
    streams, as the programs of these names do.

    Args:
        file: compressed or uncompressed data.
        already_bytes: a size that already counts towards the limit.

    Raises:
        FormatError: a stream is damaged or truncated, or other data follows.
        LimitError: the unpacked size exceeds the limit.
    """
    kind = detect(file.data)
    if kind is FileKind.GZIP:
        return parse_gzip(file, already_bytes=already_bytes)
    if kind is FileKind.LZ4:
        return parse_lz4(file, already_bytes=already_bytes)
    compression = _find_compression(kind)
    if compression is None:
        return file.data
    return _unpack_streams(file, compression, already_bytes)


class _Compression(NamedTuple):
    """A compression: its name, its decompressor, and the errors that damaged data raises."""

    name: str
    decompressor: Callable[[], _Decompressor]
    errors: tuple[type[Exception], ...]


def _find_compression(kind: FileKind) -> _Compression | None:
    """Return how to decompress a file of a kind that has streams."""
    if kind is FileKind.BZIP2:
        return _Compression("bzip2", bz2.BZ2Decompressor, (OSError, EOFError, ValueError))
    if kind is FileKind.XZ:
        return _Compression("xz", lzma.LZMADecompressor, (lzma.LZMAError, EOFError))
    if kind is FileKind.LZMA:
        return _Compression("lzma", lzma.LZMADecompressor, (lzma.LZMAError, EOFError))
    if kind is FileKind.ZSTD:
        return _Compression("zstd", zstd.ZstdDecompressor, (zstd.ZstdError, EOFError))
    return None


def _unpack_streams(file: Input, compression: _Compression, already_bytes: int) -> bytes:
    view = file.view
    pieces: list[bytes] = []
    size_bytes = already_bytes
    offset = 0
    while offset < len(view):
        # xz allows zeros after a stream (Source: the .xz file format, 2.2).
        if offset and skip_zeros(view, offset) == len(view):
            break
        stream = compression.decompressor()
        start = offset
        step_bytes = FIRST_STEP_BYTES
        try:
            while not stream.eof:
                pending = view[offset : offset + step_bytes] if stream.needs_input else b""
                offset += len(pending)
                step_bytes = min(2 * step_bytes, STEP_BYTES)
                piece = stream.decompress(pending, STEP_BYTES)
                size_bytes += len(piece)
                pieces.append(piece)
                file.check_unpacked(size_bytes, start)
                if not piece and offset == len(view) and stream.needs_input and not stream.eof:
                    expected = f"the rest of a {compression.name} stream"
                    raise file.fail(len(view), expected, "the end of the file")
        except FormatError:
            raise
        except compression.errors as error:
            raise file.fail(start, f"a valid {compression.name} stream", str(error)) from None
        offset -= len(stream.unused_data)
    return b"".join(pieces)
