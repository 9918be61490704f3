"""Read the records of one cpio archive, one after the other, as they lie."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from attrs import frozen

from purekernel.errors import FormatError
from purekernel.formats.cpio.layout import (
    FOREIGN_MAGICS,
    HEADER_BYTES,
    MAGIC_CRC,
    MAGIC_NEWC,
    MAX_NAME_BYTES,
    TRAILER_NAME,
    Header,
    padding,
)


@frozen(kw_only=True)
class Record:
    """One record.

    Attributes:
        offset: where its header starts, in bytes.
        end: the first byte after its content and padding.
        header: its numbers.
        name: as it lies there, without the NUL.
        content: a view of its bytes; empty for all but files and symbolic links.
    """

    offset: int
    end: int
    header: Header
    name: bytes
    content: memoryview


def iter_records(view: memoryview, start: int, *, source: str) -> Iterator[Record]:
    """Yield the records of the archive at ``start``, its trailer last.

    Raises:
        FormatError: a record is damaged, or the archive ends without its trailer.
    """
    here = start
    while True:
        record = _read_record(view, here, start, source)
        yield record
        if record.name == TRAILER_NAME:
            return
        here = record.end


def _read_record(view: memoryview, offset: int, start: int, source: str) -> Record:
    header_end = offset + HEADER_BYTES
    _require(view, header_end, "a cpio header of 110 bytes", source)
    magic = bytes(view[offset : offset + 6])
    if magic not in (MAGIC_NEWC, MAGIC_CRC):
        raise FormatError(
            source=source, offset=offset, expected="a cpio record (070701)", got=name_magic(magic)
        )
    try:
        header = Header.unpack(bytes(view[offset + 6 : header_end]))
    except (ValueError, UnicodeDecodeError):
        raise FormatError(
            source=source,
            offset=offset + 6,
            expected="104 hexadecimal digits",
            got=repr(bytes(view[offset + 6 : offset + 30])) + "…",
        ) from None
    name_end = header_end + header.namesize
    if not 0 < header.namesize <= MAX_NAME_BYTES:
        raise FormatError(
            source=source,
            offset=offset,
            expected=f"a name of 1 to {MAX_NAME_BYTES} bytes",
            got=str(header.namesize),
        )
    _require(view, name_end, f"a name of {header.namesize} bytes", source)
    raw = bytes(view[header_end:name_end])
    # Some tools align contents by more NULs behind the name, counted in its size.
    name = raw.rstrip(b"\0")
    if raw[-1] != 0 or b"\0" in name:
        raise FormatError(
            source=source, offset=header_end, expected="a name that ends at its NUL", got=repr(raw)
        )
    content_start = name_end + padding(name_end - start)
    content_end = content_start + header.filesize
    _require(view, content_end, f"{header.filesize} bytes of content", source)
    content = view[content_start:content_end]
    # GNU cpio adds up files alone, and leaves 0 for links.
    checked = magic == MAGIC_CRC and stat.S_ISREG(header.mode) and header.filesize > 0
    added = sum(content) & 0xFFFFFFFF if checked else header.check
    if added != header.check:
        raise FormatError(
            source=source,
            offset=content_start,
            expected=f"content whose bytes add up to {header.check:#010x}",
            got=f"{added:#010x}",
        )
    return Record(
        offset=offset,
        end=content_end + padding(content_end - start),
        header=header,
        name=name,
        content=content,
    )


def name_magic(magic: bytes) -> str:
    """Say what ``magic`` is, when it is not a record's."""
    for prefix, kind in FOREIGN_MAGICS.items():
        if magic.startswith(prefix):
            return kind
    return repr(magic) if magic else "the end of the file"


def _require(view: memoryview, end: int, expected: str, source: str) -> None:
    if end > len(view):
        raise FormatError(
            source=source, offset=len(view), expected=expected, got="the end of the archive"
        )
