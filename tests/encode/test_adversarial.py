"""Test hostile deflate streams: the walk ends, and errors have the right offset."""

from __future__ import annotations

import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from purekernel.encode.joining import join, survey
from purekernel.encode.walker import Walk, walk
from purekernel.errors import FormatError
from tests.encode.bits import Bits, codes, put_codes
from tests.encode.inflating import inflate
from tests.encode.test_joining import BROKEN

# Codes of every possible length, the shortest for the end of the block: the shortest description
# gives the largest tables. The block uses no distances.
LONGEST = {256: 1, **{symbol: symbol + 2 for symbol in range(14)}, 14: 15}
DISTANCES = {**{symbol: symbol + 1 for symbol in range(15)}, 15: 15}


def stored(bits: Bits, *, is_last: bool) -> None:
    bits.put(is_last, 1).put(0, 2).align().put(0, 16).put(0xFFFF, 16)


def fixed(bits: Bits, *, is_last: bool) -> None:
    bits.put(is_last, 1).put(1, 2).code("0000000")


def dynamic(bits: Bits, *, is_last: bool) -> None:
    put_codes(bits, LONGEST, DISTANCES, is_last=is_last).code(codes(LONGEST)[256])


CHAINS: dict[str, tuple[Callable[..., None], ...]] = {
    "stored": (stored,),
    "fixed": (fixed,),
    "dynamic": (dynamic,),
    "of all kinds": (dynamic, stored, fixed, fixed),
}


BLOCKS = 100


def chain(name: str, count: int, *, ends: bool = True) -> bytes:
    """Return ``count`` empty blocks; ``ends`` sets BFINAL in the last one."""
    bits = Bits()
    for number in range(count):
        block = CHAINS[name][number % len(CHAINS[name])]
        block(bits, is_last=ends and number == count - 1)
    return bits.done()


def count_lines(call: Callable[[], object]) -> int:
    """Return how many lines of Python ``call`` runs, to measure work without a clock."""
    lines = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAINS)
def test_empty_blocks_are_walked(name: str) -> None:
    data = chain(name, BLOCKS)
    found = walk(data)
    assert (len(found.blocks), found.size_bytes) == (BLOCKS, 0)
    assert (found.end + 7) // 8 == len(data)
    assert inflate(data) == b""
    # The streams include some that end inside a byte.
    text = zlib.compress(b"text", wbits=-15)
    whole = join([survey(text), survey(data), survey(text), survey(data)], text)
    assert inflate(whole) == b"text" * 3


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAINS)
def test_stream_without_last_block_is_refused_at_end_of_data(name: str) -> None:
    data = chain(name, BLOCKS, ends=False)
    with pytest.raises(FormatError) as caught:
        walk(data, source="x")
    assert (caught.value.source, caught.value.offset) == ("x", len(data))
    # The rest of the last byte can look like the start of a block.
    assert caught.value.expected == "the rest of a deflate stream"


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("ends", [True, False])
def test_work_is_linear(name: str, ends: bool) -> None:
    def attempt(count: int) -> int:
        data = chain(name, count, ends=ends)

        def call() -> None:
            try:
                walk(data)
            except FormatError:
                assert not ends

        return count_lines(call)

    attempt(4)  # fill caches first
    once, twice = attempt(20), attempt(40)
    assert once > 20
    assert twice <= 2.1 * once


@pytest.mark.slow
def test_walk_of_highly_compressed_stream_needs_little_memory() -> None:
    size_bytes = 258 * 20_000
    data = zlib.compress(bytes(size_bytes), 9, wbits=-15)
    assert len(data) < size_bytes // 1000
    tracemalloc.start()
    found = walk(data)
    _now, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.size_bytes == size_bytes
    assert peak_bytes < size_bytes / 2


@pytest.mark.parametrize("name", BROKEN)
def test_error_offset_is_relative_to_the_fault(name: str) -> None:
    data, message = BROKEN[name]
    offsets = []
    for before in (b"", b"\0\0\0\xff\xff", b"\0\0\0\xff\xff" * 1000):
        with pytest.raises(FormatError) as caught:
            walk(before + data, source="x")
        assert message in str(caught.value)
        assert caught.value.source == "x"
        assert caught.value.offset is not None
        offsets.append(caught.value.offset - len(before))
    assert offsets[0] == offsets[1] == offsets[2]
    assert 0 <= offsets[0] <= len(data)


OVER, UNDER = "got an oversubscribed one", "got an incomplete one"
CODES = {
    "too many literals": ({**LONGEST, 14: 14}, DISTANCES, f"a valid code for literals, {OVER}"),
    "far too many literals": ({**LONGEST, **dict.fromkeys(range(256), 1)}, DISTANCES, OVER),
    "too few literals": (
        {256: 1, **{symbol: symbol + 2 for symbol in range(13)}}, DISTANCES,
        f"a complete code for literals, {UNDER}",
    ),
    "two literals of two bits": (
        dict.fromkeys(range(255, 257), 2), DISTANCES, f"a complete code for literals, {UNDER}",
    ),
    "too many distances": (LONGEST, {**DISTANCES, 15: 14}, f"a valid code for distances, {OVER}"),
    "too few distances": (
        LONGEST, {symbol: symbol + 1 for symbol in range(15)},
        f"a complete code for distances, {UNDER}",
    ),
    "one distance of two bits": (LONGEST, {0: 2}, f"a complete code for distances, {UNDER}"),
}  # fmt: skip


@pytest.mark.parametrize("name", CODES)
def test_invalid_codes_are_refused(name: str) -> None:
    literals, distances, message = CODES[name]
    bits = Bits()
    stored(bits, is_last=False)
    data = put_codes(bits, literals, distances, is_last=True).done() + bytes(40)
    with pytest.raises(FormatError) as caught:
        walk(data, source="x")
    assert message in str(caught.value)
    # The offset is after the start of the block, and not after its codes.
    assert caught.value.offset is not None
    assert 5 <= caught.value.offset <= len(data) - 40
    with pytest.raises(zlib.error):
        inflate(data)


@pytest.mark.parametrize("distances", [{}, {0: 1}, {29: 1}], ids=["none", "one", "the last"])
def test_zero_or_one_distance_code_is_allowed(distances: dict[int, int]) -> None:
    data = put_codes(Bits(), LONGEST, distances, is_last=True).code(codes(LONGEST)[256]).done()
    assert walk(data).size_bytes == 0
    assert inflate(data) == b""


def attempt(data: bytes) -> Walk | None:
    try:
        return walk(data)
    except FormatError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAINS)
def test_damaged_chain_is_accepted_only_if_zlib_accepts_it(name: str) -> None:
    chance = random.Random(name)
    good = chain(name, 8)
    passed = 0
    for _ in range(150):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 3)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        found = attempt(bytes(data))
        stream = zlib.decompressobj(wbits=-15)
        try:
            plain = stream.decompress(bytes(data))
        except zlib.error:
            assert found is None
            continue
        assert (found is not None) is stream.eof
        if found is not None:
            passed += 1
            assert found.size_bytes == len(plain)
            assert (found.end + 7) // 8 == len(data) - len(stream.unused_data)
    # A change in a complete code makes the code invalid.
    assert passed or name == "dynamic"
