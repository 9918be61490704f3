"""Pack blocks wherever an executor does it, and write them in the order they came in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import BinaryIO

from attrs import field, frozen

from purekernel.formats.squashfs.codecs import Pack
from purekernel.formats.squashfs.layout import DATA_PLAIN

Written = Callable[[int, int], None]
"""Told of a block where it starts, in bytes from the image's start, and what stands for its size
in the tables."""

# Blocks are sent off together, for sending costs as much as packing 4 KiB quickly...
BATCH_BYTES = 128 << 10
# ...and so many bytes at a time: enough for some dozens of workers, and little to hold.
IN_FLIGHT_BYTES = 16 << 20


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
