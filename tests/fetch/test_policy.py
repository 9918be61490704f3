from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import UsageError
from purekernel.fetch.model import DownloadPolicy

POSITIVE = [
    "parallel", "attempts", "connect_seconds", "stall_seconds", "slow_seconds", "most_seconds",
]  # fmt: skip
PAUSES = ["min_bytes_per_second", "first_pause_seconds", "most_pause_seconds"]


@pytest.mark.parametrize("name", POSITIVE + PAUSES)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, -math.inf, 0])
def test_out_of_range_policy_is_refused(name: str, value: float) -> None:
    fields: dict[str, Any] = {name: value}
    if value == 0 and name in PAUSES:
        assert getattr(DownloadPolicy(**fields), name) == 0
        return
    with pytest.raises(UsageError) as caught:
        DownloadPolicy(**fields)
    bound = "a number above 0" if name in POSITIVE else "0 or more"
    assert str(caught.value) == f"downloads: {name} must be {bound}, got {value}"
    assert caught.value.hint == f"give {bound}"


def test_pauses_double_up_to_maximum() -> None:
    policy = DownloadPolicy(first_pause_seconds=0.5, most_pause_seconds=30)
    pauses = [policy.pause_seconds(number) for number in range(9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@given(st.integers(0, 10**9), st.floats(0, 1e9), st.floats(0, 1e9))
def test_pauses_do_not_exceed_maximum(number: int, first: float, most: float) -> None:
    policy = DownloadPolicy(first_pause_seconds=first, most_pause_seconds=most)
    assert 0 <= policy.pause_seconds(number) <= most
