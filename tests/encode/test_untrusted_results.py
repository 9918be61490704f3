"""Test that results of a cache or an executor are checked against their input before use."""

from __future__ import annotations

import functools
import gzip
import random
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from purekernel.encode import segments as segments_module
from purekernel.encode.disk_cache import EncodedCache
from purekernel.encode.encoders import RECIPES, Effort, Libdeflate, Stored
from purekernel.encode.joining import survey
from purekernel.encode.nested import recompress_all, recompress_gzip
from purekernel.encode.segments import Segment, deflate_segments, last_key, segment_key
from purekernel.errors import EncodingError
from tests.encode.inflating import inflate
from tests.executors import AtOnce

FACTS = struct.Struct("<QQQ")
NO_STORED, STARTS_BYTE = 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFE


def words(seed: int, count: int) -> bytes:
    chance = random.Random(seed)
    return b" ".join(str(chance.randrange(500)).encode() for _ in range(count))


# A small stream, whose blocks were walked through. A stream with stored blocks. A large stream,
# whose end was searched for. The last stream.
SEGMENTS = [
    Segment(data=words(1, 3_000), encoders=(Libdeflate(),)),
    Segment(data=words(2, 1_000), encoders=(Stored(),)),
    Segment(data=words(3, 30_000), encoders=(Libdeflate(),)),
    Segment(data=words(4, 3_000), encoders=(Libdeflate(),)),
]
CONTENT = b"".join(segment.data for segment in SEGMENTS)


def deflated(executor: Executor, cache: EncodedCache | None = None) -> bytes:
    stream = BytesIO()
    deflate_segments(SEGMENTS, write=stream.write, executor=executor, cache=cache)
    return stream.getvalue()


def keys() -> list[str]:
    return [*map(segment_key, SEGMENTS[:-1]), last_key(SEGMENTS[-1])]


def raw(content: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(content) + packer.flush()


@functools.cache
def bomb() -> bytes:
    """Return a small stream that inflates to 100 MiB."""
    return raw(bytes(100 << 20))


def kept(stream: bytes, *, first_stored: int | None = None) -> bytes:
    """Return the cache entry for a stream, with true facts unless others are given."""
    found = survey(stream)
    stored = NO_STORED if found.first_stored is None else found.first_stored
    return (
        FACTS.pack(found.end, found.last_block, stored if first_stored is None else first_stored)
        + stream
    )


def facts_changed(number: int, change: Callable[[int], int]) -> Callable[[bytes], bytes]:
    def changed(entry: bytes) -> bytes:
        facts = list(FACTS.unpack_from(entry))
        facts[number] = change(facts[number]) & 0xFFFFFFFFFFFFFFFF
        return FACTS.pack(*facts) + entry[FACTS.size :]

    return changed


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda entry: b"",
    "facts alone": lambda entry: entry[: FACTS.size],
    "truncated": lambda entry: entry[:-1],
    "trailing byte": lambda entry: entry + b"\0",
    "one bit": lambda entry: entry[:-40] + bytes([entry[-40] ^ 16]) + entry[-39:],
    "other content": lambda entry: kept(raw(b"other")),
    "no content": lambda entry: kept(raw(b"")),
    "bomb": lambda entry: kept(bomb()),
    "end too early": facts_changed(0, lambda end: end - 1),
    "end too late": facts_changed(0, lambda end: end + 1),
    "end beyond": facts_changed(0, lambda end: end + 8),
    "end far beyond": facts_changed(0, lambda end: 1 << 63),
    "last block elsewhere": facts_changed(1, lambda last: last + 1),
    "last block far beyond": facts_changed(1, lambda last: 1 << 62),
    "last block at the start": facts_changed(1, lambda last: last - 1),
}


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(spoil, id=name, marks=[pytest.mark.slow] if name == "bomb" else [])
        for name, spoil in SPOILED.items()
    ],
)
@pytest.mark.parametrize("number", range(3), ids=["small", "stored", "large"])
def test_planted_segment_is_encoded_again_and_replaced(
    spoil: Callable[[bytes], bytes], number: int, tmp_path: Path
) -> None:
    cache = EncodedCache(tmp_path)
    expected = deflated(AtOnce(), cache)
    key = keys()[number]
    right = cache.get(key)
    assert right is not None
    wrong = spoil(right)
    assert wrong != right
    cache.put(key, wrong)  # bound to its key: a user with write access to the cache can do this
    executor = AtOnce()
    assert deflated(executor, cache) == expected
    assert executor.done == 1
    assert cache.get(key) == right


