from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.encode.recompress import Edit, splice


@given(st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=9))))
def test_what_is_not_edited_stays(parts: list[tuple[bytes, bytes, bytes]]) -> None:
    data = wanted = b""
    edits = []
    for kept, old, new in parts:
        start = len(data) + len(kept)
        data += kept + old
        wanted += kept + new
        # Two at one place have no order.
        if old:
            edits.append(Edit(start=start, end=start + len(old), data=new))
        else:
            wanted = wanted[: len(wanted) - len(new)]
    assert splice(data, reversed(edits)) == wanted
    assert len(data) + sum(edit.growth_bytes for edit in edits) == len(wanted)


def test_edits_of_one_place_are_a_fault() -> None:
    with pytest.raises(AssertionError):
        splice(b"abc", [Edit(start=0, end=2, data=b""), Edit(start=1, end=3, data=b"")])
