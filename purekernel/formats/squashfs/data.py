"""Write the contents of files: whole blocks, holes, and tails that share fragment blocks."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import BinaryIO

from attrs import define, field

from purekernel.formats.squashfs.codecs import Pack
from purekernel.formats.squashfs.layout import DATA_PLAIN, NO_FRAGMENT
from purekernel.interruption import result_of
from purekernel.records import frozen
from purekernel.tree import Buffer

# Files are read in steps of this size. It is a multiple of every block size.
_STEP_BYTES = 1 << 20
_ZEROS = bytes(_STEP_BYTES)


Written = Callable[[int, int], None]
"""Callback for a written block. Arguments: where the block starts, in bytes from the start of the
image, and the block's size field for the tables."""


# Blocks are submitted to the executor in batches of this size, because submitting a task costs as
# much as compressing 4 KiB at a fast level.
BATCH_BYTES = 128 << 10


# The maximum of submitted blocks, in bytes: enough for dozens of workers, and little memory.
IN_FLIGHT_BYTES = 16 << 20


@define
class Extent:
    """The location of a file's content; complete only after all blocks are written.

    Attributes:
        size_bytes: the size of the content.
        start: where the first block that is not a hole starts, in bytes from the start of the
            image.
        sizes: the size field of each block in the inode; 0 for a hole.
        hole_bytes: how many bytes of the content are holes.
        fragment: the number of the fragment block that holds the tail.
        offset: where the tail starts in that block, in bytes.
    """

    size_bytes: int
    start: int = 0
    sizes: list[int] = field(factory=list)
    hole_bytes: int = 0
    fragment: int = NO_FRAGMENT
    offset: int = 0

    def _block_written(self, index: int, start: int, size: int) -> None:
        self.sizes[index] = size
        # 0 means "not set": the superblock is at 0, so no block starts there.
        self.start = self.start or start


# Compress blocks in an executor, and write them in the order of submission.


@frozen
class _Batch:
    blocks: list[bytes]
    callbacks: list[Written]
    size_bytes: int
    packed: Future[list[bytes]] = field(repr=False)


def pack_blocks(pack: Pack, blocks: list[bytes]) -> list[bytes]:
    """Return each block compressed, or ``b""`` for a block that compression does not shrink."""
    results = []
    for block in blocks:
        packed = pack(block)
        results.append(packed if len(packed) < len(block) else b"")
    return results


class Conveyor:
    """Compress blocks in an executor and write them to a stream in order.

    Attributes:
        position: where the next block goes, in bytes from the start of the image.
    """

    def __init__(self, stream: BinaryIO, position: int, pack: Pack, executor: Executor) -> None:
        self.position = position
        self._stream = stream
        self._pack = pack
        self._executor = executor
        self._blocks: list[bytes] = []
        self._callbacks: list[Written] = []
        self._waiting_bytes = 0
        self._batches: deque[_Batch] = deque()
        self._in_flight_bytes = 0

    def put(self, block: bytes, written: Written) -> None:
        """Queue ``block``; call ``written`` once it is in the stream."""
        self._blocks.append(block)
        self._callbacks.append(written)
        self._waiting_bytes += len(block)
        if self._waiting_bytes >= BATCH_BYTES:
            self._send()

    def finish(self) -> None:
        """Write all queued blocks."""
        self._send()
        while self._batches:
            self._receive()

    def cancel(self) -> None:
        """Cancel all batches that no worker has started."""
        for batch in self._batches:
            batch.packed.cancel()

    def _send(self) -> None:
        if not self._blocks:
            return
        while self._batches and self._in_flight_bytes + self._waiting_bytes > IN_FLIGHT_BYTES:
            self._receive()
        packed = self._executor.submit(pack_blocks, self._pack, self._blocks)
        self._batches.append(_Batch(self._blocks, self._callbacks, self._waiting_bytes, packed))
        self._in_flight_bytes += self._waiting_bytes
        self._blocks, self._callbacks, self._waiting_bytes = [], [], 0

    def _receive(self) -> None:
        batch = self._batches.popleft()
        self._in_flight_bytes -= batch.size_bytes
        pieces = []
        results = result_of(batch.packed)
        for block, packed, written in zip(batch.blocks, results, batch.callbacks, strict=True):
            if packed:
                pieces.append(packed)
                written(self.position, len(packed))
            else:
                pieces.append(block)
                written(self.position, len(block) | DATA_PLAIN)
            self.position += len(pieces[-1])
        self._stream.write(b"".join(pieces))


class DataWriter:
    """Write the contents of files one after the other.

    The blocks of a file are contiguous; fragment blocks are between files.

    Attributes:
        fragments: the start and the size field of each fragment block.
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
        """Queue a file's content, and return its extent, which :meth:`finish` completes."""
        view = memoryview(content).cast("B") if not isinstance(content, bytes) else content
        size_bytes = len(view)
        if not size_bytes:
            return Extent(0)
        if not self._finds_duplicates:
            return self._add_blocks(view, size_bytes, frozenset())
        digest, empty = _digest(view, size_bytes)
        known = self._extents.get((size_bytes, digest))
        if known is None:
            known = self._extents[size_bytes, digest] = self._add_blocks(view, size_bytes, empty)
        return known

    def finish(self) -> None:
        """Write all queued contents."""
        self._close_fragment()
        self._conveyor.finish()

    def _add_blocks(self, view: Buffer, size_bytes: int, empty: frozenset[int]) -> Extent:
        block_bytes = self._block_bytes
        tail_bytes = size_bytes % block_bytes if self._packs_tails else 0
        end = size_bytes - tail_bytes
        extent = Extent(size_bytes, sizes=[0] * -(-end // block_bytes))
        put, written = self._conveyor.put, extent._block_written  # noqa: SLF001  # same module
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
        """Return the number of the fragment block for ``tail``, and the offset in that block."""
        digest = hashlib.sha256(tail).digest() if self._finds_duplicates else b""
        known = self._tails.get(digest)
        if known is not None:
            return known
        if self._open_bytes + len(tail) > self._block_bytes:
            self._close_fragment()
        location = len(self.fragments), self._open_bytes
        self._open.append(tail)
        self._open_bytes += len(tail)
        if digest:
            self._tails[digest] = location
        return location

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
    """Return a digest for contents of one size, and the starts of the steps that are all zeros."""
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
