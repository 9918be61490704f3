"""Tar headers, one after the other, with what long-name and PAX headers add to each.

The standard library's :mod:`tarfile` reads the numbers and the checksum of a header block.
It does not walk the archive: it takes a damaged header in the middle, or a cut at a
member's edge, for the end.

Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format".
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from attrs import define, field, frozen

from purekernel.errors import FormatError
from purekernel.formats.inflate import skip_zeros
from purekernel.formats.limits import Limits
from purekernel.formats.tar.pax import Extension, parse_extension
from purekernel.tree import Buffer, display

BLOCK_BYTES = 512
END_BLOCK = bytes(BLOCK_BYTES)

# GNU has "ustar" and a blank instead; there, times stand where POSIX has the name's prefix.
MAGIC = slice(257, 263)
POSIX_MAGIC = b"ustar\0"

NAME = slice(0, 100)
TYPE = slice(156, 157)
LINK_NAME = slice(157, 257)
PREFIX = slice(345, 500)

# GNU's long names, and PAX headers, for one member and for all (Solaris writes X for x).
LONG_NAME, LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
PAX, PAX_GLOBAL = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE), tarfile.XGLTYPE
VOLUME_LABEL = b"V"
DUMP_FOLDER = b"D"

FILE_TYPES = tarfile.REGULAR_TYPES[:3]  # NUL, 0, and 7 ("contiguous")
TYPES_WITH_CONTENT = (*FILE_TYPES, DUMP_FOLDER, VOLUME_LABEL)

# A name has 4096 bytes at most; what is longer is no name. Attributes that PAX headers
# carry have 64 KiB each, and few files have many: libarchive draws the line here too.
MAX_NAME_BYTES = 1 << 16
MAX_PAX_BYTES = 1 << 20


@frozen(kw_only=True)
class Member:
    """One member, with all that is said about it taken together.

    Attributes:
        offset: where its first header starts, in bytes.
        name: as it stands in the archive.
        type: the one-byte type.
        target: of a symbolic or hard link.
        content: empty for types that have none.
        mode: the whole number in the header.
        mtime: seconds since 1970.
    """

    offset: int
    name: bytes
    type: bytes
    target: bytes
    content: memoryview
    mode: int
    uid: int
    gid: int
    mtime: int
    major: int
    minor: int


@define(kw_only=True)
class _Pending:
    """What extension headers have said about the member to come."""

    offset: int | None = None
    name: bytes | None = None
    target: bytes | None = None
    extension: Extension | None = None
    seen: set[bytes] = field(factory=set)


def is_tar(data: Buffer) -> bool:
    """Say whether ``data`` opens with a sound tar header, or is an empty archive."""
    block = bytes(data[:BLOCK_BYTES])
    if block == END_BLOCK:
        return len(data) >= 2 * BLOCK_BYTES and not any(bytes(data[:10240]))
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def iter_members(view: memoryview, *, source: str, limits: Limits) -> Iterator[Member]:
    """Yield the members of an uncompressed archive in order.

    Raises:
        FormatError: a header is damaged, a member or the end of the archive is missing,
            or something follows the end.
        LimitError: there are more members than ``limits`` allow.
    """
    archive = _Archive(view, source)
    everyone = Extension(source=source)
    pending = _Pending()
    count = 0
    while (header := archive.next_header()) is not None:
        count += 1
        limits.check_members(count, source=source, offset=header.offset)
        if header.type == PAX_GLOBAL:
            everyone = archive.extension(header, everyone=True).over(everyone)
        elif header.type in (LONG_NAME, LONG_LINK, *PAX):
            _remember(pending, header, archive)
        else:
            yield archive.member(header, pending, everyone)
            pending = _Pending()
    if pending.offset is not None:
        raise FormatError(
            source=source,
            offset=pending.offset,
            expected="a member after its long name or PAX header",
            got="the end of the archive",
        )


def _remember(pending: _Pending, header: _Header, archive: _Archive) -> None:
    """Note what one extension header says about the member to come."""
    kind = PAX[0] if header.type in PAX else header.type
    if kind in pending.seen:
        raise FormatError(
            source=archive.source,
            offset=header.offset,
            expected="a member",
            got=f"a second header of type {display(kind)} for it",
        )
    pending.seen.add(kind)
    if pending.offset is None:
        pending.offset = header.offset
    if header.type in PAX:
        pending.extension = archive.extension(header, everyone=False)
    elif header.type == LONG_NAME:
        pending.name = archive.long_name(header)
    else:
        pending.target = archive.long_name(header)


@frozen(kw_only=True)
class _Header:
    """One header block."""

    offset: int
    block: bytes
    numbers: tarfile.TarInfo

    @property
    def type(self) -> bytes:
        return self.block[TYPE]

    @property
    def name(self) -> bytes:
        name = _text(self.block[NAME])
        prefix = _text(self.block[PREFIX]) if self.block[MAGIC] == POSIX_MAGIC else b""
        return prefix + b"/" + name if prefix else name


class _Archive:
    """Steps through the blocks of an archive and never past its end."""

    def __init__(self, view: memoryview, source: str) -> None:
        self.source = source
        self._view = view
        self._here = 0

    def next_header(self) -> _Header | None:
        """Return the header at hand, or ``None`` at the end of the archive."""
        offset = self._here
        block = bytes(self._view[offset : offset + BLOCK_BYTES])
        if len(block) < BLOCK_BYTES:
            raise FormatError(
                source=self.source,
                offset=len(self._view),
                expected="another member, or the zeros that end a tar archive",
                got="the end of the file",
            )
        self._here += BLOCK_BYTES
        if block == END_BLOCK:
            self._check_end()
            return None
        try:
            numbers = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise FormatError(
                source=self.source, offset=offset, expected="a sound tar header", got=str(error)
            ) from None
        return _Header(offset=offset, block=block, numbers=numbers)

    def extension(self, header: _Header, *, everyone: bool) -> Extension:
        """Return the records that the PAX header at hand holds."""
        content = self._small_content(header, MAX_PAX_BYTES, "a PAX header")
        return parse_extension(
            content, source=self.source, offset=header.offset + BLOCK_BYTES, everyone=everyone
        )

    def long_name(self, header: _Header) -> bytes:
        """Return the name that GNU's long-name header at hand holds."""
        content = bytes(self._small_content(header, MAX_NAME_BYTES, "a long name"))
        return content.removesuffix(b"\0")

    def member(self, header: _Header, pending: _Pending, everyone: Extension) -> Member:
        """Return the member whose own header is at hand."""
        extension = everyone if pending.extension is None else pending.extension.over(everyone)
        numbers = header.numbers
        _check_type(header, self.source)
        size = extension.number(b"size", numbers.size)
        name = header.name if pending.name is None else pending.name
        target = _text(header.block[LINK_NAME]) if pending.target is None else pending.target
        # Old tars write a size for links and folders too, with no content behind it.
        content = self._content(header, size if header.type in TYPES_WITH_CONTENT else 0)
        return Member(
            offset=header.offset if pending.offset is None else pending.offset,
            name=extension.name(b"path", name),
            type=header.type,
            target=extension.name(b"linkpath", target),
            content=content,
            mode=numbers.mode,
            uid=extension.number(b"uid", numbers.uid),
            gid=extension.number(b"gid", numbers.gid),
            mtime=extension.time(int(numbers.mtime)),
            major=extension.number(b"SCHILY.devmajor", numbers.devmajor),
            minor=extension.number(b"SCHILY.devminor", numbers.devminor),
        )

    def _small_content(self, header: _Header, most_bytes: int, what: str) -> memoryview:
        size = header.numbers.size
        if size > most_bytes:
            raise FormatError(
                source=self.source,
                offset=header.offset,
                expected=f"{what} of at most {most_bytes} bytes",
                got=f"{size}",
            )
        return self._content(header, size)

    def _content(self, header: _Header, size: int) -> memoryview:
        start = self._here
        left = len(self._view) - start
        if not 0 <= size <= left:
            raise FormatError(
                source=self.source,
                offset=header.offset,
                expected=f"a size from 0 to the {left} bytes that are left",
                got=f"{size}",
            )
        self._here = start + size + -size % BLOCK_BYTES
        return self._view[start : start + size]

    def _check_end(self) -> None:
        """Demand zeros to the end: what follows would be lost without a word."""
        found = skip_zeros(self._view, self._here)
        if found < len(self._view):
            raise FormatError(
                source=self.source,
                offset=found,
                expected="nothing but zeros after the end of the archive",
                got=f"{self._view[found : found + 4].hex(' ')}",
                hint="archives joined by cat are not read: pack their contents together",
            )


def _check_type(header: _Header, source: str) -> None:
    if header.type == tarfile.GNUTYPE_SPARSE:
        raise FormatError(
            source=source,
            offset=header.offset,
            expected="whole files",
            got=f"{display(header.name)}, a sparse one",
            hint="pack the archive again without --sparse (-S)",
        )
    if header.type == b"M":
        raise FormatError(
            source=source,
            offset=header.offset,
            expected="a whole archive",
            got=f"a part of a multi-volume one, with the rest of {display(header.name)}",
            hint="pack the archive again without --multi-volume (-M)",
        )


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
