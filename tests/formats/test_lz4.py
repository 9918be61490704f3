from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError
from purekernel.formats.limits import Limits
from purekernel.formats.lz4 import BLOCK_BYTES, MAGIC, parse_lz4
from tests.bzimages import pack_lz4
from tests.oracles import require, run


def frame(*blocks: str) -> bytes:
    packed = [bytes.fromhex(block) for block in blocks]
    return MAGIC + b"".join(len(block).to_bytes(4, "little") + block for block in packed)


def test_blocks_are_unpacked() -> None:
    assert parse_lz4(MAGIC, source="x") == b""
    assert parse_lz4(frame("30 616263"), source="x") == b"abc"
    # Two literals, six bytes from two before, one literal more.
    assert parse_lz4(frame("22 6162 0200 10 63"), source="x") == b"abababab" + b"c"
    # Nineteen bytes or more go on in another byte; so do fifteen literals.
    assert parse_lz4(frame("1f 61 0100 05 10 62"), source="x") == b"a" * 25 + b"b"
    assert parse_lz4(frame("f0 01" + "61" * 16), source="x") == b"a" * 16
    assert parse_lz4(frame("10 61") + frame("10 62", "10 63"), source="x") == b"abc"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x, byte 0: expected an LZ4 legacy frame, got "),
        (b"\x04\x22\x4d\x18", "x, byte 0: expected an LZ4 legacy frame, got 04 22 4d 18"),
        (MAGIC + b"\x01", "x, byte 4: expected a sound LZ4 block, got the end of the file"),
        (MAGIC + b"\x09\0\0\0ab", "x, byte 4: expected a sound LZ4 block, got the end of the file"),
        (frame(""), "x, byte 8: expected a sound LZ4 block, got its end"),
        (frame("f0 ff"), "x, byte 10: expected a sound LZ4 block, got its end"),
        (frame("30 61"), "x, byte 12: expected a sound LZ4 block, got other lengths"),
        (frame("10 61 02"), "x, byte 10: expected a sound LZ4 block, got its end"),
        (
            frame("10 61 0200 10 61"),
            "x, byte 12: expected a sound LZ4 block, got 4 bytes from 2 before",
        ),
        (
            frame("10 61 0000 10 61"),
            "x, byte 12: expected a sound LZ4 block, got 4 bytes from 0 before",
        ),
    ],
)
def test_damage_is_told(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_lz4(data, source="x")
    assert str(caught.value) == message


def test_no_block_unpacks_to_more_than_it_may() -> None:
    full = MAGIC + b"\0\0\0\0" + b"\x1f\x61\x01\x00" + b"\xff" * (BLOCK_BYTES // 255) + b"\xff\x00"
    data = full[:4] + (len(full) - 8).to_bytes(4, "little") + full[8:]
    with pytest.raises(FormatError, match="got 8388754 bytes from 1 before"):
        parse_lz4(data, source="x")
    with pytest.raises(LimitError):
        parse_lz4(frame("10 61", "10 62"), source="x", limits=Limits(unpacked_bytes=1))


@given(st.binary(max_size=600))
def test_literals_come_back(content: bytes) -> None:
    assert parse_lz4(pack_lz4(content), source="x") == content


@given(st.binary(max_size=60))
def test_any_block_is_read_or_refused(block: bytes) -> None:
    with suppress(FormatError):
        parse_lz4(frame(block.hex()), source="x")


@pytest.mark.oracle
@pytest.mark.parametrize("level", ["-1", "-9"])
def test_what_lz4_packs_is_unpacked(tmp_path: Path, level: str) -> None:
    chance = random.Random(1)
    words = [chance.randbytes(chance.randrange(1, 40)) for _turn in range(300)]
    content = b"".join(chance.choices(words, k=80_000)) * 6 + b"\0" * 100_000
    assert len(content) > BLOCK_BYTES
    packed = run(require("lz4"), "-l", level, "-c", "-", stdin=content)
    assert parse_lz4(packed, source="lz4") == content
