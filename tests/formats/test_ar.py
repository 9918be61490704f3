from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError, PurekernelError
from purekernel.formats.ar import iter_ar, parse_ar
from purekernel.formats.detect import FileKind, detect
from purekernel.input import DEFAULT_LIMITS, Input
from tests.debs import ar, ar_member
from tests.oracles import require, run

MAGIC = b"!<arch>\n"
ONE = ar([(b"debian-binary", b"2.0\n")])


def test_members_come_in_order_with_their_metadata() -> None:
    first, second = parse_ar(Input(ar([(b"a", b"odd"), (b"b", b"even")]), name="x.deb"))
    assert (first.name, bytes(first.content), first.offset) == (b"a", b"odd", 8)
    assert (second.name, bytes(second.content), second.offset) == (b"b", b"even", 72)
    assert (first.mtime, first.uid, first.gid, first.mode) == (1_300_000_000, 0, 0, 0o100644)


def test_empty_archive_has_no_members() -> None:
    assert parse_ar(Input(MAGIC, name="x.deb")) == ()
    assert detect(MAGIC) is FileKind.AR
    assert detect(b"!<arch>") is not FileKind.AR


def test_slash_after_a_name_is_removed() -> None:
    (member,) = parse_ar(Input(ar([(b"debian-binary/", b"")]), name="x.deb"))
    assert member.name == b"debian-binary"


def test_missing_padding_byte_at_the_end_is_accepted() -> None:
    (member,) = parse_ar(Input(ar([(b"a", b"odd")])[:-1], name="x.deb"))
    assert bytes(member.content) == b"odd"


def test_long_name_of_bsd_is_read() -> None:
    name = b"a name of more than sixteen bytes"
    (member,) = parse_ar(
        Input(
            MAGIC + ar_member(b"#1/%d" % (len(name) + 3), name + b"\0\0\0" + b"content"), name="x.a"
        )
    )
    assert (member.name, bytes(member.content)) == (name, b"content")


def test_long_names_of_gnu_are_read() -> None:
    table = b"first-very-long-name.o/\nsecond-very-long-name.o/\n"
    data = MAGIC + ar_member(b"/", b"symbols!") + ar_member(b"//", table)
    data += ar_member(b"/24", b"2") + ar_member(b"/0", b"1")
    members = parse_ar(Input(data, name="x.a"))
    assert [(member.name, bytes(member.content)) for member in members] == [
        (b"second-very-long-name.o", b"2"),
        (b"first-very-long-name.o", b"1"),
    ]


@pytest.mark.parametrize("rest", [b"\n", b"\n\n", b" \r\n\t", bytes(100)])
@pytest.mark.parametrize("content", [b"odd", b"even"])
def test_blanks_after_the_last_member_are_ignored(content: bytes, rest: bytes) -> None:
    (member,) = parse_ar(Input(ar([(b"a", content)]) + rest, name="x.deb"))
    assert bytes(member.content) == content


