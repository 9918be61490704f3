"""Test proxies that HTTP_PROXY and similar variables name."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from purekernel.errors import DownloadError
from purekernel.fetch.store import Store
from tests.fetch.answers import redirect, status, tunnel
from tests.fetch.fetching import NETWORK_HINT, closed_port, extension, fetch, files, why_not
from tests.fetch.server import Exchange, Server

CONTENT = extension()
SECRET = "hunter2"

# Only the proxy can serve this URL: no server has this name (RFC 6761).
FAR = "http://mirror.invalid/a.tcz"


@pytest.fixture
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Return a proxy that serves the files put into it, by absolute URL."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    return server


def test_proxy_request_uses_absolute_url(proxy: Server, store: Store) -> None:
    proxy.put(FAR, CONTENT)
    assert fetch(store, FAR) == CONTENT
    (asked,) = proxy.asked
    assert (asked.target, asked.headers["host"]) == (FAR, "mirror.invalid")


def test_no_proxy_hosts_bypass_proxy(
    proxy: Server, second: Server, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,example.invalid")
    monkeypatch.setenv("no_proxy", "127.0.0.1,example.invalid")
    assert fetch(store, second.put("/a.tcz", CONTENT)) == CONTENT
    assert proxy.asked == []


def test_proxy_credentials_are_sent_only_to_proxy(
    proxy: Server, second: Server, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy.url.replace("//", f"//user:{SECRET}@"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    proxy.script(FAR, redirect(second.put("/a.tcz", CONTENT)))
    assert fetch(store, FAR) == CONTENT
    sent = b64encode(f"user:{SECRET}".encode()).decode()
    assert proxy.asked[0].headers["proxy-authorization"] == f"Basic {sent}"
    assert "proxy-authorization" not in second.asked[0].headers
    for path in store.folder.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def test_status_407_of_proxy_is_reported(proxy: Server, store: Store) -> None:
    proxy.script(FAR, status(407))
    assert why_not(store, FAR) == (
        DownloadError,
        f"a.tcz cannot be fetched: {FAR}: status 407, Proxy Authentication Required",
        "set user and password in HTTP_PROXY",
    )


@pytest.mark.usefixtures("plain_surroundings")
def test_unreachable_proxy_is_reported_as_proxy(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    with closed_port() as port:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://user:{SECRET}@127.0.0.1:{port}")
        assert why_not(store, FAR) == (
            DownloadError,
            f"a.tcz cannot be fetched: {FAR}: proxy: cannot connect: Connection refused",
            NETWORK_HINT,
        )


@pytest.mark.usefixtures("plain_surroundings")
@pytest.mark.parametrize(
    "proxy", [f"http://user:{SECRET}@", f"http://u:{SECRET}@[::1", "nonsense:"]
)
def test_invalid_proxy_url_is_a_fault(
    proxy: str, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy)
    assert why_not(store, FAR) == (
        DownloadError,
        f"a.tcz cannot be fetched: {FAR}: invalid URL, or invalid proxy URL",
        NETWORK_HINT,
    )
    assert files(store) == []


@pytest.fixture
def secure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_surroundings: None
) -> Iterator[Server]:
    """Return a TLS server named mirror.invalid that only a proxy can reach."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mirror.invalid").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    with Server(context).running() as running:
        yield running


def test_https_tunnels_through_proxy(
    secure: Server, server: Server, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, server.url.replace("//", f"//user:{SECRET}@"))
    secure.put("/a.tcz", CONTENT)
    server.script("mirror.invalid:443", tunnel(secure.port))
    assert fetch(store, "https://mirror.invalid/a.tcz") == CONTENT
    (asked,) = server.asked
    assert (asked.method, asked.headers["proxy-authorization"][:6]) == ("CONNECT", "Basic ")
    assert "proxy-authorization" not in secure.asked[0].headers


@pytest.mark.parametrize(("code", "times"), [(407, 1), (403, 1), (502, 3)])
def test_refused_proxy_tunnel_is_reported(
    code: int, times: int, server: Server, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, server.url.replace("//", f"//user:{SECRET}@"))

    def refuse(exchange: Exchange) -> None:
        exchange.hang_up()
        exchange.say(code, b"no\n")

    url = "https://mirror.invalid/a.tcz"
    server.script("mirror.invalid:443", *[refuse] * 9)
    assert why_not(store, url) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: the proxy returned status {code}",
        "check HTTPS_PROXY, and the user and password in it",
    )
    assert len(server.asked) == times
