"""Detect the compression of a file by its first bytes, and unpack it within limits."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from typing import NamedTuple, Protocol

from purekernel.errors import FormatError
from purekernel.formats import zstd
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.inflate import FIRST_STEP_BYTES, STEP_BYTES, skip_zeros
from purekernel.formats.lz4 import MAGIC as LZ4_MAGIC
from purekernel.formats.lz4 import parse_lz4
from purekernel.input import Input
from purekernel.tree import Buffer

BZIP2_MAGIC = b"BZh"
XZ_MAGIC = b"\xfd7zXZ\x00"
LZMA_MAGIC = b"\x5d\x00\x00"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MAGICS = (GZIP_MAGIC, BZIP2_MAGIC, XZ_MAGIC, LZMA_MAGIC, ZSTD_MAGIC, LZ4_MAGIC)


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
    head = bytes(file.view[:6])
    if head.startswith(GZIP_MAGIC):
        return parse_gzip(file, already_bytes=already_bytes)
    if head.startswith(LZ4_MAGIC):
        return parse_lz4(file, already_bytes=already_bytes)
    kind = _find_kind(head)
    if kind is None:
        return file.data
    return _unpack_streams(file, kind, already_bytes)


def is_compressed(data: Buffer) -> bool:
    """Return whether ``data`` starts with the magic of a compression that :func:`unpack` reads."""
    return bytes(data[:6]).startswith(_MAGICS)


class _Kind(NamedTuple):
    """A compression: its name, its decompressor, and the errors that damaged data raises."""

    name: str
    decompressor: Callable[[], _Decompressor]
    errors: tuple[type[Exception], ...]


def _find_kind(head: bytes) -> _Kind | None:
    """Return the compression of a file that starts with ``head``."""
    if head.startswith(BZIP2_MAGIC):
        return _Kind("bzip2", bz2.BZ2Decompressor, (OSError, EOFError, ValueError))
    if head.startswith(XZ_MAGIC):
        return _Kind("xz", lzma.LZMADecompressor, (lzma.LZMAError, EOFError))
    if head.startswith(LZMA_MAGIC):
        return _Kind("lzma", lzma.LZMADecompressor, (lzma.LZMAError, EOFError))
    if head.startswith(ZSTD_MAGIC):
        return _Kind("zstd", zstd.ZstdDecompressor, (zstd.ZstdError, EOFError))
    return None


def _unpack_streams(file: Input, kind: _Kind, already_bytes: int) -> bytes:
    view = file.view
    pieces: list[bytes] = []
    size_bytes = already_bytes
    offset = 0
    while offset < len(view):
        # xz allows zeros after a stream (Source: the .xz file format, 2.2).
        if offset and skip_zeros(view, offset) == len(view):
            break
        stream = kind.decompressor()
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
                    expected = f"the rest of a {kind.name} stream"
                    raise file.fail(len(view), expected, "the end of the file")
        except FormatError:
            raise
        except kind.errors as error:
            raise file.fail(start, f"a valid {kind.name} stream", str(error)) from None
        offset -= len(stream.unused_data)
    return b"".join(pieces)
