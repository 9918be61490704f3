from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError
from purekernel.formats.compression import unpack
from purekernel.formats.lz4 import BLOCK_BYTES, MAGIC, build_frame, build_lz4
from purekernel.input import Input, Limits
from tests.bzimages import pack_lz4
from tests.oracles import require, run


def frame(*blocks: str) -> bytes:
    packed = [bytes.fromhex(block) for block in blocks]
    return MAGIC + b"".join(len(block).to_bytes(4, "little") + block for block in packed)


def test_blocks_are_unpacked() -> None:
    assert unpack(Input(MAGIC, name="x")) == b""
    assert unpack(Input(frame("30 616263"), name="x")) == b"abc"
    # Two literals, six bytes copied from distance 2, five literals at the end of the block.
    assert unpack(Input(frame("22 6162 0200 50 6364656667"), name="x")) == b"abababab" + b"cdefg"
    # A match of 19 or more bytes, or 15 or more literals, has an extra length byte.
    assert unpack(Input(frame("1f 61 0100 05 50 6263646566"), name="x")) == b"a" * 25 + b"bcdef"
    assert unpack(Input(frame("f0 01" + "61" * 16), name="x")) == b"a" * 16
    assert unpack(Input(frame("10 61") + frame("10 62", "10 63"), name="x")) == b"abc"


def test_zeros_after_the_last_block_are_ignored() -> None:
    """Boot loaders align an initramfs to four bytes."""
    for count in range(10):
        assert unpack(Input(frame("10 61") + bytes(count), name="x")) == b"a"


TRAILING = "expected another stream of the same kind or the end of the file"
DAMAGED = "a block that is damaged or unpacks to more than 8388608 bytes"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (MAGIC + b"\x01", f"x, byte 4: {TRAILING}, got 01"),
        (MAGIC + b"\x09\0\0\0ab", "x, byte 4: expected a valid LZ4 block, got 2 of its 9 bytes"),
        (frame("10 61") + b"070701", f"x, byte 10: {TRAILING}, got 30 37 30 37"),
        (frame("10 61") + b"\0\0\0\0a", f"x, byte 10: {TRAILING}, got 00 00 00 00"),
        (frame("f0 ff"), f"x, byte 4: expected a valid LZ4 block, got {DAMAGED}"),
        (frame("10 61", "30 61"), f"x, byte 10: expected a valid LZ4 block, got {DAMAGED}"),
        (frame("10 61 02"), f"x, byte 4: expected a valid LZ4 block, got {DAMAGED}"),
        # A distance beyond the start of the block, and a distance of 0.
        (frame("10 61 0200 10 61"), f"x, byte 4: expected a valid LZ4 block, got {DAMAGED}"),
        (frame("10 61 0000 10 61"), f"x, byte 4: expected a valid LZ4 block, got {DAMAGED}"),
    ],
)
def test_damaged_frame_is_refused_with_its_offset(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        unpack(Input(data, name="x"))
    assert str(caught.value).startswith(message)


def test_frames_of_all_kinds_in_one_file_are_joined() -> None:
    """The program lz4 reads such a file."""
    skippable = b"\x5f\x2a\x4d\x18\x03\0\0\0abc"
    data = build_frame(b"1") + skippable + frame("10 32") + build_frame(b"3") + skippable
    assert unpack(Input(data, name="x")) == b"123"
    assert unpack(Input(skippable + frame("10 32") + skippable, name="x")) == b"2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "expected the rest of an LZ4 frame, got the end of the file"),
        (lambda data: data[:9], "expected the rest of an LZ4 frame, got the end of the file"),
        (
            lambda data: data[:-1] + bytes([data[-1] ^ 1]),
            "byte 0: expected a valid LZ4 frame, got contentChecksum_invalid",
        ),
        (
            lambda data: data[:6] + bytes([data[6] ^ 1]) + data[7:],
            "byte 0: expected a valid LZ4 frame, got headerChecksum_invalid",
        ),
        (
            lambda data: data[:4] + bytes([data[4] | 1]) + data[5:],
            "byte 0: expected an LZ4 frame without a dictionary, got one that needs a dictionary",
        ),
    ],
)
def test_damaged_or_unsupported_frame_is_refused(
    change: Callable[[bytes], bytes], message: str
) -> None:
    with pytest.raises(FormatError) as caught:
        unpack(Input(change(build_frame(b"content" * 9)), name="x"))
    assert message in str(caught.value)


def test_unpacked_size_of_a_frame_above_the_limit_is_refused() -> None:
    data = build_frame(bytes(4 << 20))
    with pytest.raises(LimitError, match="byte 0: expected at most 1000000 bytes unpacked"):
        unpack(Input(data, name="x", limits=Limits(unpacked_bytes=1_000_000)))


def run_of(length: int) -> str:
    """Return a block, in hexadecimal, of one byte repeated ``length`` times."""
    more, last = divmod(length - 1 - 19 - 5, 255)
    return f"1f 61 0100 {'ff' * more} {last:02x} 50 {'61' * 5}"


