from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError
from purekernel.formats.limits import Limits
from purekernel.formats.zip import (
    DEFLATED,
    STORED,
    Packed,
    find_end,
    parse_zip,
    replace_members,
    unpack_member,
)
from tests.images import make_zip, members_of

TEXT = b"some words, and some more words " * 40
ARCHIVE = make_zip({"a.txt": TEXT, "b.txt": TEXT[::-1]})


def deflated(content: bytes) -> Packed:
    return Packed(method=DEFLATED, data=zlib.compress(content, 9, wbits=-15))


def stored(content: bytes) -> Packed:
    return Packed(method=STORED, data=content)


@given(
    st.dictionaries(st.text("abc/é", min_size=1, max_size=5), st.binary(max_size=400), max_size=4),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.booleans(),
    st.sampled_from([b"", b"#!/bin/sh\nexit\n"]),
    st.data(),
)
def test_other_data_and_all_else_as_it_was(
    members: dict[str, bytes], method: int, streamed: bool, before: bytes, data: st.DataObject
) -> None:
    old = before + make_zip(members, method=method, streamed=streamed)
    archive = parse_zip(old, source="x.zip")
    assert archive.shift == len(before)
    assert [unpack_member(archive, member) for member in archive.members] == [*members.values()]
    assert replace_members(archive, {}) == old
    replaced = {
        index: data.draw(
            st.sampled_from(
                [deflated] if streamed and member.method == DEFLATED else [deflated, stored]
            )
        )(unpack_member(archive, member))
        for index, member in enumerate(archive.members)
        if data.draw(st.booleans())
    }
    new = replace_members(archive, replaced)
    assert members_of(new) == members_of(old)
    assert new.startswith(before)
    again = parse_zip(new, source="x.zip")
    for index, packed in replaced.items():
        member = again.members[index]
        assert new[member.start : member.end] == packed.data
        assert (member.method, member.hindrance) == (packed.method, "")
    if method == zipfile.ZIP_DEFLATED:
        back = {
            index: Packed(method=member.method, data=old[member.start : member.end])
            for index, member in enumerate(archive.members)
        }
        assert replace_members(again, back) == old


def test_bytes_between_members_stay() -> None:
    first = parse_zip(ARCHIVE, source="x").members[1].header
    gap = b"a gap"
    end = find_end(ARCHIVE)
    assert end is not None
    moved = bytearray(ARCHIVE[:first] + gap + ARCHIVE[first:])
    record = parse_zip(ARCHIVE, source="x").members[1].record + len(gap)
    moved[record + 42 : record + 46] = (first + len(gap)).to_bytes(4, "little")
    place = end + len(gap) + 16
    moved[place : place + 4] = struct.pack("<I", struct.unpack_from("<I", moved, place)[0] + 5)
    archive = parse_zip(bytes(moved), source="x")
    made = replace_members(archive, {0: stored(TEXT)})
    assert members_of(made) == members_of(ARCHIVE)
    assert TEXT + gap + b"PK\x03\x04" in made


def test_an_end_in_a_comment_is_none() -> None:
    comment = b"PK\x05\x06 is no end"
    data = make_zip({"a": TEXT}, comment=comment)
    assert find_end(data) == len(data) - len(comment) - 22
    assert find_end(b"") is None
    assert find_end(b"PK\x05\x06" + bytes(18)) == 0
    assert parse_zip(b"PK\x05\x06" + bytes(18), source="x").members == ()


def with_number(data: bytes, place: int, width: int, value: int) -> bytes:
    return data[:place] + value.to_bytes(width, "little") + data[place + width :]


SOUND = parse_zip(ARCHIVE, source="x")
LAST = SOUND.members[1]


def encrypted() -> bytes:
    return with_number(with_number(ARCHIVE, LAST.record + 8, 2, 1), LAST.header + 6, 2, 1)


def otherwise_compressed() -> bytes:
    return make_zip({"a": TEXT, "b": TEXT}, method=zipfile.ZIP_BZIP2)


def with_zip64_sizes() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", TEXT)
        with archive.open("b", "w", force_zip64=True) as stream:
            stream.write(TEXT)
    return file.getvalue()


def without_descriptor() -> bytes:
    data = make_zip({"a": TEXT, "b": TEXT}, streamed=True)
    place = parse_zip(data, source="x").members[1].descriptor
    assert place is not None
    return with_number(data, place, 4, 0)


