from __future__ import annotations

import contextlib
import gzip
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError
from purekernel.formats.gzip import build_gzip, iter_members, parse_gzip, parse_member
from purekernel.input import Input, Limits


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_members_are_joined(contents: list[bytes]) -> None:
    data = b"".join(map(packed, contents))
    assert parse_gzip(Input(data, name="x")) == b"".join(contents)
    assert [member.content for member in iter_members(Input(data, name="x"))] == contents
    assert parse_gzip(Input(data + bytes(7), name="x")) == b"".join(contents)


def test_member_with_every_optional_field_is_read() -> None:
    body = zlib.compress(b"content", wbits=-15)
    flags = 0x02 | 0x04 | 0x08 | 0x10
    header = (
        b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + b"\x03\x00abc" + b"name\0" + b"c" * 5000
        + b"\0" + b"\x12\x34"
    )  # fmt: skip
    data = header + body + struct.pack("<II", zlib.crc32(b"content"), 7)
    member = parse_member(Input(data + b"next", name="x"))
    assert (member.content, member.end) == (b"content", len(data))


def test_built_member_has_no_name_time_or_host() -> None:
    content = b"some words " * 50
    body = zlib.compress(content, 9, wbits=-15)
    data = build_gzip(body, crc32=zlib.crc32(content), size_bytes=len(content))
    assert data[:10] == bytes.fromhex("1f8b08 00 00000000 02 ff")
    assert gzip.decompress(data) == content


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda data: data[:5],
            "x.gz, byte 5: expected a gzip header of 10 bytes, got the end of the file",
        ),
        (
            lambda data: data[:-12],
            "x.gz, byte 28: expected the rest of a deflate stream, got the end of the file",
        ),
        (
            lambda data: data[:-3],
            (
                "x.gz, byte 37: expected the CRC and size at the end of a gzip member, "
                "got the end of the file"
            ),
        ),
        (
            lambda data: b"\x1f\x8c" + data[2:],
            "x.gz, byte 0: expected a gzip member (1f 8b), got 1f 8c",
        ),
        (
            lambda data: data[:2] + b"\x09" + data[3:],
            (
                "x.gz, byte 2: expected method 8 (deflate) and no reserved flags, "
                "got method 9, flags 0x00, which is not supported"
            ),
        ),
        (
            lambda data: data[:3] + b"\x80" + data[4:],
            (
                "x.gz, byte 2: expected method 8 (deflate) and no reserved flags, "
                "got method 8, flags 0x80, which is not supported"
            ),
        ),
        (
            lambda data: data[:3] + b"\x08" + data[4:10] + b"x" * 10,
            "x.gz, byte 20: expected the NUL at the end of a file name, got the end of the file",
        ),
        (
            lambda data: data[:3] + b"\x04" + data[4:10] + b"\xff\xff",
            "x.gz, byte 12: expected the rest of a gzip header, got the end of the file",
        ),
        (
            lambda data: data[:-8] + b"\0\0\0\0" + data[-4:],
            "x.gz, byte 32: expected CRC 3d31a963 and size 17, got CRC 00000000 and size 17",
        ),
        (
            lambda data: data + b"rubbish",
            "x.gz, byte 47: expected a gzip header of 10 bytes, got the end of the file",
        ),
        (
            lambda data: data + b"plain rubbish",
            "x.gz, byte 40: expected a gzip member (1f 8b), got 70 6c",
        ),
    ],
)
def test_damaged_file_is_refused_with_its_offset(
    spoil: Callable[[bytes], bytes], message: str
) -> None:
    # One stored block, so that offsets do not depend on the version of zlib.
    content = b"some plain words!"
    body = b"\x01" + struct.pack("<HH", 17, 0xFFFF - 17) + content
    data = build_gzip(body, crc32=zlib.crc32(content), size_bytes=17)
    with pytest.raises(FormatError) as caught:
        parse_gzip(Input(spoil(data), name="x.gz"))
    assert str(caught.value) == message


@pytest.mark.slow
def test_unpacked_size_above_the_limit_is_refused() -> None:
    bomb = packed(bytes(64 << 20))
    limits = Limits(unpacked_bytes=8 << 20)
    with pytest.raises(LimitError, match="expected at most 8388608 bytes unpacked"):
        parse_gzip(Input(bomb, name="x", limits=limits))
    with pytest.raises(LimitError):
        parse_gzip(Input(packed(bytes(5 << 20)) * 2, name="x", limits=limits))
    assert len(parse_gzip(Input(packed(bytes(8 << 20)), name="x", limits=limits))) == 8 << 20


@given(st.binary(max_size=120), st.integers(0, 200), st.integers(0, 255))
def test_damaged_file_raises_only_format_errors(content: bytes, at: int, value: int) -> None:
    data = bytearray(packed(content))
    data[at % len(data)] = value
    for damaged in (bytes(data), bytes(data[: at % len(data)])):
        with contextlib.suppress(FormatError):
            parse_gzip(Input(damaged, name="x"))


@pytest.mark.slow
def test_50000_members_are_read() -> None:
    assert parse_gzip(Input(packed(b"x") * 50_000, name="x")) == b"x" * 50_000
