"""Hold an image of a disk or a file system without its zeros.

Disk images are mostly zeros: one of many GiB may have some MB of files. An image is its size and
the parts that are not zero. Written to a file, it has holes where the file system supports them.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from attrs import field

from purekernel.records import frozen
from purekernel.tree import Buffer, LazyContent, loaded, slice_content

# Pages that this process alone sees, and that the host need not hold back memory for.
_IS_PRIVATE: int | None = None
if hasattr(mmap, "MAP_PRIVATE"):
    _IS_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)

# What is written at once where a stream cannot seek.
_ZEROS = bytes(1 << 16)


class Part(NamedTuple):
    """Bytes of an image.

    Attributes:
        offset: where they begin in the image, in bytes.
        content: the bytes; they are loaded when they are written.
    """

    offset: int
    content: Buffer | LazyContent

    @property
    def end(self) -> int:
        """The position after the last byte."""
        return self.offset + len(self.content)

    def cut(self, start: int, end: int) -> Part:
        """Return what lies from ``start`` to ``end`` of the image, without a copy."""
        content = slice_content(self.content, start - self.offset, end - self.offset)
        return Part(start, content)


def _shown(parts: tuple[Part, ...]) -> str:
    return f"<{len(parts)} parts>"


@frozen
class SparseImage:
    """An image: the parts that are given, and zeros everywhere else.

    Attributes:
        size_bytes: the size of the image.
        parts: ascending, disjoint, none empty, all within the size.

    Raises:
        ValueError: the parts are not like that. :meth:`of` puts them in order.
    """

    size_bytes: int
    parts: tuple[Part, ...] = field(repr=_shown)

    def __attrs_post_init__(self) -> None:
        end = 0
        for part in self.parts:
            if part.offset < end or not len(part.content):
                raise ValueError(f"the part at {part.offset} is empty, or begins before {end}")
            end = part.end
        if end > self.size_bytes:
            raise ValueError(f"the parts end at {end}, after the image of {self.size_bytes} bytes")

    @classmethod
    def of(cls, size_bytes: int, parts: Iterable[tuple[int, Buffer | LazyContent]]) -> SparseImage:
        """Return an image of parts in any order; empty ones are left out.

        Raises:
            ValueError: two parts overlap, or one exceeds the size.
        """
        kept = (Part(offset, content) for offset, content in parts if len(content))
        return cls(size_bytes, tuple(sorted(kept, key=lambda part: part.offset)))

    def parts_at(self, offset: int) -> list[Part]:
        """Return the parts as they lie in an image that holds this one at ``offset``."""
        return [Part(offset + part.offset, part.content) for part in self.parts]

    def replaced(self, parts: Iterable[tuple[int, Buffer | LazyContent]]) -> SparseImage:
        """Return the image with ``parts`` in place of the bytes where they lie.

        Contents are not copied. The image grows if a part ends after it.

        Raises:
            ValueError: two of ``parts`` overlap.
        """
        new = sorted(
            (Part(offset, content) for offset, content in parts if len(content)),
            key=lambda part: part.offset,
        )
        kept = list(_outside(self.parts, new))
        size_bytes = max([self.size_bytes, *(part.end for part in new)])
        return SparseImage.of(size_bytes, [*kept, *new])

    def blocks(self, block_bytes: int) -> Iterator[tuple[int, bytes]]:
        """Yield the aligned blocks that a part reaches into: the number of each, and its bytes.

        All have ``block_bytes``, except a last one that the size of the image cuts. A block that
        a part fills with zeros is included.
        """
        number, block = -1, bytearray()
        for part in self.parts:
            content = memoryview(loaded(part.content)).cast("B")
            offset, end = part.offset, part.end
            while offset < end:
                if offset // block_bytes != number:
                    if block:
                        yield number, bytes(block)
                    number = offset // block_bytes
                    start = number * block_bytes
                    block = bytearray(min(block_bytes, self.size_bytes - start))
                within = offset - number * block_bytes
                piece = content[offset - part.offset :][: block_bytes - within]
                block[within : within + len(piece)] = piece
                offset += len(piece)
        if block:
            yield number, bytes(block)

    def write(self, stream: BinaryIO) -> None:
        """Write the image from the position of ``stream`` on.

        On a seekable stream, zeros are skipped, so what lies after the position must be empty. The
        last byte is always written, so that the size is right.
        """
        skip = _seek if stream.seekable() else _write_zeros
        position = 0
        for part in self.parts:
            skip(stream, part.offset - position)
            stream.write(loaded(part.content))
            position = part.end
        if position < self.size_bytes:
            skip(stream, self.size_bytes - position - 1)
            stream.write(b"\0")

    def to_bytes(self) -> bytes:
        """Return the whole image; one of many GiB does not fit in memory."""
        stream = io.BytesIO()
        self.write(stream)
        return stream.getvalue()

    def to_view(self) -> memoryview:
        """Return the image as bytes, whose zeros take no memory until they are read.

        Raises:
            MemoryError: it is larger than this host can address.
        """
        if not self.size_bytes:
            return memoryview(b"")
        options = {} if _IS_PRIVATE is None else {"flags": _IS_PRIVATE}
        try:
            pages = mmap.mmap(-1, self.size_bytes, **options)
        except (OSError, OverflowError, ValueError):
            raise MemoryError from None
        for part in self.parts:
            pages[part.offset : part.end] = bytes(loaded(part.content))
        return memoryview(pages)

    def __bytes__(self) -> bytes:
        return self.to_bytes()


def _outside(parts: Iterable[Part], cuts: list[Part]) -> Iterator[Part]:
    """Yield what of ``parts`` lies outside ``cuts``; both are ascending."""
    first = 0
    for part in parts:
        while first < len(cuts) and cuts[first].end <= part.offset:
            first += 1
        start, at = part.offset, first
        while at < len(cuts) and cuts[at].offset < part.end:
            if start < cuts[at].offset:
                yield part.cut(start, cuts[at].offset)
            start = max(start, cuts[at].end)
            at += 1
        if start < part.end:
            yield part.cut(start, part.end)


def _seek(stream: BinaryIO, size_bytes: int) -> None:
    if size_bytes:
        stream.seek(size_bytes, io.SEEK_CUR)


def _write_zeros(stream: BinaryIO, size_bytes: int) -> None:
    while size_bytes:
        piece = _ZEROS[:size_bytes]
        stream.write(piece)
        size_bytes -= len(piece)
