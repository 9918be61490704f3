"""Request a URL, follow redirects, and stream the body."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from purekernel.fetch.headers import parse_length
from purekernel.fetch.http.adapter import Adapter, Connections
from purekernel.fetch.http.credentials import Netrc, origin_of
from purekernel.fetch.http.faults import RAISED, Bounds, fault_of, unusable
from purekernel.fetch.model import Cause, Fault, Stopped
from purekernel.fetch.urls import WebUrl, is_local, parse_web_url, redact
from purekernel.version import __version__

# Real chains are short: the URL of a mirror, https, a region, a host.
MOST_REDIRECTS = 10

# Maximum size of one read from a socket; a local server can fill it.
_PIECE_BYTES = 256 << 10

# The unused rest of a response is read up to this size, so that the connection can be reused.
# The body of a "not found" response is shorter.
_MOST_REST_BYTES = 16 << 10

_HEADERS = {
    "User-Agent": f"purekernel/{__version__}",
    "Accept": "*/*",
    # Files are stored as sent; a content encoding is not decoded.
    "Accept-Encoding": "identity",
}


class Response:
    """The response to a request; its body is read on demand.

    Attributes:
        status: the HTTP status code.
        headers: the headers by name, case-insensitive.
        length: the length of the body in bytes, if the server announces it.
    """

    def __init__(self, response: requests.Response, connection: Connection) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        # Transfer-Encoding overrides Content-Length (RFC 9112, 6.3).
        chunked = "Transfer-Encoding" in response.headers
        self.length = None if chunked else parse_length(response.headers.get("Content-Length"))
        self._raw: urllib3.BaseHTTPResponse = response.raw
        self._connection = connection

    def pieces(self) -> Iterator[bytes]:
        """Yield the body in pieces as they arrive, without decoding them.

        Raises:
            Fault: the connection was lost, or no or little data arrived for too long.
            Stopped: the downloads were cancelled.
        """
        self._connection.begin_body()
        while True:
            with self._connection.turning_faults():
                piece = self._raw.read1(_PIECE_BYTES, decode_content=False)
                self._connection.receive(len(piece))
            if not piece:
                return
            yield piece

    def let_go(self) -> None:
        """Release the connection for the next request; close it if much of the body is unread."""
        left = self._raw.length_remaining
        if left is None or left <= _MOST_REST_BYTES:
            with suppress(*RAISED):
                rest = _MOST_REST_BYTES
                while rest > 0 and (piece := self._raw.read1(rest, decode_content=False)):
                    rest -= len(piece)
        self._raw.close()
        self._raw.release_conn()


class _NoCredentials(requests.auth.AuthBase):
    """Keep requests from looking up credentials in netrc by the host alone."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Session(requests.Session):
    def get_redirect_target(self, _resp: requests.Response) -> None:
        """Disable redirects; :class:`Web` follows them."""


class Connection:
    """The session of one thread, its connections and its current request."""

    def __init__(self, bounds: Bounds) -> None:
        self.session = _Session()
        self.session.headers.clear()
        self.session.headers.update(_HEADERS)
        # Cookies would make downloads depend on earlier ones of the same thread.
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, Adapter())
        self._bounds = bounds
        self._lock = threading.Lock()
        self._connections = Connections()
        self._most_seconds = 0.0
        self._deadline: float | None = None
        self._ended: Exception | None = None
        # When the headers of the response must be complete, while they are awaited.
        self._head_deadline: float | None = None
        # While the body is read: since when its rate is measured, and the bytes since then.
        self._measured_since: float | None = None
        self._measured_bytes = 0

    def begin(self, most_seconds: float) -> None:
        """Start the time limit of a request."""
        with self._lock:
            self._most_seconds = most_seconds
            self._deadline = time.monotonic() + most_seconds
            self._ended = None
            self._head_deadline = self._measured_since = None
            self._connections.use()

    def end(self) -> None:
        """Mark this thread as idle, so that no request is aborted."""
        with self._lock:
            self._deadline = None

    def request(self, method: str, address: WebUrl, headers: dict[str, str]) -> requests.Response:
        """Send one request; do not read the body."""
        with self.turning_faults():
            auth: requests.auth.AuthBase = _NoCredentials()
            if address.credentials is not None:
                # As bytes, because requests encodes text as Latin-1.
                user, password = address.credentials
                auth = HTTPBasicAuth(
                    user.encode("utf-8", "surrogateescape"),
                    password.encode("utf-8", "surrogateescape"),
                )
            with self._lock:
                self._head_deadline = time.monotonic() + self._bounds.head_seconds
                self._measured_since = None
            return self.session.request(
                method,
                address.url,
                headers=headers,
                auth=auth,
                timeout=(self._bounds.connect_seconds, self._bounds.stall_seconds),
                allow_redirects=False,
                stream=True,
            )

    def begin_body(self) -> None:
        """Start to measure the rate at which the body arrives."""
        with self._lock:
            self._head_deadline = None
            self._measured_since, self._measured_bytes = time.monotonic(), 0

    def receive(self, size_bytes: int) -> None:
        """Count bytes of the body."""
        with self._lock:
            self._measured_bytes += size_bytes

    def end_if_overdue(self) -> None:
        """Abort the request if a time limit has passed, or if it is too slow."""
        now = time.monotonic()
        with self._lock:  # another thread may end the request meanwhile
            if (words := self._overdue(now)) is not None:
                self._abort(Fault(words, Cause.PASSING))

    def _overdue(self, now: float) -> str | None:
        if self._deadline is None:
            return None
        bounds = self._bounds
        if now > self._deadline:
            return f"not completed within {self._most_seconds:g} seconds"
        if self._head_deadline is not None and now > self._head_deadline:
            return f"no complete response headers within {bounds.head_seconds:g} seconds"
        if self._measured_since is None or now - self._measured_since < bounds.slow_seconds:
            return None
        if self._measured_bytes < bounds.min_bytes_per_second * (now - self._measured_since):
            return (
                f"less than {bounds.min_bytes_per_second:g} bytes per second for "
                f"{bounds.slow_seconds:g} seconds"
            )
        self._measured_since, self._measured_bytes = now, 0
        return None

    def hang_up(self, why: Exception) -> None:
        """Abort the request: shut the connections down, so that the thread raises ``why``."""
        with self._lock:
            self._abort(why)

    def _abort(self, why: Exception) -> None:
        if self._deadline is not None and self._ended is None:
            self._ended = why
            self._connections.shut()

    @contextmanager
    def turning_faults(self) -> Iterator[None]:
        """Convert exceptions of the libraries to faults; check the time limit afterwards."""
        try:
            yield
        except RAISED as error:
            if self._ended is None:
                answered = self._head_deadline is None
                raise fault_of(error, self._bounds, answered=answered) from None
        self.end_if_overdue()
        if self._ended is not None:
            raise self._ended


