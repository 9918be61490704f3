"""Undo whatever compression a file has, told by its first bytes, within bounds."""

from __future__ import annotations

import bz2
import lzma
import sys
from collections.abc import Callable
from typing import Protocol

from purekernel.errors import FormatError
from purekernel.formats.gzip import FIRST_STEP_BYTES, STEP_BYTES, parse_gzip
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.padding import skip_zeros
from purekernel.tree import Buffer

BZIP2_MAGIC = b"BZh"
XZ_MAGIC = b"\xfd7zXZ\x00"
LZMA_MAGIC = b"\x5d\x00\x00"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdError

    ZSTD_ERRORS: tuple[type[Exception], ...] = (ZstdError,)
else:
    ZSTD_ERRORS = ()


class _Decompressor(Protocol):
    """What bz2, lzma and compression.zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: Buffer, /, max_length: int = -1) -> bytes: ...


def unpack(
    data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS, already_bytes: int = 0
) -> Buffer:
    """Return ``data`` without its compression; data with none comes back as it is.

    Reads gzip, bzip2, xz and lzma, and zstd where Python has it (3.14 and later); any
    number of streams one after the other, as the programs of these names do.

    Args:
        data: what may be compressed.
        source: its name, for messages.
        limits: the bound on what it may unpack to.
        already_bytes: what counts towards that bound beforehand.

    Raises:
        FormatError: the stream is damaged, ends early, or has something else behind it.
        LimitError: it unpacks to more than ``limits`` allow.
    """
    head = bytes(data[:6])
    if head.startswith(GZIP_MAGIC):
        return parse_gzip(data, source=source, limits=limits, already_bytes=already_bytes)
    found = _decompressor(head, source)
    if found is None:
        return data
    return _unpack_streams(data, *found, source=source, limits=limits, already_bytes=already_bytes)


def is_compressed(data: Buffer) -> bool:
    """Say whether ``data`` opens as one of the compressions that :func:`unpack` undoes."""
    return bytes(data[:6]).startswith((GZIP_MAGIC, BZIP2_MAGIC, XZ_MAGIC, LZMA_MAGIC, ZSTD_MAGIC))


def _decompressor(head: bytes, source: str) -> tuple[str, Callable[[], _Decompressor]] | None:
    """Return the name of what a file opens as, and what undoes it."""
    if head.startswith(BZIP2_MAGIC):
        return "bzip2", bz2.BZ2Decompressor
    if head.startswith(XZ_MAGIC):
        return "xz", lzma.LZMADecompressor
    if head.startswith(LZMA_MAGIC):
        return "lzma", lzma.LZMADecompressor
    if head.startswith(ZSTD_MAGIC):
        return "zstd", _zstd_decompressor(source)
    return None


def _zstd_decompressor(source: str) -> Callable[[], _Decompressor]:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415  # not there before 3.14

        return zstd.ZstdDecompressor
    raise FormatError(
        source=source,
        offset=0,
        expected="gzip, bzip2, xz or no compression",
        got="zstd, which Python reads from 3.14 on",
        hint="pack it with gzip or xz, or run purekernel with Python 3.14",
    )


def _unpack_streams(
    data: Buffer,
    kind: str,
    decompressor: Callable[[], _Decompressor],
    *,
    source: str,
    limits: Limits,
    already_bytes: int,
) -> bytes:
    view = memoryview(data)
    pieces: list[bytes] = []
    size_bytes = already_bytes
    offset = 0
    while offset < len(view):
        # xz allows zeros after a stream (Source: the .xz file format, 2.2).
        if offset and skip_zeros(view, offset) == len(view):
            break
        stream = decompressor()
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
                limits.check_unpacked(size_bytes, source=source, offset=start)
                if not piece and offset == len(view) and stream.needs_input and not stream.eof:
                    raise FormatError(
                        source=source,
                        offset=len(view),
                        expected=f"the rest of a {kind} stream",
                        got="the end of the file",
                    )
        except FormatError:
            raise
        except (OSError, EOFError, ValueError, lzma.LZMAError, *ZSTD_ERRORS) as error:
            raise FormatError(
                source=source, offset=start, expected=f"a sound {kind} stream", got=str(error)
            ) from None
        offset -= len(stream.unused_data)
    return b"".join(pieces)
