from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError
from purekernel.formats.limits import Limits
from purekernel.formats.png import MAGIC, build_chunk, parse_png, replace_pixels
from tests.images import COMMENT, END, HEADER, PIXELS, TIME, idats, make_png, pixels_of


@given(st.binary(max_size=300), st.integers(1, 5), st.binary(max_size=9))
def test_other_pixels_take_the_place_of_all_chunks(
    pixels: bytes, count: int, behind: bytes
) -> None:
    image = parse_png(make_png(pixels, count=count) + behind, source="x.png")
    assert image.content == pixels
    deflated = zlib.compress(pixels, 9, wbits=-15)
    made = replace_pixels(image, deflated)
    stream = b"\x78\xda" + deflated + zlib.adler32(pixels).to_bytes(4, "big")
    assert made == MAGIC + HEADER + COMMENT + build_chunk(b"IDAT", stream) + TIME + END + behind
    assert pixels_of(made) == pixels
    assert parse_png(made, source="x.png").content == pixels


STREAM = zlib.compress(PIXELS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG", "x.png, byte 0: expected a PNG image, got 89 50 4e 47"),
        (MAGIC + HEADER, "x.png, byte 33: expected chunks up to IEND, got the end of the file"),
        (make_png()[:-1], "expected chunks up to IEND, got the end of the file"),
        (MAGIC + COMMENT, "x.png, byte 8: expected IHDR, the first chunk, got 'tEXt'"),
        (MAGIC + HEADER + END, "x.png: expected an IDAT chunk, got none"),
        (
            MAGIC + HEADER + idats(STREAM, 1)[:-1] + b"\0" + END,
            "x.png, byte 33: expected a chunk with the CRC ",
        ),
        (
            MAGIC + HEADER + idats(STREAM, 1) + COMMENT + idats(STREAM, 1) + END,
            "expected all IDAT chunks in a row, got one apart",
        ),
        (
            MAGIC + HEADER + idats(STREAM + b"more", 2) + END,
            "x.png: expected nothing behind the pixels' zlib stream, got 4 bytes",
        ),
        (
            MAGIC + HEADER + idats(STREAM[:-1], 2) + END,
            "x.png: the pixels, byte ",
        ),
        (
            MAGIC + HEADER + idats(STREAM[:-1] + b"\0", 2) + END,
            "x.png: the pixels, byte 0: expected a sound deflate stream, got ",
        ),
        (
            MAGIC + HEADER + build_chunk(b"acTL", bytes(8)) + idats(STREAM, 1) + END,
            "expected a PNG image of one frame, as the specification has it, got an animation",
        ),
        (
            MAGIC + build_chunk(b"CgBI", bytes(4)) + HEADER + idats(STREAM, 1) + END,
            "got Apple's own variant",
        ),
    ],
)  # fmt: skip
def test_damage_is_located(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=re.escape(message)):
        parse_png(data, source="x.png")


@pytest.mark.parametrize(
    ("limits", "make"),
    [
        (Limits(unpacked_bytes=1 << 20), lambda: make_png(bytes(2 << 20))),
        (Limits(members=100), lambda: MAGIC + HEADER + COMMENT * 100 + END),
    ],
)
def test_bombs_are_stopped(limits: Limits, make: Callable[[], bytes]) -> None:
    with pytest.raises(LimitError):
        parse_png(make(), source="x.png", limits=limits)