class Web:
    """Sends requests. Each thread has its own connections and reuses them.

    Args:
        bounds: the time limits.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._connections: list[Connection] = []
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._stopped = False

    @contextmanager
    def ask(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        most_seconds: float,
    ) -> Iterator[Response]:
        """Request ``url`` and follow redirects; read the body inside the ``with`` block.

        Args:
            url: the URL, optionally with user and password.
            method: ``GET`` or ``HEAD``.
            headers: additional headers.
            most_seconds: time limit for the whole request, including the body.

        Raises:
            Fault: the request failed.
            Stopped: the downloads were cancelled.
        """
        connection = self._connection()
        connection.begin(most_seconds)
        try:
            if self._stopped:
                raise Stopped
            response = Response(
                self._follow(connection, url, method, dict(headers or {})), connection
            )
            try:
                yield response
            finally:
                response.let_go()
        finally:
            connection.end()

    def end_overdue(self) -> None:
        """Abort all overdue requests; call this regularly."""
        for connection in self._every_connection():
            connection.end_if_overdue()

    def stop(self) -> None:
        """Abort the requests of all threads and refuse new ones."""
        self._stopped = True
        for connection in self._every_connection():
            connection.hang_up(Stopped())

    def close(self) -> None:
        """Close all connections."""
        for connection in self._every_connection():
            connection.session.close()

    def _every_connection(self) -> list[Connection]:
        with self._lock:
            return list(self._connections)

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = Connection(self._bounds)
            with self._lock:
                self._connections.append(connection)
        return connection

    @cached_property
    def _netrc(self) -> Netrc:
        return Netrc.load()

    def _follow(
        self, connection: Connection, url: str, method: str, headers: dict[str, str]
    ) -> requests.Response:
        address = _address(url)
        if address.credentials is None:
            address = WebUrl(url=address.url, credentials=self._netrc.for_given(address.url))
        seen = {address.url}
        while True:
            response = connection.request(method, address, headers)
            if not response.is_redirect:
                return response
            Response(response, connection).let_go()
            target = _redirect_target(response, address.url)
            address = self._following(address, _address(target))
            if address.url in seen:
                raise Fault(f"redirect loop to {redact(address.url)}", Cause.LASTING)
            if len(seen) > MOST_REDIRECTS:
                raise Fault(f"more than {MOST_REDIRECTS} redirects", Cause.LASTING)
            seen.add(address.url)

    def _following(self, address: WebUrl, target: WebUrl) -> WebUrl:
        """Return the target of a redirect, with the credentials that may be sent to it."""
        origin, new_origin = origin_of(address.url), origin_of(target.url)
        if origin[0] == "https" and new_origin[0] != "https":
            raise Fault(
                f"redirect from https to plain http is refused: {redact(target.url)}",
                Cause.LASTING,
                hint="use a mirror that serves the file over https",
            )
        if target.credentials is not None:
            return target
        if origin == new_origin:
            return WebUrl(url=target.url, credentials=address.credentials)
        return WebUrl(url=target.url, credentials=self._netrc.for_redirect(target.url))


def _address(url: str) -> WebUrl:
    scheme = url.partition(":")[0].lower()
    if is_local(url) or scheme not in ("http", "https"):
        raise Fault(f"{redact(url)} must be an http or https URL", Cause.LASTING)
    try:
        return parse_web_url(url)
    except ValueError:
        raise unusable() from None


def _redirect_target(response: requests.Response, url: str) -> str:
    """Return the target URL of a redirect."""
    try:
        # Headers are decoded as Latin-1, but servers that send other characters use UTF-8.
        location = response.headers["Location"].encode("latin-1").decode()
        return urljoin(url, location)
    except ValueError:
        raise Fault("redirect to an invalid URL", Cause.LASTING) from None
