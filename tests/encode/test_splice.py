from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.encode.recompress import Edit, splice


@pytest.mark.slow
@given(st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=9))))
def test_bytes_outside_edits_are_kept(parts: list[tuple[bytes, bytes, bytes]]) -> None:
    data = expected = b""
    edits = []
    for kept, old, new in parts:
        start = len(data) + len(kept)
        data += kept + old
        expected += kept + new
        # Two insertions at one offset have no order.
        if old:
            edits.append(Edit(start=start, end=start + len(old), data=new))
        else:
            expected = expected[: len(expected) - len(new)]
    assert splice(data, reversed(edits)) == expected
    assert len(data) + sum(edit.growth_bytes for edit in edits) == len(expected)


def test_overlapping_edits_are_refused() -> None:
    with pytest.raises(AssertionError):
        splice(b"abc", [Edit(start=0, end=2, data=b""), Edit(start=1, end=3, data=b"")])
