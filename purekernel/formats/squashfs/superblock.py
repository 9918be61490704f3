"""Build, parse and check the superblock, the first 96 bytes of a squashfs image."""

from __future__ import annotations

import struct
from typing import Any

from PySquashfsImage.structure import Superblock as LibrarySuperblock

from purekernel.formats.detect import FileKind, name_kind
from purekernel.formats.squashfs.layout import (
    LEAST_BLOCK_LOG,
    MOST_BLOCK_LOG,
    NO_TABLE,
    SUPERBLOCK_BYTES,
)
from purekernel.input import Input
from purekernel.records import frozen

MAGIC = FileKind.SQUASHFS.magic

_LAYOUT = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")


@frozen(kw_only=True)
class Superblock:
    """The fields of a superblock.

    Attributes:
        compression: the compression number.
        block_bytes: the block size, a power of two.
        flags: :class:`purekernel.formats.squashfs.layout.SuperblockFlag`, combined.
        mkfs_time: when the image was made, in seconds since 1970, UTC.
        inodes: the number of inodes.
        fragments: the number of fragment blocks.
        ids: the number of owners and groups.
        root: the inode reference of the root.
        used_bytes: the size of the image without padding.
        id_start, xattr_start, inode_start, directory_start, fragment_start, export_start: where
            the tables start, in bytes from the start of the image, or ``NO_TABLE``.
    """

    compression: int
    block_bytes: int
    flags: int
    mkfs_time: int
    inodes: int
    fragments: int
    ids: int
    root: int
    used_bytes: int
    id_start: int
    xattr_start: int = NO_TABLE
    inode_start: int
    directory_start: int
    fragment_start: int = NO_TABLE
    export_start: int = NO_TABLE


def build_superblock(block: Superblock) -> bytes:
    """Return the first 96 bytes of an image."""
    return _LAYOUT.pack(
        MAGIC, block.inodes, block.mkfs_time, block.block_bytes, block.fragments,
        block.compression, block.block_bytes.bit_length() - 1, block.flags, block.ids, 4, 0,
        block.root, block.used_bytes, block.id_start, block.xattr_start, block.inode_start,
        block.directory_start, block.fragment_start, block.export_start,
    )  # fmt: skip


def read_superblock(file: Input) -> Superblock:
    """Return the fields of a superblock as they are, also of an image that is damaged.

    Raises:
        FormatError: the image has no superblock.
    """
    if len(file) < SUPERBLOCK_BYTES or bytes(file.view[:4]) != MAGIC:
        raise file.fail(0, "a superblock of squashfs", f"{len(file)} bytes")
    (
        _magic, inodes, mkfs_time, block_bytes, fragments, compression, _log, flags, ids, _major,
        _minor, root, used_bytes, id_start, xattr_start, inode_start, directory_start,
        fragment_start, export_start,
    ) = _LAYOUT.unpack_from(file.view)  # fmt: skip
    return Superblock(
        compression=compression, block_bytes=block_bytes, flags=flags, mkfs_time=mkfs_time,
        inodes=inodes, fragments=fragments, ids=ids, root=root, used_bytes=used_bytes,
        id_start=id_start, xattr_start=xattr_start, inode_start=inode_start,
        directory_start=directory_start, fragment_start=fragment_start, export_start=export_start,
    )  # fmt: skip


def parse_superblock(file: Input) -> Any:
    """Return the superblock of an image, as a structure of the library.

    Raises:
        FormatError: the image is of another version, shorter than it states, or has impossible
            fields.
        LimitError: it states more inodes or fragments than the limit.
    """
    view = file.view
    magic = bytes(view[:4])
    if len(view) < SUPERBLOCK_BYTES or magic != MAGIC:
        raise file.fail_kind(
            0,
            "a squashfs image (68 73 71 73)",
            None if magic == MAGIC else name_kind(view),
            f"{magic.hex(' ') or 'no bytes'} in a file of {len(view)} bytes",
        )
    block = LibrarySuperblock.from_bytes(bytes(view[:SUPERBLOCK_BYTES]))
    if (block.s_major, block.s_minor) != (4, 0):
        raise file.unsupported(
            28,
            "squashfs version 4.0",
            f"version {block.s_major}.{block.s_minor}",
            hint="unpack the image with the program that made it, and build it again with "
            "'mksquashfs -b 4096'",
        )
    if (
        not LEAST_BLOCK_LOG <= block.block_log <= MOST_BLOCK_LOG
        or block.block_size != 1 << block.block_log
    ):
        raise file.fail(
            12, "a block size from 4096 to 1048576", f"{block.block_size} (2^{block.block_log})"
        )
    if block.bytes_used > len(view):
        raise file.fail(40, f"{block.bytes_used} bytes, as the image states", f"{len(view)}")
    tables = [block.id_table_start, block.inode_table_start, block.directory_table_start]
    if block.fragments:
        tables.append(block.fragment_table_start)
    for start in tables:
        if not SUPERBLOCK_BYTES <= start < block.bytes_used:
            raise file.fail(
                48,
                f"tables between byte {SUPERBLOCK_BYTES} and {block.bytes_used}",
                f"a table at {start}",
            )
    file.check_members(max(block.inodes, block.fragments))
    return block


def read_facts(block: Any) -> Superblock:
    """Return the fields of the library's superblock structure."""
    return Superblock(
        compression=block.compression,
        block_bytes=block.block_size,
        flags=block.flags,
        mkfs_time=block.mkfs_time,
        inodes=block.inodes,
        fragments=block.fragments,
        ids=block.no_ids,
        root=block.root_inode,
        used_bytes=block.bytes_used,
        id_start=block.id_table_start,
        xattr_start=block.xattr_id_table_start,
        inode_start=block.inode_table_start,
        directory_start=block.directory_table_start,
        fragment_start=block.fragment_table_start,
        export_start=block.lookup_table_start,
    )
