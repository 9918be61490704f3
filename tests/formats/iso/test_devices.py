from __future__ import annotations

import pytest

from purekernel.formats.iso.layout import fits, join_device, split_device


@pytest.mark.parametrize(
    ("major", "minor"), [(1, 3), (0, 0), (0, 255), (4095, 255), (4096, 1), (8, 256), (259, 70_000)]
)
def test_device_numbers_round_trip(major: int, minor: int) -> None:
    assert fits(major, minor)
    assert join_device(*split_device(major, minor)) == (major, minor)


def test_device_numbers_of_mkisofs_and_xorriso_are_read() -> None:
    assert join_device(1, 3) == (1, 3)  # mkisofs
    assert join_device(0, 0x0103) == (1, 3)  # xorriso
    assert join_device(0, 0x12300845) == (8, 0x12345)  # xorriso, a dev_t of 32 bits


@pytest.mark.parametrize(("major", "minor"), [(0, 256), (-1, 0), (1 << 32, 0), (1, 1 << 32)])
def test_device_numbers_out_of_range_do_not_fit(major: int, minor: int) -> None:
    assert not fits(major, minor)
