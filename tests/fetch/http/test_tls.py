"""Test TLS servers: trusted authorities, and errors for untrusted or broken servers."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import evolve

from purekernel.errors import DownloadError, OfflineError
from purekernel.fetch.downloads import DownloadPolicy, Downloads
from purekernel.fetch.store import Store
from tests.fetch.answers import cut, raw, redirect, silence
from tests.fetch.fetching import (
    NETWORK_HINT,
    QUICK,
    extension,
    fetch,
    md5,
    sha256,
    want,
    why_not,
)
from tests.fetch.server import Server

CONTENT = extension(100_000)
HINT = "check the clock; set REQUESTS_CA_BUNDLE to the certificate of your own authority"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def make_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def secure(authority: trustme.CA, plain_surroundings: None) -> Iterator[Server]:
    with Server(make_tls(authority, "127.0.0.1")).running() as running:
        yield running


@pytest.fixture
def misnamed(authority: trustme.CA, plain_surroundings: None) -> Iterator[Server]:
    with Server(make_tls(authority, "mirror.example")).running() as running:
        yield running


@pytest.fixture
def trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_surroundings: None
) -> Path:
    """Return the authority's certificate, which REQUESTS_CA_BUNDLE names."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    return path


def test_private_authority_is_trusted_if_configured(
    secure: Server, trusted: Path, store: Store
) -> None:
    url = secure.put("/a.tcz", CONTENT)
    secure.script("/a.tcz", cut(50_000))
    assert fetch(store, url) == CONTENT
    assert secure.statuses() == [200, 206]


def test_unknown_authority_is_refused(secure: Server, store: Store) -> None:
    url = secure.put("/a.tcz", CONTENT)
    kind, message, hint = why_not(store, url)
    assert (kind, hint) == (DownloadError, HINT)
    assert message in (
        f"a.tcz cannot be fetched: {url}: TLS certificate not trusted: {words}"
        for words in (
            "unable to get local issuer certificate",
            "self-signed certificate in certificate chain",
            "self signed certificate in certificate chain",
        )
    )
    # A retry would fail in the same way.
    assert (secure.connections, secure.asked) in ((1, []), (0, []))


def test_certificate_of_other_host_is_refused(
    misnamed: Server, trusted: Path, store: Store
) -> None:
    url = misnamed.put("/a.tcz", CONTENT)
    assert why_not(store, url) == (
        DownloadError,
        (
            f"a.tcz cannot be fetched: {url}: TLS certificate not trusted: IP address "
            "mismatch, certificate is not valid for '127.0.0.1'."
        ),
        HINT,
    )


def test_untrusted_mirror_is_skipped(
    misnamed: Server, trusted: Path, secure: Server, store: Store
) -> None:
    first = misnamed.put("/a.tcz", CONTENT)
    assert fetch(store, first, secure.put("/a.tcz", CONTENT)) == CONTENT


def test_redirect_from_http_to_https_is_followed(
    server: Server, secure: Server, trusted: Path, store: Store
) -> None:
    url = server.script("/a.tcz", redirect(secure.put("/a.tcz", CONTENT)))
    assert fetch(store, url) == CONTENT


@pytest.mark.parametrize("hops", ["https", "https https", "http https"])
@pytest.mark.usefixtures("trusted")
def test_redirect_from_https_to_http_is_refused(
    hops: str, server: Server, second: Server, secure: Server, store: Store
) -> None:
    target = server.put("/a.tcz", CONTENT)
    url = secure.script("/a.tcz", redirect(target))
    first = hops.split(maxsplit=1)[0]
    if hops != first:
        url = (secure if first == "https" else second).script("/0/a.tcz", redirect(url))
    assert why_not(store, url) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: redirect from https to plain http is refused: {target}",
        "use a mirror that serves the file over https",
    )
    assert server.asked == []