@pytest.mark.parametrize(
    ("number", "first_stored"),
    [(0, 5), (1, NO_STORED), (1, 8), (1, 1 << 60), (2, NO_STORED)],
    ids=["invented", "denied", "elsewhere", "far beyond", "movable where it is not known"],
)
def test_planted_first_stored_block_keeps_the_content(
    number: int, first_stored: int, tmp_path: Path
) -> None:
    cache = EncodedCache(tmp_path)
    deflated(AtOnce(), cache)
    key = keys()[number]
    right = cache.get(key)
    assert right is not None
    cache.put(key, facts_changed(2, lambda _: first_stored)(right))
    assert inflate(deflated(AtOnce(), cache)) == CONTENT


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda: b"", id="empty"),
        pytest.param(lambda: raw(b"other"), id="other content"),
        pytest.param(lambda: raw(SEGMENTS[-1].data) + b"\0", id="trailing byte"),
        pytest.param(lambda: raw(SEGMENTS[-1].data)[:-1], id="truncated"),
        pytest.param(bomb, id="bomb"),
        pytest.param(lambda: raw(SEGMENTS[-1].data[:-1]), id="less content"),
    ],
)
def test_planted_last_segment_is_encoded_again_and_replaced(
    wrong: Callable[[], bytes], tmp_path: Path
) -> None:
    cache = EncodedCache(tmp_path)
    expected = deflated(AtOnce(), cache)
    right = cache.get(keys()[-1])
    cache.put(keys()[-1], wrong())
    executor = AtOnce()
    assert deflated(executor, cache) == expected
    assert executor.done == 1
    assert cache.get(keys()[-1]) == right


@pytest.mark.slow
def test_swapped_files_are_encoded_again_and_replaced(tmp_path: Path) -> None:
    cache = EncodedCache(tmp_path)
    expected = deflated(AtOnce(), cache)
    before = {path: path.read_bytes() for path in tmp_path.glob("encoded-v1/??/*")}
    assert len(before) == len(SEGMENTS)
    for path, content in zip(before, [*list(before.values())[1:], b"?"], strict=True):
        path.write_bytes(content)
    executor = AtOnce()
    assert deflated(executor, cache) == expected
    assert executor.done == len(SEGMENTS)
    assert {path: path.read_bytes() for path in before} == before


def test_stream_that_cannot_be_joined_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The check of the joined stream detects a fault that the check of each entry misses.
    cache = EncodedCache(tmp_path)
    deflated(AtOnce(), cache)
    right = cache.get(keys()[1])
    assert right is not None
    cache.put(keys()[1], facts_changed(2, lambda _: NO_STORED)(right))
    monkeypatch.setattr(segments_module, "can_be_joined", lambda *_: True)
    with pytest.raises(EncodingError, match="the joined deflate stream does not unpack"):
        deflated(AtOnce(), cache)


# Gzip files inside


def packed(content: bytes, *, name: bytes = b"a\0") -> bytes:
    packer = zlib.compressobj(1, wbits=-15)
    stream = packer.compress(content) + packer.flush()
    trailer = struct.pack("<II", zlib.crc32(content), len(content))
    return b"\x1f\x8b\x08\x08\x01\x02\x03\x04\x00\x03" + name + stream + trailer