def test_damage_after_a_member_is_found_when_the_next_member_is_read() -> None:
    members = iter_ar(Input(ar([(b"a", b"even")]) + b"junk", name="x"))
    member = next(members)
    assert (bytes(member.content), member.end) == (b"even", 72)
    with pytest.raises(FormatError, match="x, byte 72: expected a header of 60 bytes"):
        next(members)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x: an empty file"),
        (b"!<arch>", "x, byte 0: expected an ar archive, which starts with '!<arch>\\n', got '!<"),
        (ONE[:40], "x, byte 8: expected a header of 60 bytes, got the end of the file after 32"),
        (
            ONE[:-2],
            "x, byte 68: expected 4 bytes of 'debian-binary', got the end of the file after 2",
        ),
        (
            ONE.replace(b"`\n", b"``"),
            "x, byte 66: expected '`\\n' at the end of a member header, got '``'",
        ),
        (
            ONE.replace(b"4         `", b"-4        `"),
            "x, byte 56: expected a size in decimal digits, got '-4        '",
        ),
        (
            ONE.replace(b"4         `", b"          `"),
            "x, byte 56: expected a size in decimal digits, got '          '",
        ),
        (
            ONE.replace(b"100644  ", b"100988  "),
            "x, byte 48: expected a mode in octal digits, got '100988  '",
        ),
        (
            ar([(b"a", b"odd")])[:-1] + b"x" + ONE[8:],
            "x, byte 71: expected a newline after a member of odd size, got 0x78",
        ),
        (ar([(b"", b"")]), "x, byte 8: expected a member name of 1 to 255 bytes without NUL"),
        (
            ar([(b"#1/99", b"short")]),
            "x, byte 8: expected a name of at most 5 bytes, the size of the member, got 99",
        ),
        (
            ar([(b"/7", b"")]),
            "x, byte 8: expected a table of names with a name at byte 7, got no table",
        ),
        (
            ar([(b"//", b"abc/\n"), (b"/7", b"")]),
            "x, byte 74: expected a table of names with a name at byte 7, got a table of 5 bytes",
        ),
        (
            ar([(b"//", b"n" * 400), (b"/0", b"")]),
            "x, byte 468: expected a member name of 1 to 255 bytes without NUL",
        ),
    ],
)
def test_damaged_archive_is_refused_with_its_offset(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_ar(Input(data, name="x"))
    if not data:
        assert str(caught.value).endswith("got an empty file")
    else:
        assert str(caught.value).startswith(message)


def test_members_above_the_limit_are_refused() -> None:
    data = ar([(b"a", b"")] * 5)
    assert len(parse_ar(Input(data, name="x", limits=evolve(DEFAULT_LIMITS, members=5)))) == 5
    with pytest.raises(LimitError, match="at most 4 members"):
        parse_ar(Input(data, name="x", limits=evolve(DEFAULT_LIMITS, members=4)))


@given(st.binary(max_size=200), st.integers(0, 200))
def test_damaged_archive_raises_only_purekernel_errors(noise: bytes, at: int) -> None:
    valid = ar([(b"debian-binary", b"2.0\n"), (b"#1/3", b"abcdef")])
    for data in (MAGIC + noise, valid[:at] + noise + valid[at + len(noise) :]):
        try:
            members = parse_ar(Input(data, name="x"))
        except PurekernelError:
            continue
        assert sum(len(member.content) for member in members) <= len(data)


@pytest.mark.oracle
@pytest.mark.parametrize("options", ["rcD", "rcDU", "rcS"])
def test_archive_of_gnu_ar_is_read(tmp_path: Path, options: str) -> None:
    program = require("ar")
    contents = {b"short": b"1", b"sixteen-letters!": b"", b"a-name-of-more-than-16": b"22"}
    for name, content in contents.items():
        (tmp_path / name.decode()).write_bytes(content)
    run(program, options, "x.a", *(name.decode() for name in contents), cwd=tmp_path)
    members = parse_ar(Input((tmp_path / "x.a").read_bytes(), name="x.a"))
    assert {member.name: bytes(member.content) for member in members} == contents


def changed(at: int, field: bytes) -> bytes:
    """Return an archive of one member with another field at ``at`` of its header."""
    data = bytearray(ONE)
    start = len(MAGIC) + at
    data[start : start + len(field)] = field
    return bytes(data)


def test_owner_and_group_are_read() -> None:
    (member,) = parse_ar(Input(changed(28, b"1001  50    "), name="x.deb"))
    assert (member.uid, member.gid) == (1001, 50)


@pytest.mark.parametrize(
    ("at", "field", "message"),
    [
        (16, b"-1          ", "x, byte 24: expected a time in decimal digits, got '-1          '"),
        (28, b"x     ", "x, byte 36: expected an owner in decimal digits, got 'x     '"),
        (34, b"x     ", "x, byte 42: expected a group in decimal digits, got 'x     '"),
        (40, b"9       ", "x, byte 48: expected a mode in octal digits, got '9       '"),
        (48, b"          ", "x, byte 56: expected a size in decimal digits, got '          '"),
    ],
)
def test_field_that_is_no_number_is_refused_by_name(at: int, field: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_ar(Input(changed(at, field), name="x"))
    assert str(caught.value) == message


def test_empty_fields_of_owner_group_and_mode_are_zero() -> None:
    (member,) = parse_ar(Input(changed(16, b" " * 32), name="x"))
    assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0)


def test_longest_name_is_read_and_a_longer_one_refused() -> None:
    data = MAGIC + ar_member(b"#1/255", b"n" * 255)
    (member,) = parse_ar(Input(data, name="x.a"))
    assert (member.name, bytes(member.content)) == (b"n" * 255, b"")
    with pytest.raises(FormatError) as caught:
        parse_ar(Input(MAGIC + ar_member(b"#1/256", b"n" * 256), name="x.a"))
    assert str(caught.value) == (
        f"x.a, byte 8: expected a member name of 1 to 255 bytes without NUL, got '{'n' * 256}'"
    )


@pytest.mark.parametrize(
    ("name", "shown"), [(b"", "an empty name"), (b"a\0b", r"'a\x00b'")], ids=["empty", "with NUL"]
)
def test_invalid_name_is_shown(name: bytes, shown: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_ar(Input(ar([(name, b"")]), name="x"))
    assert str(caught.value) == (
        f"x, byte 8: expected a member name of 1 to 255 bytes without NUL, got {shown}"
    )
