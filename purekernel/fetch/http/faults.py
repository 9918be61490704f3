"""Convert the exceptions of requests and urllib3 to faults.

The messages of the libraries are not used, because they contain the URLs of servers and proxies
with their passwords.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from typing import TypeVar

import requests
from urllib3 import exceptions

from purekernel.fetch.model import Cause, Fault
from purekernel.records import frozen

# All exceptions that a request can raise: those of the libraries, of http.client and of the
# operating system; ValueError for URLs, host names (UnicodeError) and netrc; TypeError for proxy
# URLs without a host.
RAISED = (
    requests.RequestException,
    exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    TypeError,
)

# Exceptions contain others. Four levels are common; there is no documented maximum.
_MOST_ERRORS = 32

_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")

_Kind = TypeVar("_Kind", bound=BaseException)


@frozen(kw_only=True)
class Bounds:
    """The time limits of a request, for messages.

    Attributes:
        connect_seconds: time limit for establishing a connection.
        stall_seconds: maximum time without data.
        slow_seconds: maximum time below ``min_bytes_per_second``.
        min_bytes_per_second: minimum rate of a body; 0 for none.
    """

    connect_seconds: float
    stall_seconds: float
    slow_seconds: float
    min_bytes_per_second: float

    @property
    def head_seconds(self) -> float:
        """Time limit for the headers of a response, which a hostile server sends byte by byte."""
        return self.connect_seconds + self.stall_seconds + self.slow_seconds


def fault_of(error: BaseException, bounds: Bounds, *, answered: bool = True) -> Fault:
    """Return the fault for an exception of :data:`RAISED`.

    Args:
        error: the exception.
        bounds: the time limits of the request.
        answered: whether the headers of the response have arrived.
    """
    raised = _Raised(error, bounds, answered=answered)
    checks = (
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
    faults = (check() for check in checks)
    return next((fault for fault in faults if fault is not None), raised.unreachable())


def unusable() -> Fault:
    """Return the fault for an invalid URL."""
    return Fault("invalid URL, or invalid proxy URL", Cause.LASTING)


def _no_authorities() -> Fault:
    return Fault(
        "cannot read the file of trusted certificates",
        Cause.LASTING,
        hint="check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE",
    )


class _Raised:
    """An exception and all exceptions inside it; each method checks them for one cause."""

    def __init__(self, error: BaseException, bounds: Bounds, *, answered: bool) -> None:
        self._answered = answered
        self._error = error
        self._errors = list(_all_of(error))
        self._bounds = bounds

    def _first(self, *kinds: type[_Kind]) -> _Kind | None:
        return next((error for error in self._errors if isinstance(error, kinds)), None)

    def certificate(self) -> Fault | None:
        error = self._first(ssl.SSLCertVerificationError)
        if error is None:
            return None
        reason = getattr(error, "verify_message", "no reason given")  # set by OpenSSL
        return Fault(
            f"TLS certificate not trusted: {reason}",
            Cause.LASTING,
            hint="check the clock; set REQUESTS_CA_BUNDLE to the certificate of your own authority",
        )

    def tls(self) -> Fault | None:
        error = self._first(ssl.SSLError)
        if error is None:
            return None
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return self._connection_lost()
        reason = getattr(error, "reason", None) or "no reason given"
        if reason == "NO_CERTIFICATE_OR_CRL_FOUND":
            return _no_authorities()
        return Fault(f"TLS error: {reason.replace('_', ' ').lower()}", Cause.LASTING)

    def proxy_refusal(self) -> Fault | None:
        for error in self._errors:
            if match := _TUNNEL.match(str(error)):
                return Fault(
                    f"the proxy returned status {match[1]}",
                    Cause.PASSING if int(match[1]) >= 500 else Cause.LASTING,
                    hint="check HTTPS_PROXY, and the user and password in it",
                )
        return None

    def no_connection(self) -> Fault | None:
        if self._first(exceptions.NewConnectionError, exceptions.ConnectTimeoutError):
            return self.unreachable()
        return None

    def stall(self) -> Fault | None:
        if self._first(TimeoutError, exceptions.ReadTimeoutError):
            seconds = f"{self._bounds.stall_seconds:g} seconds"
            if not self._answered:
                return Fault(f"no answer within {seconds}", Cause.SILENT)
            return Fault(f"no data for {seconds}", Cause.PASSING)
        return None

    def cut(self) -> Fault | None:
        if self._first(ConnectionError, http.client.IncompleteRead, exceptions.IncompleteRead):
            return self._connection_lost()
        return None

    def no_http(self) -> Fault | None:
        # An invalid header is one of the response: request headers are checked before.
        raised = http.client.HTTPException, exceptions.ProtocolError, exceptions.InvalidHeader
        if self._first(*raised):
            return Fault("the response is not valid HTTP", Cause.PASSING)
        return None

    def unusable_address(self) -> Fault | None:
        if self._first(ValueError, TypeError, exceptions.LocationValueError):
            return unusable()
        return None

    def no_authorities(self) -> Fault | None:
        # requests opens the file of trusted certificates before it sends the request.
        if isinstance(self._error, requests.RequestException) or self._first(exceptions.HTTPError):
            return None
        return _no_authorities()

    def unreachable(self) -> Fault:
        os_errors = (error for error in self._errors if isinstance(error, OSError))
        reason = next((error.strerror for error in os_errors if error.strerror), None)
        if self._first(socket.gaierror):
            words = "unknown host name"
        elif reason is not None:
            words = f"cannot connect: {reason}"
        else:
            words = f"cannot connect within {self._bounds.connect_seconds:g} seconds"
        if self._first(exceptions.ProxyError):
            words = f"proxy: {words}"
        return Fault(words, Cause.UNREACHABLE)

    def _connection_lost(self) -> Fault:
        return Fault("connection lost", Cause.PASSING)


def _all_of(error: BaseException) -> Iterator[BaseException]:
    pending, seen = [error], 0
    while pending and seen < _MOST_ERRORS:
        error = pending.pop(0)
        seen += 1
        yield error
        inner = (*error.args, getattr(error, "reason", None), error.__cause__)
        pending += [value for value in inner if isinstance(value, BaseException)]
