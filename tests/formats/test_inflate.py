from __future__ import annotations

import zlib

import pytest

from purekernel.errors import FormatError, LimitError
from purekernel.formats.inflate import RAW, ZLIB, inflate
from purekernel.input import Input, Limits


@pytest.mark.parametrize("window_bits", [RAW, ZLIB])
@pytest.mark.parametrize("content", [b"", b"a", b"words " * 9000, bytes(3 << 20)])
def test_stream_is_inflated_and_its_end_returned(window_bits: int, content: bytes) -> None:
    stream = zlib.compress(content, wbits=window_bits)
    inflated = inflate(Input(b"xy" + stream + b"more", name="x"), 2, window_bits=window_bits)
    assert (inflated.content, inflated.end) == (content, 2 + len(stream))


def test_damaged_stream_is_refused_with_its_offset() -> None:
    stream = zlib.compress(b"words", wbits=RAW)
    with pytest.raises(FormatError, match="x, byte 3: expected the rest of a deflate stream"):
        inflate(Input(stream[:3], name="x"))
    with pytest.raises(FormatError, match="x, byte 1: expected a valid deflate stream"):
        inflate(Input(b"x\xff", name="x"), 1)
    limits = Limits(unpacked_bytes=14)
    with pytest.raises(LimitError, match="x, byte 0: expected at most 14 bytes unpacked"):
        inflate(Input(stream, name="x", limits=limits), already_bytes=10)
