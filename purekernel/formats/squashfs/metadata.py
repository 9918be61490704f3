"""Write tables: blocks of 8 KiB, packed, and lists that say where they start."""

from __future__ import annotations

import struct
from typing import BinaryIO

from attrs import frozen

from purekernel.formats.squashfs.codecs import Pack
from purekernel.formats.squashfs.layout import METADATA_BYTES, METADATA_HEADER, METADATA_PLAIN


@frozen
class Position:
    """A place in a table: the block, in bytes from the table's start, and the byte within."""

    block: int
    offset: int


class MetadataWriter:
    """A table on its way into blocks, in memory until it is whole.

    What lies in it is found by where its block starts, so that blocks are packed as they fill.
    """

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._open = bytearray()
        self._blocks = bytearray()
        self._starts: list[int] = []

    @property
    def position(self) -> Position:
        """Where the next byte goes."""
        return Position(len(self._blocks), len(self._open))

    def write(self, data: bytes) -> None:
        """Put ``data`` into the table; it may go over into the next block."""
        self._open += data
        while len(self._open) >= METADATA_BYTES:
            self._close(bytes(self._open[:METADATA_BYTES]))
            del self._open[:METADATA_BYTES]

    def finish(self) -> bytes:
        """Return all blocks, packed."""
        if self._open:
            self._close(bytes(self._open))
            self._open.clear()
        return bytes(self._blocks)

    @property
    def starts(self) -> list[int]:
        """Return where the finished blocks start, in bytes from the table's start."""
        return self._starts

    def _close(self, block: bytes) -> None:
        self._starts.append(len(self._blocks))
        packed = self._pack(block)
        if len(packed) < len(block):
            self._blocks += METADATA_HEADER.pack(len(packed)) + packed
        else:
            self._blocks += METADATA_HEADER.pack(len(block) | METADATA_PLAIN) + block


def write_table(
    stream: BinaryIO, start: int, content: bytes, pack: Pack, *, head: bytes = b""
) -> tuple[int, int]:
    """Write a table that is found through a list of its blocks' starts.

    Args:
        stream: gets the blocks, then ``head``, then the list.
        start: where that is in the image.
        content: the entries, each 8 or 16 bytes or so, none across blocks.
        pack: packs blocks.
        head: what stands before the list.

    Returns:
        Where ``head`` starts, which the superblock says, and where the table ends.
    """
    table = MetadataWriter(pack)
    table.write(content)
    blocks = table.finish()
    starts = [start + at for at in table.starts]
    stream.write(blocks + head + struct.pack(f"<{len(starts)}Q", *starts))
    listed = start + len(blocks)
    return listed, listed + len(head) + 8 * len(starts)
