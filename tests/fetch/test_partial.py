"""Test interrupted downloads: resumed with ranges (RFC 9110, 14), or restarted if in doubt."""

from __future__ import annotations

import hashlib

import pytest

from purekernel.errors import DownloadError
from purekernel.fetch.records import Validators
from purekernel.fetch.store import Store
from tests.fetch.answers import chunks, cut, stall, status, whole, whole_cut
from tests.fetch.fetching import (
    IMPATIENT,
    NETWORK_HINT,
    QUICK,
    extension,
    fetch,
    files,
    md5,
    sha256,
    why_not,
)
from tests.fetch.server import MODIFIED, Answer, Asked, Exchange, Server

CONTENT = extension(200_000)
CHANGED = extension(200_000, seed=1)
TAG = f'"{hashlib.sha256(CONTENT).hexdigest()[:12]}"'


def ranges(server: Server) -> list[tuple[str | None, str | None, int, int]]:
    """Return Range, If-Range, status and number of sent bytes of each request."""

    def told(asked: Asked) -> tuple[str | None, str | None, int, int]:
        said = asked.headers
        return said.get("range"), said.get("if-range"), asked.status, asked.sent_bytes

    return [told(asked) for asked in server.asked]


def test_download_resumes_after_connection_lost(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", cut(150_000), cut(20_000))
    assert fetch(store, url) == CONTENT
    assert ranges(server) == [
        (None, None, 200, 150_000),
        ("bytes=150000-", TAG, 206, 20_000),
        ("bytes=170000-", TAG, 206, 30_000),
    ]
    assert files(store) == ["blobs", "urls"]


def test_download_resumes_after_stall(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", stall(150_000))
    assert fetch(store, url, policy=IMPATIENT) == CONTENT
    assert ranges(server)[1:] == [("bytes=150000-", TAG, 206, 50_000)]


def test_download_resumes_in_other_run(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", cut(50_000), status(403))
    assert why_not(store, url) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: status 403, Forbidden",
        "check that your user may download the file",
    )
    assert files(store) == ["partials", "partials"]
    assert fetch(Store(store.folder), url, md5=md5(CONTENT)) == CONTENT
    # No If-Range: the digest proves the parts, and the validators are of an earlier run.
    assert ranges(server)[-1] == ("bytes=50000-", None, 206, 150_000)


def test_if_range_is_last_modified_without_etag(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT, ETag=None)
    server.script("/a.tcz", cut(50_000))
    assert fetch(store, url) == CONTENT
    assert ranges(server)[1] == ("bytes=50000-", MODIFIED, 206, 150_000)


def test_weak_etag_is_not_sent_in_if_range(server: Server, store: Store) -> None:
    """RFC 9110, 13.1.5: a date is allowed only if there is no ETag."""
    url = server.put("/a.tcz", CONTENT, ETag=f"W/{TAG}")
    server.script("/a.tcz", cut(50_000))
    assert fetch(store, url) == CONTENT
    assert ranges(server)[1] == (None, None, 200, 200_000)


@pytest.mark.parametrize("digest", ["md5", "sha256"])
def test_digest_allows_resume_without_validators(digest: str, server: Server, store: Store) -> None:
    promised = {digest: {"md5": md5, "sha256": sha256}[digest](CONTENT)}
    url = server.put("/a.tcz", CONTENT, ETag=None, Last_Modified=None)
    server.script("/a.tcz", cut(50_000))
    assert fetch(store, url, **promised) == CONTENT
    assert ranges(server)[1] == ("bytes=50000-", None, 206, 150_000)


def test_no_resume_without_validators_or_digest(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT, ETag=None, Last_Modified=None)
    server.script("/a.tcz", cut(50_000))
    assert fetch(store, url) == CONTENT
    assert ranges(server)[1] == (None, None, 200, 200_000)
    server.script("/a.tcz", *[cut(50_000)] * 3)
    assert why_not(Store(store.folder / "other"), url)[0] is DownloadError
    assert files(Store(store.folder / "other")) == []


def test_chunked_download_resumes_after_connection_lost(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", chunks([CONTENT[:70_000]], ended=False, ETag=TAG))
    assert fetch(store, url) == CONTENT
    assert ranges(server)[1] == ("bytes=70000-", TAG, 206, 130_000)


def test_server_without_ranges_restarts_download(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", cut(150_000), whole)
    assert fetch(store, url) == CONTENT
    assert ranges(server)[1] == ("bytes=150000-", TAG, 200, 200_000)


def test_server_without_ranges_that_always_disconnects_fails(server: Server, store: Store) -> None:
    """An attempt that receives only bytes that are already stored makes no progress."""
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", *[whole_cut(150_000)] * 9)
    assert why_not(store, url) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: connection lost",
        NETWORK_HINT,
    )
    # The first attempt made progress; the three attempts after it made none.
    assert len(server.asked) == 1 + QUICK.attempts


def test_attempts_with_progress_are_not_counted(server: Server, store: Store) -> None:
    large = extension(700_000)
    url = server.put("/a.tcz", large)
    server.script("/a.tcz", *[cut(70_000)] * 9)
    assert fetch(store, url) == large
    assert server.statuses() == [200] + [206] * 9


@pytest.mark.parametrize("ranges_again", [True, False])
def test_changed_file_restarts_download(ranges_again: bool, server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)

    def change(exchange: Exchange) -> None:
        exchange.give(until=50_000)
        server.put("/a.tcz", CHANGED)

    server.script("/a.tcz", change)
    if not ranges_again:  # the server ignores If-Range
        server.script("/a.tcz", part(CHANGED, 50_000, ETag='"other"'))
    assert fetch(store, url) == CHANGED
    told = [each[:3] for each in ranges(server)[1:]]
    if ranges_again:
        assert told == [("bytes=50000-", TAG, 200)]
    else:
        assert told == [("bytes=50000-", TAG, 206), (None, None, 200)]


def part(content: bytes, first: int, **headers: str) -> Answer:
    """Respond with ``content`` from ``first``; ``headers`` may contradict it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    said = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}", **named}
    return lambda exchange: exchange.say(206, content[first:], said)


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"other"'},
        {"Last_Modified": "Fri, 15 Nov 2013 10:00:00 GMT"},
        {"Content_Range": "bytes 0-149999/200000"},
        {"Content_Range": "bytes 49999-199999/200000"},
        {"Content_Range": "bytes 50000-199999/*"},
        {"Content_Range": "bytes 50000-200000/200001"},
        {"Content_Range": "bytes */200000"},
        {"Content_Range": "rows 50000-199999/200000"},
        {"Content_Range": ""},
    ],
)
def test_mismatched_range_response_restarts_download(
    headers: dict[str, str], server: Server, store: Store
) -> None:
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", cut(50_000), part(CONTENT, 50_000, **headers))
    assert fetch(store, url) == CONTENT
    # The restart is in the same attempt, without a Range header.
    assert ranges(server)[2:] == [(None, None, 200, 200_000)]


def test_range_response_without_validators_is_appended(server: Server, store: Store) -> None:
    """RFC 9110, 15.3.7: a response to If-Range omits headers of the first response."""
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", cut(50_000), part(CONTENT, 50_000))
    assert fetch(store, url) == CONTENT
    record = store.record(url)
    assert record is not None
    assert record.validators == Validators(etag=TAG, last_modified=MODIFIED)


@pytest.mark.parametrize("digest", [md5, sha256])
def test_resumed_download_with_wrong_digest_restarts(
    digest: object, server: Server, store: Store
) -> None:
    promised = {digest.__name__: digest(CONTENT)}  # type: ignore[attr-defined, operator]
    url = server.put("/a.tcz", CONTENT, ETag=None, Last_Modified=None)
    server.script("/a.tcz", cut(50_000), part(CHANGED, 50_000))
    assert fetch(store, url, **promised) == CONTENT
    assert ranges(server)[1:] == [
        ("bytes=50000-", None, 206, 150_000),
        (None, None, 200, 200_000),
    ]
