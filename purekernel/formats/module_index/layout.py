"""How kmod's binary indexes lie in memory: a trie, as nodes in a row.

Each node lies behind all that are below it, or, as kmod has it from 34 on, before them.

A file has magic, version and the offset of the root, 32 bits each and big-endian as all
numbers are. A node has, each only where its offset's top bits say so, a prefix that ends in a
NUL; the first and last byte of those that lead on, and an offset for each in between, 0 for
none; and a count of values, each a priority and a string that ends in a NUL.

Source: libkmod/libkmod-index.c and tools/depmod.c of kmod.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

MAGIC = 0xB007F457
VERSION_MAJOR, VERSION_MINOR = 2, 1

HEADER = struct.Struct(">IHHI")
WORD = struct.Struct(">I")

# The top four bits of an offset say what the node has.
HAS_PREFIX, HAS_VALUES, HAS_CHILDREN = 0x80000000, 0x40000000, 0x20000000
OFFSET_MASK = 0x0FFFFFFF

# Keys are of 7-bit characters: this many may follow one another.
CHARACTERS = 128


class IndexValue(NamedTuple):
    """One thing that a key stands for; those of lower priority come first."""

    key: bytes
    value: bytes
    priority: int
