from __future__ import annotations

import pytest

from purekernel.formats.inflate import skip_zeros


@pytest.mark.parametrize("zeros", [0, 1, 4095, 4096, 4097, 20_000])
def test_zeros_are_skipped(zeros: int) -> None:
    view = memoryview(b"ab" + bytes(zeros) + b"c" + bytes(5))
    assert skip_zeros(view, 2) == 2 + zeros
    assert skip_zeros(view, 3 + zeros) == len(view)
    assert skip_zeros(view, len(view)) == len(view)
