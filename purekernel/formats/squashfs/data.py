"""Where the contents of files go: whole blocks, holes, and tails that share blocks."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import BinaryIO

from attrs import define, field, frozen

from purekernel.formats.squashfs.codecs import Pack
from purekernel.formats.squashfs.layout import DATA_PLAIN, NO_FRAGMENT
from purekernel.tree import Buffer

# How much of a file is looked at at once; a multiple of every block size.
_STEP_BYTES = 1 << 20
_ZEROS = bytes(_STEP_BYTES)


Written = Callable[[int, int], None]
"""Told of a block where it starts, in bytes from the image's start, and what stands for its size
in the tables."""


# Blocks are sent off together, for sending costs as much as packing 4 KiB quickly...
BATCH_BYTES = 128 << 10


# ...and so many bytes at a time: enough for some dozens of workers, and little to hold.
IN_FLIGHT_BYTES = 16 << 20


@define
class Extent:
    """Where a file's content lies; known only when all blocks are written.

    Attributes:
        size_bytes: of the content.
        start: of its first block that is no hole, in bytes from the image's start.
        sizes: what stands in the inode for each block; 0 for a hole.
        hole_bytes: how much of the content is holes.
        fragment: the number of the block that its tail shares with others.
        offset: where in that the tail starts.
    """

    size_bytes: int
    start: int = 0
    sizes: list[int] = field(factory=list)
    hole_bytes: int = 0
    fragment: int = NO_FRAGMENT
    offset: int = 0

    def _written(self, index: int, start: int, size: int) -> None:
        self.sizes[index] = size
        # Every image has something before its first block.
        self.start = self.start or start


# Pack blocks wherever an executor does it, and write them in the order they came in.


@frozen
class _Batch:
    blocks: list[bytes]
    told: list[Written]
    size_bytes: int
    packed: Future[list[bytes]] = field(repr=False)


def pack_blocks(pack: Pack, blocks: list[bytes]) -> list[bytes]:
    """Return each of ``blocks`` packed, or nothing for one that is no smaller packed."""
    done = []
    for block in blocks:
        packed = pack(block)
        done.append(packed if len(packed) < len(block) else b"")
    return done


class Conveyor:
    """Blocks on their way into a stream.

    Attributes:
        position: where in the stream the next block goes, once those before it are there.
    """

    def __init__(self, stream: BinaryIO, position: int, pack: Pack, executor: Executor) -> None:
        self.position = position
        self._stream = stream
        self._pack = pack
        self._executor = executor
        self._blocks: list[bytes] = []
        self._told: list[Written] = []
        self._waiting_bytes = 0
        self._batches: deque[_Batch] = deque()
        self._in_flight_bytes = 0

    def put(self, block: bytes, written: Written) -> None:
        """Take ``block``; ``written`` is told about it later."""
        self._blocks.append(block)
        self._told.append(written)
        self._waiting_bytes += len(block)
        if self._waiting_bytes >= BATCH_BYTES:
            self._send()

    def finish(self) -> None:
        """Write all that was taken."""
        self._send()
        while self._batches:
            self._receive()

    def cancel(self) -> None:
        """Let no worker begin what nobody waits for any more."""
        for batch in self._batches:
            batch.packed.cancel()

    def _send(self) -> None:
        if not self._blocks:
            return
        while self._batches and self._in_flight_bytes + self._waiting_bytes > IN_FLIGHT_BYTES:
            self._receive()
        packed = self._executor.submit(pack_blocks, self._pack, self._blocks)
        self._batches.append(_Batch(self._blocks, self._told, self._waiting_bytes, packed))
        self._in_flight_bytes += self._waiting_bytes
        self._blocks, self._told, self._waiting_bytes = [], [], 0

    def _receive(self) -> None:
        batch = self._batches.popleft()
        self._in_flight_bytes -= batch.size_bytes
        pieces = []
        for block, packed, written in zip(
            batch.blocks, batch.packed.result(), batch.told, strict=True
        ):
            if packed:
                pieces.append(packed)
                written(self.position, len(packed))
            else:
                pieces.append(block)
                written(self.position, len(block) | DATA_PLAIN)
            self.position += len(pieces[-1])
        self._stream.write(b"".join(pieces))


class DataWriter:
    """Takes contents one after the other.

    Blocks of a file lie one behind the other; blocks of tails lie between files.

    Attributes:
        fragments: for each block of tails where it starts and what stands for its size.
    """

    def __init__(
        self, conveyor: Conveyor, *, block_bytes: int, packs_tails: bool, finds_duplicates: bool
    ) -> None:
        self.fragments: list[tuple[int, int]] = []
        self._conveyor = conveyor
        self._block_bytes = block_bytes
        self._packs_tails = packs_tails
        self._finds_duplicates = finds_duplicates
        self._extents: dict[tuple[int, bytes], Extent] = {}
        self._tails: dict[bytes, tuple[int, int]] = {}
        self._open: list[bytes] = []
        self._open_bytes = 0

    def add(self, content: Buffer) -> Extent:
        """Take a file's content, and return where it will lie."""
        view = memoryview(content).cast("B") if not isinstance(content, bytes) else content
        size_bytes = len(view)
        if not size_bytes:
            return Extent(0)
        if not self._finds_duplicates:
            return self._place(view, size_bytes, frozenset())
        digest, empty = _digest(view, size_bytes)
        known = self._extents.get((size_bytes, digest))
        if known is None:
            known = self._extents[size_bytes, digest] = self._place(view, size_bytes, empty)
        return known

    def finish(self) -> None:
        """Write all that was taken."""
        self._close_fragment()
        self._conveyor.finish()

    def _place(self, view: Buffer, size_bytes: int, empty: frozenset[int]) -> Extent:
        block_bytes = self._block_bytes
        tail_bytes = size_bytes % block_bytes if self._packs_tails else 0
        end = size_bytes - tail_bytes
        extent = Extent(size_bytes, sizes=[0] * -(-end // block_bytes))
        put, written = self._conveyor.put, extent._written  # noqa: SLF001  # the pair of us
        index = 0
        zeros = _ZEROS[:block_bytes]
        for start in range(0, end, _STEP_BYTES):
            is_empty = start in empty and start + _STEP_BYTES <= end
            step = b"" if is_empty else bytes(view[start : min(start + _STEP_BYTES, end)])
            if is_empty or step == _ZEROS:
                index += _STEP_BYTES // block_bytes
                extent.hole_bytes += _STEP_BYTES
                continue
            for at in range(0, len(step), block_bytes):
                block = step[at : at + block_bytes]
                if block == zeros:
                    extent.hole_bytes += block_bytes
                else:
                    put(block, partial(written, index))
                index += 1
        if tail_bytes:
            extent.fragment, extent.offset = self._add_tail(bytes(view[end:]))
        return extent

    def _add_tail(self, tail: bytes) -> tuple[int, int]:
        """Return the number of the block that ``tail`` will lie in, and where in it."""
        digest = hashlib.sha256(tail).digest() if self._finds_duplicates else b""
        known = self._tails.get(digest)
        if known is not None:
            return known
        if self._open_bytes + len(tail) > self._block_bytes:
            self._close_fragment()
        place = len(self.fragments), self._open_bytes
        self._open.append(tail)
        self._open_bytes += len(tail)
        if digest:
            self._tails[digest] = place
        return place

    def _close_fragment(self) -> None:
        if not self._open:
            return
        number = len(self.fragments)
        self.fragments.append((0, 0))
        self._conveyor.put(b"".join(self._open), partial(self._fragment_written, number))
        self._open, self._open_bytes = [], 0

    def _fragment_written(self, number: int, start: int, size: int) -> None:
        self.fragments[number] = start, size


def _digest(view: Buffer, size_bytes: int) -> tuple[bytes, frozenset[int]]:
    """Return what tells contents of one size apart, and where steps start that are empty."""
    sha256 = hashlib.sha256()
    if size_bytes < _STEP_BYTES:
        sha256.update(view)
        return sha256.digest(), frozenset()
    empty = set()
    for start in range(0, size_bytes, _STEP_BYTES):
        step = bytes(view[start : start + _STEP_BYTES])
        if step == _ZEROS:
            empty.add(start)
        else:
            sha256.update(b"%d:" % start)
            sha256.update(step)
    return sha256.digest(), frozenset(empty)
