"""Test joining deflate streams, and walking through them."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator

import deflate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zopfli import zlib as zopfli_zlib

from purekernel.encode.joining import Stream, join, survey
from purekernel.encode.walker import DYNAMIC, FIXED, STORED, Walk, walk
from purekernel.errors import FormatError
from tests.encode.bits import Bits
from tests.encode.inflating import inflate

Encode = Callable[[bytes], bytes]


def by_zlib(level: int, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> Encode:
    def encode(data: bytes) -> bytes:
        stream = zlib.compressobj(level, wbits=-15, strategy=strategy)
        return stream.compress(data) + stream.flush()

    return encode


def by_zopfli(data: bytes) -> bytes:
    return bytes(zopfli_zlib.compress(data, numiterations=1)[2:-4])


ENCODERS: dict[str, Encode] = {
    "stored": by_zlib(0),
    "zlib 1": by_zlib(1),
    "zlib 9": by_zlib(9),
    "fixed": by_zlib(9, zlib.Z_FIXED),
    "huffman": by_zlib(9, zlib.Z_HUFFMAN_ONLY),
    "libdeflate 1": lambda data: bytes(deflate.deflate_compress(data, 1)),
    "libdeflate 12": lambda data: bytes(deflate.deflate_compress(data, 12)),
    "zopfli": by_zopfli,
}


def samples() -> Iterator[bytes]:
    chance = random.Random(7)
    yield b""
    yield b"x"
    yield b"a" * 100_000
    yield bytes(chance.randrange(256) for _ in range(70_000))
    yield b" ".join(str(chance.randrange(1000)).encode() for _ in range(20_000))
    yield bytes(chance.choice(b"ab") for _ in range(5000)) + bytes(200_000)
    # Incompressible parts between compressible ones give blocks of all types.
    yield b"".join(chance.randbytes(30_000) + b"text and more text " * 900 for _ in range(4))


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_streams_of_all_encoders_are_walked_to_the_end(name: str) -> None:
    for plain in samples():
        data = ENCODERS[name](plain)
        found = walk(data)
        assert found.size_bytes == len(plain)
        assert (found.end + 7) // 8 == len(data)
        assert walk(data + b"behind") == found
        ends = [0, *(block.end for block in found.blocks)]
        assert [block.start for block in found.blocks] == ends[:-1]


def test_block_types_are_reported() -> None:
    kinds = {
        "stored": STORED, "fixed": FIXED, "libdeflate 12": DYNAMIC,
    }  # fmt: skip
    for name, kind in kinds.items():
        found = walk(ENCODERS[name](b"some words, and some words more " * 300))
        assert {block.kind for block in found.blocks} == {kind}


@pytest.mark.slow
@settings(max_examples=60)
@given(
    pieces=st.lists(
        st.tuples(
            st.sampled_from(sorted(ENCODERS)),
            st.one_of(
                st.binary(max_size=300),
                st.text("ab ", max_size=2000).map(str.encode),
                st.integers(0, 70_000).map(lambda size: random.Random(size).randbytes(size)),
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_joined_streams_inflate_to_all_content(pieces: list[tuple[str, bytes]]) -> None:
    encoded = [ENCODERS[name](plain) for name, plain in pieces]
    joined = join(map(survey, encoded[:-1]), encoded[-1])
    assert inflate(joined) == b"".join(plain for _name, plain in pieces)
    # Joining adds only padding bits, and an empty block before the last stream.
    assert len(joined) <= sum(map(len, encoded)) + 6
    found = walk(joined)
    assert found.size_bytes == sum(len(plain) for _name, plain in pieces)
    assert (found.end + 7) // 8 == len(joined)


def test_join_of_one_stream_is_unchanged() -> None:
    data = ENCODERS["libdeflate 12"](b"alone")
    assert join([], data) == data


def test_survey_reports_positions() -> None:
    first = b"\0" + struct.pack("<HH", 3, 0xFFFC) + b"abc"
    data = first + b"\x01" + struct.pack("<HH", 1, 0xFFFE) + b"d"
    assert survey(data + b"x") == Stream(
        data=data, end=8 * len(data), last_block=8 * len(first), first_stored=0
    )


# Invalid streams


def dynamic(literals: int = 257, distances: int = 1, lengths: int = 19) -> Bits:
    head = Bits().put(1, 1).put(2, 2)
    return head.put(literals - 257, 5).put(distances - 1, 5).put(lengths - 4, 4)


def with_lengths(bits: Bits, *given: int) -> Bits:
    """Append the lengths of the code length codes, in their order."""
    for length in (*given, *[0] * (19 - len(given))):
        bits.put(length, 3)
    return bits


# Lengths of the code length codes 16, 17, 18, 0, ...: one bit each for 18 and 1.
EIGHTEEN_AND_ONE = (0, 0, 1, *[0] * 14, 1)


def fixed() -> Bits:
    return Bits().put(1, 1).put(1, 2)


BROKEN = {
    "reserved": (Bits().put(1, 1).put(3, 2).done(), "expected a block type from 0 to 2"),
    "nothing": (b"", "expected the rest of a deflate stream"),
    "length": (
        Bits().put(1, 8).done() + struct.pack("<HH", 5, 5) + b"hello",
        "expected a stored block's length and its complement",
    ),
    "short stored": (
        Bits().put(1, 8).done() + struct.pack("<HH", 9, 0xFFF6) + b"hello",
        "expected the rest of a deflate stream",
    ),
    "literals": (dynamic(literals=287).done() + bytes(9), "expected at most 286 codes"),
    "distances": (dynamic(distances=31).done() + bytes(9), "expected at most 286 codes"),
    "no lengths": (
        with_lengths(dynamic()).done() + bytes(9),
        "expected a complete code for lengths",
    ),
    "one length": (
        with_lengths(dynamic(), 1).done() + bytes(9),
        "expected a complete code for lengths",
    ),
    "too many lengths": (
        with_lengths(dynamic(), 1, 1, 1).done() + bytes(9),
        "expected a valid code for lengths",
    ),
    "repeated nothing": (
        with_lengths(dynamic(), 1, 1).code("0").done() + bytes(9),
        "expected a length before the first repeat",
    ),
    "more lengths": (
        with_lengths(dynamic(), 0, 1, 1).code("1").put(127, 7).code("1").put(127, 7).done()
        + bytes(9),
        "expected as many lengths as there are codes",
    ),
    "no end": (
        with_lengths(dynamic(), *EIGHTEEN_AND_ONE)
        .code("1").put(127, 7).code("1").put(109, 7).done()
        + bytes(9),
        "expected a code for the end of the block",
    ),
    "distance": (
        # A match of length 3 at distance 1, without any output before it.
        fixed().code("0000001").code("00000").code("0000000").done(),
        "expected a distance of at most 0 bytes, got 1",
    ),
    "far distance": (
        fixed().code("00110000").code("0000001").code("00001").code("0000000").done(),
        "expected a distance of at most 1 bytes, got 2",
    ),
    "distance 30": (
        fixed().code("00110000").code("0000001").code("11110").code("0000000").done(),
        "got an unused code",
    ),
    "length 286": (
        fixed().code("11000110").code("0000000").done(),
        "expected a code for a literal or length",
    ),
    "no last": (Bits().put(0, 8).done() + b"\0\0\xff\xff", "expected the rest of a deflate stream"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_invalid_stream_is_refused(name: str) -> None:
    data, message = BROKEN[name]
    with pytest.raises(FormatError) as caught:
        walk(data, source="x")
    assert message in str(caught.value)
    with pytest.raises((zlib.error, AssertionError)):
        inflate(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_truncated_stream_is_refused(name: str) -> None:
    data = ENCODERS[name](b"".join(str(number).encode() for number in range(700)))
    for cut in range(len(data)):
        with pytest.raises(FormatError):
            walk(data[:cut])


def attempt(data: bytes) -> Walk | None:
    try:
        return walk(data)
    except FormatError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_damaged_stream_is_accepted_only_if_zlib_accepts_it(name: str) -> None:
    chance = random.Random(name)
    plain = b" ".join(str(chance.randrange(10_000)).encode() for _ in range(600))
    good = ENCODERS[name](plain)
    passed = 0
    for _ in range(700):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            # Damage the header more often than the rest.
            most = 60 if chance.random() < 0.5 else len(data)
            data[chance.randrange(min(most, len(data)))] ^= 1 << chance.randrange(8)
        found = attempt(bytes(data))
        stream = zlib.decompressobj(wbits=-15)
        try:
            inflated: bytes | None = stream.decompress(bytes(data))
            if not stream.eof:
                inflated = None
        except zlib.error:
            inflated = None
        assert (found is None) == (inflated is None)
        if found is not None and inflated is not None:
            passed += 1
            assert found.size_bytes == len(inflated)
            assert (found.end + 7) // 8 == len(data) - len(stream.unused_data)
    assert passed


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_accepted_only_if_zlib_accepts_them(data: bytes) -> None:
    found = attempt(data)
    stream = zlib.decompressobj(wbits=-15)
    try:
        inflated = stream.decompress(data)
    except zlib.error:
        assert found is None
        return
    assert (found is not None) is stream.eof
    if found is not None:
        assert found.size_bytes == len(inflated)
