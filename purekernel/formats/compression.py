"""Unpack compressed files within limits."""

from __future__ import annotations

import bisect
import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol

from purekernel.errors import FormatError, LimitError
from purekernel.formats import zstd
from purekernel.formats.detect import SKIPPING, FileKind, detect, detect_start, skip_frames
from purekernel.formats.gzip import parse_member
from purekernel.formats.inflate import FIRST_STEP_BYTES, STEP_BYTES, Inflated, Stream, skip_zeros
from purekernel.formats.lz4 import parse_frame, parse_legacy_frame
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
        FileKind.LZ4_FRAME,
        FileKind.SKIPPABLE,
    }
)
"""The kinds that :func:`unpack` decompresses."""

# The kinds whose streams may follow one another in a file, as the program lz4 reads them.
_LZ4_KINDS = frozenset({FileKind.LZ4, FileKind.LZ4_FRAME})

# zlib's window for a stream with the header of gzip.
GZIP_WINDOW = zlib.MAX_WBITS | 16
# How much of a stream is unpacked at once where it matters which bytes give what.
TRACE_BYTES = 1 << 12

# Of the header of a zstd frame.
_SINGLE_SEGMENT = 0x20
_DICTIONARY_SIZE = 0x03
# The limit of the program zstd, unless its options raise it.
_MOST_WINDOW_BYTES = 128 << 20


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
    """Return ``file`` decompressed; return uncompressed data unchanged. The budget counts both.

    Args:
        file: compressed or uncompressed data; see :func:`unpack_streams`.
        already_bytes: a size that already counts towards the limit.

    Raises:
        FormatError: a stream is damaged or truncated, or other data follows.
        LimitError: the unpacked size exceeds the limit.
    """
    if detect(file.data) not in COMPRESSED:
        file.count_data()
        return file.data
    unpacked = unpack_streams(file, already_bytes=already_bytes)
    check_end(file, unpacked)
    return unpacked.content


def check_end(file: Input, unpacked: Inflated) -> None:
    """Raise FormatError if anything but zeros follows the unpacked streams of ``file``."""
    end = skip_zeros(file.view, unpacked.end)
    if end != len(file):
        got = bytes(file.view[unpacked.end : unpacked.end + 4]).hex(" ")
        raise file.fail(unpacked.end, "another stream of the same kind or the end of the file", got)


def unpack_streams(file: Input, start: int = 0, *, already_bytes: int = 0) -> Inflated:
    """Return the joined contents of the streams at ``start``; ignore other data after them.

    Supports gzip, bzip2, xz, lzma, zstd and LZ4 (frames and legacy frames), any number of
    concatenated streams of a kind with zeros between them, and the skippable frames of zstd and
    LZ4, as the programs of these names do.

    Args:
        file: the data, which has a compressed stream at ``start``.
        start: the offset of the first stream.
        already_bytes: a size that already counts towards the limit.

    Raises:
        FormatError: a stream is damaged or truncated.
        LimitError: the unpacked size exceeds the limit.
    """
    view = file.view
    kinds = _following_kinds(detect_start(view, start))
    pieces: list[bytes] = []
    streams: list[Stream] = []
    end, unpacked_bytes, is_cut = start, already_bytes, False
    while True:
        # The xz format has zeros between streams (2.2); boot loaders align with zeros.
        offset = skip_zeros(view, end)
        after = skip_frames(view, offset) if kinds <= SKIPPING else offset
        if after > offset:
            end = after
            continue
        kind = detect_start(view, offset)
        if kind is None or kind not in kinds:
            break
        try:
            stream = _read_stream(file, kind, offset, unpacked_bytes)
        except LimitError:
            raise
        except FormatError as error:
            if not pieces:
                raise
            file.stop_at(error)
            stream = Inflated(content=b"", end=len(view), is_cut=True)
        unpacked_bytes += len(stream.content)
        pieces.append(stream.content)
        streams.append(Stream(offset, stream.end, len(stream.content)))
        end = stream.end
        is_cut |= stream.is_cut
    content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return Inflated(content=content, end=end, is_cut=is_cut, streams=tuple(streams))


def trace_streams(file: Input, start: int = 0) -> tuple[Input, Callable[[float], float]]:
    """Return the content of the streams at ``start``, and how much of ``file`` gave its bytes.

    The second maps a position in the content to one in the compressed data, in bytes from
    ``start`` on. It is exact to a few kilobytes, or to the blocks of the compression.

    Raises:
        FormatError, LimitError: as :func:`unpack_streams`.
    """
    unpacked = unpack_streams(file, start)
    packed, plain = [0], [0]
    for stream in unpacked.streams:
        for read, written in _steps(file, stream):
            packed.append(stream.offset - start + read)
            plain.append(plain[-1] + written)
    packed.append(unpacked.end - start)
    plain.append(len(unpacked.content))

    def packed_at(position: float) -> float:
        index = min(bisect.bisect_right(plain, position), len(plain) - 1)
        low, high = plain[index - 1], plain[index]
        share = (position - low) / (high - low) if high > low else 1.0
        return packed[index - 1] + share * (packed[index] - packed[index - 1])

    return file.unpacked(unpacked.content), packed_at


