from __future__ import annotations

import threading
import time

from pycdlib import dates

from purekernel.formats.iso.clock import EARLIEST, LATEST, hold, in_range


def volume_date(seconds: float) -> bytes:
    date = dates.VolumeDescriptorDate()
    date.new(seconds)
    return bytes(date.record())


def test_pycdlib_sees_the_held_clock() -> None:
    with hold(86_400):
        assert dates.time.time() == 86_400
        assert volume_date(dates.time.time()) == b"1970010200000000\0"


def test_time_0_is_a_date() -> None:
    with hold(0):
        assert volume_date(dates.time.time()) == b"1970010100000000\0"


def test_time_before_1970_is_a_date() -> None:
    with hold(-1):
        assert volume_date(dates.time.time()) == b"1969123123595900\0"


def test_other_threads_see_the_real_clock() -> None:
    seen: list[float] = []
    with hold(1):
        thread = threading.Thread(target=lambda: seen.append(dates.time.time()))
        thread.start()
        thread.join()
        assert abs(time.time() - seen[0]) < 3600
    assert abs(time.time() - dates.time.time()) < 3600
    assert dates.time.localtime(0) == time.localtime(0)
    assert dates.time.gmtime(0) == time.gmtime(0)
    assert dates.time.strftime is time.strftime


def test_time_out_of_range_is_clamped() -> None:
    assert in_range(-(1 << 40)) == EARLIEST == -2_208_988_800
    assert in_range(1 << 40) == LATEST == 5_869_583_999
    assert in_range(7) == 7
