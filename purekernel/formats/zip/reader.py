"""Read where the members of a zip archive lie, and what they hold.

Sizes and methods stand in the directory and before the data, and must agree: an archive that
programs read differently is refused, and so is one that would be spoilt if data moved.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from purekernel.errors import FormatError
from purekernel.formats.inflate import inflate
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.zip.layout import (
    CENTRAL,
    CENTRAL_MAGIC,
    DEFLATED,
    DESCRIBED,
    DESCRIPTOR,
    DESCRIPTOR_MAGIC,
    ENCRYPTED,
    END,
    END_MAGIC,
    FULL_16,
    FULL_32,
    LOCAL,
    LOCAL_MAGIC,
    MASKED,
    MAX_COMMENT_BYTES,
    PATCHED,
    SIGNING_BLOCK_MAGIC,
    STORED,
    STRONGLY_ENCRYPTED,
    Archive,
    Member,
)
from purekernel.tree import Buffer

_LEFT_ALONE = "it is left as it is: such archives are not recompressed"


def find_end(data: Buffer) -> int | None:
    """Return where the record is that ends a zip archive; ``None`` where there is none."""
    view = memoryview(data)
    first = max(0, len(view) - END.size - MAX_COMMENT_BYTES)
    tail = bytes(view[first:])
    here = len(tail)
    # The last whose comment reaches to the end: a comment may hold anything.
    while (here := tail.rfind(END_MAGIC, 0, here)) >= 0:
        comment = int.from_bytes(tail[here + END.size - 2 : here + END.size], "little")
        if here + END.size + comment == len(tail):
            return first + here
    return None


def parse_zip(data: Buffer, *, source: str, limits: Limits = DEFAULT_LIMITS) -> Archive:
    """Return where the members of a zip archive lie.

    What no member is made of, such as a program before the first, is no fault.

    Raises:
        FormatError: it is damaged, on several disks, of the zip64 kind, or signed as a whole.
        LimitError: it has more members than ``limits`` allow, or they unpack to more.
    """
    view = memoryview(data)
    end = find_end(view)
    if end is None:
        raise FormatError(
            source=source, expected="the record that ends a zip archive", got="none at its end"
        )
    _magic, disk, first_disk, here_count, count, size, place, _comment = END.unpack_from(view, end)
    if FULL_16 in (disk, first_disk, here_count, count) or FULL_32 in (size, place):
        raise _not_done(source, end, "a zip64 archive")
    if disk or first_disk or here_count != count:
        raise _not_done(source, end, "one of several disks")
    limits.check_members(count, source=source, offset=end)
    directory = end - size
    shift = directory - place
    if directory < 0 or shift < 0:
        raise FormatError(
            source=source,
            offset=end,
            expected="a central directory right before its end",
            got=f"{size} bytes at {place}",
        )
    if bytes(view[max(0, directory - len(SIGNING_BLOCK_MAGIC)) : directory]) == SIGNING_BLOCK_MAGIC:
        raise _not_done(source, directory, "an archive that is signed as a whole")
    members = []
    here = directory
    unpacked_bytes = 0
    for _index in range(count):
        member, here = _parse_record(view[:end], here, shift, source)
        members.append(member)
        unpacked_bytes += member.size_bytes
        limits.check_unpacked(unpacked_bytes, source=source, offset=member.record)
    if here != end:
        raise FormatError(
            source=source,
            offset=here,
            expected="the end of the central directory",
            got=f"{end - here} bytes more",
        )
    _check_apart(members, directory, source)
    return Archive(
        data=data,
        source=source,
        members=tuple(members),
        shift=shift,
        directory=directory,
        end=end,
    )


def unpack_member(archive: Archive, member: Member, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the content of a member that is stored or deflated and not encrypted.

    Raises:
        FormatError: it is damaged.
        LimitError: it unpacks to more than ``limits`` allow.
    """
    source = f"{archive.source}: {member.name.decode(errors='replace')}"
    data = memoryview(archive.data)[member.start : member.end]
    if member.method == STORED:
        content, end = bytes(data), len(data)
    else:
        inflated = inflate(data, source=source, limits=limits)
        content, end = inflated.content, inflated.end
    if end != len(data):
        raise FormatError(
            source=source,
            offset=end,
            expected="the end of the member's data",
            got=f"{len(data) - end} bytes more",
        )
    if len(content) != member.size_bytes or zlib.crc32(content) != member.crc32:
        raise FormatError(
            source=source,
            expected=f"{member.size_bytes} bytes with the CRC {member.crc32:08x}",
            got=f"{len(content)} with {zlib.crc32(content):08x}",
        )
    return content


