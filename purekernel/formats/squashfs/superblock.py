"""The first 96 bytes of a squashfs image, found sound or refused."""

from __future__ import annotations

from typing import Any

from PySquashfsImage.structure import Superblock

from purekernel.errors import FormatError
from purekernel.formats.limits import Limits

MAGIC = b"hsqs"
SUPERBLOCK_BYTES = 96

# What mksquashfs makes and the kernel mounts: 4 KiB to 1 MiB.
LEAST_BLOCK_LOG, MOST_BLOCK_LOG = 12, 20


def parse_superblock(view: memoryview, *, source: str, limits: Limits) -> Any:
    """Return the library's structure of an image's superblock.

    Raises:
        FormatError: the image is of another version, shorter than it says, or states
            what cannot be.
        LimitError: it states more inodes or fragments than ``limits`` allow.
    """
    magic = bytes(view[:4])
    if len(view) < SUPERBLOCK_BYTES or magic != MAGIC:
        raise FormatError(
            source=source,
            offset=0,
            expected="a squashfs image (68 73 71 73)",
            got=f"{magic.hex(' ') or 'nothing'}, in a file of {len(view)} bytes",
        )
    block = Superblock.from_bytes(bytes(view[:SUPERBLOCK_BYTES]))
    if (block.s_major, block.s_minor) != (4, 0):
        raise FormatError(
            source=source,
            offset=28,
            expected="squashfs version 4.0",
            got=f"{block.s_major}.{block.s_minor}",
        )
    if (
        not LEAST_BLOCK_LOG <= block.block_log <= MOST_BLOCK_LOG
        or block.block_size != 1 << block.block_log
    ):
        raise FormatError(
            source=source,
            offset=12,
            expected="a block size from 4096 to 1048576",
            got=f"{block.block_size} (2^{block.block_log})",
        )
    if block.bytes_used > len(view):
        raise FormatError(
            source=source,
            offset=40,
            expected=f"{block.bytes_used} bytes, as the image states",
            got=f"{len(view)}",
        )
    tables = [block.id_table_start, block.inode_table_start, block.directory_table_start]
    if block.fragments:
        tables.append(block.fragment_table_start)
    for start in tables:
        if not SUPERBLOCK_BYTES <= start < block.bytes_used:
            raise FormatError(
                source=source,
                offset=48,
                expected=f"tables between byte {SUPERBLOCK_BYTES} and {block.bytes_used}",
                got=f"one at {start}",
            )
    limits.check_members(max(block.inodes, block.fragments), source=source)
    return block
