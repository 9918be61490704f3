"""Read ``ar`` archives, of which Debian's packages are made.

Source: ar(5) of FreeBSD for the header and BSD's long names; deb(5), "FORMAT"; GNU's binutils,
bfd/archive.c, for ``//`` and names that end in a slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.tree import Buffer, display

MAGIC = b"!<arch>\n"
HEADER_BYTES = 60

# Where the fields of a header are; all are text, filled up with blanks.
_NAME, _MTIME, _UID, _GID = slice(0, 16), slice(16, 28), slice(28, 34), slice(34, 40)
_MODE, _SIZE, _END = slice(40, 48), slice(48, 58), slice(58, 60)
_END_MARK = b"`\n"

_DECIMAL = re.compile(rb"[0-9]+")
_OCTAL = re.compile(rb"[0-7]+")

# Names of BSD's that do not fit lie before the content; those of GNU's in a member "//".
_BSD_LONG = re.compile(rb"#1/([0-9]{1,10})")
_GNU_LONG = re.compile(rb"/([0-9]{1,10})")
_GNU_TABLE = b"//"
_SYMBOLS = (b"/", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED")

# What a file system lets a name have.
MAX_NAME_BYTES = 255


@frozen(kw_only=True)
class ArMember:
    """One member.

    Attributes:
        name: without the slash that GNU puts behind it.
        offset: where its header starts, in bytes.
        mtime: seconds since 1970, UTC.
        mode: as it stands in the header, file type and all.
        content: a view into the archive.
    """

    name: bytes
    offset: int
    mtime: int = 0
    uid: int = 0
    gid: int = 0
    mode: int = 0
    content: memoryview = field(repr=lambda content: f"<{len(content)} bytes>")


def is_ar(data: Buffer) -> bool:
    """Say whether ``data`` opens as an ``ar`` archive."""
    return bytes(data[: len(MAGIC)]) == MAGIC


def parse_ar(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> tuple[ArMember, ...]:
    """Return the members of an archive in order; tables of symbols and names are left out.

    Names may be long, in the way of BSD's or GNU's ``ar``, and may stand twice. The byte that
    fills an odd member up is demanded between two members, and not behind the last.

    Raises:
        FormatError: it is no archive, a header is damaged, or a member is cut off.
        LimitError: there are more members than ``limits`` allow.
    """
    view = memoryview(data)
    if not is_ar(view):
        raise FormatError(
            source=source,
            offset=0,
            expected=f"an ar archive, which starts with {display(MAGIC)}",
            got=display(bytes(view[: len(MAGIC)])) if view else "an empty file",
        )
    return tuple(_iter_members(view, source, limits))


def _iter_members(view: memoryview, source: str, limits: Limits) -> Iterator[ArMember]:
    offset = len(MAGIC)
    names: memoryview | None = None
    count = 0
    while offset < len(view):
        count += 1
        limits.check_members(count, source=source, offset=offset)
        header = _header(view, offset, source)
        start = offset + HEADER_BYTES
        size = _number(header, _SIZE, "a size", offset, source, required=True)
        if size > len(view) - start:
            raise FormatError(
                source=source,
                offset=start,
                expected=f"{size} bytes of {display(header[_NAME].rstrip())}",
                got=f"the end of the file after {len(view) - start}",
            )
        content = view[start : start + size]
        written = header[_NAME].rstrip(b" ")
        if written == _GNU_TABLE:
            names = content
        elif written not in _SYMBOLS:
            yield _member(header, content, names, offset, source)
        offset = _next_offset(view, start + size, source)


def _header(view: memoryview, offset: int, source: str) -> bytes:
    header = bytes(view[offset : offset + HEADER_BYTES])
    if len(header) < HEADER_BYTES:
        raise FormatError(
            source=source,
            offset=offset,
            expected=f"a header of {HEADER_BYTES} bytes",
            got=f"the end of the file after {len(header)}",
        )
    if header[_END] != _END_MARK:
        raise FormatError(
            source=source,
            offset=offset + _END.start,
            expected=f"{display(_END_MARK)} at the end of a member's header",
            got=display(header[_END]),
        )
    return header


def _member(
    header: bytes, content: memoryview, names: memoryview | None, offset: int, source: str
) -> ArMember:
    written = header[_NAME].rstrip(b" ")
    if found := _BSD_LONG.fullmatch(written):
        length = int(found[1])
        if length > len(content):
            raise FormatError(
                source=source,
                offset=offset,
                expected=f"a name of at most the {len(content)} bytes that the member has",
                got=f"{length}",
            )
        name = bytes(content[: min(length, MAX_NAME_BYTES + 1)]).rstrip(b"\0")
        content = content[length:]
    elif found := _GNU_LONG.fullmatch(written):
        name = _name_in_table(names, int(found[1]), offset, source)
    else:
        name = written.removesuffix(b"/")
    if not 0 < len(name) <= MAX_NAME_BYTES or b"\0" in name:
        raise FormatError(
            source=source,
            offset=offset,
            expected=f"a member's name of 1 to {MAX_NAME_BYTES} bytes without a NUL",
            got=display(name) if name else "none",
        )
    return ArMember(
        name=name,
        offset=offset,
        mtime=_number(header, _MTIME, "a time", offset, source),
        uid=_number(header, _UID, "an owner", offset, source),
        gid=_number(header, _GID, "a group", offset, source),
        mode=_number(header, _MODE, "a mode", offset, source, base=8),
        content=content,
    )


def _name_in_table(names: memoryview | None, start: int, offset: int, source: str) -> bytes:
    if names is None or start >= len(names):
        raise FormatError(
            source=source,
            offset=offset,
            expected=f"a table of names with one at byte {start}",
            got="none" if names is None else f"one of {len(names)} bytes",
        )
    # Where no name ends in time, the check on its length tells.
    entry = bytes(names[start : start + MAX_NAME_BYTES + 2])
    return entry.partition(b"\n")[0].removesuffix(b"/")


def _number(
    header: bytes,
    where: slice,
    what: str,
    offset: int,
    source: str,
    *,
    base: int = 10,
    required: bool = False,
) -> int:
    """Return the number in a field; an empty one, which some tables have, is 0."""
    text = header[where].strip(b" ")
    if not text and not required:
        return 0
    pattern = _OCTAL if base == 8 else _DECIMAL
    if not pattern.fullmatch(text):
        raise FormatError(
            source=source,
            offset=offset + where.start,
            expected=f"{what} in {'octal' if base == 8 else 'decimal'} digits",
            got=display(header[where]),
        )
    return int(text, base)


def _next_offset(view: memoryview, end: int, source: str) -> int:
    """Return where the next header starts: at an even byte."""
    if not end % 2 or end == len(view):
        return end
    # deb(5) has a line end there; other archivers a NUL.
    if view[end] not in b"\n\0":
        raise FormatError(
            source=source,
            offset=end,
            expected="a line end behind a member of an odd size",
            got=f"0x{view[end]:02x}",
        )
    return end + 1
