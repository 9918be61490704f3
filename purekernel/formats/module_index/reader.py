"""Read kmod's binary indexes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from purekernel.errors import FormatError
from purekernel.tree import Buffer

# The kernel's longest alias has some 200 characters.
MAX_KEY_BYTES = 4096


# A trie is smaller than what it holds, for keys share their beginnings: those of Debian's
# kernel have 1.3 times the bytes of their index. Nodes that are reached by many ways, or very
# long keys with very many ends, would make far more of it. What makes 16 MiB at most may be either.
MAX_GROWTH = 64
NO_MATTER_BYTES = 16 << 20


MAGIC = 0xB007F457
VERSION_MAJOR, VERSION_MINOR = 2, 1
HEADER = struct.Struct(">IHHI")
WORD = struct.Struct(">I")


# The top four bits of an offset say what the node has.
HAS_PREFIX, HAS_VALUES, HAS_CHILDREN = 0x80000000, 0x40000000, 0x20000000
OFFSET_MASK = 0x0FFFFFFF


# Keys are of 7-bit characters: this many may follow one another.
CHARACTERS = 128


# How kmod's binary indexes lie in memory: a trie, as nodes in a row.
#
# Each node lies behind all that are below it, or, as kmod has it from 34 on, before them.
#
# A file has magic, version and the offset of the root, 32 bits each and big-endian as all
# numbers are. A node has, each only where its offset's top bits say so, a prefix that ends in a
# NUL; the first and last byte of those that lead on, and an offset for each in between, 0 for
# none; and a count of values, each a priority and a string that ends in a NUL.
#
# Source: libkmod/libkmod-index.c and tools/depmod.c of kmod.


class IndexValue(NamedTuple):
    """One thing that a key stands for; those of lower priority come first."""

    key: bytes
    value: bytes
    priority: int


def parse_index(data: Buffer, *, source: str) -> list[IndexValue]:
    """Return all that an index holds: by key, then in the order in which it stands.

    Raises:
        FormatError: it is no such index, or is damaged.
    """
    return list(_Reader(bytes(data), source).entries())


class _Reader:
    def __init__(self, data: bytes, source: str) -> None:
        self._data = data
        self._source = source
        self._root_first = False
        self._room_bytes = max(MAX_GROWTH * len(data), NO_MATTER_BYTES)

    def entries(self) -> Iterator[IndexValue]:
        if len(self._data) < HEADER.size:
            raise self._ended(len(self._data), "a header of 12 bytes")
        magic, major, _minor, root = HEADER.unpack_from(self._data)
        if magic != MAGIC:
            raise self._fault(0, f"the magic {MAGIC:#010x}", f"{magic:#010x}")
        if major != VERSION_MAJOR:
            raise self._fault(4, f"version {VERSION_MAJOR}", str(major))
        # Nodes all lie before those that lead to them, or all behind, so no way goes round.
        self._root_first = root & OFFSET_MASK == HEADER.size
        # What is to come, the first last: a value, or where a node lies and the key so far.
        pending: list[tuple[bytes, int]] = [(b"", root)]
        while pending:
            key, node = pending.pop()
            here = node & OFFSET_MASK
            self._take(len(key) + 1, here)
            if node & HAS_PREFIX:
                prefix = self._text(here)
                here += len(prefix) + 1
                key += prefix
            if len(key) > MAX_KEY_BYTES:
                raise self._fault(here, f"keys of at most {MAX_KEY_BYTES} bytes", "a longer one")
            children: list[tuple[bytes, int]] = []
            if node & HAS_CHILDREN:
                here, children = self._children(here, key, node & OFFSET_MASK)
            if node & HAS_VALUES:
                yield from self._values(here, key)
            pending += reversed(children)

    def _children(self, here: int, key: bytes, node: int) -> tuple[int, list[tuple[bytes, int]]]:
        if here + 2 > len(self._data):
            raise self._ended(here, "a range of characters")
        first, last = self._data[here], self._data[here + 1]
        here += 2
        children = []
        for character in range(first, last + 1):
            child = self._word(here)
            here += WORD.size
            if not child:
                continue
            place = child & OFFSET_MASK
            if place <= node if self._root_first else place >= node:
                where = "behind" if self._root_first else "before"
                raise self._fault(
                    here - WORD.size, f"a node that lies {where} this one", f"{child:#010x}"
                )
            children.append((key + bytes([character]), child))
        return here, children

    def _values(self, here: int, key: bytes) -> Iterator[IndexValue]:
        count = self._word(here)
        here += WORD.size
        for _ in range(count):
            priority = self._word(here)
            value = self._text(here + WORD.size)
            self._take(len(key) + len(value) + 1, here)
            here += WORD.size + len(value) + 1
            yield IndexValue(key, value, priority)

    def _take(self, size_bytes: int, here: int) -> None:
        self._room_bytes -= size_bytes
        if self._room_bytes < 0:
            raise self._fault(here, f"keys and values of {MAX_GROWTH} times its size", "more")

    def _word(self, here: int) -> int:
        if here + WORD.size > len(self._data):
            raise self._ended(here, "a number of 32 bits")
        number: int = WORD.unpack_from(self._data, here)[0]
        return number

    def _text(self, here: int) -> bytes:
        end = self._data.find(b"\0", here)
        if end < 0:
            raise self._ended(here, "a string that ends in a NUL")
        return self._data[here:end]

    def _ended(self, here: int, expected: str) -> FormatError:
        return self._fault(here, expected, "the end of the file")

    def _fault(self, here: int, expected: str, got: str) -> FormatError:
        return FormatError(source=self._source, offset=here, expected=expected, got=got)
