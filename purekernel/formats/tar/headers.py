"""Iterate over the members of a tar archive, and apply long-name and PAX headers to them.

The standard library's :mod:`tarfile` is not used to walk the archive, because it takes a damaged
header, or a truncation between members, for the end of the archive, and it takes five times as
long to parse a header.

Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format".
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import lru_cache

from attrs import define, evolve, field

from purekernel.formats.detect import FileKind, detect, tar_checksums
from purekernel.formats.inflate import skip_zeros
from purekernel.formats.tar import pax, sparse
from purekernel.formats.tar.pax import PaxExtension, multi_volume, parse_extension
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import display

BLOCK_BYTES = 512
END_BLOCK = bytes(BLOCK_BYTES)
NO_CONTENT = memoryview(b"")

# GNU archives have "ustar" and a blank instead, and times in place of the prefix of the name.
MAGIC = slice(257, 263)
POSIX_MAGIC = b"ustar\0"

NAME = slice(0, 100)
TYPE = slice(156, 157)
LINK_NAME = slice(157, 257)
PREFIX = slice(345, 500)
MODE, UID, GID = slice(100, 108), slice(108, 116), slice(116, 124)
SIZE, MTIME = slice(124, 136), slice(136, 148)
CHECKSUM = slice(148, 156)
MAJOR, MINOR = slice(329, 337), slice(337, 345)

# The first byte of a binary number.
BINARY, NEGATIVE_BINARY = 0x80, 0xFF

# The types of GNU's long names, and of PAX headers for one member and for all. Solaris writes X
# instead of x.
LONG_NAME, LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
PAX, PAX_GLOBAL = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE), tarfile.XGLTYPE
SPARSE = tarfile.GNUTYPE_SPARSE
VOLUME_LABEL = b"V"
MULTI_VOLUME = b"M"
DUMP_FOLDER = b"D"

FILE_TYPES = tarfile.REGULAR_TYPES[:3]  # NUL, 0, and 7 ("contiguous")
TYPES_WITH_CONTENT = (*FILE_TYPES, SPARSE, DUMP_FOLDER, VOLUME_LABEL)

# Linux limits names to 4096 bytes. libarchive has the same limit.
MAX_NAME_BYTES = 1 << 16
# The map of a sparse file with 250,000 holes. Extended attributes have up to 64 KiB each.
MAX_PAX_BYTES = 1 << 24
# PAX records of each header that do not count towards the limit of the archive.
FREE_RECORDS = 20


@frozen(kw_only=True)
class TarMember:
    """A member, with the fields of all its headers combined.

    Attributes:
        offset: where the first header starts, in bytes.
        name: the raw name in the archive.
        type: the type, one byte; that of a regular file for sparse files.
        target: the target of a symbolic or hard link.
        content: the content, with the holes of sparse files; empty for types without content.
        mode: the number in the header, unmasked.
        uid, gid: the owner and the group.
        mtime: the time in seconds since 1970, UTC.
        major, minor: the device numbers.
        lost: the name of an attribute in its PAX header that the reader ignores, if any.
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
    lost: bytes


@define(kw_only=True)
class _PendingHeaders:
    """The fields that extension headers set for the next member."""

    offset: int | None = None
    name: bytes | None = None
    target: bytes | None = None
    extension: PaxExtension | None = None
    seen: set[bytes] = field(factory=set)


def iter_members(file: Input) -> Iterator[TarMember]:
    """Yield the members of an uncompressed archive in order.

    Raises:
        FormatError: a header is damaged, or the archive is truncated.
        LimitError: there are more members than the limit, or sparse files exceed it.
    """
    archive = _TarArchive(file)
    defaults = PaxExtension(file=file)
    pending = _PendingHeaders()
    count = 0
    while (header := archive.next_header()) is not None:
        count += 1
        file.check_members(count, header.offset)
        if header.type == PAX_GLOBAL:
            defaults = archive.extension(header, is_global=True).over(defaults)
        elif header.type in (LONG_NAME, LONG_LINK, *PAX):
            _remember(pending, header, archive)
        else:
            yield archive.member(header, pending, defaults)
            pending = _PendingHeaders()
    if pending.offset is not None:
        raise file.fail(
            pending.offset, "a member after the long name or PAX header", "the end of the archive"
        )


