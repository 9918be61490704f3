"""Test redirects, time limits and reuse of connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from attrs import evolve

from purekernel.errors import DownloadError, MissingFileError
from purekernel.fetch.downloads import DownloadPolicy, Downloads
from purekernel.fetch.http import Web
from purekernel.fetch.http.web import MOST_REDIRECTS
from purekernel.fetch.model import Cause, Fault, Stopped
from purekernel.fetch.store import Store
from tests.fetch.answers import chunks, cut, raw, redirect, silence, stall
from tests.fetch.fetching import BOUNDS, NETWORK_HINT, QUICK, extension, fetch, files, want, why_not
from tests.fetch.server import Answer, Exchange, Server

CONTENT = extension()


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web(BOUNDS)
    yield made
    made.close()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(code: int, server: Server, second: Server, store: Store) -> None:
    url = server.script("/a.tcz", redirect(second.put("/b.tcz", CONTENT), code))
    assert fetch(store, url) == CONTENT
    # The cache entry is stored under the requested URL.
    assert store.record(url) is not None


@pytest.mark.parametrize(
    "target", ["/x/b.tcz", "b.tcz", "./b.tcz", "../x/b.tcz#part", "//{host}/x/b.tcz"]
)
def test_relative_redirect_is_followed(target: str, server: Server, store: Store) -> None:
    server.put("/x/b.tcz", CONTENT)
    host = server.url.removeprefix("http://")
    url = server.script("/x/a.tcz", redirect(target.format(host=host)))
    assert fetch(store, url) == CONTENT
    assert server.connections == 1


def moved(target: bytes) -> Answer:
    """Return a redirect whose Location is any bytes."""
    head = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n" % target
    return raw(head + b"Connection: close\r\n\r\n")


@pytest.mark.parametrize("name", ["/\u00e9.tcz", "/a b.tcz"])
def test_redirect_with_non_ascii_characters_is_followed(
    name: str, server: Server, store: Store
) -> None:
    quoted = {"/\u00e9.tcz": "/%C3%A9.tcz", "/a b.tcz": "/a%20b.tcz"}[name]
    server.put(quoted, CONTENT)
    url = server.script("/a.tcz", moved(name.encode()))
    assert fetch(store, url) == CONTENT


def test_resumed_download_follows_redirect_again(
    server: Server, second: Server, store: Store
) -> None:
    target = second.put("/b.tcz", CONTENT)
    second.script("/b.tcz", cut(1000))
    url = server.script("/a.tcz", redirect(target), redirect(target))
    assert fetch(store, url) == CONTENT
    assert second.asked[1].headers["range"] == "bytes=1000-"


def test_redirect_loop_is_a_fault(server: Server, store: Store) -> None:
    url = server.script("/a.tcz", redirect("/b.tcz?token=secret"))
    server.script("/b.tcz?token=secret", redirect("/a.tcz"))
    assert why_not(store, url) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: redirect loop to {url}",
        NETWORK_HINT,
    )
    url = server.script("/c.tcz?token=secret", redirect("/c.tcz?token=secret"))
    message = why_not(store, url)[1]
    assert message.endswith(f"redirect loop to {server.url}/c.tcz?token=***")
    assert "secret" not in message


def test_too_many_redirects_are_a_fault(server: Server, store: Store) -> None:
    url = server.put(f"/{MOST_REDIRECTS}", CONTENT).replace(f"/{MOST_REDIRECTS}", "/0")
    for number in range(MOST_REDIRECTS):
        server.script(f"/{number}", redirect(f"/{number + 1}"))
    assert fetch(store, url) == CONTENT
    for number in range(MOST_REDIRECTS + 1):
        server.script(f"/{number}", redirect(f"/{number + 1}"))
    assert why_not(Store(store.folder / "other"), url) == (
        DownloadError,
        f"0 cannot be fetched: {url}: more than 10 redirects",
        NETWORK_HINT,
    )


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("FILE:/etc/passwd", "FILE:/etc/passwd"),
        ("file://localhost/etc/passwd", "file://localhost/etc/passwd"),
        ("ftp://user:secret@host/a.tcz", "ftp://host/a.tcz"),
        ("gopher://host/a.tcz", "gopher://host/a.tcz"),
        ("data:text/plain,secret", "data:text/plain,secret"),
    ],
)
def test_redirect_to_other_scheme_is_refused(
    target: str, shown: str, server: Server, store: Store
) -> None:
    url = server.script("/a.tcz", redirect(target))
    words = f"{shown} must be an http or https URL"
    assert why_not(store, url)[1] == f"a.tcz cannot be fetched: {url}: {words}"
    assert files(store) == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (b"http://[::1", "redirect to an invalid URL"),
        (b"\xff\xfe", "redirect to an invalid URL"),
        (b"//:80/", "invalid URL, or invalid proxy URL"),
        (b"http://host:port/", "invalid URL, or invalid proxy URL"),
    ],
)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_redirect_to_invalid_url_is_a_fault(
    target: bytes, words: str, server: Server, store: Store
) -> None:
    url = server.script("/a.tcz", moved(target))
    assert why_not(store, url)[1] == f"a.tcz cannot be fetched: {url}: {words}"


def test_endless_redirect_body_is_not_read(server: Server, store: Store) -> None:
    target = server.put("/b.tcz", CONTENT)

    def endless(exchange: Exchange) -> None:
        exchange.begin(302, {"Location": target, "Transfer-Encoding": "chunked"})
        while True:
            exchange.send_raw(b"8000\r\n%b\r\n" % bytes(0x8000))

    assert fetch(store, server.script("/a.tcz", endless)) == CONTENT


@pytest.mark.parametrize(
    "url",
    ["http://", "http://:80/a", "http://host:port/a", "http://host:99999/a", "http://[::1/a",
     "http://user@/a", "http://a b/c", "http://.x/a", "http://" + "x" * 70 + ".example/a",
     "http://us\ud800er:x@127.0.0.1:1/a"],
)  # fmt: skip
def test_invalid_url_is_a_fault(url: str, plain_surroundings: None, store: Store) -> None:
    kind, message, _hint = why_not(store, url, name="a")
    assert (kind, message.rpartition(": ")[2]) == (
        DownloadError,
        "invalid URL, or invalid proxy URL",
    )
    message.encode()


def test_lone_surrogate_in_url_is_a_fault(server: Server, store: Store) -> None:
    kind, message, _hint = why_not(store, f"{server.url}/\ud800", name="a")
    assert kind in (DownloadError, MissingFileError)
    message.encode()


@pytest.mark.parametrize("url", ["ftp://host/a", "socks5://host/a", "s3://bucket/a"])
def test_other_schemes_are_refused(url: str, store: Store) -> None:
    assert (
        why_not(store, url)[1] == f"a cannot be fetched: {url}: {url} must be an http or https URL"
    )


def hurried(most_seconds: float) -> DownloadPolicy:
    return DownloadPolicy(
        attempts=3, stall_seconds=20, most_seconds=most_seconds, first_pause_seconds=0
    )


def drip_headers(exchange: Exchange) -> None:
    """Send a byte now and then, so that no socket time-out expires."""
    exchange.hang_up()
    with exchange.letting_go():
        exchange.send_raw(b"HTTP/1.1 200 OK\r\n")
        while True:
            exchange.send_raw(b"x")
            time.sleep(0.01)


def drip_body(exchange: Exchange) -> None:
    exchange.begin(200, {"Content-Length": "100000"})
    with exchange.letting_go():
        while True:
            exchange.send_raw(b"x")
            time.sleep(0.01)


@pytest.mark.parametrize("answer", [drip_headers, drip_body, silence, stall(5)])
def test_slow_server_is_aborted(answer: Answer, server: Server, store: Store) -> None:
    server.put("/a.tcz", CONTENT)
    url = server.script("/a.tcz", *[answer] * 9)
    kind, message, hint = why_not(store, url, policy=hurried(0.3))
    assert (kind, hint) == (DownloadError, NETWORK_HINT)
    assert message.startswith(f"a.tcz cannot be fetched: {url}: not completed within 0.")
    assert server.statuses() in ([], [0], [200])


def test_download_below_minimum_rate_is_aborted_and_resumed(server: Server, store: Store) -> None:
    large = extension(100_000)
    url = server.put("/a.tcz", large)

    def drip(exchange: Exchange) -> None:
        exchange.hang_up()
        exchange.begin(200, {"Content-Length": "100000", "ETag": '"a"'})
        with exchange.letting_go():
            exchange.send_raw(large[:70_000])
            for byte in large[70_000:]:
                exchange.send_raw(bytes([byte]))
                time.sleep(0.01)

    server.put("/a.tcz", large, ETag='"a"')
    server.script("/a.tcz", drip)
    policy = evolve(QUICK, slow_seconds=0.5, min_bytes_per_second=10_000_000)
    assert fetch(store, url, policy=policy) == large
    first, *later = server.asked
    assert (first.status, 70_000 <= first.sent_bytes < 100_000) == (200, True)
    assert {asked.status for asked in later} == {206}


def test_server_that_is_always_too_slow_is_an_error(server: Server, store: Store) -> None:
    server.put("/a.tcz", CONTENT)
    url = server.script("/a.tcz", *[drip_body] * 9)
    policy = evolve(QUICK, slow_seconds=0.2, min_bytes_per_second=10_000)
    assert why_not(store, url, policy=policy) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: less than 10000 bytes per second for 0.2 seconds",
        NETWORK_HINT,
    )
    assert len(server.asked) == QUICK.attempts


def test_thread_is_reused_after_aborted_request(server: Server, store: Store) -> None:
    server.script("/a.tcz", silence)
    with Downloads(store, policy=hurried(0.6)) as downloads:
        with pytest.raises(DownloadError):
            downloads.fetch(want(f"{server.url}/a.tcz"))
        fetched = downloads.fetch(want(server.put("/b.tcz", CONTENT)))
        assert fetched is not None
        assert downloads.load(fetched) == CONTENT


def test_connections_are_reused(server: Server, web: Web) -> None:
    for number in range(5):
        with web.ask(server.put(f"/{number}", CONTENT), most_seconds=9) as answer:
            assert b"".join(answer.pieces()) == CONTENT
    for path, body in (("/missing", None), ("/chunks", chunks([CONTENT]))):
        if body is not None:
            server.script(path, body)
        # These bodies are not read to the end, but they are short.
        with web.ask(f"{server.url}{path}", most_seconds=9):
            pass
    assert (len(server.asked), server.connections) == (7, 1)


def test_connection_with_large_unread_body_is_closed(server: Server, web: Web) -> None:
    with web.ask(server.put("/large", bytes(8 << 20)), most_seconds=9):
        pass
    with web.ask(server.put("/small", b"x"), most_seconds=9) as answer:
        assert b"".join(answer.pieces()) == b"x"
    assert server.connections == 2
    assert server.asked[0].sent_bytes < 8 << 20


def test_connection_closed_by_server_is_reopened(server: Server, web: Web) -> None:
    url = server.put("/a", CONTENT)
    server.script("/a", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    for expected in (b"ok", CONTENT):
        with web.ask(url, most_seconds=9) as answer:
            assert b"".join(answer.pieces()) == expected
        if expected == b"ok":
            server.wait_for_idleness()
    assert server.connections == 2


def test_request_after_stop_raises(server: Server, web: Web) -> None:
    url = server.script("/a", silence)
    timer = threading.Timer(0.05, web.stop)
    timer.start()
    with pytest.raises(Stopped), web.ask(url, most_seconds=9):
        pass
    timer.join()
    with pytest.raises(Stopped), web.ask(server.put("/b", b""), most_seconds=9):
        pass
    assert len(server.asked) <= 1


def test_headers_are_case_insensitive(server: Server, web: Web) -> None:
    with web.ask(server.put("/a", b"", X_Y="z"), most_seconds=9) as answer:
        assert (answer.status, answer.headers["x-y"], answer.length) == (200, "z", 0)


def test_cookies_are_not_stored(server: Server, web: Web) -> None:
    for _ in range(2):
        with web.ask(server.put("/a", b"", Set_Cookie="a=b; Path=/"), most_seconds=9):
            pass
    assert "cookie" not in server.asked[1].headers


def test_fault_does_not_contain_library_messages(web: Web) -> None:
    with pytest.raises(Fault) as caught, web.ask("http://127.0.0.1:1/", most_seconds=9):
        pass
    assert caught.value.__cause__ is None
    assert (caught.value.reason, caught.value.cause) == (
        "cannot connect: Connection refused",
        Cause.UNREACHABLE,
    )
