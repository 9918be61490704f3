"""Define the three formats of the loader's cache, the order of its names, and its strings.

The old format, of libc 5 and glibc 2.0, has a header, entries of a name and a path each, and
strings. The new format, of glibc 2.2, has a wider header and wider entries; since glibc 2.33, an
extension directory follows the strings. The compatible format has the old header and entries, then,
where old loaders expect strings, a whole cache in the new format.

Source: glibc 2.36, sysdeps/generic/dl-cache.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache

from purekernel.formats.elf.layout import ByteOrder
from purekernel.records import frozen

MAGIC_OLD = b"ld.so-1.7.0"
MAGIC_NEW = b"glibc-ld.so.cache1.1"

# A random number chosen by the authors of glibc.
EXTENSION_MAGIC = 0xEAA42174
TAG_GENERATOR = 0
TAG_HWCAPS = 1

# Marks an entry's hwcap whose lower 32 bits are an index into the names of glibc-hwcaps folders,
# and whose next ten bits are the ISA level.
HWCAP_EXTENSION = 1 << 62
ISA_LEVEL_SHIFT = 32
MAX_ISA_LEVEL = (1 << 10) - 1

# The values of the byte order in the flags of the new header.
ORDER_UNSET, ORDER_INVALID, ORDER_LITTLE, ORDER_BIG = 0, 1, 2, 3
ORDER_MASK = 3

# The alignments of the new header in a compatible cache, and of the extensions.
NEW_ALIGNMENT = 8
EXTENSION_ALIGNMENT = 4
_NUMBER = re.compile(rb"([0-9]+)")

# glibc adds up digits in a C int without a check for overflow. On all machines of Linux the sum
# wraps around.
_INT_VALUES = 1 << 32
_INT_MAX = (1 << 31) - 1

# In a sort key, a number is greater than any byte, and the end of the name.
_NUMBERS_FROM = 1 << 33
_END = 0

# Ten to the 32nd is a multiple of two to the 32nd, so digits before the last 32 do not change a
# number that wraps around at two to the 32nd.
_SIGNIFICANT_DIGITS = 32


@frozen(kw_only=True)
class LdCacheLayout:
    """The structures of one byte order.

    Attributes:
        old_header: the magic number, padded with a NUL, and the number of entries.
        old_entry: the flags, and the offsets of name and path in the strings.
        new_header: the magic number, the number of entries, the size of the strings in bytes, the
            byte order, and the offset of the extensions.
        new_entry: as the old entry, then the oldest Linux needed and the hardware.
        extension_header: the magic number and the number of sections.
        section: tag, flags, offset in the file and size in bytes.
        index: the offset of a string.
    """

    old_header: struct.Struct
    old_entry: struct.Struct
    new_header: struct.Struct
    new_entry: struct.Struct
    extension_header: struct.Struct
    section: struct.Struct
    index: struct.Struct


def _layout(mark: str) -> LdCacheLayout:
    return LdCacheLayout(
        old_header=struct.Struct(mark + "11sxI"),
        old_entry=struct.Struct(mark + "iII"),
        new_header=struct.Struct(mark + "20sIIB3xI12x"),
        new_entry=struct.Struct(mark + "iIIIQ"),
        extension_header=struct.Struct(mark + "II"),
        section=struct.Struct(mark + "IIII"),
        index=struct.Struct(mark + "I"),
    )


LAYOUTS: dict[ByteOrder, LdCacheLayout] = {"little": _layout("<"), "big": _layout(">")}


class CacheFormat(Enum):
    """The formats, with ldconfig's names for them."""

    OLD = "old"
    COMPAT = "compat"
    NEW = "new"


@frozen(kw_only=True)
class LdCacheEntry:
    """A library in the cache.

    Attributes:
        name: the name that programs request, usually a soname.
        path: its absolute path in the image.
        flags: its kind (3 for a library of glibc) and ABI (0x300 for x86-64).
        hwcap: the hardware of its folder, such as ``i686/sse2``, as bits.
        hwcaps: the name of its folder in ``glibc-hwcaps``; ``hwcap`` is then 0.
        isa_level: the ISA level that it needs, 0 to 1023; stored only with ``hwcaps``.
        os_version: the oldest Linux that it supports, ``0x020620`` for 2.6.32. Loaders up to glibc
            2.35 check it; ldconfig of later releases writes 0.
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
    """The content of a cache.

    Attributes:
        entries: in the order of the cache, from its new part if it has one.
        generator: the name of the program that wrote it; empty if it is not declared.
    """

    format: CacheFormat
    byte_order: ByteOrder
    entries: tuple[LdCacheEntry, ...]
    generator: bytes


# The loader finds a name by binary search with this comparison: in a cache in another order it
# misses libraries. Numbers in names compare as numbers, so that ``libx.so.10`` comes after
# ``libx.so.9``.
#
# Source: ``_dl_cache_libcmp`` in glibc 2.36, elf/dl-cache.c.


# Cached because libraries of one soname are compared first, and then all are sorted.
@lru_cache(maxsize=1024)
def library_name_key(name: bytes, *, signed_bytes: bool = True) -> tuple[int, ...]:
    """Return a key that sorts library names as the loader compares them.

    Args:
        name: a name without NUL.
        signed_bytes: whether ``char`` is signed on the machine, as on x86. If not, bytes outside
            of ASCII come last, not first.
    """
    key: list[int] = []
    for index, part in enumerate(_NUMBER.split(name)):
        if index % 2:
            key.append(_NUMBERS_FROM + _wrap(int(part[-_SIGNIFICANT_DIGITS:])))
        elif signed_bytes and not part.isascii():
            key.extend(byte - 256 if byte > 127 else byte for byte in part)
        else:
            key.extend(part)
    key.append(_END)
    return tuple(key)


def compare_library_names(one: bytes, other: bytes, *, signed_bytes: bool = True) -> int:
    """Return -1, 0 or 1 if ``one`` is less than, equal to or greater than ``other``.

    Names that differ only in leading zeros of numbers are equal. If the difference of two numbers
    exceeds a C int, the comparison is inconsistent, as glibc's is.
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
    """Return ``value`` as a signed 32-bit number, wrapped around."""
    return (value + _INT_MAX + 1) % _INT_VALUES - _INT_MAX - 1


@frozen(kw_only=True)
class StringTable:
    """The strings of a cache, each followed by a NUL, and their offsets.

    Attributes:
        content: all strings.
        pairs: the offsets of the name and the path of each entry.
        others: the offsets of the other strings.

    Source: glibc 2.36, elf/stringtable.c; glibc 2.31, ``save_cache`` in elf/cache.c.
    """

    content: bytes
    pairs: tuple[tuple[int, int], ...]
    others: dict[bytes, int]


def build_merged_table(
    pairs: Sequence[tuple[bytes, bytes]], others: Iterable[bytes] = ()
) -> StringTable:
    """Return the table that glibc 2.33 and later write.

    A string that is the suffix of another is not stored on its own. The reversed strings are sorted
    in descending order, so that each follows directly after a string that it may be a suffix of.
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
    """Return the table of earlier releases: names and paths in the order of the entries."""
    table = bytearray()
    offsets: list[tuple[int, int]] = []
    for name, path in pairs:
        start = len(table)
        table += name + b"\0" + path + b"\0"
        offsets.append((start, start + len(name) + 1))
    return StringTable(content=bytes(table), pairs=tuple(offsets), others={})
