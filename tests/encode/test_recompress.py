from __future__ import annotations

import gzip
import re
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.encode.encoders import Encoder, Libdeflate, Stored, Zopfli
from purekernel.encode.recompress import encode_checked, recompress
from purekernel.errors import EncodingError, FormatError, LimitError
from purekernel.input import Limits
from purekernel.tree import Buffer

BEST = (Libdeflate(),)
TEXT = b"".join(b"line %d of some text\n" % (number * number % 997) for number in range(600))

contents = st.one_of(st.binary(max_size=300), st.binary(max_size=9).map(lambda part: part * 40))
encoders = st.sampled_from(
    [BEST, (Stored(),), (Libdeflate(level=1),), (Libdeflate(), Zopfli(iterations=1))]
)


def make_gzip(content: bytes, *, flags: int = 0, fields: bytes = b"", level: int = 1) -> bytes:
    header = struct.pack("<2sBBIBB", b"\x1f\x8b", 8, flags, 1_300_000_000, 2, 3) + fields
    body = zlib.compress(content, level, wbits=-15)
    return header + body + struct.pack("<II", zlib.crc32(content), len(content))


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(contents, min_size=1, max_size=3), encoders, st.booleans(), st.integers(0, 5))
def test_recompressed_gzip_file_has_the_same_content(
    parts: list[bytes], tried: tuple[Encoder, ...], forced: bool, zeros: int
) -> None:
    data = b"".join(make_gzip(part, flags=8, fields=b"a name\0") for part in parts) + bytes(zeros)
    done = recompress(data, tried, source="x", is_forced=forced)
    assert gzip.decompress(done.data) == b"".join(parts)
    assert done.data.count(b"a name\0") >= len(parts)
    assert done.data.endswith(bytes(zeros))
    if forced:
        assert len(done.data) == done.fresh_bytes
    else:
        assert len(done.data) <= min(len(data), done.fresh_bytes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x: expected a gzip file, got an empty file"),
        (b"\x8aMNG\r\n\x1a\n", "got 8a 4d 4e 47 0d 0a 1a 0a"),
        (make_gzip(TEXT) + b"more", "x, byte "),
        (make_gzip(TEXT)[:-9], "x, byte "),
        (
            make_gzip(TEXT) + make_gzip(TEXT, flags=4, fields=b"\x06\x00BC\x02\x00\x1b\x00"),
            "expected a gzip header without an extra field, got one, which may say where",
        ),
    ],
)
def test_unsupported_files_are_reported(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=re.escape(message)):
        recompress(data, BEST, source="x")


def test_gzip_bomb_is_refused() -> None:
    data = make_gzip(bytes(2 << 20))
    with pytest.raises(LimitError):
        recompress(data, BEST, source="x", limits=Limits(unpacked_bytes=1 << 20))


@pytest.mark.parametrize("made", [b"other", b"longer than it", b"short"])
def test_wrong_encoder_output_is_an_error(made: bytes) -> None:
    class Faulty:
        name = "faulty"

        def encode(self, data: Buffer) -> bytes:
            return zlib.compress(made, wbits=-15)

    with pytest.raises(EncodingError):
        encode_checked(b"words", (Faulty(),))