def _parse_record(view: memoryview, here: int, shift: int, source: str) -> tuple[Member, int]:
    """Return the member whose record in the directory is ``here``, and where the next one is."""
    if len(view) - here < CENTRAL.size or bytes(view[here : here + 4]) != CENTRAL_MAGIC:
        raise FormatError(
            source=source, offset=here, expected="a record of the central directory", got="none"
        )
    (
        _magic, _made_by, version, flags, method, _time, _date, crc, packed, size,
        name_bytes, extra_bytes, comment_bytes, disk, _internal, _external, place,
    ) = CENTRAL.unpack_from(view, here)  # fmt: skip
    name_start = here + CENTRAL.size
    following = name_start + name_bytes + extra_bytes + comment_bytes
    if following > len(view):
        raise FormatError(
            source=source,
            offset=here,
            expected="the name, extra field and comment of a record",
            got="the end of the central directory",
        )
    if FULL_32 in (packed, size, place) or disk == FULL_16:
        raise _not_done(source, here, "a zip64 archive")
    if disk:
        raise _not_done(source, here, "one of several disks")
    header = place + shift
    if len(view) - header < LOCAL.size or bytes(view[header : header + 4]) != LOCAL_MAGIC:
        raise FormatError(
            source=source, offset=header, expected="the header of a member", got="none"
        )
    (
        _magic, _version, local_flags, local_method, _time, _date, _crc, local_packed, local_size,
        local_name_bytes, local_extra_bytes,
    ) = LOCAL.unpack_from(view, header)  # fmt: skip
    start = header + LOCAL.size + local_name_bytes + local_extra_bytes
    end = start + packed
    if end > len(view):
        raise FormatError(
            source=source, offset=header, expected=f"{packed} bytes of data", got="fewer"
        )
    is_described = bool(flags & DESCRIBED)
    is_zip64 = FULL_32 in (local_packed, local_size)
    if (
        local_method != method
        or (local_flags ^ flags) & (DESCRIBED | ENCRYPTED)
        or not (local_packed == packed or is_zip64 or (is_described and not local_packed))
        or not (local_size == size or is_zip64 or (is_described and not local_size))
    ):
        raise FormatError(
            source=source,
            offset=header,
            expected="a header that says of its member what the central directory says",
            got="one that differs",
        )
    descriptor = _find_descriptor(view, end, (crc, packed, size)) if is_described else None
    hindrance = _hindrance(flags, method)
    if not hindrance and is_zip64:
        hindrance = "with sizes of zip64"
    if not hindrance and is_described and descriptor is None:
        hindrance = "without the data descriptor that is promised"
    member = Member(
        name=bytes(view[name_start : name_start + name_bytes]),
        method=method,
        version=version,
        crc32=crc,
        size_bytes=size,
        record=here,
        header=header,
        start=start,
        end=end,
        describes=local_packed == packed,
        descriptor=descriptor,
        hindrance=hindrance,
    )
    return member, following


def _hindrance(flags: int, method: int) -> str:
    """Return why data of this kind must stay as it is; nothing if it need not."""
    if flags & (ENCRYPTED | STRONGLY_ENCRYPTED | MASKED):
        return "encrypted"
    if method not in (STORED, DEFLATED) or flags & PATCHED:
        return "compressed in another way"
    return ""


def _find_descriptor(view: memoryview, here: int, wanted: tuple[int, int, int]) -> int | None:
    """Return where the packed size stands in a data descriptor, which may have a signature."""
    places = (here, here + 4) if bytes(view[here : here + 4]) == DESCRIPTOR_MAGIC else (here,)
    for place in reversed(places):
        if len(view) - place >= DESCRIPTOR.size and DESCRIPTOR.unpack_from(view, place) == wanted:
            return place + 4
    return None


def _check_apart(members: Iterable[Member], directory: int, source: str) -> None:
    """Refuse members that share bytes: bombs do, and no data of theirs could be changed."""
    here = 0
    for member in sorted(members, key=lambda member: member.header):
        if member.header < here:
            raise FormatError(
                source=source, offset=member.header, expected="members apart", got="two in one"
            )
        here = member.end if member.descriptor is None else member.descriptor + 8
    if here > directory:
        raise FormatError(
            source=source,
            offset=directory,
            expected="the central directory behind all members",
            got="one in it",
        )


def _not_done(source: str, offset: int, what: str) -> FormatError:
    return FormatError(
        source=source,
        offset=offset,
        expected="a plain zip archive in one file",
        got=what,
        hint=_LEFT_ALONE,
    )
