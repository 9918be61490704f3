from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from purekernel.encode.encoders import Libdeflate


@given(st.binary(max_size=5000), st.integers(1, 12))
def test_stream_is_whole_raw_and_reproducible(data: bytes, level: int) -> None:
    encoder = Libdeflate(level=level)
    stream = encoder.encode(memoryview(data))
    inflater = zlib.decompressobj(wbits=-15)
    assert inflater.decompress(stream) == data
    assert inflater.eof
    assert inflater.unused_data == b""
    assert encoder.encode(data) == stream


def test_default_level_is_the_smallest() -> None:
    data = b"".join(str(number).encode() for number in range(20_000))
    sizes = [len(Libdeflate(level=level).encode(data)) for level in (1, 6, 12)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(Libdeflate().encode(data)) == sizes[-1]
