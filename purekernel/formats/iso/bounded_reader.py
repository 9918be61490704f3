"""Show pycdlib an image as a file object that limits what pycdlib can read.

The volume descriptors are those that the survey kept. The system area reads as zeros: it may hold a
partition table, which is of no use here and, if hostile, makes pycdlib very slow. Other reads are
limited in size and number. A read of a directory or path table may be as long as the size that the
survey recorded.
"""

from __future__ import annotations

import bisect
import io
import os

from purekernel.formats.iso.check import IsoSurvey
from purekernel.formats.iso.layout import FIRST_DESCRIPTOR, SECTOR_BYTES
from purekernel.input import Input

# These reads are for continuations of Rock Ridge entries, each of at most a sector. pycdlib
# compares each continuation with all earlier ones, in quadratic time.
MAX_READS = 10_000


class Window(io.RawIOBase):
    """A read-only view of an image."""

    def __init__(self, file: Input, survey: IsoSurvey) -> None:
        super().__init__()
        self._file = file
        self._view = file.view
        self._descriptors = b"".join(survey.descriptors)
        self._extents = survey.extents
        self._patches = survey.patches
        self._patched = sorted(survey.patches)
        self._offset = 0
        self._reads = 0

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def seekable(self) -> bool:
        """Return ``True``."""
        return True

    def tell(self) -> int:
        """Return the position of the next read, in bytes."""
        return self._offset

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, and return it in bytes from the start."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: len(self._view)}[whence]
        self._offset = max(start + offset, 0)
        return self._offset

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes, or fewer at the end."""
        start = self._offset
        left = max(len(self._view) - start, 0)
        size = left if size < 0 else min(size, left)
        if start < FIRST_DESCRIPTOR * SECTOR_BYTES:
            piece = bytes(min(size, FIRST_DESCRIPTOR * SECTOR_BYTES - start))
        elif (
            start not in self._extents
            and start < FIRST_DESCRIPTOR * SECTOR_BYTES + len(self._descriptors)
            and size == SECTOR_BYTES
        ):
            offset = start - FIRST_DESCRIPTOR * SECTOR_BYTES
            piece = self._descriptors[offset : offset + size]
        else:
            self._count(start, size)
            piece = self._patch(start, bytes(self._view[start : start + size]))
        self._offset += len(piece)
        return piece

    def _patch(self, start: int, piece: bytes) -> bytes:
        """Return the bytes read from ``start`` on with the patches of the survey."""
        first = bisect.bisect_left(self._patched, start)
        last = bisect.bisect_left(self._patched, start + len(piece))
        if first == last:
            return piece
        changed = bytearray(piece)
        for offset in self._patched[first:last]:
            patch = self._patches[offset][: start + len(piece) - offset]
            changed[offset - start : offset - start + len(patch)] = patch
        return bytes(changed)

    def _count(self, start: int, size: int) -> None:
        if size <= self._extents.get(start, 0):
            return
        self._reads += 1
        if size > SECTOR_BYTES or self._reads > MAX_READS:
            raise self._file.exceed(
                start,
                f"at most {MAX_READS} reads of {SECTOR_BYTES} bytes outside directories",
                f"read {self._reads} of {size} bytes",
                hint="the image is damaged or hostile: use another copy of it",
            )
