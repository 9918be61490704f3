from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from functools import partial

import pytest

from purekernel.errors import FormatError, LimitError
from purekernel.formats.compression import COMPRESSED, unpack
from purekernel.formats.detect import detect
from purekernel.formats.lz4 import build_lz4
from purekernel.input import Input, Limits

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CONTENT = b"".join(str(number).encode() for number in range(20_000))

PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("bzip2", bz2.compress),
    ("xz", lzma.compress),
    ("lzma", partial(lzma.compress, format=lzma.FORMAT_ALONE)),
    ("zstd", zstd.compress),
    ("lz4", build_lz4),
]

each = pytest.mark.parametrize(("kind", "pack"), PACKERS, ids=[kind for kind, _pack in PACKERS])


@each
def test_one_or_several_streams_are_unpacked(kind: str, pack: Callable[[bytes], bytes]) -> None:
    assert detect(pack(CONTENT)) in COMPRESSED
    assert unpack(Input(memoryview(pack(CONTENT)), name="x")) == CONTENT
    assert unpack(Input(pack(CONTENT) + pack(b"more"), name="x")) == CONTENT + b"more"
    assert unpack(Input(pack(b""), name="x")) == b""


@each
def test_truncated_or_extended_stream_is_refused(kind: str, pack: Callable[[bytes], bytes]) -> None:
    data = pack(CONTENT[:3000])
    for cut in range(7, len(data), max(1, len(data) // 50)):
        with pytest.raises(FormatError):
            unpack(Input(data[:cut], name="x"))
    with pytest.raises(FormatError):
        unpack(Input(data + b"other things", name="x"))


@each
def test_unpacked_size_above_the_limit_is_refused(
    kind: str, pack: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(LimitError):
        unpack(Input(pack(bytes(4 << 20)), name="x", limits=Limits(unpacked_bytes=1 << 20)))


@each
def test_already_bytes_count_towards_the_limit(kind: str, pack: Callable[[bytes], bytes]) -> None:
    limits = Limits(unpacked_bytes=len(CONTENT))
    assert unpack(Input(pack(CONTENT), name="x", limits=limits)) == CONTENT
    with pytest.raises(LimitError):
        unpack(Input(pack(CONTENT), name="x", limits=limits), already_bytes=1)


def test_uncompressed_data_is_returned_unchanged() -> None:
    assert unpack(Input(CONTENT, name="x")) is CONTENT
    assert detect(CONTENT) not in COMPRESSED
