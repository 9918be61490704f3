from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.formats.sparse import SparseImage
from purekernel.tree import LazyContent

SIZE = 64

Parts = list[tuple[int, bytes]]


class Pipe(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: object) -> int:
        self.written += bytes(data)  # type: ignore[call-overload]
        return len(self.written)

    def seekable(self) -> bool:
        return False


@st.composite
def parts(draw: st.DrawFn) -> Parts:
    """Return disjoint parts, some of them empty, in any order."""
    bounds = sorted(draw(st.lists(st.integers(0, SIZE), max_size=10)))
    chosen = zip(bounds[::2], bounds[1::2], strict=False)
    result = [(start, bytes(range(1 + start, 1 + end))) for start, end in chosen]
    return draw(st.permutations(result))


def flat(given_parts: Parts, onto: bytes = bytes(SIZE)) -> bytes:
    image = bytearray(onto)
    for offset, content in given_parts:
        image[offset : offset + len(content)] = content
    return bytes(image)


@given(parts())
def test_image_is_its_parts_and_zeros(chosen: Parts) -> None:
    image = SparseImage.of(SIZE, chosen)
    pipe = Pipe()
    image.write(pipe)  # type: ignore[arg-type]
    assert bytes(image) == flat(chosen) == pipe.written


@given(parts(), parts())
def test_replaced_parts_lie_over_the_others(below: Parts, above: Parts) -> None:
    image = SparseImage.of(SIZE, below).replaced(above)
    assert bytes(image) == flat(above, flat(below))


@given(parts(), st.integers(1, SIZE + 8))
def test_blocks_have_all_bytes_that_are_not_zero(chosen: Parts, block_bytes: int) -> None:
    blocks = list(SparseImage.of(SIZE, chosen).blocks(block_bytes))
    assert flat([(number * block_bytes, block) for number, block in blocks]) == flat(chosen)
    numbers = [number for number, _block in blocks]
    assert numbers == sorted(set(numbers))
    assert all(any(block) for _number, block in blocks)


def test_image_of_8_gib_takes_little_space_in_a_file(tmp_path: Path) -> None:
    image = SparseImage.of(8 << 30, [(5 << 30, b"x" * 5000), (0, b"head")])
    with (tmp_path / "image").open("w+b") as stream:
        image.write(stream)
        assert stream.seek(0, io.SEEK_END) == 8 << 30
        stream.seek(5 << 30)
        assert stream.read(5001) == b"x" * 5000 + b"\0"


def test_image_within_another_is_moved() -> None:
    inner = SparseImage.of(8, [(2, b"ab")])
    outer = SparseImage.of(16, [(0, b"x"), *inner.parts_at(8)])
    assert bytes(outer) == b"x" + bytes(9) + b"ab" + bytes(4)


def test_image_grows_for_a_part_that_ends_after_it() -> None:
    assert bytes(SparseImage.of(2, [(0, b"ab")]).replaced([(4, b"c")])) == b"ab\0\0c"


def test_content_is_loaded_when_it_is_written() -> None:
    loads: list[int] = []

    def load() -> bytes:
        loads.append(1)
        return b"abcd"

    image = SparseImage.of(8, [(1, LazyContent(4, load))]).replaced([(2, b"X")])
    assert not loads
    assert bytes(image) == b"\0aXcd\0\0\0"


@pytest.mark.parametrize(
    ("size", "chosen"), [(8, [(0, b"abc"), (2, b"d")]), (8, [(6, b"abc")]), (8, [(-1, b"a")])]
)
def test_parts_that_overlap_or_exceed_the_image_are_refused(size: int, chosen: Parts) -> None:
    with pytest.raises(ValueError, match="part"):
        SparseImage.of(size, chosen)
