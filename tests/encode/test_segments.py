"""Test segments that are deflated in parallel into one stream, with and without a cache."""

from __future__ import annotations

import gzip
import random
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from io import BytesIO
from typing import Any

import deflate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.encode.encoders import (
    RECIPES,
    Effort,
    Encoder,
    Libdeflate,
    Stored,
    Zopfli,
    encode_smallest,
)
from purekernel.encode.nested import recompress_all, recompress_gzip
from purekernel.encode.segments import Segment, deflate_segments, segment_key
from purekernel.formats.gzip import build_gzip, parse_member
from purekernel.input import Input
from tests.encode.inflating import inflate
from tests.executors import AtOnce

ENCODERS: list[Encoder] = [
    Stored(), Libdeflate(level=1), Libdeflate(), Zopfli(iterations=1), Zopfli(block_bytes=0),
]  # fmt: skip


class Memory:
    """A cache in memory that counts its hits."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.hits = 0

    def get(self, key: str) -> bytes | None:
        found = self.kept.get(key)
        self.hits += found is not None
        return found

    def put(self, key: str, content: Any) -> None:
        self.kept[key] = bytes(content)


def joined(*arguments: Any, **named: Any) -> bytes:
    stream = BytesIO()
    deflate_segments(*arguments, write=stream.write, **named)
    return stream.getvalue()


def words(seed: int, size: int) -> bytes:
    chance = random.Random(seed)
    return b" ".join(str(chance.randrange(500)).encode() for _ in range(size))


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.binary(max_size=200), st.integers(0, 3000).map(lambda n: words(n, n))),
            st.lists(st.sampled_from(ENCODERS), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_stream_inflates_to_all_segments(pieces: list[tuple[bytes, list[Encoder]]]) -> None:
    segments = [Segment(data=data, encoders=tuple(encoders)) for data, encoders in pieces]
    stream = joined(segments, executor=AtOnce())
    assert inflate(stream) == b"".join(data for data, _encoders in pieces)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    data=st.one_of(
        st.binary(max_size=2000),
        st.integers(0, 80_000).map(lambda size: random.Random(size).randbytes(size)),
        st.integers(0, 9000).map(lambda count: words(count, count)),
    ),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.sampled_from(ENCODERS)), max_size=8),
    last=st.sampled_from(ENCODERS),
)
def test_any_split_gives_one_gzip_member(
    data: bytes, cuts: list[tuple[float, Encoder]], last: Encoder
) -> None:
    segments = []
    here = 0
    for place, encoder in sorted(cuts, key=lambda cut: cut[0]):
        end = int(place * len(data))
        segments.append(Segment(data=data[here:end], encoders=(encoder,)))
        here = end
    segments.append(Segment(data=data[here:], encoders=(last,)))
    stream = joined(segments, executor=AtOnce())
    assert inflate(stream) == data
    packed = build_gzip(stream, crc32=zlib.crc32(data), size_bytes=len(data))
    member = zlib.decompressobj(wbits=31)
    assert member.decompress(packed) == data
    assert member.eof
    assert not member.unused_data
    assert deflate.gzip_decompress(packed, len(data)) == data
    assert parse_member(Input(packed, name="x")).end == len(packed)


def make_segments() -> list[Segment]:
    slow: tuple[Encoder, ...] = (Libdeflate(), Zopfli(iterations=1))
    return [
        *(Segment(data=words(seed, 4000), encoders=slow) for seed in range(5)),
        Segment(data=random.Random(1).randbytes(90_000), encoders=(Libdeflate(),)),
    ]


@pytest.mark.slow
def test_bytes_do_not_depend_on_executor_or_cache() -> None:
    segments = make_segments()
    memory = Memory()
    expected = joined(segments, executor=AtOnce())
    for executor in (ThreadPoolExecutor(1), ThreadPoolExecutor(4), ProcessPoolExecutor(2)):
        with executor:
            assert joined(segments, executor=executor, cache=memory) == expected
    lazy = AtOnce()
    assert joined(segments, executor=lazy, cache=memory) == expected
    assert lazy.done == 0
    # One of six segments changes, so only that one is encoded again.
    segments[2] = Segment(data=b"changed", encoders=segments[2].encoders)
    joined(segments, executor=lazy, cache=memory)
    assert lazy.done == 1


def test_cache_key_includes_encoders() -> None:
    data = words(1, 500)
    keys = {segment_key(Segment(data=data, encoders=(encoder,))) for encoder in ENCODERS}
    assert len(keys) == len(ENCODERS)
    assert segment_key(Segment(data=data, encoders=(Stored(),))) in keys


def test_smallest_stream_is_used() -> None:
    data = words(3, 2000)
    sizes = [len(encoder.encode(data)) for encoder in ENCODERS]
    assert len(encode_smallest(data, ENCODERS)) == min(sizes)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 200_000])
def test_stored_blocks_hold_any_bytes(size: int) -> None:
    data = random.Random(size).randbytes(size)
    stream = Stored().encode(data)
    assert inflate(stream) == data
    assert len(stream) == size + 5 * max(1, -(-size // 65_535))


# Gzip files inside


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def with_header(data: bytes) -> bytes:
    """Return a gzip file with a name, a time, a comment and a poorly compressed stream."""
    raw = zlib.compressobj(1, wbits=-15)
    stream = raw.compress(data) + raw.flush()
    head = b"\x1f\x8b\x08\x18\x01\x02\x03\x04\x00\x03" + b"name\0" + b"comment\0"
    trailer = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return head + stream + trailer


@pytest.mark.slow
@pytest.mark.parametrize("effort", [Effort.BALANCED, Effort.MAX])
@pytest.mark.parametrize("size", [10, 2_000, 10_000])
def test_gzip_file_gets_smaller_with_equal_content(effort: Effort, size: int) -> None:
    plain = words(size, size)
    data = with_header(plain)
    smaller = recompress_gzip(data, RECIPES[effort])
    assert smaller is not None
    assert len(smaller) < len(data)
    assert gzip.decompress(smaller) == plain
    head = data[: data.index(b"comment\0") + 8]
    assert smaller.startswith(head)
    assert smaller[-8:] == data[-8:]
    assert recompress_gzip(smaller, RECIPES[effort]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8b",
        packed(b"x" * 100)[:-1],
        packed(b"x" * 100) + b"\0",
        packed(b"x" * 1000) + packed(b"y" * 1000),
        packed(b"x" * 100)[:-8] + bytes(8),
    ],
    ids=["a start", "cut short", "something behind it", "two members", "another checksum"],
)
def test_other_files_are_skipped(data: bytes) -> None:
    assert recompress_gzip(data, RECIPES[Effort.BALANCED]) is None


def test_results_are_in_order_and_cached() -> None:
    files = [with_header(words(seed, 200 * seed)) for seed in range(1, 8)]
    files.insert(3, b"\x1f\x8b no gzip file")
    memory, executor = Memory(), AtOnce()
    recipe = RECIPES[Effort.BALANCED]
    found = list(recompress_all(files, recipe, executor=executor, cache=memory))
    assert found == [recompress_gzip(data, recipe) for data in files]
    assert executor.done == len(files)
    # The cache also keeps results for files that do not get smaller.
    assert list(recompress_all(files, recipe, executor=executor, cache=memory)) == found
    assert executor.done == len(files)
