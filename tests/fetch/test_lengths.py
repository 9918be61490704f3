"""Test lengths: Content-Length, chunked bodies, truncated bodies and size limits."""

from __future__ import annotations

import itertools

import pytest

from purekernel.errors import ChecksumError, DownloadError
from purekernel.fetch.store import Store
from tests.fetch.answers import chunks, raw
from tests.fetch.fetching import (
    CHECKSUM_HINT,
    NETWORK_HINT,
    extension,
    fetch,
    files,
    md5,
    sha256,
    why_not,
)
from tests.fetch.server import Exchange, Server

CONTENT = extension()
OTHER = extension(seed=1)
PAGE = b"<!DOCTYPE html>\n<html><head><title>Welcome to our hotel</title></head></html>\n"


def answer(length: int | None, body: bytes) -> bytes:
    said = "" if length is None else f"Content-Length: {length}\r\n"
    return f"HTTP/1.1 200 OK\r\n{said}Connection: close\r\n\r\n".encode() + body


def test_body_shorter_than_content_length_is_refused(server: Server, store: Store) -> None:
    url = server.script("/a.tcz", *[raw(answer(3001, CONTENT))] * 3)
    assert why_not(store, url) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: connection lost",
        NETWORK_HINT,
    )
    assert files(store) == []


def test_bytes_after_content_length_are_ignored(server: Server, store: Store) -> None:
    url = server.script("/a.tcz", raw(answer(2999, CONTENT)))
    assert fetch(store, url) == CONTENT[:2999]
    url = server.script("/b.tcz", raw(answer(2999, CONTENT)))
    assert why_not(store, url, sha256=sha256(CONTENT))[0] is ChecksumError


def test_truncated_body_without_length_fails_digest(server: Server, store: Store) -> None:
    url = server.script("/a.tcz", raw(answer(None, CONTENT[:2000])))
    assert why_not(store, url, md5=md5(CONTENT)) == (
        ChecksumError,
        (
            f"a.tcz failed verification: {url}: MD5 must be {md5(CONTENT)}, "
            f"got {md5(CONTENT[:2000])}"
        ),
        CHECKSUM_HINT,
    )
    server.script("/a.tcz", raw(answer(None, CONTENT)))
    assert fetch(store, url, md5=md5(CONTENT)) == CONTENT


def test_truncated_chunked_body_is_retried(server: Server, store: Store) -> None:
    url = server.script("/a.tcz", chunks([CONTENT[:500]], ended=False), chunks([CONTENT]))
    assert fetch(store, url) == CONTENT


def test_endless_body_is_aborted_at_size_limit(server: Server, store: Store) -> None:
    url = server.script("/a.tcz", chunks(itertools.repeat(bytes(64 << 10))))
    assert why_not(store, url, most_bytes=200_000) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: larger than 200000 bytes",
        NETWORK_HINT,
    )
    assert files(store) == []
    url = server.script("/b.tcz", chunks(itertools.repeat(bytes(64 << 10))))
    assert "larger than 70000 bytes" in why_not(store, url, size_bytes=70_000)[1]


def test_content_length_over_limit_is_refused_at_once(server: Server, store: Store) -> None:
    def announce(exchange: Exchange) -> None:
        exchange.begin(200, {"Content-Length": "50000"})

    url = server.script("/a.tcz", announce)
    assert "larger than 49999 bytes" in why_not(store, url, most_bytes=49999)[1]
    assert files(store) == []


@pytest.mark.parametrize("length", ["-1", "twelve", "0x10", ""])
def test_malformed_content_length_is_ignored(length: str, server: Server, store: Store) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    url = server.script("/a.tcz", raw(head.encode() + CONTENT))
    assert fetch(store, url, md5=md5(CONTENT)) == CONTENT


def test_chunked_encoding_overrides_content_length(server: Server, store: Store) -> None:
    """RFC 9112, 6.3: Transfer-Encoding overrides Content-Length."""
    url = server.script("/a.tcz", chunks([CONTENT], Content_Length="7"))
    assert fetch(store, url, md5=md5(CONTENT)) == CONTENT
