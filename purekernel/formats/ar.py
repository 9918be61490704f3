"""Read ``ar`` archives, the container format of Debian packages.

Source: ar(5) of FreeBSD for the header and BSD's long names; deb(5), "FORMAT"; bfd/archive.c of GNU
binutils for ``//`` and names that end in a slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import field

from purekernel.formats.detect import FileKind, detect, name_kind
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import display

MAGIC = FileKind.AR.magic
HEADER_BYTES = 60

# The fields of a header. All are text, padded with blanks.
_NAME, _MTIME, _UID, _GID = slice(0, 16), slice(16, 28), slice(28, 34), slice(34, 40)
_MODE, _SIZE, _END = slice(40, 48), slice(48, 58), slice(58, 60)
_END_MARK = b"`\n"

_DECIMAL = re.compile(rb"[0-9]+")
_OCTAL = re.compile(rb"[0-7]+")

# Long names: BSD stores them before the content, GNU in a member "//".
_BSD_LONG = re.compile(rb"#1/([0-9]{1,10})")
_GNU_LONG = re.compile(rb"/([0-9]{1,10})")
_GNU_TABLE = b"//"
_SYMBOLS = (b"/", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED")

_BLANKS = b"\r\n\t \0"

# The limit of most file systems.
MAX_NAME_BYTES = 255


@frozen(kw_only=True)
class ArMember:
    """A member of an archive.

    Attributes:
        name: the name, without the slash that GNU appends.
        offset: where the header starts, in bytes.
        mtime: the time in seconds since 1970, UTC.
        uid, gid: the owner and the group.
        mode: the mode in the header, with the file type.
        content: a view into the archive.
        end: the first byte after the content.
    """

    name: bytes
    offset: int
    mtime: int = 0
    uid: int = 0
    gid: int = 0
    mode: int = 0
    content: memoryview = field(repr=lambda content: f"<{len(content)} bytes>")
    end: int


def parse_ar(file: Input) -> tuple[ArMember, ...]:
    """Return the members of an archive in order; see :func:`iter_ar`."""
    return tuple(iter_ar(file))


def iter_ar(file: Input) -> Iterator[ArMember]:
    """Yield the members of an archive in order, without the tables of symbols and names.

    Long names of BSD's and GNU's ``ar`` are supported. Names may repeat. The padding byte after a
    member of odd size is required between members, but not after the last. Newlines, blanks and
    NULs may follow the last member. What follows a member is read when the next one is asked for.

    Raises:
        FormatError: ``file`` is not an archive, a header is damaged, or a member is truncated.
        LimitError: there are more members than the limit.
    """
    view = file.view
    if detect(view) is not FileKind.AR:
        raise file.fail_kind(
            0,
            f"an ar archive, which starts with {display(MAGIC)}",
            name_kind(view),
            display(bytes(view[: len(MAGIC)])) if view else "an empty file",
        )
    offset = len(MAGIC)
    names: memoryview | None = None
    count = 0
    while not _is_blank(view, offset):
        count += 1
        file.check_members(count, offset)
        header = _header(file, offset)
        start = offset + HEADER_BYTES
        size = _number(header, _SIZE, "a size", required=True)
        raw_name = bytes(header.view[_NAME]).rstrip(b" ")
        if size > len(file) - start:
            raise file.fail(
                start,
                f"{size} bytes of {display(raw_name)}",
                f"the end of the file after {len(file) - start}",
            )
        content = file.view[start : start + size]
        if raw_name == _GNU_TABLE:
            names = content
        elif raw_name not in _SYMBOLS:
            yield _member(header, offset, raw_name, content, names)
        offset = _next_offset(file, start + size)


def _is_blank(view: memoryview, offset: int) -> bool:
    """Return whether no member is at ``offset``, but only what transfers add to a file."""
    first = bytes(view[offset : offset + 1])
    return not first.strip(_BLANKS) and not bytes(view[offset:]).strip(_BLANKS)


def _header(file: Input, offset: int) -> Input:
    header = file.part(offset, offset + HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        raise header.fail(
            0, f"a header of {HEADER_BYTES} bytes", f"the end of the file after {len(header)}"
        )
    if header.view[_END] != _END_MARK:
        raise header.fail(
            _END.start,
            f"{display(_END_MARK)} at the end of a member header",
            display(bytes(header.view[_END])),
        )
    return header


def _member(
    header: Input, offset: int, raw_name: bytes, content: memoryview, names: memoryview | None
) -> ArMember:
    if match := _BSD_LONG.fullmatch(raw_name):
        length = int(match[1])
        if length > len(content):
            raise header.fail(
                0,
                f"a name of at most {len(content)} bytes, the size of the member",
                f"{length}",
            )
        name = bytes(content[: min(length, MAX_NAME_BYTES + 1)]).rstrip(b"\0")
        content = content[length:]
    elif match := _GNU_LONG.fullmatch(raw_name):
        name = _name_in_table(header, names, int(match[1]))
    else:
        name = raw_name.removesuffix(b"/")
    if not 0 < len(name) <= MAX_NAME_BYTES or b"\0" in name:
        raise header.fail(
            0,
            f"a member name of 1 to {MAX_NAME_BYTES} bytes without NUL",
            display(name) if name else "an empty name",
        )
    return ArMember(
        name=name,
        offset=offset,
        mtime=_number(header, _MTIME, "a time"),
        uid=_number(header, _UID, "an owner"),
        gid=_number(header, _GID, "a group"),
        mode=_number(header, _MODE, "a mode", base=8),
        content=content,
        end=offset + HEADER_BYTES + _number(header, _SIZE, "a size", required=True),
    )


def _name_in_table(header: Input, names: memoryview | None, start: int) -> bytes:
    if names is None or start >= len(names):
        raise header.fail(
            0,
            f"a table of names with a name at byte {start}",
            "no table" if names is None else f"a table of {len(names)} bytes",
        )
    # If the name has no end, the caller's check of its length fails.
    entry = bytes(names[start : start + MAX_NAME_BYTES + 2])
    return entry.partition(b"\n")[0].removesuffix(b"/")


def _number(
    header: Input, position: slice, what: str, *, base: int = 10, required: bool = False
) -> int:
    """Return the number in a field; an empty field, as in some tables, is 0."""
    text = bytes(header.view[position]).strip(b" ")
    if not text and not required:
        return 0
    pattern = _OCTAL if base == 8 else _DECIMAL
    if not pattern.fullmatch(text):
        raise header.fail(
            position.start,
            f"{what} in {'octal' if base == 8 else 'decimal'} digits",
            display(bytes(header.view[position])),
        )
    return int(text, base)


def _next_offset(file: Input, end: int) -> int:
    """Return the offset of the next header, which is even."""
    if not end % 2 or end == len(file):
        return end
    # The padding byte is a newline in deb(5), and NUL from some other programs.
    if file.view[end] not in b"\n\0":
        raise file.fail(end, "a newline after a member of odd size", f"0x{file.view[end]:02x}")
    return end + 1