def test_block_larger_than_8_mib_is_refused() -> None:
    assert unpack(Input(frame(run_of(BLOCK_BYTES)), name="x")) == b"a" * BLOCK_BYTES
    with pytest.raises(FormatError, match=f"got {DAMAGED}"):
        unpack(Input(frame(run_of(BLOCK_BYTES + 1)), name="x"))


def test_unpacked_size_above_the_limit_is_refused() -> None:
    data = frame("10 61", "10 62")
    assert unpack(Input(data, name="x", limits=Limits(unpacked_bytes=2))) == b"ab"
    with pytest.raises(LimitError, match="x, byte 10: expected at most 1 bytes unpacked"):
        unpack(Input(data, name="x", limits=Limits(unpacked_bytes=1)))
    with pytest.raises(LimitError, match="byte 4"):
        unpack(Input(data, name="x", limits=Limits(unpacked_bytes=2)), already_bytes=2)


@given(st.binary(max_size=600))
def test_literals_round_trip(content: bytes) -> None:
    assert unpack(Input(pack_lz4(content), name="x")) == content


@given(st.binary(max_size=60))
def test_any_block_is_read_or_refused(block: bytes) -> None:
    with suppress(FormatError):
        unpack(Input(frame(block.hex()), name="x"))


# Writing


def blocks_of(data: bytes) -> list[int]:
    """Return the compressed sizes of the blocks in a frame."""
    assert data.startswith(MAGIC)
    sizes, offset = [], len(MAGIC)
    while offset < len(data):
        sizes.append(int.from_bytes(data[offset : offset + 4], "little"))
        offset += 4 + sizes[-1]
    assert offset == len(data)
    return sizes


@given(st.binary(max_size=3000) | st.text("ab", max_size=3000).map(str.encode))
def test_built_frame_round_trips(content: bytes) -> None:
    packed = build_lz4(memoryview(content))
    assert unpack(Input(packed, name="x")) == content
    assert packed == build_lz4(content)


LENGTHS = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES]


@pytest.mark.parametrize("length", LENGTHS)
def test_frame_is_split_into_blocks_of_8_mib(length: int) -> None:
    content = b"0123456789abcdef" * (length // 16) + b"x" * (length % 16)
    packed = build_lz4(content)
    assert len(blocks_of(packed)) == -(-length // BLOCK_BYTES)
    assert unpack(Input(packed, name="x")) == content


@pytest.mark.slow
def test_incompressible_block_stays_within_the_buffer_of_linux() -> None:
    content = random.Random(1).randbytes(BLOCK_BYTES)
    packed = build_lz4(content)
    (block_bytes,) = blocks_of(packed)
    # The buffer of Linux, if it reads in pieces (LZ4_COMPRESSBOUND in lz4.h).
    assert BLOCK_BYTES < block_bytes <= BLOCK_BYTES + BLOCK_BYTES // 255 + 16
    assert unpack(Input(packed, name="x")) == content


# Independent checkers


def words_of(count: int) -> bytes:
    """Return ``count`` random choices out of 300 words."""
    chance = random.Random(1)
    words = [chance.randbytes(chance.randrange(1, 40)) for _number in range(300)]
    return b"".join(chance.choices(words, k=count))


@pytest.mark.oracle
@pytest.mark.parametrize("level", ["-1", "-9"])
def test_frame_of_lz4_is_read(tmp_path: Path, level: str) -> None:
    content = words_of(80_000) * 6 + b"\0" * 100_000
    assert len(content) > BLOCK_BYTES
    packed = run(require("lz4"), "-l", level, "-c", "-", stdin=content)
    assert unpack(Input(packed, name="lz4")) == content


@pytest.mark.oracle
@pytest.mark.parametrize(
    "options", [[], ["-9", "-BD", "-B4"], ["-BX", "--content-size"], ["--no-frame-crc", "-B7"]]
)
def test_frame_of_lz4_with_options_is_read(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(content := words_of(20_000))
    packed = run(require("lz4"), *options, "-c", str(tmp_path / "content"))
    assert unpack(Input(packed * 2, name="lz4")) == content * 2


@pytest.mark.oracle
def test_lz4_unpacks_a_written_frame() -> None:
    content = words_of(20_000)
    assert run(require("lz4"), "-dc", "-", stdin=build_frame(content)) == content


@pytest.mark.oracle
@pytest.mark.parametrize("length", LENGTHS)
def test_lz4_unpacks_a_built_frame(length: int) -> None:
    content = (words_of(80_000) * 11)[:length]
    assert len(content) == length
    packed = build_lz4(content)
    assert run(require("lz4"), "-dc", "-", stdin=packed) == content


@pytest.mark.oracle
def test_built_frame_is_as_small_as_that_of_lz4() -> None:
    content = words_of(50_000) + random.Random(2).randbytes(100_000)
    ours = build_lz4(content)
    theirs = run(require("lz4"), "-l", "-12", "-c", "-", stdin=content)
    assert (
        abs(len(ours) - len(theirs)) <= len(theirs) // 200
    )  # lz4 may have another release of liblz4
    assert unpack(Input(theirs, name="lz4")) == content
