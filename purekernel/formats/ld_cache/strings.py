"""The string table at the cache's end.

Source: glibc 2.36, elf/stringtable.c; glibc 2.31, ``save_cache`` in elf/cache.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen


@frozen(kw_only=True)
class StringTable:
    """Strings, each with a NUL behind it, and where they begin.

    Attributes:
        content: all of them.
        pairs: of each entry where its name and its path begin.
        others: where the other strings begin.
    """

    content: bytes
    pairs: tuple[tuple[int, int], ...]
    others: dict[bytes, int]


def build_merged_table(
    pairs: Sequence[tuple[bytes, bytes]], others: Iterable[bytes] = ()
) -> StringTable:
    """Return the table that glibc writes since 2.33.

    A string that another ends with has no place of its own. Read backwards, strings stand in
    descending order, which brings each right behind one that it may be the end of.
    """
    table = bytearray()
    offsets: dict[bytes, int] = {}
    previous: bytes | None = None
    strings = {string for pair in pairs for string in pair}.union(others)
    for string in sorted(strings, key=lambda string: string[::-1], reverse=True):
        if previous is not None and previous.endswith(string):
            offsets[string] = offsets[previous] + len(previous) - len(string)
        else:
            offsets[string] = len(table)
            table += string + b"\0"
        previous = string
    return StringTable(
        content=bytes(table),
        pairs=tuple((offsets[name], offsets[path]) for name, path in pairs),
        others=offsets,
    )


def build_plain_table(pairs: Iterable[tuple[bytes, bytes]]) -> StringTable:
    """Return the table that glibc wrote before: names and paths in the order of the entries."""
    table = bytearray()
    places: list[tuple[int, int]] = []
    for name, path in pairs:
        start = len(table)
        table += name + b"\0" + path + b"\0"
        places.append((start, start + len(name) + 1))
    return StringTable(content=bytes(table), pairs=tuple(places), others={})
