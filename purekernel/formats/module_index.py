"""Read and write the binary indexes in which modprobe of kmod looks up modules.

An index is a trie. Each node comes after all nodes below it or, since kmod 34, before them.

All numbers are big-endian. A file has a magic number, a version and the offset of the root, 32 bits
each. The top bits of a node's offset declare which of these parts the node has: a prefix that ends
in a NUL; the first and last character of its children, and an offset for each character in between,
0 for no child; the number of its values, and for each a priority and a string that ends in a NUL.

Source: libkmod/libkmod-index.c and tools/depmod.c of kmod.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from attrs import Factory, define

from purekernel.errors import FormatError, UnrepresentableError
from purekernel.input import Input
from purekernel.tree import display

# The kernel's longest alias has about 200 characters.
MAX_KEY_BYTES = 4096

# The content of a trie is larger than its file, because keys share their beginnings: 1.3 times as
# large for Debian's kernel. A hostile file that refers to nodes many times, or to long keys with
# many ends, could have far more. Content of up to 16 MiB is accepted in any case.
MAX_GROWTH = 64
ALWAYS_ACCEPTED_BYTES = 16 << 20

MAGIC = 0xB007F457
VERSION_MAJOR, VERSION_MINOR = 2, 1
HEADER = struct.Struct(">IHHI")
WORD = struct.Struct(">I")

# The top bits of an offset, which declare the parts of the node.
HAS_PREFIX, HAS_VALUES, HAS_CHILDREN = 0x80000000, 0x40000000, 0x20000000
OFFSET_MASK = 0x0FFFFFFF


class IndexValue(NamedTuple):
    """A value of a key; values of lower priority come first."""

    key: bytes
    value: bytes
    priority: int


def parse_index(file: Input) -> list[IndexValue]:
    """Return the values of an index, sorted by key; those of a key in the order of the file.

    Raises:
        FormatError: the file is not an index, or is damaged.
    """
    return list(_IndexReader(file).read())


class _IndexReader:
    def __init__(self, file: Input) -> None:
        self._file = file
        self._data = bytes(file.data)
        self._root_first = False
        self._bytes_left = max(MAX_GROWTH * len(file), ALWAYS_ACCEPTED_BYTES)

    def read(self) -> Iterator[IndexValue]:
        if len(self._data) < HEADER.size:
            raise self._truncated(len(self._data), "a header of 12 bytes")
        magic, major, _minor, root = HEADER.unpack_from(self._data)
        if magic != MAGIC:
            raise self._file.fail(0, f"the magic {MAGIC:#010x}", f"{magic:#010x}")
        if major != VERSION_MAJOR:
            raise self._file.fail(4, f"version {VERSION_MAJOR}", str(major))
        # Either all nodes come after their parents or all before, so that there are no cycles.
        self._root_first = root & OFFSET_MASK == HEADER.size
        # A stack of the nodes to read: the key up to each, and its offset.
        pending: list[tuple[bytes, int]] = [(b"", root)]
        while pending:
            key, node = pending.pop()
            position = node & OFFSET_MASK
            self._count_bytes(len(key) + 1, position)
            if node & HAS_PREFIX:
                prefix = self._text(position)
                position += len(prefix) + 1
                key += prefix
            if len(key) > MAX_KEY_BYTES:
                raise self._file.fail(
                    position, f"keys of at most {MAX_KEY_BYTES} bytes", "a longer one"
                )
            children: list[tuple[bytes, int]] = []
            if node & HAS_CHILDREN:
                position, children = self._children(position, key, node & OFFSET_MASK)
            if node & HAS_VALUES:
                yield from self._values(position, key)
            pending += reversed(children)

    def _children(
        self, position: int, key: bytes, node: int
    ) -> tuple[int, list[tuple[bytes, int]]]:
        """Return the end of the table of children, and the key and offset of each child."""
        if position + 2 > len(self._data):
            raise self._truncated(position, "a range of characters")
        first, last = self._data[position], self._data[position + 1]
        position += 2
        children = []
        for character in range(first, last + 1):
            child = self._word(position)
            position += WORD.size
            if not child:
                continue
            offset = child & OFFSET_MASK
            if offset <= node if self._root_first else offset >= node:
                where = "after" if self._root_first else "before"
                raise self._file.fail(
                    position - WORD.size, f"the offset of a node {where} this one", f"{child:#010x}"
                )
            children.append((key + bytes([character]), child))
        return position, children

    def _values(self, position: int, key: bytes) -> Iterator[IndexValue]:
        count = self._word(position)
        position += WORD.size
        for _ in range(count):
            priority = self._word(position)
            value = self._text(position + WORD.size)
            self._count_bytes(len(key) + len(value) + 1, position)
            position += WORD.size + len(value) + 1
            yield IndexValue(key, value, priority)

    def _count_bytes(self, size_bytes: int, position: int) -> None:
        self._bytes_left -= size_bytes
        if self._bytes_left < 0:
            raise self._file.fail(
                position, f"keys and values of at most {MAX_GROWTH} times the file's size", "more"
            )

    def _word(self, position: int) -> int:
        if position + WORD.size > len(self._data):
            raise self._truncated(position, "a number of 32 bits")
        number: int = WORD.unpack_from(self._data, position)[0]
        return number

    def _text(self, position: int) -> bytes:
        end = self._data.find(b"\0", position)
        if end < 0:
            raise self._truncated(position, "a string that ends in a NUL")
        return self._data[position:end]

    def _truncated(self, position: int, expected: str) -> FormatError:
        return self._file.fail(position, expected, "the end of the file")


@define(eq=False)
class _Node:
    """A node of the trie.

    Attributes:
        depth: the length of a key up to the end of the node's prefix, in characters.
        prefix: the part of the key after the character by which the parent refers to the node.
        values: the encoded values of the key that ends here.
        children: maps characters to child nodes, in order.
        offset: its offset in the file, with the bits that declare its parts.
    """

    depth: int
    prefix: bytes = b""
    values: bytes = b""
    children: dict[int, _Node] = Factory(dict)
    offset: int = 0

    @property
    def span(self) -> tuple[int, int]:
        """Return the characters of the first and the last child."""
        return next(iter(self.children)), next(reversed(self.children))

    @property
    def size_bytes(self) -> int:
        """Return the encoded size of the node in bytes."""
        size = len(self.values)
        if self.prefix:
            size += len(self.prefix) + 1
        if self.children:
            first, last = self.span
            size += 2 + WORD.size * (last - first + 1)
        return size


def build_index(entries: Iterable[IndexValue], *, root_first: bool = False) -> bytes:
    """Return an index of ``entries``.

    Values of one key are sorted by priority, lowest first; among equal priorities, later entries
    come first. Equal entries are kept.

    Args:
        entries: keys with their values, in any order.
        root_first: whether each node comes before those below it, as in kmod 34 and later.

    Raises:
        UnrepresentableError: a key has a character outside of ASCII, a key or a value has a NUL, or
            the index exceeds offsets of 28 bits.
    """
    root = _trie(entries)
    nodes = _in_order(root, root_first=root_first)
    offset = HEADER.size
    for node in nodes:
        if offset > OFFSET_MASK:
            raise UnrepresentableError(f"a module index has at most {OFFSET_MASK} bytes")
        node.offset = (
            offset
            | (HAS_PREFIX if node.prefix else 0)
            | (HAS_CHILDREN if node.children else 0)
            | (HAS_VALUES if node.values else 0)
        )
        offset += node.size_bytes
    out = bytearray(HEADER.pack(MAGIC, VERSION_MAJOR, VERSION_MINOR, root.offset))
    for node in nodes:
        _write(out, node)
    return bytes(out)


def _trie(entries: Iterable[IndexValue]) -> _Node:
    root = _Node(0)
    # The nodes from the root to the last key. Keys are sorted, so a node is complete as soon as the
    # next key does not share its prefix.
    path = [root]
    last = b""
    for key, values in _by_key(entries):
        _close(path, last, _shared(last, key))
        if path[-1].depth < len(key):
            path.append(_Node(len(key)))
        path[-1].values = values
        last = key
    _close(path, last, 0)
    return root


def _by_key(entries: Iterable[IndexValue]) -> Iterator[tuple[bytes, bytes]]:
    """Yield each key and its encoded values, sorted by key."""
    # The sort is stable, so that of equal entries the latest comes first.
    latest_first = list(entries)[::-1]
    latest_first.sort(key=itemgetter(2))
    latest_first.sort(key=itemgetter(0))
    for key, group in groupby(latest_first, key=itemgetter(0)):
        if not key.isascii() or b"\0" in key:
            raise UnrepresentableError(
                f"a module index cannot hold the key {display(key)}: it must be ASCII without NUL"
            )
        values = []
        for _key, value, priority in group:
            if b"\0" in value:
                raise UnrepresentableError(
                    f"a module index cannot hold the value {display(value)}: it has a NUL"
                )
            values += [WORD.pack(priority), value, b"\0"]
        yield key, WORD.pack(len(values) // 3) + b"".join(values)


def _shared(one: bytes, other: bytes) -> int:
    """Return the length of the common prefix of two keys."""
    most = min(len(one), len(other))
    difference = int.from_bytes(one[:most], "big") ^ int.from_bytes(other[:most], "big")
    return most - (difference.bit_length() + 7) // 8


def _close(path: list[_Node], key: bytes, shared: int) -> None:
    """Add the nodes deeper than the first ``shared`` characters of ``key`` to their parents."""
    while path[-1].depth > shared:
        node = path.pop()
        # Two keys diverge at a node, which may have to be created as the parent. The prefix of the
        # child begins after the character by which the parent refers to it.
        if path[-1].depth < shared:
            path.append(_Node(shared))
        parent = path[-1]
        node.prefix = key[parent.depth + 1 : node.depth]
        parent.children[key[parent.depth]] = node


def _in_order(root: _Node, *, root_first: bool) -> list[_Node]:
    """Return all nodes in the order of the file."""
    nodes = []
    pending = [root]
    while pending:
        node = pending.pop()
        nodes.append(node)
        # With the root last, the order is the reverse, so the children are reversed as well.
        children = list(node.children.values())
        pending += reversed(children) if root_first else children
    return nodes if root_first else nodes[::-1]


def _write(out: bytearray, node: _Node) -> None:
    if node.prefix:
        out += node.prefix + b"\0"
    if node.children:
        first, last = node.span
        offsets = [0] * (last - first + 1)
        for character, child in node.children.items():
            offsets[character - first] = child.offset
        out += struct.pack(f">BB{len(offsets)}I", first, last, *offsets)
    out += node.values
