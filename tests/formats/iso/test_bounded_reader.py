from __future__ import annotations

import os

import pytest

from purekernel.errors import LimitError
from purekernel.formats.iso.bounded_reader import MAX_READS, Window
from purekernel.formats.iso.check import IsoSurvey
from purekernel.input import Input

DATA = bytes(range(256)) * 512


def window() -> Window:
    survey = IsoSurvey(descriptors=(b"\1" * 2048, b"\2" * 2048), extents={20 * 2048: 6000})
    return Window(Input(DATA, name="disk.iso"), survey)


def test_volume_descriptors_come_from_the_survey() -> None:
    view = window()
    assert view.readable()
    assert view.seekable()
    view.seek(16 * 2048)
    assert view.read(2048) + view.read(2048) == b"\1" * 2048 + b"\2" * 2048
    assert view.read(2048) == DATA[18 * 2048 : 19 * 2048]


def test_system_area_reads_as_zeros() -> None:
    assert window().read(16 * 2048) == bytes(16 * 2048)


def test_read_at_the_end_is_short() -> None:
    view = window()
    assert view.seek(-3, os.SEEK_END) == len(DATA) - 3
    assert view.read(2048) == DATA[-3:]
    assert view.read() == b""
    assert view.seek(-9, os.SEEK_CUR) == view.tell() == len(DATA) - 9


def test_long_read_outside_directories_is_refused() -> None:
    view = window()
    view.seek(20 * 2048)
    assert len(view.read(6000)) == 6000
    view.seek(20 * 2048)
    with pytest.raises(LimitError) as caught:
        view.read(6001)
    assert str(caught.value) == (
        "disk.iso, byte 40960: expected at most 10000 reads of 2048 bytes outside directories, "
        "got read 1 of 6001 bytes"
    )


def test_too_many_reads_are_refused() -> None:
    view = window()
    for _ in range(MAX_READS):
        view.seek(30 * 2048)
        view.read(1)
    with pytest.raises(LimitError, match="got read 10001 of 1 bytes"):
        view.read(1)
