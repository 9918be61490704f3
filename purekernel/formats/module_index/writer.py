"""Write kmod's binary indexes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from attrs import Factory, define

from purekernel.errors import UnrepresentableError
from purekernel.formats.module_index.layout import (
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


@define
class _Open:
    """A node on the way to the key at hand, which more keys may pass through.

    Attributes:
        depth: how many characters of the key lead to the end of this node's prefix.
        values: of the key that ends here.
        children: the finished nodes below, by the character that leads to each.
    """

    depth: int
    values: Sequence[IndexValue] = ()
    children: dict[int, int] = Factory(dict)


def build_index(entries: Iterable[IndexValue]) -> bytes:
    """Return an index in which each of ``entries`` is found by its key.

    Of values of one key, that of lower priority comes first; of two of one priority, that
    which came later. A value that is there twice stays there twice.

    Raises:
        UnrepresentableError: a key has a character that is none of ASCII, or a key or a value
            has a NUL, or there is too much for offsets of 28 bits.
    """
    out = bytearray(HEADER.size)
    # The way from the root to the last key. Keys come sorted, so a node whose prefix the next
    # key does not share is finished, and is written then, as all below it are already.
    path = [_Open(depth=0)]
    last = b""
    for key, values in _by_key(entries):
        shared = _shared(last, key)
        _close(out, path, last, shared)
        if path[-1].depth < len(key):
            path.append(_Open(depth=len(key)))
        path[-1].values = values
        last = key
    _close(out, path, last, 0)
    root = _write(out, path[0], b"")
    HEADER.pack_into(out, 0, MAGIC, VERSION_MAJOR, VERSION_MINOR, root)
    return bytes(out)


def _by_key(entries: Iterable[IndexValue]) -> Iterable[tuple[bytes, list[IndexValue]]]:
    # Sorting keeps the order among equals, so these come latest first.
    latest_first = list(entries)[::-1]
    latest_first.sort(key=itemgetter(2))
    latest_first.sort(key=itemgetter(0))
    for key, group in groupby(latest_first, key=itemgetter(0)):
        values = list(group)
        if not key.isascii() or b"\0" in key:
            raise UnrepresentableError(
                f"no module index can hold {display(key)}: its keys are of ASCII characters"
            )
        for entry in values:
            if b"\0" in entry.value:
                raise UnrepresentableError(
                    f"no module index can hold {display(entry.value)}, which has a NUL"
                )
        yield key, values


def _shared(one: bytes, other: bytes) -> int:
    """Return how many characters two keys have in common from the start."""
    most = min(len(one), len(other))
    difference = int.from_bytes(one[:most], "big") ^ int.from_bytes(other[:most], "big")
    return most - (difference.bit_length() + 7) // 8


def _close(out: bytearray, path: list[_Open], key: bytes, shared: int) -> None:
    """Write all nodes that lie deeper than the first ``shared`` characters of ``key``."""
    while path[-1].depth > shared:
        node = path.pop()
        # A node begins behind the character that leads to it from the one above, which may
        # have to be made: where two keys part, there is a node.
        if path[-1].depth < shared:
            path.append(_Open(depth=shared))
        above = path[-1]
        offset = _write(out, node, key[above.depth + 1 : node.depth])
        above.children[key[above.depth]] = offset


def _write(out: bytearray, node: _Open, prefix: bytes) -> int:
    """Append one node, and return its offset with the bits that say what it has."""
    offset = len(out)
    if offset > OFFSET_MASK:
        raise UnrepresentableError(f"a module index has at most {OFFSET_MASK} bytes")
    if prefix:
        out += prefix
        out.append(0)
        offset |= HAS_PREFIX
    if node.children:
        first, last = min(node.children), max(node.children)
        out.append(first)
        out.append(last)
        for character in range(first, last + 1):
            out += WORD.pack(node.children.get(character, 0))
        offset |= HAS_CHILDREN
    if node.values:
        out += WORD.pack(len(node.values))
        for entry in node.values:
            out += WORD.pack(entry.priority)
            out += entry.value
            out.append(0)
        offset |= HAS_VALUES
    return offset
