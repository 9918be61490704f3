"""Test the search for a stream's last block from the end."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.encode.encoders import Encoder, Libdeflate, Stored, Zopfli
from purekernel.encode.joining import Stream, find_ending, join, survey
from purekernel.encode.walker import FIXED, walk
from tests.encode.inflating import inflate

ENCODERS: list[Encoder] = [
    Stored(), Libdeflate(level=1), Libdeflate(level=6), Libdeflate(), Zopfli(iterations=1),
]  # fmt: skip


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def words(seed: int, size: int) -> bytes:
    chance = random.Random(seed)
    return b" ".join(str(chance.randrange(700)).encode() for _ in range(size))


SAMPLES = {
    "words": words(1, 60_000),
    "noise": noise(2, 300_000),
    "a stored end": words(3, 20_000) + noise(3, 40_000),
    "a stored start": noise(4, 40_000) + words(4, 20_000),
    "bytes of six bits": bytes(byte & 63 for byte in noise(5, 200_000)),
    "zeros": bytes(500_000),
    "a short end": bytes(byte & 31 for byte in noise(6, 100_000)) + b"the end",
}


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.name.split(" of ")[0])
@pytest.mark.parametrize("name", SAMPLES)
def test_last_block_is_where_a_walk_finds_it(name: str, encoder: Encoder) -> None:
    content = SAMPLES[name]
    data = encoder.encode(content)
    found = find_ending(data, content)
    walked = walk(data)
    if walked.blocks[-1].kind == FIXED:  # the header of a fixed block has no redundancy
        assert found is None
        return
    assert found == Stream(
        data=data,
        end=walked.end,
        last_block=walked.blocks[-1].start,
        first_stored=None,
        is_movable=False,
    )


@pytest.mark.slow
@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.binary(max_size=300),
                st.integers(0, 9000).map(lambda size: words(size, size)),
                st.integers(0, 70_000).map(lambda size: noise(size, size)),
            ),
            st.sampled_from(ENCODERS),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_streams_with_searched_and_walked_ends_join(
    pieces: list[tuple[bytes, Encoder]],
) -> None:
    streams = []
    for content, encoder in pieces[:-1]:
        data = encoder.encode(content)
        streams.append(find_ending(data, content) or survey(data))
        streams.append(survey(encoder.encode(content)))  # can start at any bit
    last, encoder = pieces[-1]
    expected = b"".join(content + content for content, _encoder in pieces[:-1]) + last
    assert inflate(join(streams, encoder.encode(last))) == expected


@pytest.mark.slow
def test_wrong_content_is_not_found() -> None:
    content = SAMPLES["words"]
    data = Libdeflate().encode(content)
    assert find_ending(data, content[:-1]) is None
    assert find_ending(data, content + b"x") is None
    assert find_ending(data[:-1], content) is None
    assert find_ending(data + b"\0", content) is None
    assert find_ending(b"", b"") is None
    assert find_ending(noise(7, 50_000), content) is None


@pytest.mark.slow
def test_header_inside_content_is_not_taken_for_last_block() -> None:
    # The content is a whole stream, stored in another one. Its last block is not the last block of
    # the outer stream.
    inner = Libdeflate().encode(SAMPLES["words"])[:60_000]
    content = words(8, 3000) + inner + noise(8, 5000)
    for encoder in ENCODERS:
        data = encoder.encode(content)
        found = find_ending(data, content)
        assert found is not None
        assert found.last_block == walk(data).blocks[-1].start


@pytest.mark.slow
def test_last_block_longer_than_search_is_not_found() -> None:
    content = bytes(byte & 127 for byte in noise(9, 500_000))
    data = Zopfli(iterations=1, block_bytes=0).encode(content)
    assert len(walk(data).blocks) == 1
    assert find_ending(data, content) is None
