from __future__ import annotations

import os

import pytest

from purekernel.errors import LimitError
from purekernel.formats.iso.bounded_reader import MAX_READS, Window
from purekernel.formats.iso.check import Survey

DATA = bytes(range(256)) * 512


def window() -> Window:
    survey = Survey(descriptors=(b"\1" * 2048, b"\2" * 2048), extents={20 * 2048: 6000})
    return Window(memoryview(DATA), survey, "disk.iso")


def test_descriptors_are_those_given() -> None:
    view = window()
    assert view.readable()
    assert view.seekable()
    view.seek(16 * 2048)
    assert view.read(2048) + view.read(2048) == b"\1" * 2048 + b"\2" * 2048
    assert view.read(2048) == DATA[18 * 2048 : 19 * 2048]


def test_the_system_area_shows_as_zeros() -> None:
    assert window().read(16 * 2048) == bytes(16 * 2048)


def test_reads_end_with_the_image() -> None:
    view = window()
    assert view.seek(-3, os.SEEK_END) == len(DATA) - 3
    assert view.read(2048) == DATA[-3:]
    assert view.read() == b""
    assert view.seek(-9, os.SEEK_CUR) == view.tell() == len(DATA) - 9


def test_long_reads_are_for_directories() -> None:
    view = window()
    view.seek(20 * 2048)
    assert len(view.read(6000)) == 6000
    view.seek(20 * 2048)
    with pytest.raises(LimitError) as caught:
        view.read(6001)
    assert str(caught.value) == (
        "disk.iso, byte 40960: expected at most 10000 reads of 2048 bytes besides directories, "
        "got 1, one of 6001 bytes"
    )


def test_reads_are_counted() -> None:
    view = window()
    for _ in range(MAX_READS):
        view.seek(30 * 2048)
        view.read(1)
    with pytest.raises(LimitError, match="got 10001, one of 1 bytes"):
        view.read(1)
