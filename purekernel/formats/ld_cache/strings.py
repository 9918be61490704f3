"""The string table at the cache's end.

Source: glibc 2.36, elf/stringtable.c.
"""

from __future__ import annotations

from collections.abc import Iterable


def build_string_table(strings: Iterable[bytes]) -> tuple[bytes, dict[bytes, int]]:
    """Return the table, and where in it each string begins.

    A string that another ends with has no place of its own. Read backwards, strings stand in
    descending order, which brings each right behind one that it may be the end of.
    """
    table = bytearray()
    offsets: dict[bytes, int] = {}
    previous: bytes | None = None
    for string in sorted(set(strings), key=lambda string: string[::-1], reverse=True):
        if previous is not None and previous.endswith(string):
            offsets[string] = offsets[previous] + len(previous) - len(string)
        else:
            offsets[string] = len(table)
            table += string + b"\0"
        previous = string
    return bytes(table), offsets
