"""Test that exceptions of requests and urllib3 become faults with purekernel's own messages."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import exceptions

from purekernel.errors import DownloadError
from purekernel.fetch.downloads import DownloadPolicy
from purekernel.fetch.http.faults import RAISED, Bounds, fault_of, unusable
from purekernel.fetch.model import Cause
from purekernel.fetch.store import Store
from tests.fetch.fetching import NETWORK_HINT, QUICK, why_not

BOUNDS = Bounds(connect_seconds=10, stall_seconds=30, slow_seconds=30, min_bytes_per_second=1000)
SECRET = "hunter2"
URL = f"http://user:{SECRET}@host/a"


@pytest.mark.parametrize(
    ("error", "words", "cause"),
    [
        (TimeoutError(), "no data for 30 seconds", Cause.PASSING),
        (requests.ReadTimeout(URL), "cannot connect within 10 seconds", Cause.UNREACHABLE),
        (ConnectionResetError(104, URL), "connection lost", Cause.PASSING),
        (http.client.IncompleteRead(b"", 5), "connection lost", Cause.PASSING),
        (http.client.BadStatusLine(URL), "the response is not valid HTTP", Cause.PASSING),
        (exceptions.ProtocolError(URL), "the response is not valid HTTP", Cause.PASSING),
        (requests.exceptions.InvalidURL(URL), unusable().reason, Cause.LASTING),
        (UnicodeError(URL), unusable().reason, Cause.LASTING),
        (TypeError(URL), unusable().reason, Cause.LASTING),
        (ssl.SSLEOFError(8, "EOF"), "connection lost", Cause.PASSING),
        (ssl.SSLError(1, URL), "TLS error: no reason given", Cause.LASTING),
        (FileNotFoundError(2, URL), "cannot read the file of trusted certificates",
         Cause.LASTING),
    ],
)  # fmt: skip
def test_each_exception_maps_to_a_fault(error: Exception, words: str, cause: Cause) -> None:
    fault = fault_of(error, BOUNDS)
    assert (fault.reason, fault.cause) == (words, cause)


def test_silence_before_the_response_concerns_the_host() -> None:
    fault = fault_of(TimeoutError(), BOUNDS, answered=False)
    assert (fault.reason, fault.cause) == ("no answer within 30 seconds", Cause.SILENT)
    assert fault.may_pass
    assert fault.is_outage


kinds = st.sampled_from(
    [
        *(kind for kind in RAISED if kind is not exceptions.HTTPError),
        requests.ConnectionError, requests.exceptions.SSLError, requests.exceptions.ProxyError,
        requests.exceptions.ChunkedEncodingError, exceptions.ProtocolError, socket.gaierror,
        exceptions.LocationParseError, exceptions.InvalidHeader, ConnectionResetError,
        ssl.SSLCertVerificationError, ssl.SSLError, TimeoutError, http.client.BadStatusLine,
    ]
)  # fmt: skip


@given(st.recursive(st.just(URL), lambda inner: st.builds(lambda k, e: k(e), kinds, inner)))
def test_fault_never_contains_exception_text(error: Any) -> None:
    if isinstance(error, str):
        error = OSError(error)
    # A cycle of causes must not loop forever.
    error.__cause__ = error
    fault = fault_of(error, BOUNDS)
    assert SECRET not in fault.reason + fault.hint


@pytest.mark.usefixtures("plain_surroundings")
def test_unknown_host_name_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_named: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert why_not(store, "http://mirror.invalid/a", policy=QUICK) == (
        DownloadError,
        "a cannot be fetched: http://mirror.invalid/a: unknown host name",
        NETWORK_HINT,
    )


@pytest.mark.usefixtures("plain_surroundings")
def test_connect_timeout_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(*_arguments: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", wait)
    policy = DownloadPolicy(attempts=1, connect_seconds=2.5)
    assert why_not(store, "http://127.0.0.1:9/a", policy=policy)[1] == (
        "a cannot be fetched: http://127.0.0.1:9/a: cannot connect within 2.5 seconds"
    )
