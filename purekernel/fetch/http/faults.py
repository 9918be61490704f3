"""Say in our words what requests and urllib3 raise.

None of the libraries' own words are passed on: they name URLs, proxies, and passwords in both.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from typing import TypeVar

import requests
from attrs import frozen
from urllib3 import exceptions

from purekernel.fetch.wanted import Cause, Fault

# Everything that the libraries let out of a request: their own, http.client's, the host's, and
# ValueErrors of URLs, of host names (UnicodeError) and of netrc, TypeErrors of proxies' URLs
# without a host.
RAISED = (
    requests.RequestException,
    exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    TypeError,
)

# Exceptions hold others; four levels are common, and nothing says how many there may be.
_MOST_ERRORS = 32

_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")

_Kind = TypeVar("_Kind", bound=BaseException)


@frozen(kw_only=True)
class Bounds:
    """What a request was allowed, for the words of faults.

    Attributes:
        connect_seconds: until a connection stands.
        stall_seconds: without a byte.
    """

    connect_seconds: float
    stall_seconds: float


def fault_of(error: BaseException, bounds: Bounds) -> Fault:
    """Return what an exception of :data:`RAISED` means."""
    raised = _Raised(error, bounds)
    meanings = (
        raised.certificate,
        raised.tls,
        raised.proxy_refusal,
        raised.no_connection,
        raised.stall,
        raised.cut,
        raised.no_http,
        raised.unusable_address,
        raised.no_authorities,
    )
    found = (meaning() for meaning in meanings)
    return next((fault for fault in found if fault is not None), raised.unreachable())


def unusable() -> Fault:
    """Return the fault of an address that nobody could ask."""
    return Fault("the address, or that of the proxy, cannot be used", Cause.LASTING)


def _no_authorities() -> Fault:
    return Fault(
        "the file of trusted certificates cannot be read",
        Cause.LASTING,
        hint="check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE",
    )


class _Raised:
    """An exception and those that it was made of, each meaning looked for in all of them."""

    def __init__(self, error: BaseException, bounds: Bounds) -> None:
        self._error = error
        self._errors = list(_all_of(error))
        self._bounds = bounds

    def _first(self, *kinds: type[_Kind]) -> _Kind | None:
        return next((error for error in self._errors if isinstance(error, kinds)), None)

    def certificate(self) -> Fault | None:
        error = self._first(ssl.SSLCertVerificationError)
        if error is None:
            return None
        why = getattr(error, "verify_message", "no reason given")  # OpenSSL's have one
        return Fault(
            f"its TLS certificate is not trusted: {why}",
            Cause.LASTING,
            hint="check the clock; an authority of your own is named with REQUESTS_CA_BUNDLE",
        )

    def tls(self) -> Fault | None:
        error = self._first(ssl.SSLError)
        if error is None:
            return None
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return self._was_cut()
        reason = getattr(error, "reason", None) or "no reason given"
        if reason == "NO_CERTIFICATE_OR_CRL_FOUND":
            return _no_authorities()
        return Fault(f"TLS fails: {reason.replace('_', ' ').lower()}", Cause.LASTING)

    def proxy_refusal(self) -> Fault | None:
        for error in self._errors:
            if found := _TUNNEL.match(str(error)):
                return Fault(
                    f"the proxy answers {found[1]}",
                    Cause.PASSING if int(found[1]) >= 500 else Cause.LASTING,
                    hint="check HTTPS_PROXY, and the user and password in it",
                )
        return None

    def no_connection(self) -> Fault | None:
        if self._first(exceptions.NewConnectionError, exceptions.ConnectTimeoutError):
            return self.unreachable()
        return None

    def stall(self) -> Fault | None:
        if self._first(TimeoutError, exceptions.ReadTimeoutError):
            return Fault(
                f"it sent nothing for {self._bounds.stall_seconds:g} seconds", Cause.PASSING
            )
        return None

    def cut(self) -> Fault | None:
        if self._first(ConnectionError, http.client.IncompleteRead, exceptions.IncompleteRead):
            return self._was_cut()
        return None

    def no_http(self) -> Fault | None:
        # An invalid header is one of the answer's: those that we send are checked before.
        raised = http.client.HTTPException, exceptions.ProtocolError, exceptions.InvalidHeader
        if self._first(*raised):
            return Fault("its answer is not HTTP", Cause.PASSING)
        return None

    def unusable_address(self) -> Fault | None:
        if self._first(ValueError, TypeError, exceptions.LocationValueError):
            return unusable()
        return None

    def no_authorities(self) -> Fault | None:
        # requests looks for the file of authorities before it asks.
        if isinstance(self._error, requests.RequestException) or self._first(exceptions.HTTPError):
            return None
        return _no_authorities()

    def unreachable(self) -> Fault:
        refusals = (error for error in self._errors if isinstance(error, OSError))
        refusal = next((error.strerror for error in refusals if error.strerror), None)
        if self._first(socket.gaierror):
            words = "the name of its host is not known"
        elif refusal is not None:
            words = f"no connection: {refusal}"
        else:
            words = f"no connection within {self._bounds.connect_seconds:g} seconds"
        if self._first(exceptions.ProxyError):
            words = f"the proxy: {words}"
        return Fault(words, Cause.UNREACHABLE)

    def _was_cut(self) -> Fault:
        return Fault("the connection was cut", Cause.PASSING)


def _all_of(error: BaseException) -> Iterator[BaseException]:
    pending, seen = [error], 0
    while pending and seen < _MOST_ERRORS:
        error = pending.pop(0)
        seen += 1
        yield error
        inner = (*error.args, getattr(error, "reason", None), error.__cause__)
        pending += [one for one in inner if isinstance(one, BaseException)]
