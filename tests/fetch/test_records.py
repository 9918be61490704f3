from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from purekernel.fetch.records import CacheEntry, Validators, make_validators, parse_record

RECORD = CacheEntry(
    url="http://x/y",
    sha256="ab" * 32,
    size_bytes=5,
    validators=Validators(etag='W/"x y"', last_modified="Thu, 14 Nov 2013 10:00:00 GMT"),
)

visible = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=512)


@pytest.mark.slow
@given(
    st.builds(
        CacheEntry,
        url=st.text(max_size=50),
        sha256=st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex),
        size_bytes=st.none() | st.integers(0, 10**18),
        validators=st.builds(
            Validators, etag=st.none() | visible, last_modified=st.none() | visible
        ),
    )
)
@example(CacheEntry(url=""))
def test_record_round_trip(record: CacheEntry) -> None:
    assert parse_record(record.to_bytes()) == record


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@pytest.mark.slow
@given(st.sampled_from(["url", "sha256", "size_bytes", "validators", "etag"]), json_values)
def test_parse_record_never_raises(name: str, value: object) -> None:
    said = json.loads(RECORD.to_bytes())
    (said["validators"] if name == "etag" else said)[name] = value
    record = parse_record(json.dumps(said).encode())
    assert record is None or isinstance(record, CacheEntry)
    if record is not None and name == "etag":
        # The ETag is sent in a header, so it must not contain a line break.
        assert record.validators.etag is None or record.validators.etag.isprintable()


@given(st.binary(max_size=200))
@example(b"")
@example(b"[" * 16000)
@example(b'{"a":' * 3000)
@example(b"1" * 9000)
@example(b"x" * 16385)
@example(b"\xff\xfe")
@example(b"NaN")
def test_invalid_record_is_none(content: bytes) -> None:
    assert parse_record(content) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", None), ("url", 5), ("size_bytes", True), ("size_bytes", 5.0), ("size_bytes", "5"),
        ("sha256", "ab"), ("sha256", "AB" * 32), ("sha256", 5), ("sha256", f"{'ab' * 32}\n"),
        ("validators", None), ("validators", []), ("etag", "a\r\nb: c"), ("etag", ""),
        ("etag", "\u00e9"), ("etag", "x" * 513), ("etag", 5), ("last_modified", "a\nb"),
    ],
)  # fmt: skip
def test_record_with_wrong_value_is_none(field: str, value: object) -> None:
    said = json.loads(RECORD.to_bytes())
    place = said["validators"] if field in ("etag", "last_modified") else said
    place[field] = value
    assert parse_record(json.dumps(said).encode()) is None
    del place[field]
    assert parse_record(json.dumps(said).encode()) is None


@pytest.mark.parametrize(
    ("etag", "date", "sent"),
    [
        ('"a"', "d", '"a"'),
        ('"a"', None, '"a"'),
        (None, "d", "d"),
        ('W/"a"', None, None),
        # RFC 9110, 13.1.5: a date is allowed only if there is no ETag.
        ('W/"a"', "d", None),
        (None, None, None),
    ],
)
def test_for_range_uses_strong_validators(
    etag: str | None, date: str | None, sent: str | None
) -> None:
    assert Validators(etag=etag, last_modified=date).for_range == sent


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (("a", "d"), ("a", "d"), False),
        (("a", "d"), ("b", "d"), True),
        (("a", "d"), ("a", "e"), False),
        (("a", None), (None, "d"), False),
        (("a", "d"), (None, "e"), True),
        ((None, None), ("a", "d"), False),
    ],
)
def test_etags_take_precedence_over_dates(
    one: tuple[str | None, str | None], other: tuple[str | None, str | None], differ: bool
) -> None:
    left, right = (Validators(etag=tag, last_modified=date) for tag, date in (one, other))
    assert left.differ_from(right) == right.differ_from(left) == differ


@pytest.mark.parametrize("value", ["", "\u00e9", "a\nb", "\x7f", "x" * 513, None])
def test_unsendable_validators_are_dropped(value: str | None) -> None:
    assert not make_validators(value, value)
    assert make_validators(value, "date") == Validators(last_modified="date")
