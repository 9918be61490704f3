"""How the three formats of the cache lie in memory.

The old one, of libc 5 and glibc 2.0: a header, entries of a name and a path each, strings.
The new one, of glibc 2.2: the same with a wider header and entries, and, of glibc 2.33, an
extension directory behind the strings. In between, the compatible one: old header and
entries, then, where the old loader expects strings, a whole new cache.

Source: glibc 2.36, sysdeps/generic/dl-cache.h.
"""

from __future__ import annotations

import struct

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
