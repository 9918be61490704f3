"""Define the structures and numbers of squashfs that the reader and the writer share.

Source: fs/squashfs/squashfs_fs.h of Linux; https://dr-emann.github.io/squashfs/ .
"""

from __future__ import annotations

import struct
from enum import IntEnum

SUPERBLOCK_BYTES = 96

# The block sizes that mksquashfs writes and the kernel mounts: 4 KiB to 1 MiB.
LEAST_BLOCK_LOG, MOST_BLOCK_LOG = 12, 20

# Tables consist of metadata blocks of this size. A header of two bytes before each block states its
# compressed size.
METADATA_BYTES = 8192
METADATA_HEADER = struct.Struct("<H")
# The flag for "not compressed" in the size field of a metadata block (16 bits) and of a data block
# (32 bits).
METADATA_PLAIN = 0x8000
DATA_PLAIN = 1 << 24

# The values for an absent table, fragment and set of extended attributes.
NO_TABLE = 0xFFFFFFFFFFFFFFFF
NO_FRAGMENT = 0xFFFFFFFF
NO_XATTRS = 0xFFFFFFFF

# Basic inode types. The extended type is the basic type plus 7.
DIRECTORY, FILE, SYMLINK, BLOCK, CHARACTER, FIFO, SOCKET = range(1, 8)
EXTENDED = 7

DIRECTORY_HEADER = struct.Struct("<III")
DIRECTORY_ENTRY = struct.Struct("<HhHH")
# The kernel accepts at most 256 entries under one header. The header stores the count minus one.
MOST_UNDER_HEADER = 256
# The size of a listing includes three bytes for "." and "..", which are not stored.
LISTING_EXTRA = 3

# PATH_MAX of Linux, with the NUL: the kernel follows no longer link.
MOST_TARGET_BYTES = 4096

# Entries of the tables that have an index of their blocks.
FRAGMENT_ENTRY = struct.Struct("<QII")
ID_ENTRY = struct.Struct("<I")
INODE_REFERENCE = struct.Struct("<Q")
XATTR_SET = struct.Struct("<QII")
XATTR_HEAD = struct.Struct("<QII")

# An extended attribute: its name without the prefix, which the type stores, and its value.
XATTR_NAME = struct.Struct("<HH")
XATTR_SIZE = struct.Struct("<I")
XATTR_PREFIXES = (b"user.", b"trusted.", b"security.")
# XATTR_SIZE_MAX of Linux (include/uapi/linux/limits.h).
MOST_XATTR_BYTES = 65_536
# A flag of the type: the value is stored elsewhere, and this entry holds its location.
XATTR_ELSEWHERE = 0x100


class SuperblockFlag(IntEnum):
    """The flags of the superblock, which record how the image was made."""

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
    """Return an inode reference: the block in the inode table, and the byte in the block."""
    return block << 16 | offset
