"""Read the maps of sparse files in tar archives, and fill in the holes.

A map lists the extents of a file that have data, each with its offset and size. The data of all
extents follow one another in the archive. GNU tar has written four forms of maps: old GNU headers
of type ``S``, and PAX records of the versions 0.0, 0.1 and 1.0. bsdtar writes the first and the
last.

Source: GNU tar's manual, "Storing Sparse Files"; "struct sparse" and the headers of GNU tar's
src/tar.h; libarchive's tar(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import display

# A header of type S has four extents at this offset, then a byte that tells whether a block of 21
# more extents follows, and the size of the file with its holes. An extent is two numbers of 12
# bytes.
NUMBER_BYTES = 12
EXTENT_BYTES = 2 * NUMBER_BYTES
HEADER_EXTENTS = slice(386, 482)
HEADER_CONTINUES = 482
REAL_SIZE = slice(483, 495)
BLOCK_EXTENTS = slice(0, 504)
BLOCK_CONTINUES = 504

# The PAX records of sparse files. Version 0.0 has no MAP but OFFSET and NUMBYTES for each extent,
# which the reader of records joins to a MAP.
MAJOR, MINOR = b"GNU.sparse.major", b"GNU.sparse.minor"
NAME, REALSIZE, SIZE = b"GNU.sparse.name", b"GNU.sparse.realsize", b"GNU.sparse.size"
MAP, COUNT = b"GNU.sparse.map", b"GNU.sparse.numblocks"
OFFSET, NUMBYTES = b"GNU.sparse.offset", b"GNU.sparse.numbytes"
KEYWORDS = frozenset({MAJOR, MINOR, NAME, REALSIZE, SIZE, MAP, COUNT, OFFSET, NUMBYTES})

# A file of 4 GiB with a hole after each block of 4 KiB. A map may be compressed to a few bytes.
MAX_EXTENTS = 1 << 20

# The first byte of a binary number that is not negative, as GNU tar writes large numbers.
_BINARY = 0x80
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
# A number in a record or in a map of version 1.0; 18 digits fit in 64 bits.
_DECIMAL = re.compile(rb"[0-9]{1,18}")
_LINE = re.compile(rb"([0-9]{1,18})\n")


@frozen(kw_only=True)
class SparseMap:
    """The map of a sparse file.

    Attributes:
        extents: offset and size of each extent, in bytes.
        real_bytes: the size of the file with its holes.
    """

    extents: Sequence[tuple[int, int]]
    real_bytes: int

    def fill(self, file: Input, data: memoryview, offset: int) -> memoryview:
        """Return the content of the file: ``data`` with zeros for the holes.

        Args:
            file: the archive, for messages.
            data: the data of all extents.
            offset: where the member starts in the archive, in bytes.

        Raises:
            FormatError: the extents overlap, are not in order, exceed the file, or do not have the
                size of ``data``.
        """
        end = total = 0
        for start, size in self.extents:
            if start < end or start + size > self.real_bytes:
                raise file.fail(
                    offset,
                    f"an extent of a sparse file between {end} and {self.real_bytes}",
                    f"one from {start} to {start + size}",
                )
            end, total = start + size, total + size
        if total != len(data):
            raise file.fail(
                offset, f"{total} bytes of data, as in the map of a sparse file", f"{len(data)}"
            )
        content = bytearray(self.real_bytes)
        taken = 0
        for start, size in self.extents:
            content[start : start + size] = data[taken : taken + size]
            taken += size
        return memoryview(content).toreadonly()


def parse_old_map(blocks: Iterator[bytes], file: Input, offset: int) -> SparseMap:
    """Return the map in a header of type ``S`` and in the blocks after it.

    Args:
        blocks: the header, then the blocks that follow; only those of the map are taken.
        file: the archive, for messages.
        offset: where the header starts, in bytes.

    Raises:
        FormatError: a number is malformed.
        LimitError: there are too many extents.
    """
    header = next(blocks)
    real_bytes = _number(header[REAL_SIZE], file, offset)
    extents = list(_old_extents(header[HEADER_EXTENTS], file, offset))
    continues = header[HEADER_CONTINUES]
    while continues:
        block = next(blocks)
        extents += _old_extents(block[BLOCK_EXTENTS], file, offset)
        _check_count(len(extents), file, offset)
        continues = block[BLOCK_CONTINUES]
    return SparseMap(extents=extents, real_bytes=real_bytes)


def _check_count(count: int, file: Input, offset: int) -> None:
    if count > MAX_EXTENTS:
        raise file.exceed(
            offset,
            f"at most {MAX_EXTENTS} extents in a sparse file",
            "more",
            hint="pack the archive again without --sparse (-S)",
        )


def _old_extents(table: bytes, file: Input, offset: int) -> Iterator[tuple[int, int]]:
    for start in range(0, len(table), EXTENT_BYTES):
        middle = start + NUMBER_BYTES
        if not table[middle]:
            return
        yield (
            _number(table[start:middle], file, offset),
            _number(table[middle : start + EXTENT_BYTES], file, offset),
        )


def _number(field: bytes, file: Input, offset: int) -> int:
    if field[0] == _BINARY:
        return int.from_bytes(field[1:], "big")
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise file.fail(
            offset, "an octal or binary number in the map of a sparse file", display(field)
        )
    return int(match[1], 8)


def parse_pax_map(
    records: Mapping[bytes, bytes], content: Input, offset: int, file: Input
) -> tuple[SparseMap, int] | None:
    """Return the map in the PAX records of a member, and the size of the map in its content.

    Args:
        records: the records of the member.
        content: the content of the member, which starts with the map in version 1.0.
        offset: where the member starts, in bytes.
        file: the archive, for messages.

    Returns:
        ``None`` if the member is not a sparse file.

    Raises:
        FormatError: the map is malformed, or of an unknown version.
        LimitError: there are too many extents.
    """
    version = records.get(MAJOR), records.get(MINOR)
    if version == (b"1", b"0"):
        extents, map_bytes = _content_map(content)
    elif version in ((None, None), (b"0", b"0"), (b"0", b"1")):
        if MAP not in records:
            if SIZE not in records and version == (None, None):
                return None
            extents, map_bytes = [], 0
        else:
            _check_count(records[MAP].count(b",") // 2, file, offset)
            numbers = records[MAP].split(b",") if records[MAP] else []
            if len(numbers) % 2 or not all(map(_DECIMAL.fullmatch, numbers)):
                raise file.fail(
                    offset,
                    "pairs of decimal numbers in the map of a sparse file",
                    display(records[MAP][:40]),
                )
            extents, map_bytes = _pairs([int(number) for number in numbers]), 0
    else:
        shown = ".".join("?" if part is None else display(part)[1:-1] for part in version)
        raise file.unsupported(
            offset,
            "a sparse file of version 0.0, 0.1 or 1.0",
            f"version {shown}",
            hint="pack the archive again with --sparse-version=1.0, or without --sparse (-S)",
        )
    size = records.get(REALSIZE) or records.get(SIZE) or b""
    if not _DECIMAL.fullmatch(size):
        raise file.fail(offset, "the size of a sparse file as a decimal number", display(size[:40]))
    return SparseMap(extents=extents, real_bytes=int(size)), map_bytes


def _content_map(content: Input) -> tuple[list[tuple[int, int]], int]:
    """Return the extents of version 1.0, and their size in the content with its padding.

    The map is the number of extents and their numbers, each on a line of its own, in whole blocks.
    """
    count, position = _line(content, 0)
    _check_count(count, content, 0)
    numbers: list[int] = []
    for _each in range(2 * count):
        number, position = _line(content, position)
        numbers.append(number)
    return _pairs(numbers), position + -position % 512


def _line(content: Input, start: int) -> tuple[int, int]:
    match = _LINE.match(content.view, start)
    if match is None:
        got = display(bytes(content.view[start : start + 20])) or "the end of the file"
        raise content.fail(start, "a decimal number and a newline in the map of a sparse file", got)
    return int(match[1]), match.end()


def _pairs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(numbers[::2], numbers[1::2], strict=True))
