"""Test partial files that an earlier run left."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from purekernel.fetch.records import CacheEntry, Validators
from purekernel.fetch.store import Partial, Store
from tests.fetch.answers import status
from tests.fetch.fetching import (
    extension,
    fetch,
    files,
    md5,
    why_not,
)
from tests.fetch.server import MODIFIED, Answer, Asked, Server

CONTENT = extension(200_000)
CHANGED = extension(200_000, seed=1)
TAG = f'"{hashlib.sha256(CONTENT).hexdigest()[:12]}"'


def ranges(server: Server) -> list[tuple[str | None, str | None, int, int]]:
    """Return Range, If-Range, status and number of sent bytes of each request."""

    def told(asked: Asked) -> tuple[str | None, str | None, int, int]:
        said = asked.headers
        return said.get("range"), said.get("if-range"), asked.status, asked.sent_bytes

    return [told(asked) for asked in server.asked]


def lay_partial(
    store: Store, url: str, content: bytes, record: CacheEntry | None = None
) -> Partial:
    """Create the partial file and the record that a killed run leaves."""
    partial = store.partial(url)
    validators = Validators(etag=TAG, last_modified=MODIFIED)
    partial.begin(record or CacheEntry(url=url, size_bytes=len(CONTENT), validators=validators))
    with partial.extend() as stream:
        stream.write(content)
    return partial


def test_complete_partial_download_is_not_downloaded_again(server: Server, store: Store) -> None:
    """A run may be killed after the last byte, before the file is renamed."""
    url = server.put("/a.tcz", CONTENT)
    lay_partial(store, url, CONTENT)
    assert fetch(store, url, md5=md5(CONTENT)) == CONTENT
    assert ranges(server) == [("bytes=200000-", None, 416, 0)]
    assert fetch(store, url, md5=md5(CONTENT)) == CONTENT
    assert server.statuses() == [416]


def test_partial_download_of_earlier_run_is_not_resumed_without_digest(
    server: Server, store: Store
) -> None:
    """The validators of an earlier run do not prove that both parts belong together."""
    url = server.put("/a.tcz", CONTENT)
    lay_partial(store, url, CHANGED[:50_000])
    assert fetch(store, url) == CONTENT
    assert ranges(server) == [(None, None, 200, 200_000)]


@pytest.mark.parametrize(
    "answer",
    [
        status(416),
        status(416, Content_Range="bytes */199999"),
        status(416, Content_Range="bytes */200000", ETag='"other"'),
    ],
)
def test_partial_download_of_other_version_is_restarted(
    answer: Answer, server: Server, store: Store
) -> None:
    url = server.put("/a.tcz", CONTENT)
    lay_partial(store, url, CHANGED)
    server.script("/a.tcz", answer)
    assert fetch(store, url, md5=md5(CONTENT)) == CONTENT
    assert server.statuses() == [416, 200]


def test_partial_download_longer_than_file_is_restarted(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    lay_partial(store, url, CONTENT + b"x")
    assert fetch(store, url, md5=md5(CONTENT)) == CONTENT
    assert ranges(server) == [("bytes=200001-", None, 416, 0), (None, None, 200, 200_000)]


def test_partial_download_with_wrong_digest_is_restarted(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    lay_partial(store, url, CHANGED[:50_000])
    assert fetch(store, url, md5=md5(CONTENT)) == CONTENT
    assert server.statuses() == [206, 200]


@pytest.mark.parametrize("record", [b"", b"{}", b"\xff", b'{"validators": 1}', b"[" * 9000])
def test_partial_download_with_invalid_record_is_restarted(
    record: bytes, server: Server, store: Store
) -> None:
    url = server.put("/a.tcz", CONTENT)
    partial = lay_partial(store, url, CHANGED[:50_000])
    partial.path.with_name(f"{partial.path.name}.json").write_bytes(record)
    assert fetch(store, url, md5=md5(CONTENT)) == CONTENT
    assert ranges(server) == [(None, None, 200, 200_000)]


def test_partial_download_of_wrong_content_is_deleted(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", b"<html>" + CONTENT)
    assert "got a web page" in why_not(store, url)[1]
    assert files(store) == []


def test_partial_stores_record_and_content(tmp_path: Path) -> None:
    partial = Partial(tmp_path / "partials" / "x")
    assert (partial.record(), partial.size_bytes()) == (None, 0)
    record = CacheEntry(url="http://x/y", size_bytes=9, validators=Validators(etag='"a"'))
    partial.begin(record)
    assert (partial.record(), partial.size_bytes()) == (record, 0)
    for piece in (b"ab", b"cd"):
        with partial.extend() as stream:
            stream.write(piece)
    assert (b"".join(partial.pieces()), partial.size_bytes()) == (b"abcd", 4)
    assert json.loads((tmp_path / "partials" / "x.json").read_bytes())["url"] == "http://x/y"
    partial.begin(None)
    assert (partial.record(), partial.size_bytes()) == (None, 0)
    partial.discard()
    assert list((tmp_path / "partials").iterdir()) == []
