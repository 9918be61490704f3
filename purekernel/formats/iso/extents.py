"""A stream that pycdlib writes an image to, which keeps what it is given by offset.

pycdlib writes with seeks in all directions. Kept here, views of file contents stay views,
and the image then goes out from its first byte to its last, to any stream.
"""

from __future__ import annotations

import os
from typing import BinaryIO

from purekernel.tree import Buffer

ZEROS = bytes(1 << 16)


class Extents:
    """What has been written so far, and where."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, Buffer]] = []
        self._offset = 0
        self._end = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to ``offset``, and return where that is."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._end}[whence]
        self._offset = start + offset
        return self._offset

    def tell(self) -> int:
        """Return where the next write goes."""
        return self._offset

    def write(self, data: Buffer) -> int:
        """Keep ``data``, uncopied."""
        if len(data):
            self._pieces.append((self._offset, data))
            self._offset += len(data)
            self._end = max(self._end, self._offset)
        return len(data)

    def write_to(self, stream: BinaryIO) -> None:
        """Write it all to ``stream``, in order, with zeros in the gaps."""
        here = 0
        for offset, data in sorted(self._pieces, key=lambda piece: piece[0]):
            if offset < here:
                raise AssertionError(f"two things at byte {offset} of the image")
            stream.writelines(ZEROS[: offset - start] for start in range(here, offset, len(ZEROS)))
            stream.write(data)
            here = offset + len(data)
