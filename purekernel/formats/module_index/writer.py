"""Write kmod's binary indexes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from attrs import Factory, define

from purekernel.errors import UnrepresentableError
from purekernel.formats.module_index.reader import (
    HAS_CHILDREN,
    HAS_PREFIX,
    HAS_VALUES,
    HEADER,
    MAGIC,
    OFFSET_MASK,
    VERSION_MAJOR,
    VERSION_MINOR,
    WORD,
    IndexValue,
)
from purekernel.tree import display


@define(eq=False)
class _Node:
    """A node of the trie.

    Attributes:
        depth: how many characters of a key lead to the end of its prefix.
        prefix: what comes behind the character that leads to it.
        values: those of the key that ends here, as they are written.
        children: the nodes below, by the character that leads to each, in their order.
        place: its offset, with the bits that say what it has.
    """

    depth: int
    prefix: bytes = b""
    values: bytes = b""
    children: dict[int, _Node] = Factory(dict)
    place: int = 0

    @property
    def span(self) -> tuple[int, int]:
        """Return the characters that lead to the first child and to the last."""
        return next(iter(self.children)), next(reversed(self.children))

    @property
    def size_bytes(self) -> int:
        """Return how many bytes it takes."""
        size = len(self.values)
        if self.prefix:
            size += len(self.prefix) + 1
        if self.children:
            first, last = self.span
            size += 2 + WORD.size * (last - first + 1)
        return size


def build_index(entries: Iterable[IndexValue], *, root_first: bool = False) -> bytes:
    """Return an index in which each of ``entries`` is found by its key.

    Of values of one key, that of lower priority comes first; of two of one priority, that
    which came later. A value that is there twice stays there twice.

    Args:
        entries: keys and what they stand for.
        root_first: whether each node lies before those below it, or behind.

    Raises:
        UnrepresentableError: a key has a character that is none of ASCII, or a key or a value
            has a NUL, or there is too much for offsets of 28 bits.
    """
    root = _trie(entries)
    nodes = _in_order(root, root_first=root_first)
    offset = HEADER.size
    for node in nodes:
        if offset > OFFSET_MASK:
            raise UnrepresentableError(f"a module index has at most {OFFSET_MASK} bytes")
        node.place = (
            offset
            | (HAS_PREFIX if node.prefix else 0)
            | (HAS_CHILDREN if node.children else 0)
            | (HAS_VALUES if node.values else 0)
        )
        offset += node.size_bytes
    out = bytearray(HEADER.pack(MAGIC, VERSION_MAJOR, VERSION_MINOR, root.place))
    for node in nodes:
        _write(out, node)
    return bytes(out)


def _trie(entries: Iterable[IndexValue]) -> _Node:
    root = _Node(0)
    # The way from the root to the last key. Keys come sorted, so a node whose prefix the next
    # key does not share is finished, as all below it are already.
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
    """Yield each key with all its values as they are written, by key."""
    # Sorting keeps the order among equals, so these come latest first.
    latest_first = list(entries)[::-1]
    latest_first.sort(key=itemgetter(2))
    latest_first.sort(key=itemgetter(0))
    for key, group in groupby(latest_first, key=itemgetter(0)):
        if not key.isascii() or b"\0" in key:
            raise UnrepresentableError(
                f"no module index can hold {display(key)}: its keys are of ASCII characters"
            )
        values = []
        for _key, value, priority in group:
            if b"\0" in value:
                raise UnrepresentableError(
                    f"no module index can hold {display(value)}, which has a NUL"
                )
            values += [WORD.pack(priority), value, b"\0"]
        yield key, WORD.pack(len(values) // 3) + b"".join(values)


def _shared(one: bytes, other: bytes) -> int:
    """Return how many characters two keys have in common from the start."""
    most = min(len(one), len(other))
    difference = int.from_bytes(one[:most], "big") ^ int.from_bytes(other[:most], "big")
    return most - (difference.bit_length() + 7) // 8


def _close(path: list[_Node], key: bytes, shared: int) -> None:
    """Hang all nodes that lie deeper than the first ``shared`` characters of ``key`` in place."""
    while path[-1].depth > shared:
        node = path.pop()
        # A node begins behind the character that leads to it from the one above, which may
        # have to be made: where two keys part, there is a node.
        if path[-1].depth < shared:
            path.append(_Node(shared))
        above = path[-1]
        node.prefix = key[above.depth + 1 : node.depth]
        above.children[key[above.depth]] = node


def _in_order(root: _Node, *, root_first: bool) -> list[_Node]:
    """Return all nodes in the order of writing."""
    nodes = []
    pending = [root]
    while pending:
        node = pending.pop()
        nodes.append(node)
        # The root last is the root first backwards, with children the other way around.
        children = list(node.children.values())
        pending += reversed(children) if root_first else children
    return nodes if root_first else nodes[::-1]


def _write(out: bytearray, node: _Node) -> None:
    if node.prefix:
        out += node.prefix + b"\0"
    if node.children:
        first, last = node.span
        places = [0] * (last - first + 1)
        for character, child in node.children.items():
            places[character - first] = child.place
        out += struct.pack(f">BB{len(places)}I", first, last, *places)
    out += node.values
