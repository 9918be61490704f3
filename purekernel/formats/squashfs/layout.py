"""How a squashfs image lies: the numbers that reader and writer share.

Source: fs/squashfs/squashfs_fs.h of Linux; https://dr-emann.github.io/squashfs/ .
"""

from __future__ import annotations

import struct
from enum import IntEnum

SUPERBLOCK_BYTES = 96

# What mksquashfs makes and the kernel mounts: 4 KiB to 1 MiB.
LEAST_BLOCK_LOG, MOST_BLOCK_LOG = 12, 20

# Tables lie in blocks of this size, each with two bytes before it that say how long it is packed.
METADATA_BYTES = 8192
METADATA_HEADER = struct.Struct("<H")
# A bit of those two bytes, and of the four that say it of a data block: it is not packed.
METADATA_PLAIN = 0x8000
DATA_PLAIN = 1 << 24

# For "there is none": of a table, a fragment, a set of extended attributes.
NO_TABLE = 0xFFFFFFFFFFFFFFFF
NO_FRAGMENT = 0xFFFFFFFF
NO_XATTRS = 0xFFFFFFFF

# Basic inode types; the extended ones are these and seven.
DIRECTORY, FILE, SYMLINK, BLOCK, CHARACTER, FIFO, SOCKET = range(1, 8)
EXTENDED = 7

DIRECTORY_HEADER = struct.Struct("<III")
DIRECTORY_ENTRY = struct.Struct("<HhHH")
# A header's count says one less; the kernel takes at most 256 entries under one.
MOST_UNDER_HEADER = 256
# The size of a listing counts "." and "..", which are not there, as three bytes.
LISTING_EXTRA = 3

# PATH_MAX: the kernel follows no longer link.
MOST_TARGET_BYTES = 4096

# Entries of the tables that are found through a list of their blocks.
FRAGMENT_ENTRY = struct.Struct("<QII")
ID_ENTRY = struct.Struct("<I")
INODE_REFERENCE = struct.Struct("<Q")
XATTR_SET = struct.Struct("<QII")
XATTR_HEAD = struct.Struct("<QII")

# Extended attributes: a name without its first word, which the type stands for, and a value.
XATTR_NAME = struct.Struct("<HH")
XATTR_SIZE = struct.Struct("<I")
XATTR_PREFIXES = (b"user.", b"trusted.", b"security.")
# XATTR_SIZE_MAX of Linux (include/uapi/linux/limits.h).
MOST_XATTR_BYTES = 65_536
# A bit of the type: in place of the value stands where it lies.
XATTR_ELSEWHERE = 0x100


class Flag(IntEnum):
    """What the superblock says of how the image was made."""

    PLAIN_INODES = 0x1
    PLAIN_DATA = 0x2
    PLAIN_FRAGMENTS = 0x8
    NO_FRAGMENTS = 0x10
    ALWAYS_FRAGMENTS = 0x20
    DUPLICATES = 0x40
    EXPORTABLE = 0x80
    PLAIN_XATTRS = 0x100
    NO_XATTRS = 0x200
    COMPRESSOR_OPTIONS = 0x400
    PLAIN_IDS = 0x800


def reference(block: int, offset: int) -> int:
    """Return how an inode's place is written: its block in the table, and the byte within."""
    return block << 16 | offset
