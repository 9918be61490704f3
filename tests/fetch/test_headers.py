from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from purekernel.fetch.headers import parse_content_range, parse_length, parse_retry_after

NOW = "Thu, 14 Nov 2013 10:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "length"),
    [("0", 0), ("12", 12), (" 12 ", 12), ("9" * 18, 10**18 - 1), ("9" * 19, None), ("-1", None),
     ("+1", None), ("1.0", None), ("1, 1", None), ("", None), (None, None), ("1_0", None),
     ("\u0661", None)],
)  # fmt: skip
def test_parse_length(value: str | None, length: int | None) -> None:
    assert parse_length(value) == length


@pytest.mark.parametrize(
    ("value", "first", "total"),
    [
        ("bytes 5-9/10", 5, 10),
        ("Bytes 5-9/10", 5, 10),
        (" bytes 5-9/10 ", 5, 10),
        ("bytes 5-9/*", 5, None),
        ("bytes */10", None, 10),
        ("bytes */*", None, None),
        ("bytes \u0661-2/3", None, None),
        ("bytes=5-9/10", None, None),
        ("bytes 5-/10", None, None),
        ("rows 5-9/10", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_parse_content_range(value: str | None, first: int | None, total: int | None) -> None:
    assert parse_content_range(value) == (first, total)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", None, 7),
        (" 7 ", None, 7),
        ("Thu, 14 Nov 2013 10:00:09 GMT", NOW, 9),
        ("Thursday, 14-Nov-13 10:00:09 GMT", NOW, 9),
        ("Thu Nov 14 10:00:09 2013", NOW, 0),
        ("Thu, 14 Nov 2013 09:00:00 GMT", NOW, 0),
        ("Thu, 14 Nov 2013 10:00:09 GMT", None, 0),
        ("Thu, 14 Nov 2013 10:00:09 GMT", "yesterday", 0),
        ("soon", NOW, 0),
        ("-7", NOW, 0),
        ("1e9", NOW, 0),
        ("", NOW, 0),
        (None, None, 0),
    ],
)
def test_parse_retry_after(value: str | None, date: str | None, seconds: float) -> None:
    assert parse_retry_after(value, date=date) == seconds


headers = st.none() | st.text(max_size=60) | st.sampled_from([NOW, "5", "bytes 1-2/3"])


@pytest.mark.slow
@given(value=headers, date=headers)
@example(value="Wed, 3 Apr 2002 12.34.56.78+0800", date=NOW)
@example(value="1 Jan 99999999999 00:00:00 +0000", date=NOW)
@example(value=NOW, date="Thu, 14 Nov 2013 10:00:00 +9999999999999")
@example(value="9" * 18, date=None)
def test_header_parsers_never_raise(value: str | None, date: str | None) -> None:
    length = parse_length(value)
    assert length is None or 0 <= length < 10**18
    first, total = parse_content_range(value)
    assert all(number is None or 0 <= number < 10**18 for number in (first, total))
    assert 0 <= parse_retry_after(value, date=date) < float("inf")


@given(
    st.lists(
        st.sampled_from(
            ["Thu", ",", " ", "14", "Nov", "-", "2013", "13", ":", "10", "GMT", "+", "99999", "."]
        ),
        max_size=12,
    ).map("".join)
)
def test_parse_retry_after_never_raises_for_any_date(value: str) -> None:
    assert 0 <= parse_retry_after(value, date=NOW) < float("inf")
