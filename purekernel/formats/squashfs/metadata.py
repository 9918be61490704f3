"""Write tables: compressed metadata blocks of 8 KiB, and indexes of their starts."""

from __future__ import annotations

import struct
from typing import BinaryIO

from purekernel.formats.squashfs.codecs import Pack
from purekernel.formats.squashfs.layout import METADATA_BYTES, METADATA_HEADER, METADATA_PLAIN
from purekernel.records import frozen


@frozen
class Position:
    """A position in a table.

    Attributes:
        block: the start of the compressed block, in bytes from the start of the table.
        offset: the byte in the uncompressed block.
    """

    block: int
    offset: int


class MetadataWriter:
    """Collect a table in memory as compressed blocks.

    Positions contain the start of a compressed block, so each block is compressed as soon as it is
    full.
    """

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._open = bytearray()
        self._blocks = bytearray()
        self._starts: list[int] = []

    @property
    def position(self) -> Position:
        """The position of the next byte."""
        return Position(len(self._blocks), len(self._open))

    def write(self, data: bytes) -> None:
        """Append ``data`` to the table; it may cross into the next block."""
        self._open += data
        while len(self._open) >= METADATA_BYTES:
            self._close(bytes(self._open[:METADATA_BYTES]))
            del self._open[:METADATA_BYTES]

    def finish(self) -> bytes:
        """Return all blocks, compressed, each with its header."""
        if self._open:
            self._close(bytes(self._open))
            self._open.clear()
        return bytes(self._blocks)

    @property
    def starts(self) -> list[int]:
        """The starts of the finished blocks, in bytes from the start of the table."""
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
    """Write a table and the index of its blocks.

    Args:
        stream: where the blocks, ``head`` and the index are written, in this order.
        start: the position of the stream in the image, in bytes.
        content: the entries; their size divides that of a block, so that none crosses blocks.
        pack: compresses a block.
        head: bytes to write before the index.

    Returns:
        Where ``head`` starts, which goes into the superblock, and where the table ends.
    """
    table = MetadataWriter(pack)
    table.write(content)
    blocks = table.finish()
    starts = [start + block_start for block_start in table.starts]
    stream.write(blocks + head + struct.pack(f"<{len(starts)}Q", *starts))
    head_start = start + len(blocks)
    return head_start, head_start + len(head) + 8 * len(starts)
