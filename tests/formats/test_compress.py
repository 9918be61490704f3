from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import UsageError
from purekernel.formats.compress import (
    WINDOW_BYTES,
    build_xz,
    build_zstd,
    check_taken,
    choose_compression,
    compress,
)
from purekernel.formats.compression import unpack
from purekernel.formats.initramfs import Compression
from tests.oracles import require, run

CONTENT = b"".join(str(number).encode() for number in range(20_000))


@given(st.binary(max_size=3000))
def test_what_is_compressed_comes_back(content: bytes) -> None:
    for compression in (Compression.XZ, Compression.ZSTD, Compression.LZ4):
        packed = compress(memoryview(content), compression)
        assert unpack(packed, source="x") == content
        assert packed == compress(content, compression)


@pytest.mark.parametrize(
    ("taken", "chosen"),
    [
        (set(Compression), Compression.XZ),
        (set(Compression) - {Compression.XZ}, Compression.ZSTD),
        ({Compression.GZIP, Compression.LZO}, Compression.GZIP),  # Core 4.4
        ({Compression.GZIP, Compression.LZ4}, Compression.GZIP),  # LZ4 is larger
        ({Compression.LZO, Compression.LZ4}, Compression.LZ4),
        (None, Compression.GZIP),
    ],
)
def test_the_smallest_that_the_kernel_takes_is_chosen(
    taken: set[Compression] | None, chosen: Compression
) -> None:
    assert choose_compression(None if taken is None else frozenset(taken)) is chosen


def test_a_kernel_may_take_nothing_that_is_written() -> None:
    with pytest.raises(UsageError) as caught:
        choose_compression(frozenset({Compression.LZO, Compression.LZMA}))
    assert caught.value.message == (
        "the kernel cannot unpack a core that is compressed with anything written here: "
        "it takes lzma, lzo"
    )
    assert caught.value.hint == "use a base ISO whose kernel takes gzip, xz, zstd or lz4"


def test_what_the_kernel_does_not_take_is_refused() -> None:
    core = frozenset({Compression.LZO, Compression.GZIP})
    check_taken(Compression.GZIP, core)
    check_taken(Compression.XZ, None)
    with pytest.raises(UsageError) as caught:
        check_taken(Compression.XZ, core)
    assert caught.value.message == (
        "the kernel cannot unpack a core that is compressed with xz: it takes gzip, lzo"
    )
    assert caught.value.hint == "choose auto, which is the smallest that the kernel takes"


@pytest.mark.parametrize(
    "compression", [item for item in Compression if item.name not in ("XZ", "ZSTD", "LZ4")]
)
def test_others_are_refused(compression: Compression) -> None:
    with pytest.raises(UsageError) as caught:
        compress(CONTENT, compression)
    assert caught.value.message == (
        f"a core cannot be compressed with {compression.value}: nothing here writes that"
    )
    assert caught.value.hint == "choose gzip, xz, zstd or lz4"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size_bytes", "dictionary"),
    # Source: the .xz file format, 5.3.1: 2^(n/2 + 12) where n is even.
    [(0, 0), (4096, 0), (4097, 2), (100_000, 10), (WINDOW_BYTES, 22), (WINDOW_BYTES + 1, 22)],
)
def test_xz_is_such_as_the_kernel_reads(size_bytes: int, dictionary: int) -> None:
    packed = build_xz(bytes(size_bytes))
    assert packed[:8] == b"\xfd7zXZ\0\0\x01"  # the check is CRC32
    if size_bytes:
        # One filter, with no sizes; LZMA2, one byte of properties.
        assert packed[13:16] == b"\x00\x21\x01"
        assert packed[16] == dictionary
    assert packed[-2:] == b"YZ"


@pytest.mark.parametrize("size_bytes", [0, 255, 100_000, WINDOW_BYTES, WINDOW_BYTES + 1])
def test_zstd_is_such_as_the_kernel_reads(size_bytes: int) -> None:
    packed = build_zstd(bytes(size_bytes))
    assert packed[:4] == b"\x28\xb5\x2f\xfd"
    descriptor = packed[4]
    assert descriptor & 0b100  # a checksum
    single_segment = bool(descriptor & 0b100000)
    # A single segment's window is all of it; else exponent and mantissa say.
    assert single_segment == (size_bytes <= WINDOW_BYTES)
    if not single_segment:
        assert 1 << (10 + (packed[5] >> 3)) == WINDOW_BYTES
        assert struct.unpack_from("<I", packed, 6) == (size_bytes,)


@pytest.mark.oracle
def test_the_programs_of_these_names_agree() -> None:
    assert run(require("xz"), "-dc", stdin=build_xz(CONTENT)) == CONTENT
    assert run(require("zstd"), "-dc", stdin=build_zstd(CONTENT)) == CONTENT