def _remember(pending: _PendingHeaders, header: _Header, archive: _TarArchive) -> None:
    """Store the fields of one extension header for the next member."""
    kind = PAX[0] if header.type in PAX else header.type
    if kind in pending.seen:
        raise archive.file.fail(
            header.offset, "a member", f"a second extension header of type {display(kind)}"
        )
    pending.seen.add(kind)
    if pending.offset is None:
        pending.offset = header.offset
    if header.type in PAX:
        pending.extension = archive.extension(header, is_global=False)
    elif header.type == LONG_NAME:
        pending.name = archive.long_name(header)
    else:
        pending.target = archive.long_name(header)


@frozen(kw_only=True)
class _Header:
    """A header block."""

    offset: int
    block: bytes
    type: bytes
    size_bytes: int

    @property
    def name(self) -> bytes:
        name = _text(self.block[NAME])
        prefix = _text(self.block[PREFIX]) if self.block[MAGIC] == POSIX_MAGIC else b""
        return prefix + b"/" + name if prefix else name


class _TarArchive:
    """Read the blocks of an archive in order, and check that none is past the end."""

    def __init__(self, file: Input) -> None:
        self.file = file
        self._view = file.view
        self._position = 0
        self._sparse_bytes = 0
        self._counted = 0

    def next_header(self) -> _Header | None:
        """Return the next header, or ``None`` at the end of the archive."""
        offset = self._position
        block = bytes(self._view[offset : offset + BLOCK_BYTES])
        if len(block) < BLOCK_BYTES:
            if any(block) or not offset:
                got = f"{len(block)} bytes" if block else "the end of the file"
                raise self.file.fail(offset, "a tar header of 512 bytes", got)
            self.file.note("the zeros at its end are missing, so it may have been cut off")
            return None
        self._position += BLOCK_BYTES
        if block == END_BLOCK:
            self._note_rest()
            return None
        if self._number(block, CHECKSUM, offset) not in tar_checksums(block):
            raise self.file.fail(offset, "a valid tar header", "bad checksum")
        size = self._number(block, SIZE, offset)
        return _Header(offset=offset, block=block, type=block[TYPE], size_bytes=size)

    def extension(self, header: _Header, *, is_global: bool) -> PaxExtension:
        """Return the records of a PAX header, whose content is next."""
        content = self._small_content(header, MAX_PAX_BYTES, "a PAX header")
        extension = parse_extension(content, is_global=is_global)
        self._count(extension.count - FREE_RECORDS, header)
        return extension

    def long_name(self, header: _Header) -> bytes:
        """Return the name of a GNU long-name header, whose content is next."""
        content = bytes(self._small_content(header, MAX_NAME_BYTES, "a long name").data)
        return content.removesuffix(b"\0")

    def member(
        self, header: _Header, pending: _PendingHeaders, defaults: PaxExtension
    ) -> TarMember:
        """Return the member of ``header``, whose content is next."""
        extension = defaults if pending.extension is None else pending.extension.over(defaults)
        if header.type == MULTI_VOLUME:
            raise multi_volume(self.file, header.offset)
        size = extension.number(b"size", header.size_bytes)
        # Old versions of tar write a size for links and folders too, without content.
        has_content = header.type in TYPES_WITH_CONTENT
        block, at = header.block, header.offset
        member = TarMember(
            offset=at if pending.offset is None else pending.offset,
            name=header.name if pending.name is None else pending.name,
            type=FILE_TYPES[0] if header.type == SPARSE else header.type,
            target=_text(block[LINK_NAME]) if pending.target is None else pending.target,
            content=self._member_content(header, size, extension) if has_content else NO_CONTENT,
            mode=self._number(block, MODE, at),
            uid=self._number(block, UID, at),
            gid=self._number(block, GID, at),
            mtime=self._number(block, MTIME, at),
            major=self._number(block, MAJOR, at),
            minor=self._number(block, MINOR, at),
            lost=extension.lost,
        )
        if not extension.records:
            return member
        return evolve(
            member,
            name=extension.name(sparse.NAME, extension.name(b"path", member.name)),
            target=extension.name(b"linkpath", member.target),
            uid=extension.number(b"uid", member.uid),
            gid=extension.number(b"gid", member.gid),
            mtime=extension.time(member.mtime),
            major=extension.number(b"SCHILY.devmajor", member.major),
            minor=extension.number(b"SCHILY.devminor", member.minor),
        )

    def _number(self, block: bytes, place: slice, offset: int) -> int:
        """Return a number of the header block at ``offset``."""
        try:
            return _parse_number(block[place])
        except ValueError:
            raise self.file.fail(offset, "a valid tar header", "invalid header") from None

    def _member_content(self, header: _Header, size: int, extension: PaxExtension) -> memoryview:
        """Return the content of a member, which is next, with the holes of a sparse file."""
        if header.type == SPARSE:
            layout = sparse.parse_old_map(self._map_blocks(header), self.file, header.offset)
            return self._fill(header, layout, self._content(header, size))
        start = self._position
        content = self._content(header, size)
        if header.type not in FILE_TYPES or not extension.records:
            return content
        part = self.file.part(start, start + size)
        found = sparse.parse_pax_map(extension.records, part, header.offset, self.file)
        if found is None:
            return content
        layout, map_bytes = found
        return self._fill(header, layout, content[map_bytes:])

    def _map_blocks(self, header: _Header) -> Iterator[bytes]:
        """Yield a header, then the blocks that follow it."""
        yield header.block
        while True:
            yield bytes(self._content(header, BLOCK_BYTES))

    def _fill(self, header: _Header, layout: sparse.SparseMap, data: memoryview) -> memoryview:
        self._count(len(layout.extents), header)
        # A few bytes of an archive can stand for a file of any size.
        self._sparse_bytes = self.file.count_unpacked(
            layout.real_bytes, header.offset, already_bytes=self._sparse_bytes
        )
        return layout.fill(self.file, data, header.offset)

    def _count(self, number: int, header: _Header) -> None:
        """Count records or extents, which all headers together have a limit of."""
        self._counted += max(0, number)
        if self._counted > pax.MAX_RECORDS:
            raise pax.too_many(self.file, header.offset)

    def _small_content(self, header: _Header, most_bytes: int, what: str) -> Input:
        start, size = self._position, header.size_bytes
        if size > most_bytes:
            raise self.file.fail(header.offset, f"{what} of at most {most_bytes} bytes", f"{size}")
        self._content(header, size)
        return self.file.part(start, start + size)

    def _content(self, header: _Header, size: int) -> memoryview:
        """Return the next ``size`` bytes, and skip their padding."""
        start = self._position
        left = len(self.file) - start
        if not 0 <= size <= left:
            raise self.file.fail(
                header.offset,
                f"a size from 0 to {left}, the rest of the archive",
                f"{size}",
                hint="the archive is cut off: get it again; if it is a volume of tar -M, unpack "
                "all volumes, and pack the files again as one archive",
            )
        self._position = start + size + -size % BLOCK_BYTES
        return self._view[start : start + size]

    def _note_rest(self) -> None:
        """Report data after the end of the archive, which all programs ignore."""
        start = skip_zeros(self._view, self._position)
        if start == len(self._view):
            return
        block_start = start - start % BLOCK_BYTES
        if detect(self._view[block_start:]) is FileKind.TAR:
            self.file.note(
                f"ignored another archive after its end, at byte {block_start}; tar -A joins "
                "archives to one"
            )
        else:
            size = len(self._view) - start
            self.file.note(f"ignored {size} bytes after its end, at byte {start}")


@lru_cache(maxsize=1 << 12)
def _parse_number(field: bytes) -> int:
    """Return a number in octal digits, or in binary after a byte 128 or, if negative, 255.

    Raises:
        ValueError: it is neither.
    """
    if field[0] == BINARY:
        return int.from_bytes(field[1:], "big")
    if field[0] == NEGATIVE_BINARY:
        return int.from_bytes(field, "big", signed=True)
    return int(_text(field).strip() or b"0", 8)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