@pytest.mark.usefixtures("trusted")
def test_redirect_to_http_does_not_reveal_password_of_netrc(
    server: Server, secure: Server, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    url = secure.script("/a.tcz", *[redirect(server.put("/a.tcz", CONTENT))] * 2)
    with Downloads(store, policy=QUICK) as downloads:
        assert downloads.sizes([want(url)]) == {want(url): None}
    assert why_not(store, url)[0] is DownloadError
    assert [asked.method for asked in secure.asked] == ["HEAD", "GET"]
    assert all("authorization" in asked.headers for asked in secure.asked)
    assert server.asked == []


def test_server_without_tls_is_reported_as_tls_error(
    server: Server, trusted: Path, store: Store
) -> None:
    url = server.url.replace("http:", "https:") + "/a.tcz"
    kind, message, hint = why_not(store, url)
    assert (kind, hint) == (DownloadError, NETWORK_HINT)
    assert message.startswith(f"a.tcz cannot be fetched: {url}: TLS error: ")


@pytest.mark.slow
def test_missing_ca_bundle_is_reported(
    secure: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    url = secure.put("/a.tcz", CONTENT)
    assert why_not(store, url) == (
        DownloadError,
        f"a.tcz cannot be fetched: {url}: cannot read the file of trusted certificates",
        "check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE",
    )


def test_invalid_ca_bundle_is_reported(
    secure: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    (tmp_path / "broken.pem").write_bytes(b"no certificate\n")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "broken.pem"))
    url = secure.put("/a.tcz", CONTENT)
    assert why_not(store, url)[1] == (
        f"a.tcz cannot be fetched: {url}: cannot read the file of trusted certificates"
    )


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_tls_close_without_notify_is_connection_lost(
    secure: Server, trusted: Path, store: Store
) -> None:
    url = secure.script("/a.tcz", *[raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhs")] * 3)
    assert why_not(store, url)[1] == f"a.tcz cannot be fetched: {url}: connection lost"


def test_slow_tls_server_is_aborted(secure: Server, trusted: Path, store: Store) -> None:
    policy = DownloadPolicy(stall_seconds=20, most_seconds=0.3, first_pause_seconds=0)
    url = secure.script("/a.tcz", silence)
    assert ": not completed within 0." in why_not(store, url, policy=policy)[1]


def test_endless_tls_handshake_is_aborted(
    plain_surroundings: None, store: Store, unanswering: int
) -> None:
    """Another thread can abort a TLS handshake as well."""
    policy = DownloadPolicy(
        connect_seconds=20, stall_seconds=20, most_seconds=0.3, first_pause_seconds=0
    )
    url = f"https://127.0.0.1:{unanswering}/a.tcz"
    assert ": not completed within 0." in why_not(store, url, policy=policy)[1]


def test_tls_connections_are_reused(secure: Server, trusted: Path, store: Store) -> None:
    wanted = [want(secure.put(f"/{number}", CONTENT)) for number in range(5)]
    policy = DownloadPolicy(parallel=1)
    assert policy.attempts > QUICK.attempts
    with Downloads(store, policy=policy) as downloads:
        assert [downloads.load(one) for one in downloads.fetch_all(wanted) if one] == [CONTENT] * 5
    assert secure.connections == 1


@pytest.fixture
def fallback(secure: Server, trusted: Path, server: Server) -> tuple[str, str]:
    """Return the URL of a file that an https mirror lacks, and a plain http mirror has."""
    return f"{secure.url}/a.tcz", server.put("/a.tcz", CONTENT)


def test_plain_http_does_not_stand_in_for_https(
    fallback: tuple[str, str], server: Server, store: Store
) -> None:
    secure_url, plain_url = fallback
    assert why_not(store, secure_url, plain_url) == (
        DownloadError,
        (
            f"a.tcz cannot be fetched: {secure_url}: not found; {plain_url}: not tried, because "
            "plain http must not stand in for https"
        ),
        "use another https mirror, or permit plain http with --allow-http",
    )
    assert why_not(store, secure_url, plain_url, md5=md5(CONTENT))[0] is DownloadError
    # A digest from an index that any host on the way can change proves nothing.
    plain_index = {"sha256": sha256(CONTENT), "digest_source": "HTTP://mirror.example/info"}
    assert why_not(store, secure_url, plain_url, **plain_index)[0] is DownloadError
    assert fetch(store, secure_url, plain_url, optional=True) is None
    with Downloads(store, policy=QUICK) as downloads:
        assert downloads.sizes([want(secure_url, plain_url)]) == {want(secure_url, plain_url): None}
    assert server.asked == []


@pytest.mark.parametrize(
    "fields",
    [
        {"sha256": sha256(CONTENT)},
        {"sha256": sha256(CONTENT), "digest_source": "https://mirror.example/info"},
        {"sha256": sha256(CONTENT), "digest_source": "/mnt/mirror/info"},
        {"sha512": hashlib.sha512(CONTENT).hexdigest()},
        {"policy": evolve(QUICK, allow_http=True)},
    ],
)
def test_plain_http_stands_in_for_pinned_files_or_if_permitted(
    fields: dict[str, Any], fallback: tuple[str, str], store: Store
) -> None:
    assert fetch(store, *fallback, **fields) == CONTENT


def test_plain_http_is_used_where_it_is_the_first_choice(
    fallback: tuple[str, str], store: Store, tmp_path: Path
) -> None:
    secure_url, plain_url = fallback
    assert fetch(store, plain_url, secure_url) == CONTENT
    assert fetch(store, str(tmp_path / "a.tcz"), plain_url) == CONTENT


def test_stored_file_of_refused_mirror_is_not_used_offline(
    fallback: tuple[str, str], store: Store
) -> None:
    assert fetch(store, fallback[1]) == CONTENT
    kind, message, _hint = why_not(store, *fallback, offline=True)
    assert (kind, "must not stand in for https" in message) == (OfflineError, True)
