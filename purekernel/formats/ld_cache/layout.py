"""How the three formats of the cache lie in memory.

The old one, of libc 5 and glibc 2.0: a header, entries of a name and a path each, strings.
The new one, of glibc 2.2: the same with a wider header and entries, and, of glibc 2.33, an
extension directory behind the strings. In between, the compatible one: old header and
entries, then, where the old loader expects strings, a whole new cache.

Source: glibc 2.36, sysdeps/generic/dl-cache.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache

from attrs import frozen

from purekernel.formats.elf.layout import ByteOrder

MAGIC_OLD = b"ld.so-1.7.0"
MAGIC_NEW = b"glibc-ld.so.cache1.1"


# Chosen by glibc's authors at random.
EXTENSION_MAGIC = 0xEAA42174
TAG_GENERATOR = 0
TAG_HWCAPS = 1


# In an entry's hwcap: the lower 32 bits are an index into the names of glibc-hwcaps folders,
# and the ten behind them the level of instructions.
HWCAP_EXTENSION = 1 << 62
ISA_LEVEL_SHIFT = 32
MAX_ISA_LEVEL = (1 << 10) - 1


# In the flags of the new header.
ORDER_UNSET, ORDER_INVALID, ORDER_LITTLE, ORDER_BIG = 0, 1, 2, 3
ORDER_MASK = 3


# The new header is aligned to this in a compatible cache, and the extensions to that.
NEW_ALIGNMENT = 8
EXTENSION_ALIGNMENT = 4
_NUMBER = re.compile(rb"([0-9]+)")


# The comparison adds digits up in a C int, and says nothing of what happens beyond it: on all
# of Linux's machines it wraps around.
_INT_VALUES = 1 << 32
_INT_MAX = (1 << 31) - 1


# A number is greater than any byte and than the end of the name.
_NUMBERS_FROM = 1 << 33
_END = 0


# Ten to the 32nd is a multiple of two to the 32nd: digits before the last 32 change nothing
# of a number that wraps around there.
_DIGITS_THAT_COUNT = 32


@frozen(kw_only=True)
class Layout:
    """The structures of one byte order.

    Attributes:
        old_header: magic, with a NUL to align it, and number of entries.
        old_entry: flags, and where name and path stand among the strings.
        new_header: magic, number of entries, bytes of strings, byte order, where the
            extensions are.
        new_entry: like the old, and the oldest Linux needed, and the hardware.
        extension_header: magic, number of sections.
        section: tag, flags, offset in the file, bytes.
        index: where a string is.
    """

    old_header: struct.Struct
    old_entry: struct.Struct
    new_header: struct.Struct
    new_entry: struct.Struct
    extension_header: struct.Struct
    section: struct.Struct
    index: struct.Struct


def _layout(mark: str) -> Layout:
    return Layout(
        old_header=struct.Struct(mark + "11sxI"),
        old_entry=struct.Struct(mark + "iII"),
        new_header=struct.Struct(mark + "20sIIB3xI12x"),
        new_entry=struct.Struct(mark + "iIIIQ"),
        extension_header=struct.Struct(mark + "II"),
        section=struct.Struct(mark + "IIII"),
        index=struct.Struct(mark + "I"),
    )


LAYOUTS: dict[ByteOrder, Layout] = {"little": _layout("<"), "big": _layout(">")}


# What the loader's cache holds.


class CacheFormat(Enum):
    """The formats, under ldconfig's names for them."""

    OLD = "old"
    COMPAT = "compat"
    NEW = "new"


@frozen(kw_only=True)
class CacheEntry:
    """One library.

    Attributes:
        name: what programs ask for, mostly a soname.
        path: where it is, from the root of the image.
        flags: its kind (3 for a library of glibc) and ABI (0x300 for x86-64).
        hwcap: the hardware that a folder such as ``i686/sse2`` stands for, as bits.
        hwcaps: the name of its folder in ``glibc-hwcaps``; ``hwcap`` is 0 then.
        isa_level: the level of instructions needed, 0 to 1023; kept where ``hwcaps`` is
            said, and nowhere else.
        os_version: the oldest Linux needed, ``0x020620`` for 2.6.32. Loaders up to glibc
            2.35 look at it, ldconfig of later ones writes 0.
    """

    name: bytes
    path: bytes
    flags: int
    hwcap: int = 0
    hwcaps: bytes | None = None
    isa_level: int = 0
    os_version: int = 0


@frozen(kw_only=True)
class LdCache:
    """A cache that was read.

    Attributes:
        entries: in the cache's order, from its new part where it has one.
        generator: the program that wrote it, as it says itself; empty where it does not.
    """

    format: CacheFormat
    byte_order: ByteOrder
    entries: tuple[CacheEntry, ...]
    generator: bytes


# The order of library names in the cache.
#
# The loader looks a name up by halving, with this very comparison: in a cache that is sorted
# otherwise it misses libraries that are there. Numbers in names count as numbers, so that
# ``libx.so.10`` comes behind ``libx.so.9``.
#
# Source: ``_dl_cache_libcmp`` in glibc 2.36, elf/dl-cache.c.


# Two libraries of one soname are compared, and then all are sorted, most with one name.
@lru_cache(maxsize=1024)
def library_name_key(name: bytes, *, signed_bytes: bool = True) -> tuple[int, ...]:
    """Return a key that sorts library names as the loader compares them.

    Args:
        name: without NUL.
        signed_bytes: whether the machine's ``char`` is signed, as on x86; others put bytes
            beyond ASCII last, not first.
    """
    key: list[int] = []
    for index, part in enumerate(_NUMBER.split(name)):
        if index % 2:
            key.append(_NUMBERS_FROM + _wrap(int(part[-_DIGITS_THAT_COUNT:])))
        elif signed_bytes and not part.isascii():
            key.extend(byte - 256 if byte > 127 else byte for byte in part)
        else:
            key.extend(part)
    key.append(_END)
    return tuple(key)


def compare_library_names(one: bytes, other: bytes, *, signed_bytes: bool = True) -> int:
    """Return -1, 0 or 1, as ``one`` is less than, equal to or greater than ``other``.

    Names that differ only in leading zeros of numbers are equal. Where two numbers are
    further apart than a C int holds, the comparison contradicts itself, as glibc's does.
    """
    keys = zip(
        library_name_key(one, signed_bytes=signed_bytes),
        library_name_key(other, signed_bytes=signed_bytes),
        strict=False,
    )
    for left, right in keys:
        if left != right:
            difference = left - right
            if left > _INT_MAX and right > _INT_MAX:
                difference = _wrap(difference)
            return 1 if difference > 0 else -1
    return 0


def _wrap(value: int) -> int:
    """Return ``value`` as it comes out of arithmetic with 32 bits."""
    return (value + _INT_MAX + 1) % _INT_VALUES - _INT_MAX - 1


# The string table at the cache's end.
#
# Source: glibc 2.36, elf/stringtable.c; glibc 2.31, ``save_cache`` in elf/cache.c.


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
