"""Gzip framing: members read one after the other, one member written.

Source: RFC 1952.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from attrs import frozen

from purekernel.errors import FormatError
from purekernel.formats.inflate import inflate, skip_zeros
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.tree import Buffer

MAGIC = b"\x1f\x8b"
DEFLATE = 8

FHCRC, FEXTRA, FNAME, FCOMMENT = 0x02, 0x04, 0x08, 0x10
RESERVED_FLAGS = 0xE0

# Where a header has its flags.
FLAGS_OFFSET = 3

HEADER = struct.Struct("<2sBBIBB")
TRAILER = struct.Struct("<II")

# XFL 2 says "slowest, smallest"; OS 255 says "unknown", so that no host shows.
SLOWEST = 2
UNKNOWN_OS = 255


@frozen(kw_only=True)
class Member:
    """One gzip member.

    Attributes:
        offset: where its header starts, in bytes.
        end: the first byte after its trailer.
        content: what it unpacks to.
    """

    offset: int
    end: int
    content: bytes


def parse_gzip(
    data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS, already_bytes: int = 0
) -> bytes:
    """Return what all members of ``data`` unpack to, joined; zeros may follow the last.

    Args:
        data: one member or more.
        source: its name, for messages.
        limits: the bound on what it may unpack to.
        already_bytes: what counts towards that bound beforehand.

    Raises:
        FormatError: a member is damaged or ends early, or something else follows.
        LimitError: they unpack to more than ``limits`` allow.
    """
    members = iter_members(data, source=source, limits=limits, already_bytes=already_bytes)
    pieces = [member.content for member in members]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def iter_members(
    data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS, already_bytes: int = 0
) -> Iterator[Member]:
    """Yield the members of ``data`` in order; the arguments are :func:`parse_gzip`'s.

    Raises:
        FormatError: a member is damaged or ends early, or something else follows.
        LimitError: they unpack to more than ``limits`` allow.
    """
    view = memoryview(data)
    offset = 0
    unpacked_bytes = already_bytes
    while True:
        member = parse_member(
            view, offset, source=source, limits=limits, already_bytes=unpacked_bytes
        )
        yield member
        unpacked_bytes += len(member.content)
        offset = member.end
        if skip_zeros(view, offset) == len(view):
            return


def parse_member(
    data: Buffer,
    offset: int = 0,
    *,
    source: str,
    limits: Limits = DEFAULT_LIMITS,
    already_bytes: int = 0,
) -> Member:
    """Return the member that starts at ``offset``, whatever follows it.

    Raises:
        FormatError: it is damaged or ends early.
        LimitError: with ``already_bytes`` it unpacks to more than ``limits`` allow.
    """
    view = memoryview(data)
    start = _skip_header(view, offset, source)
    inflated = inflate(
        view, start, source=source, limits=limits, already_bytes=already_bytes, header=offset
    )
    trailer, content = inflated.end, inflated.content
    if len(view) - trailer < TRAILER.size:
        raise _ends_early(source, len(view), "the CRC and size that close a gzip member")
    crc, size = TRAILER.unpack_from(view, trailer)
    if crc != zlib.crc32(content) or size != len(content) & 0xFFFFFFFF:
        raise FormatError(
            source=source,
            offset=trailer,
            expected=f"CRC {zlib.crc32(content):08x} and size {len(content)}",
            got=f"CRC {crc:08x} and size {size}",
        )
    return Member(offset=offset, end=trailer + TRAILER.size, content=content)


def build_gzip(
    deflated: Buffer, *, crc32: int, size_bytes: int, name: bytes = b"", mtime: int = 0
) -> bytes:
    """Return one gzip member around a raw deflate stream; no host shows in it.

    Args:
        deflated: a whole raw deflate stream.
        crc32: of the unpacked bytes.
        size_bytes: of the unpacked bytes.
        name: of the file that was packed, without folders or NUL; empty: none is said.
        mtime: when that was changed, in seconds since 1970, UTC; 0: it is not said.
    """
    return b"".join((build_header(name, mtime), deflated, build_trailer(crc32, size_bytes)))


def build_header(name: bytes = b"", mtime: int = 0) -> bytes:
    """Return what stands before a raw deflate stream; the arguments are :func:`build_gzip`'s."""
    flags = FNAME if name else 0
    header = HEADER.pack(MAGIC, DEFLATE, flags, mtime, SLOWEST, UNKNOWN_OS)
    return header + name + b"\0" if name else header


def build_trailer(crc32: int, size_bytes: int) -> bytes:
    """Return what stands behind it; the arguments are :func:`build_gzip`'s."""
    return TRAILER.pack(crc32, size_bytes & 0xFFFFFFFF)


def content_start(data: Buffer, *, source: str = "a gzip file") -> int:
    """Return where the deflate stream of a gzip file's first member starts, in bytes.

    Raises:
        FormatError: its header is damaged or ends early.
    """
    return _skip_header(memoryview(data), 0, source)


def _skip_header(view: memoryview, offset: int, source: str) -> int:
    """Return where the deflate stream of the member at ``offset`` starts."""
    if len(view) - offset < HEADER.size:
        raise _ends_early(source, len(view), "a gzip header of 10 bytes")
    magic, method, flags, _mtime, _xfl, _os = HEADER.unpack_from(view, offset)
    if magic != MAGIC:
        raise FormatError(
            source=source, offset=offset, expected="a gzip member (1f 8b)", got=magic.hex(" ")
        )
    if method != DEFLATE or flags & RESERVED_FLAGS:
        raise FormatError(
            source=source,
            offset=offset + 2,
            expected="method 8 (deflate) and no reserved flags",
            got=f"method {method}, flags {flags:#04x}",
        )
    here = offset + HEADER.size
    if flags & FEXTRA:
        if len(view) - here < 2:
            raise _ends_early(source, len(view), "the length of an extra field")
        here += 2 + int.from_bytes(view[here : here + 2], "little")
    for flag, what in ((FNAME, "a file name"), (FCOMMENT, "a comment")):
        if flags & flag:
            end = _find_nul(view, here)
            if end < 0:
                raise _ends_early(source, len(view), f"the NUL that ends {what}")
            here = end + 1
    if flags & FHCRC:
        here += 2
    if here > len(view):
        raise _ends_early(source, len(view), "the rest of a gzip header")
    return here


def _find_nul(view: memoryview, start: int) -> int:
    step = 4096
    for here in range(start, len(view), step):
        found = bytes(view[here : here + step]).find(b"\0")
        if found >= 0:
            return here + found
    return -1


def _ends_early(source: str, offset: int, expected: str) -> FormatError:
    return FormatError(source=source, offset=offset, expected=expected, got="the end of the file")
