"""Test responses: statuses, web pages, wrong sizes and digests, and invalid HTTP."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from types import SimpleNamespace

import pytest

from purekernel.errors import ChecksumError, DownloadError, MissingFileError
from purekernel.fetch import transfer
from purekernel.fetch.inspection import WEB_PAGE
from purekernel.fetch.records import CacheEntry
from purekernel.fetch.store import Store
from purekernel.fetch.transfer import Transfer, fault_of_status
from purekernel.formats.detect import FileKind
from tests.fetch.answers import chunks, raw, silence, status
from tests.fetch.fetching import (
    CHECKSUM_HINT,
    IMPATIENT,
    NETWORK_HINT,
    blobs,
    extension,
    fetch,
    files,
    md5,
    sha256,
    want,
    why_not,
)
from tests.fetch.server import Server

CONTENT = extension()
OTHER = extension(seed=1)
PAGE = b"<!DOCTYPE html>\n<html><head><title>Welcome to our hotel</title></head></html>\n"


def test_file_is_stored_unchanged(server: Server, store: Store) -> None:
    url = server.put("/bash.tcz", CONTENT)
    assert fetch(store, url, kind=FileKind.SQUASHFS, md5=md5(CONTENT)) == CONTENT
    (asked,) = server.asked
    assert (asked.method, asked.status) == ("GET", 200)
    assert asked.headers["user-agent"].startswith("purekernel/")
    # Files are stored unchanged, so the request allows no content encoding.
    assert asked.headers["accept-encoding"] == "identity"
    assert files(store) == ["blobs", "urls"]


def test_empty_file_is_fetched(server: Server, store: Store) -> None:
    assert fetch(store, server.put("/empty.tcz.dep", b""), kind=FileKind.TEXT) == b""


def test_missing_optional_file_is_none(server: Server, second: Server, store: Store) -> None:
    other = second.put("/bash.tcz.dep", b"readline.tcz\n")
    assert fetch(store, f"{server.url}/bash.tcz.dep", other, optional=True) is None
    # The first response decides, because most extensions have no such file.
    assert second.asked == []


@pytest.mark.parametrize("code", [404, 410])
def test_missing_required_file_lists_all_urls(
    code: int, server: Server, second: Server, store: Store
) -> None:
    places = [server.script("/a.tcz", status(code)), second.script("/a.tcz", status(code))]
    assert why_not(store, *places) == (
        MissingFileError,
        f"a.tcz not found: tried {server.url}/a.tcz, {second.url}/a.tcz",
        "check the name, or add another mirror (under [mirrors] in a recipe)",
    )
    assert (server.statuses(), second.statuses()) == ([code], [code])


def test_second_mirror_is_tried_for_missing_file(
    server: Server, second: Server, store: Store
) -> None:
    assert fetch(store, f"{server.url}/a.tcz", second.put("/a.tcz", CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("code", "words", "hint"),
    [
        (400, "status 400, Bad Request", NETWORK_HINT),
        (401, "status 401, Unauthorized", "set user and password in ~/.netrc or in the URL"),
        (403, "status 403, Forbidden", "check that your user may download the file"),
        (407, "status 407, Proxy Authentication Required",
         "set user and password in HTTP_PROXY"),
        (204, "status 204, No Content", NETWORK_HINT),
        # The request has neither Range nor If-None-Match, so 206 and 304 are errors.
        (206, "status 206, Partial Content", NETWORK_HINT),
        (304, "status 304, Not Modified", NETWORK_HINT),
        (499, "status 499", NETWORK_HINT),
    ],
)  # fmt: skip
def test_permanent_status_is_not_retried(
    code: int, words: str, hint: str, server: Server, store: Store
) -> None:
    url = server.script("/a.tcz", status(code))
    assert why_not(store, url) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: {words}",
        hint,
    )
    assert server.statuses() == [code]
    assert files(store) == []


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 599])
def test_temporary_status_is_retried(code: int, server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", status(code, b"busy\n"), status(code))
    assert fetch(store, url) == CONTENT
    assert server.statuses() == [code, code, 200]
    assert server.connections == 1


def test_message_of_every_status_has_its_phrase() -> None:
    class Answer:
        headers: dict[str, str] = {}  # noqa: RUF012  # never modified

        def __init__(self, status: int) -> None:
            self.status = status

    said = {fault_of_status(Answer(code)).reason for code in range(300, 600)}  # type: ignore[arg-type]
    assert {f"status {code.value}, {code.phrase}" for code in HTTPStatus if code >= 300} <= (
        said | {"status 404, Not Found", "status 410, Gone"}
    )


@pytest.mark.slow
def test_web_page_is_refused(server: Server, store: Store) -> None:
    """A captive portal answers everything with status 200 and a page."""
    for name, kind in (
        ("a.tcz", FileKind.SQUASHFS),
        ("a.gz", FileKind.GZIP),
        ("a.tcz.dep", FileKind.TEXT),
        ("a.iso", FileKind.ISO),
        ("a.tar", FileKind.TAR),
        ("a.bin", None),
    ):
        url = server.put(f"/{name}", PAGE, Content_Type="text/html")
        assert why_not(store, url, kind=kind) == (
            DownloadError,
            f"{name} cannot be fetched: {url}: {WEB_PAGE}",
            "open the URL in a browser",
        )
        assert blobs(store) == []
    # The download is retried, because the user may log in meanwhile.
    assert server.statuses("/a.tcz") == [200, 200, 200]


def test_mirror_behind_portal_is_skipped(server: Server, second: Server, store: Store) -> None:
    portal = server.put("/a.tcz", PAGE)
    assert fetch(store, portal, second.put("/a.tcz", CONTENT), kind=FileKind.SQUASHFS) == CONTENT


@pytest.mark.parametrize("size_bytes", [len(PAGE) - 1, len(PAGE) + 1])
@pytest.mark.parametrize("announced", [True, False])
def test_web_page_of_wrong_size_is_reported_as_page(
    announced: bool, size_bytes: int, server: Server, store: Store
) -> None:
    """The message names the page of a captive portal, not its size."""
    url = server.put("/a.tcz", PAGE)
    if not announced:
        server.script("/a.tcz", *[chunks([PAGE])] * 3)
    assert why_not(store, url, size_bytes=size_bytes, sha256=sha256(CONTENT)) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: {WEB_PAGE}",
        "open the URL in a browser",
    )
    assert server.statuses() == [200, 200, 200]
    assert files(store) == []


def test_wrong_announced_size_is_reported_without_body(server: Server, store: Store) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    url = server.script("/a.tcz", raw(head))
    kind, message, _hint = why_not(store, url, size_bytes=3000)
    assert kind is ChecksumError
    assert message == f"a.tcz failed verification: {url}: size must be 3000 bytes, got 5000"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (CONTENT, FileKind.GZIP,
         "not a gzip file: must have 1f 8b at byte 0, got 68 73 (a squashfs image)"),
        (b"", FileKind.SQUASHFS,
         "not a squashfs image: must have 68 73 71 73 at byte 0, got nothing"),
        (b"text", FileKind.ISO,
         "not an ISO 9660 image: must have 43 44 30 30 31 at byte 32769, got nothing"),
        (bytes(2000), FileKind.TEXT, "not a text file: it contains a NUL"),
        (b"x" * 5000 + b"\0", FileKind.TEXT, "not a text file: it contains a NUL"),
    ],
)  # fmt: skip
def test_wrong_kind_is_refused(
    content: bytes, kind: FileKind | None, words: str, server: Server, store: Store
) -> None:
    url = server.put("/a", content)
    assert why_not(store, url, kind=kind)[1] == f"a cannot be fetched: {url}: {words}"
    assert files(store) == []


@pytest.mark.parametrize("digest", ["md5", "sha256"])
def test_wrong_digest_is_refused(digest: str, server: Server, second: Server, store: Store) -> None:
    digest_of = {"md5": md5, "sha256": sha256}[digest]
    name = {"md5": "MD5", "sha256": "SHA-256"}[digest]
    url = server.put("/a.tcz", OTHER)
    assert why_not(store, url, **{digest: digest_of(CONTENT)}) == (
        ChecksumError,
        (
            f"a.tcz failed verification: {url}: {name} must be {digest_of(CONTENT)}, "
            f"got {digest_of(OTHER)}"
        ),
        CHECKSUM_HINT,
    )
    assert files(store) == []
    assert server.statuses() == [200]
    # A digest in upper case is equal.
    right = second.put("/a.tcz", CONTENT)
    assert fetch(store, url, right, **{digest: digest_of(CONTENT).upper()}) == CONTENT


def test_wrong_size_is_refused(server: Server, second: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    assert why_not(store, url, size_bytes=2999) == (
        ChecksumError,
        f"a.tcz failed verification: {url}: size must be 2999 bytes, got 3000",
        CHECKSUM_HINT,
    )
    # Content-Length announced the wrong size, so there is no retry.
    assert server.statuses() == [200]
    assert files(store) == []
    assert fetch(store, url, second.put("/a.tcz", OTHER[:2999]), size_bytes=2999) == OTHER[:2999]


def test_unannounced_wrong_size_is_refused(server: Server, store: Store) -> None:
    url = server.script("/a.tcz", chunks([CONTENT[:99]]), chunks([CONTENT[:2000], CONTENT[2000:]]))
    assert fetch(store, url, size_bytes=3000) == CONTENT
    url = server.script("/b.tcz", *[chunks([CONTENT[:99]])] * 3)
    # A body that is too short may be truncated, so it is retried.
    assert why_not(store, url, size_bytes=3000)[:2] == (
        DownloadError,
        f"b.tcz cannot be fetched: {url}: size must be 3000 bytes, got 99",
    )
    # A body that is too long is not truncated, so it is not retried.
    url = server.script("/c.tcz", chunks([CONTENT]))
    assert why_not(store, url, size_bytes=2999)[:2] == (
        ChecksumError,
        f"c.tcz failed verification: {url}: larger than 2999 bytes",
    )
    assert server.statuses("/c.tcz") == [200]


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br"])
def test_content_encoding_is_not_decoded(encoding: str, server: Server, store: Store) -> None:
    """Some servers send a .gz file unchanged, but with Content-Encoding: gzip."""
    packed = gzip.compress(CONTENT, mtime=0)
    url = server.put("/core.gz", packed, Content_Encoding=encoding)
    assert fetch(store, url, kind=FileKind.GZIP) == packed


@pytest.mark.parametrize(
    "answer",
    [b"", b"\r\n", b"SSH-2.0-OpenSSH_6.4\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1\r\n\r\n",
     b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
     b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70000 + b"\r\n\r\n"],
)  # fmt: skip
def test_non_http_response_is_a_fault(
    answer: bytes, server: Server, second: Server, store: Store
) -> None:
    url = server.script("/a.tcz", *[raw(answer)] * 4)
    words = "the response is not valid HTTP" if answer else "connection lost"
    assert why_not(store, url)[1] == f"a.tcz cannot be fetched: {url}: {words}"
    assert fetch(store, url, second.put("/a.tcz", CONTENT)) == CONTENT


def test_conflicting_lengths_are_refused(server: Server, store: Store) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"
    url = server.script("/a.tcz", *[raw(head + b"hello!")] * 3)
    assert (
        why_not(store, url)[1] == f"a.tcz cannot be fetched: {url}: the response is not valid HTTP"
    )


def test_silent_server_is_aborted(server: Server, store: Store) -> None:
    url = server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", silence)
    assert fetch(store, url, policy=IMPATIENT) == CONTENT
    server.script("/b.tcz", *[silence] * 3)
    assert why_not(store, f"{server.url}/b.tcz", policy=IMPATIENT) == (
        DownloadError,
        f"b.tcz cannot be fetched: {server.url}/b.tcz: no answer within 0.5 seconds",
        NETWORK_HINT,
    )


class _FakeWeb:
    """Answer each request with the next response, and record its headers and time limit."""

    def __init__(self, clock: _Clock, *responses: SimpleNamespace) -> None:
        self.asked: list[tuple[dict[str, str] | None, float]] = []
        self._clock = clock
        self._responses = list(responses)

    @contextmanager
    def ask(
        self, _url: str, *, headers: dict[str, str] | None, most_seconds: float
    ) -> Iterator[SimpleNamespace]:
        self.asked.append((headers, most_seconds))
        self._clock.now += 25
        yield self._responses.pop(0)


class _Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_restarted_download_has_the_rest_of_the_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partial download belongs to another version, so the second request starts over."""
    clock = _Clock()
    monkeypatch.setattr(transfer, "time", clock)
    url = "http://mirror.example/a.tcz"
    partial = store.partial(url)
    partial.begin(CacheEntry(url=url, size_bytes=len(CONTENT)))
    with partial.extend() as stream:
        stream.write(CONTENT[:1000])
    refused = SimpleNamespace(status=416, headers={"Content-Range": "bytes */5"}, length=0)
    complete = SimpleNamespace(
        status=200, headers={}, length=len(CONTENT), pieces=lambda: iter([CONTENT])
    )
    web = _FakeWeb(clock, refused, complete)
    blob = Transfer(
        store,
        want(url, md5=md5(CONTENT)),
        url,
        ours=True,
        begun={},
        received=lambda *_numbers: None,
    ).run(web, most_seconds=60)  # type: ignore[arg-type]
    assert blob.path.read_bytes() == CONTENT
    # If-Range would need a validator.
    assert web.asked == [({"Range": "bytes=1000-"}, 60), (None, 35)]
