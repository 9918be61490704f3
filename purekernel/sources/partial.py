"""The part of a file that came before the connection, or the process, was cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from purekernel.host.write import (
    create,
    make_read_only,
    open_itself,
    put,
    remove,
    replace_file,
)
from purekernel.sources.inspection import PIECE_BYTES
from purekernel.sources.records import Record, parse_record


class Partial:
    """One file on its way into the store, and beside it the record of what it is a part of.

    The record is written before the first byte and taken away after the last, so bytes
    without one belong to nothing, and are never gone on from.

    Args:
        path: where the bytes are; whoever uses it holds its lock, or has a name of his own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._record = path.with_name(f"{path.name}.json")

    def record(self) -> Record | None:
        """Return what the bytes are a part of; ``None`` where they cannot be gone on from."""
        try:
            return parse_record(self._record.read_bytes())
        except OSError:
            return None

    def size_bytes(self) -> int:
        """Return how many bytes are there."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def begin(self, record: Record | None) -> None:
        """Start over, with bytes of what ``record`` describes; ``None``: nothing to go on from."""
        remove(self.path)
        if record is None:
            remove(self._record)
        else:
            # Whoever is killed here leaves it, and whoever comes next takes the same name.
            temporary = self.path.with_name(f"{self.path.name}.new")
            replace_file(self._record, record.to_bytes(), by_way_of=temporary)

    @contextmanager
    def extend(self) -> Iterator[BinaryIO]:
        """Open the file to write what comes next; every piece is there when it is written."""
        try:
            stream: BinaryIO = open_itself(self.path, "ab")
        except FileNotFoundError:
            stream = create(self.path)
        with stream:
            yield stream

    def pieces(self) -> Iterator[bytes]:
        """Give what is there, in pieces."""
        with self.path.open("rb", buffering=0) as stream:
            while piece := stream.read(PIECE_BYTES):
                yield piece

    def become(self, path: Path) -> None:
        """Take the name ``path``: the file is whole, and was checked."""
        make_read_only(self.path)
        put(self.path, path)
        remove(self._record)

    def discard(self) -> None:
        """Take it all away."""
        remove(self.path)
        remove(self._record)
