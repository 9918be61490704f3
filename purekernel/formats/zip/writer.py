"""Put other data in the place of members' own; all else stays, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import field, frozen

from purekernel.errors import FormatError
from purekernel.formats.splice import Edit, splice
from purekernel.formats.zip.layout import (
    CENTRAL_HEADER,
    CENTRAL_METHOD,
    CENTRAL_PACKED_BYTES,
    CENTRAL_VERSION,
    DEFLATED,
    DEFLATED_VERSION,
    END_DIRECTORY,
    FULL_32,
    LOCAL_METHOD,
    LOCAL_PACKED_BYTES,
    LOCAL_VERSION,
    STORED,
    Archive,
    Member,
)
from purekernel.tree import Buffer


@frozen(kw_only=True)
class Packed:
    """A member's content in another shape.

    Attributes:
        method: ``STORED`` or ``DEFLATED``.
        data: the content, or a raw deflate stream of it.
    """

    method: int
    data: Buffer = field(repr=False)


def replace_members(archive: Archive, replaced: Mapping[int, Packed]) -> bytes:
    """Return ``archive`` with other data for some members.

    Names, times, extra fields, comments, flags and the order of all stay, and so does whatever
    lies before, between and behind the members.

    Args:
        archive: as it was read.
        replaced: by the member's index. Nothing may hinder its data from being changed, and one
            with a data descriptor may not become a stored one.

    Raises:
        FormatError: it would become too large for a plain zip archive.
    """
    growth_bytes = sum(
        len(packed.data) - archive.members[index].packed_bytes for index, packed in replaced.items()
    )
    place = archive.directory - archive.shift + growth_bytes
    if place >= FULL_32:
        raise FormatError(
            source=archive.source,
            expected="a central directory within 4 GiB",
            got=f"one at {place}",
            hint="compress it more, or leave it as it is",
        )
    edits = [_number(archive.end + END_DIRECTORY, 4, place)]
    growth_bytes = 0
    order = sorted(range(len(archive.members)), key=lambda index: archive.members[index].header)
    for index in order:
        member = archive.members[index]
        if growth_bytes:
            place = member.header - archive.shift + growth_bytes
            edits.append(_number(member.record + CENTRAL_HEADER, 4, place))
        if index in replaced:
            packed = replaced[index]
            edits += _member_edits(member, packed)
            growth_bytes += len(packed.data) - member.packed_bytes
    return splice(archive.data, edits)


def _member_edits(member: Member, packed: Packed) -> Iterator[Edit]:
    if member.hindrance or (
        member.descriptor is not None and packed.method == STORED != member.method
    ):
        raise AssertionError  # the caller's fault
    yield Edit(start=member.start, end=member.end, data=packed.data)
    size_bytes = len(packed.data)
    yield _number(member.record + CENTRAL_PACKED_BYTES, 4, size_bytes)
    if member.describes:
        yield _number(member.header + LOCAL_PACKED_BYTES, 4, size_bytes)
    if member.descriptor is not None:
        yield _number(member.descriptor, 4, size_bytes)
    if packed.method != member.method:
        yield _number(member.record + CENTRAL_METHOD, 2, packed.method)
        yield _number(member.header + LOCAL_METHOD, 2, packed.method)
    if packed.method == DEFLATED and member.version < DEFLATED_VERSION:
        yield _number(member.record + CENTRAL_VERSION, 2, DEFLATED_VERSION)
        yield _number(member.header + LOCAL_VERSION, 2, DEFLATED_VERSION)


def _number(start: int, width: int, value: int) -> Edit:
    return Edit(start=start, end=start + width, data=value.to_bytes(width, "little"))