def _steps(file: Input, stream: Stream) -> Iterator[tuple[int, int]]:
    """Yield how much of a stream is read after each step, and how much the step gave."""
    kind = detect_start(file.view, stream.offset)
    if kind is FileKind.GZIP:
        decompressor: zlib._Decompress | _Decompressor = zlib.decompressobj(GZIP_WINDOW)
    elif kind in _COMPRESSIONS:
        decompressor = _COMPRESSIONS[kind]().decompressor()
    else:  # LZ4: as a whole
        return
    for at in range(stream.offset, stream.end, TRACE_BYTES):
        piece = file.view[at : min(at + TRACE_BYTES, stream.end)]
        written = len(decompressor.decompress(piece))
        yield at + len(piece) - stream.offset, written
        if decompressor.eof:
            return


def _following_kinds(first: FileKind | None) -> frozenset[FileKind]:
    """Return the kinds of streams that may follow a stream of the kind ``first`` in a file."""
    if first is None:
        return frozenset()
    if first is FileKind.SKIPPABLE:
        return SKIPPING
    return _LZ4_KINDS if first in _LZ4_KINDS else frozenset({first})


def _read_stream(file: Input, kind: FileKind, offset: int, already_bytes: int) -> Inflated:
    """Return the content and the end of the stream at ``offset``."""
    if kind is FileKind.GZIP:
        member = parse_member(file, offset, already_bytes=already_bytes)
        return Inflated(content=member.content, end=member.end, is_cut=member.is_cut)
    if kind is FileKind.LZ4:
        return parse_legacy_frame(file, offset, already_bytes=already_bytes)
    if kind is FileKind.LZ4_FRAME:
        return parse_frame(file, offset, already_bytes=already_bytes)
    if kind is FileKind.ZSTD:
        _check_zstd_frame(file, offset)
    return _decompress(file, _COMPRESSIONS[kind](), offset, already_bytes)


def _check_zstd_frame(file: Input, start: int) -> None:
    """Refuse a frame that needs a dictionary, or more memory than zstd uses by default.

    Source: RFC 8878, 3.1.1.1, "Frame_Header".
    """
    header = bytes(file.view[start + 4 : start + 10])
    if len(header) < 6:
        return
    descriptor = header[0]
    dictionary_at = 1
    if not descriptor & _SINGLE_SEGMENT:
        exponent, mantissa = header[1] >> 3, header[1] & 7
        window_bytes = (8 + mantissa) << (7 + exponent)
        if window_bytes > _MOST_WINDOW_BYTES:
            raise file.unsupported(
                start,
                f"a zstd frame with a window of at most {_MOST_WINDOW_BYTES >> 20} MiB",
                f"a window of {window_bytes >> 20} MiB",
                hint="compress the file again without --long",
            )
        dictionary_at = 2
    dictionary_bytes = (0, 1, 2, 4)[descriptor & _DICTIONARY_SIZE]
    if any(header[dictionary_at : dictionary_at + dictionary_bytes]):
        raise file.unsupported(
            start,
            "a zstd frame without a dictionary",
            "one that needs a dictionary",
            hint="compress the file again without a dictionary",
        )


class _Compression(NamedTuple):
    """A compression: its name, its decompressor, and the errors that damaged data raises."""

    name: str
    decompressor: Callable[[], _Decompressor]
    errors: tuple[type[Exception], ...]


_BZIP2_ERRORS = (OSError, EOFError, ValueError)
_LZMA_ERRORS = (lzma.LZMAError, EOFError)
# The libraries of some are loaded on first use.
_COMPRESSIONS: dict[FileKind, Callable[[], _Compression]] = {
    FileKind.BZIP2: lambda: _Compression("bzip2", bz2.BZ2Decompressor, _BZIP2_ERRORS),
    FileKind.XZ: lambda: _Compression(
        "xz", partial(lzma.LZMADecompressor, lzma.FORMAT_XZ), _LZMA_ERRORS
    ),
    FileKind.LZMA: lambda: _Compression(
        "lzma", partial(lzma.LZMADecompressor, lzma.FORMAT_ALONE), _LZMA_ERRORS
    ),
    FileKind.ZSTD: lambda: _Compression("zstd", zstd.ZstdDecompressor, (zstd.ZstdError, EOFError)),
}


def _decompress(file: Input, compression: _Compression, start: int, already_bytes: int) -> Inflated:
    view = file.view
    stream = compression.decompressor()
    pieces: list[bytes] = []
    size_bytes = already_bytes
    offset = start
    step_bytes = FIRST_STEP_BYTES
    fault: FormatError | None = None
    try:
        while not stream.eof:
            pending = view[offset : offset + step_bytes] if stream.needs_input else b""
            offset += len(pending)
            step_bytes = min(2 * step_bytes, STEP_BYTES)
            piece = stream.decompress(pending, STEP_BYTES)
            pieces.append(piece)
            size_bytes = file.count_unpacked(len(piece), start, already_bytes=size_bytes)
            if not piece and offset == len(view) and stream.needs_input and not stream.eof:
                expected = f"the rest of a {compression.name} stream"
                fault = file.fail(len(view), expected, "the end of the file")
                break
    except FormatError:
        raise
    except compression.errors as error:
        if "unsupported" in str(error).lower():
            raise file.unsupported(
                start, f"an {compression.name} stream with known options", str(error)
            ) from None
        fault = file.fail(start, f"a valid {compression.name} stream", str(error))
    content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if fault is not None:
        file.stop_at(fault)
        return Inflated(content=content, end=len(view), is_cut=True)
    return Inflated(content=content, end=offset - len(stream.unused_data))