RECIPE = RECIPES[Effort.BALANCED]
FILE = packed(words(5, 3_000))
SMALLER = recompress_gzip(FILE, RECIPE)
assert SMALLER is not None


class OneKey:
    """A cache with a single entry, returned for any key."""

    def __init__(self, entry: bytes) -> None:
        self.entry = entry

    def get(self, key: str) -> bytes | None:
        return self.entry

    def put(self, key: str, content: Any) -> None:
        self.entry = bytes(content)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        SMALLER[:-1],
        SMALLER + b"\0",
        SMALLER[:40] + bytes([SMALLER[40] ^ 1]) + SMALLER[41:],
        SMALLER.replace(b"a\0", b"b\0", 1),
        SMALLER[:4] + b"\xff" + SMALLER[5:],
        FILE,
        packed(words(6, 10)),
        gzip.compress(words(5, 3_000), mtime=0),
        packed(bytes(1 << 20)),
        packed(bytes(4_000_000))[:-8] + FILE[-8:],
    ],
    ids=[
        "empty", "truncated", "trailing byte", "one bit", "other name", "other time",
        "no smaller", "other content", "other header", "bomb", "bomb with the right trailer",
    ],
)  # fmt: skip
def test_planted_gzip_file_is_encoded_again_and_replaced(wrong: bytes) -> None:
    cache, executor = OneKey(wrong), AtOnce()
    assert recompress_all([FILE], RECIPE, executor=executor, cache=cache) == [SMALLER]
    assert executor.done == 1
    assert cache.entry == SMALLER


@pytest.mark.parametrize(
    "file",
    [FILE[:-1], FILE + b"\0", FILE[:-8] + bytes(8), SMALLER],
    ids=["cut short", "something behind it", "another checksum", "no smaller"],
)
def test_cached_result_for_file_without_result_is_replaced(file: bytes) -> None:
    cache, executor = OneKey(SMALLER), AtOnce()
    assert recompress_all([file], RECIPE, executor=executor, cache=cache) == [None]
    assert executor.done == 1
    assert recompress_all([file], RECIPE, executor=executor, cache=cache) == [None]
    assert executor.done == 1  # the cache has the right result


def test_swapped_gzip_results_are_encoded_again(tmp_path: Path) -> None:
    cache = EncodedCache(tmp_path)
    files = [FILE, packed(words(7, 2_000)), SMALLER]  # the last one gets no smaller
    expected = recompress_all(files, RECIPE, executor=AtOnce(), cache=cache)
    assert expected[2] is None
    before = {path: path.read_bytes() for path in tmp_path.glob("encoded-v1/??/*")}
    contents = list(before.values())
    for path, content in zip(before, [*contents[1:], contents[0]], strict=True):
        path.write_bytes(content)
    executor = AtOnce()
    assert recompress_all(files, RECIPE, executor=executor, cache=cache) == expected
    assert executor.done == len(files)
    assert {path: path.read_bytes() for path in before} == before


# Results of executors


class Liar(Executor):
    """An executor that returns the same result for every call."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def submit(self, call: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(self._answer)
        return future


WRONG = "an encoder returned a deflate stream that does not unpack to its input"


@pytest.mark.parametrize("answer", [b"", b"?", raw(b"other"), raw(CONTENT)])
def test_wrong_stream_of_a_worker_is_an_error_and_not_cached(answer: bytes, tmp_path: Path) -> None:
    cache = EncodedCache(tmp_path)
    with pytest.raises(EncodingError) as caught:
        deflated(Liar(answer), cache)
    assert str(caught.value) == WRONG
    assert "--executor" in caught.value.hint
    assert cache.usage().files == 0


@pytest.mark.parametrize("answer", [b"", FILE, packed(b"other")])
def test_wrong_gzip_file_of_a_worker_is_an_error(answer: bytes) -> None:
    with pytest.raises(EncodingError, match=WRONG):
        recompress_all([FILE], RECIPE, executor=Liar(answer))