@pytest.mark.parametrize(
    ("make", "hindrance"),
    [
        (encrypted, "encrypted"),
        (otherwise_compressed, "compressed in another way"),
        (with_zip64_sizes, "with sizes of zip64"),
        (without_descriptor, "without the data descriptor that is promised"),
    ],
)
def test_some_members_stay_as_they_are(make: Callable[[], bytes], hindrance: str) -> None:
    data = make()
    archive = parse_zip(data, source="x.zip")
    assert archive.members[1].hindrance == hindrance
    with pytest.raises(AssertionError):
        replace_members(archive, {1: stored(TEXT)})
    if not archive.members[0].hindrance:
        made = replace_members(archive, {0: deflated(TEXT * 2)})
        old, new = archive.members[1], parse_zip(made, source="x.zip").members[1]
        assert new.header != old.header
        assert made[new.header : new.end] == data[old.header : old.end]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.zip: expected the record that ends a zip archive, got none at its end"),
        (ARCHIVE[:-1], "x.zip: expected the record that ends a zip archive"),
        (with_number(ARCHIVE, SOUND.end + 4, 2, 1), "got one of several disks"),
        (with_number(ARCHIVE, SOUND.end + 8, 2, 1), "got one of several disks"),
        (with_number(ARCHIVE, SOUND.end + 16, 4, 0xFFFFFFFF), "got a zip64 archive"),
        (with_number(ARCHIVE, LAST.record + 20, 4, 0xFFFFFFFF), "got a zip64 archive"),
        (with_number(ARCHIVE, LAST.record + 34, 2, 1), "got one of several disks"),
        (ARCHIVE[3:], "expected a central directory right before its end"),
        (
            with_number(ARCHIVE, SOUND.end + 12, 4, 1 << 30),
            "expected a central directory right before its end",
        ),
        (with_number(ARCHIVE, LAST.record, 1, 0), "expected a record of the central directory"),
        (with_number(ARCHIVE, LAST.record + 30, 2, 999), "expected the name, extra field and"),
        (with_number(ARCHIVE, LAST.header, 1, 0), "expected the header of a member, got none"),
        (with_number(ARCHIVE, LAST.record + 42, 4, 1 << 30), "expected the header of a member"),
        (with_number(ARCHIVE, LAST.record + 20, 4, 1 << 30), "bytes of data, got fewer"),
        (with_number(ARCHIVE, LAST.header + 18, 4, 1), "expected a header that says of its member"),
        (with_number(ARCHIVE, LAST.header + 22, 4, 1), "expected a header that says of its member"),
        (with_number(ARCHIVE, LAST.header + 8, 2, 0), "expected a header that says of its member"),
        (
            with_number(ARCHIVE, LAST.record + 42, 4, SOUND.members[0].header),
            "x.zip, byte 0: expected ",
        ),
        (
            with_number(
                with_number(ARCHIVE, SOUND.end + 8, 2, 1), SOUND.end + 10, 2, 1
            ),
            "expected the end of the central directory, got",
        ),
        (
            ARCHIVE[: SOUND.directory - 16] + b"APK Sig Block 42" + ARCHIVE[SOUND.directory :],
            "got an archive that is signed as a whole",
        ),
    ],
)  # fmt: skip
def test_damage_is_located(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=re.escape(message)):
        parse_zip(data, source="x.zip")


def test_members_that_share_data_are_refused() -> None:
    twice = make_zip({"a": TEXT, "b": TEXT})
    archive = parse_zip(twice, source="x")
    shared = with_number(twice, archive.members[1].record + 42, 4, archive.members[0].header)
    with pytest.raises(FormatError, match="expected members apart, got two in one"):
        parse_zip(shared, source="x")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (LAST.start + 5, "x.zip: b.txt"),
        (LAST.record + 16, "x.zip: b.txt: expected 1280 bytes with the CRC "),
    ],
)
def test_damaged_data_is_told(place: int, message: str) -> None:
    data = with_number(ARCHIVE, place, 1, ARCHIVE[place] ^ 0xFF)
    archive = parse_zip(data, source="x.zip")
    with pytest.raises(FormatError, match=re.escape(message)):
        unpack_member(archive, archive.members[1])


def test_bombs_are_stopped() -> None:
    bomb = make_zip({"a": bytes(2 << 20), "b": bytes(2 << 20)})
    with pytest.raises(LimitError, match="at most 3000000 bytes"):
        parse_zip(bomb, source="x", limits=Limits(unpacked_bytes=3_000_000))
    with pytest.raises(LimitError, match="at most 1 members"):
        parse_zip(bomb, source="x", limits=Limits(members=1))
    # What it says of itself is not believed.
    archive = parse_zip(bomb, source="x")
    lies = with_number(bomb, archive.members[0].record + 24, 4, 10)
    lies = with_number(lies, archive.members[0].header + 22, 4, 10)
    archive = parse_zip(lies, source="x", limits=Limits(unpacked_bytes=2_500_000))
    with pytest.raises(FormatError, match="expected 10 bytes with the CRC"):
        unpack_member(archive, archive.members[0])


def test_a_plain_archive_has_places_below_4_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("purekernel.formats.zip.writer.FULL_32", SOUND.directory + 100)
    with pytest.raises(FormatError, match="expected a central directory within 4 GiB"):
        replace_members(SOUND, {0: stored(TEXT)})
