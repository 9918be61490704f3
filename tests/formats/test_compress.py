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
from purekernel.input import Input
from tests.oracles import require, run

CONTENT = b"".join(str(number).encode() for number in range(20_000))


@given(st.binary(max_size=3000))
def test_compressed_content_round_trips(content: bytes) -> None:
    for compression in (Compression.XZ, Compression.ZSTD, Compression.LZ4):
        packed = compress(memoryview(content), compression)
        assert unpack(Input(packed, name="x")) == content
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
def test_smallest_compression_that_the_kernel_supports_is_chosen(
    taken: set[Compression] | None, chosen: Compression
) -> None:
    assert choose_compression(None if taken is None else frozenset(taken)) is chosen


def test_kernel_without_a_written_compression_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        choose_compression(frozenset({Compression.LZO, Compression.LZMA}))
    assert caught.value.message == (
        "the kernel must support a compression that purekernel writes (gzip, xz, zstd or lz4), "
        "got lzma, lzo"
    )
    assert caught.value.hint == "use a base ISO whose kernel supports gzip, xz, zstd or lz4"


def test_compression_that_the_kernel_does_not_support_is_refused() -> None:
    core = frozenset({Compression.LZO, Compression.GZIP})
    check_taken(Compression.GZIP, core)
    check_taken(Compression.XZ, None)
    with pytest.raises(UsageError) as caught:
        check_taken(Compression.XZ, core)
    assert caught.value.message == (
        "the kernel cannot unpack a core compressed with xz: it supports gzip, lzo"
    )
    assert caught.value.hint == "use auto, the smallest compression that the kernel supports"


@pytest.mark.parametrize(
    "compression", [item for item in Compression if item.name not in ("XZ", "ZSTD", "LZ4")]
)
def test_compression_that_purekernel_does_not_write_is_refused(compression: Compression) -> None:
    with pytest.raises(UsageError) as caught:
        compress(CONTENT, compression)
    assert caught.value.message == (
        f"the compression of a core must be gzip, xz, zstd or lz4, got {compression.value}"
    )
    assert caught.value.hint == "choose gzip, xz, zstd or lz4"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size_bytes", "dictionary"),
    # Source: the .xz file format, 5.3.1: 2^(n/2 + 12) for even n.
    [(0, 0), (4096, 0), (4097, 2), (100_000, 10), (WINDOW_BYTES, 22), (WINDOW_BYTES + 1, 22)],
)
def test_xz_has_crc32_and_a_limited_dictionary(size_bytes: int, dictionary: int) -> None:
    packed = build_xz(bytes(size_bytes))
    assert packed[:8] == b"\xfd7zXZ\0\0\x01"  # the check is CRC32
    if size_bytes:
        # One filter without sizes: LZMA2 with one byte of properties.
        assert packed[13:16] == b"\x00\x21\x01"
        assert packed[16] == dictionary
    assert packed[-2:] == b"YZ"


@pytest.mark.parametrize("size_bytes", [0, 255, 100_000, WINDOW_BYTES, WINDOW_BYTES + 1])
def test_zstd_has_a_checksum_and_a_limited_window(size_bytes: int) -> None:
    packed = build_zstd(bytes(size_bytes))
    assert packed[:4] == b"\x28\xb5\x2f\xfd"
    descriptor = packed[4]
    assert descriptor & 0b100  # a checksum
    single_segment = bool(descriptor & 0b100000)
    # The window of a single segment is the segment; else it is an exponent and a mantissa.
    assert single_segment == (size_bytes <= WINDOW_BYTES)
    if not single_segment:
        assert 1 << (10 + (packed[5] >> 3)) == WINDOW_BYTES
        assert struct.unpack_from("<I", packed, 6) == (size_bytes,)


@pytest.mark.oracle
def test_xz_and_zstd_unpack_the_same_content() -> None:
    assert run(require("xz"), "-dc", stdin=build_xz(CONTENT)) == CONTENT
    assert run(require("zstd"), "-dc", stdin=build_zstd(CONTENT)) == CONTENT
