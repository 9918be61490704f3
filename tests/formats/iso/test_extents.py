from __future__ import annotations

import io
import os

import pytest

from purekernel.formats.iso.writer import Extents


def test_writes_are_sorted_and_gaps_are_zeros() -> None:
    extents = Extents()
    extents.seek(100_000)
    extents.write(b"end")
    extents.seek(2)
    extents.write(memoryview(b"start"))
    extents.seek(1, os.SEEK_CUR)
    assert extents.tell() == 8
    extents.write(b"")
    assert extents.seek(0, os.SEEK_END) == 100_003
    stream = io.BytesIO()
    extents.write_to(stream)
    assert stream.getvalue() == b"\0\0start".ljust(100_000, b"\0") + b"end"


def test_overlapping_writes_are_refused() -> None:
    extents = Extents()
    extents.write(b"one")
    extents.seek(2)
    extents.write(b"two")
    with pytest.raises(AssertionError, match="overlapping writes at byte 2"):
        extents.write_to(io.BytesIO())
