"""Test single small blocks as zlib streams."""

from __future__ import annotations

import pickle
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.encode.blocks import DEFLATERS
from purekernel.encode.encoders import Effort

TEXT = b"".join(b"%d lines of text\n" % (number * 7 % 997) for number in range(2000))


@pytest.mark.slow
@pytest.mark.parametrize("effort", Effort)
@pytest.mark.parametrize("size", [1, 4096, 8192, 20_000])
def test_zlib_decompresses_blocks(effort: Effort, size: int) -> None:
    for block in (TEXT[:size], bytes(size), random.Random(size).randbytes(size)):
        stream = DEFLATERS[effort](block)
        assert zlib.decompress(stream) == block
        assert DEFLATERS[effort](block) == stream


@given(st.binary(max_size=3000))
def test_any_block_round_trips(block: bytes) -> None:
    assert zlib.decompress(DEFLATERS[Effort.FAST](block)) == block


@pytest.mark.parametrize("size", [4096, 20_000])
def test_more_effort_is_smaller(size: int) -> None:
    sizes = [len(DEFLATERS[effort](TEXT[:size])) for effort in Effort]
    assert sizes[0] >= sizes[1] >= sizes[2]
    assert sizes[2] < sizes[0] < len(zlib.compress(TEXT[:size], 9))


def test_slow_encoders_skip_incompressible_block() -> None:
    class Never:
        name = "never"

        def encode(self, data: object) -> bytes:
            raise AssertionError(data)

    most = DEFLATERS[Effort.MAX]
    lazy = type(most)(first=most.first, small=(Never(),), large=(Never(),))
    noise = random.Random(1).randbytes(4096)
    assert zlib.decompress(lazy(noise)) == noise


@pytest.mark.parametrize("effort", Effort)
def test_deflaters_are_picklable(effort: Effort) -> None:
    sent = pickle.loads(pickle.dumps(DEFLATERS[effort]))
    assert sent(TEXT[:4096]) == DEFLATERS[effort](TEXT[:4096])
