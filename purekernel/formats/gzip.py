"""Read the members of gzip files, and write files of one member.

Source: RFC 1952.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from purekernel.errors import FormatError
from purekernel.formats.detect import FileKind, name_kind
from purekernel.formats.inflate import inflate, skip_zeros
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import Buffer

MAGIC = FileKind.GZIP.magic
DEFLATE = 8

FHCRC, FEXTRA, FNAME, FCOMMENT = 0x02, 0x04, 0x08, 0x10
RESERVED_FLAGS = 0xE0

# The offset of the flags in a header.
FLAGS_OFFSET = 3

HEADER = struct.Struct("<2sBBIBB")
TRAILER = struct.Struct("<II")

# XFL 2 means "slowest, smallest". OS 255 means "unknown", so that the host does not matter.
SLOWEST = 2
UNKNOWN_OS = 255


@frozen(kw_only=True)
class GzipMember:
    """A gzip member.

    Attributes:
        offset: where the header starts, in bytes.
        stream: where the deflate stream starts, in bytes.
        end: the first byte after the trailer.
        content: the unpacked content.
        is_cut: whether unpacking stopped at a fault, which was reported.
    """

    offset: int
    stream: int
    end: int
    content: bytes
    is_cut: bool = False


def parse_gzip(file: Input, *, already_bytes: int = 0) -> bytes:
    """Return the joined contents of all members of ``file``; zeros may follow each.

    Args:
        file: one or more members.
        already_bytes: a size that already counts towards the limit.

    Raises:
        FormatError: a member is damaged or truncated, or other data follows.
        LimitError: the unpacked size exceeds the limit.
    """
    pieces = [member.content for member in iter_members(file, already_bytes=already_bytes)]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def iter_members(file: Input, *, already_bytes: int = 0) -> Iterator[GzipMember]:
    """Yield the members of ``file`` in order; see :func:`parse_gzip` for the arguments.

    Raises:
        FormatError: a member is damaged or truncated, or other data follows.
        LimitError: the unpacked size exceeds the limit.
    """
    view = file.view
    offset = 0
    unpacked_bytes = already_bytes
    while True:
        member = parse_member(file, offset, already_bytes=unpacked_bytes)
        yield member
        unpacked_bytes += len(member.content)
        offset = skip_zeros(view, member.end)
        if offset == len(view):
            return


def parse_member(file: Input, offset: int = 0, *, already_bytes: int = 0) -> GzipMember:
    """Return the member that starts at ``offset``; ignore the data after it.

    Raises:
        FormatError: the member is damaged or truncated.
        LimitError: the unpacked size, with ``already_bytes``, exceeds the limit.
    """
    stream = _stream_start(file, offset)
    inflated = inflate(file, stream, already_bytes=already_bytes, header=offset)
    trailer, content = inflated.end, inflated.content
    if inflated.is_cut:
        end = len(file)
        return GzipMember(offset=offset, stream=stream, end=end, content=content, is_cut=True)
    if len(file) - trailer < TRAILER.size:
        raise _truncated(file, "the CRC and size at the end of a gzip member")
    crc, size = TRAILER.unpack_from(file.view, trailer)
    if crc != zlib.crc32(content) or size != len(content) & 0xFFFFFFFF:
        raise file.fail(
            trailer,
            f"CRC {zlib.crc32(content):08x} and size {len(content)}",
            f"CRC {crc:08x} and size {size}",
        )
    return GzipMember(offset=offset, stream=stream, end=trailer + TRAILER.size, content=content)


def read_header(file: Input, offset: int) -> tuple[bytes, int]:
    """Return the name and the time that the member at ``offset`` states; empty and 0 for none.

    Raises:
        FormatError: the header is damaged.
    """
    _stream_start(file, offset)
    view = file.view
    flags = view[offset + FLAGS_OFFSET]
    mtime = int.from_bytes(view[offset + 4 : offset + 8], "little")
    start = offset + HEADER.size
    if flags & FEXTRA:
        start += 2 + int.from_bytes(view[start : start + 2], "little")
    if not flags & FNAME:
        return b"", mtime
    return bytes(view[start : _find_nul(view, start)]), mtime


def build_gzip(
    deflated: Buffer, *, crc32: int, size_bytes: int, name: bytes = b"", mtime: int = 0
) -> bytes:
    """Return one gzip member for a raw deflate stream; it does not depend on the host.

    Args:
        deflated: a complete raw deflate stream.
        crc32: the CRC-32 of the unpacked bytes.
        size_bytes: the number of unpacked bytes.
        name: the name of the file, without folders or NUL; empty for none.
        mtime: the modification time of the file, in seconds since 1970, UTC; 0 for none.
    """
    return b"".join((build_header(name, mtime), deflated, build_trailer(crc32, size_bytes)))


def build_header(name: bytes = b"", mtime: int = 0) -> bytes:
    """Return the header of a gzip member; see :func:`build_gzip` for the arguments."""
    flags = FNAME if name else 0
    header = HEADER.pack(MAGIC, DEFLATE, flags, mtime, SLOWEST, UNKNOWN_OS)
    return header + name + b"\0" if name else header


def build_trailer(crc32: int, size_bytes: int) -> bytes:
    """Return the trailer of a gzip member; see :func:`build_gzip` for the arguments."""
    return TRAILER.pack(crc32, size_bytes & 0xFFFFFFFF)


def _stream_start(file: Input, offset: int) -> int:
    """Return the offset of the deflate stream in the member that starts at ``offset``."""
    view = file.view
    if len(view) - offset < HEADER.size:
        raise _truncated(file, "a gzip header of 10 bytes")
    magic, method, flags, _mtime, _xfl, _os = HEADER.unpack_from(view, offset)
    if magic != MAGIC:
        kind = name_kind(view) if not offset else None
        raise file.fail_kind(offset, "a gzip member (1f 8b)", kind, magic.hex(" "))
    if method != DEFLATE or flags & RESERVED_FLAGS:
        raise file.unsupported(
            offset + 2,
            "method 8 (deflate) and no reserved flags",
            f"method {method}, flags {flags:#04x}",
        )
    end = offset + HEADER.size
    if flags & FEXTRA:
        if len(view) - end < 2:
            raise _truncated(file, "the length of an extra field")
        end += 2 + int.from_bytes(view[end : end + 2], "little")
    for flag, what in ((FNAME, "a file name"), (FCOMMENT, "a comment")):
        if flags & flag:
            nul = _find_nul(view, end)
            if nul < 0:
                raise _truncated(file, f"the NUL at the end of {what}")
            end = nul + 1
    if flags & FHCRC:
        end += 2
    if end > len(view):
        raise _truncated(file, "the rest of a gzip header")
    return end


def _find_nul(view: memoryview, start: int) -> int:
    step = 4096
    for block_start in range(start, len(view), step):
        index = bytes(view[block_start : block_start + step]).find(b"\0")
        if index >= 0:
            return block_start + index
    return -1


def _truncated(file: Input, expected: str) -> FormatError:
    return file.fail(len(file), expected, "the end of the file")
