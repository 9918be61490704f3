"""Request a URL, follow redirects, and stream the body."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from purekernel.fetch.headers import parse_length
from purekernel.fetch.http.adapter import Adapter, Connections
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
            Fault: the connection was lost, or no data arrived for too long.
            Stopped: the downloads were cancelled.
        """
        while True:
            with self._connection.turning_faults():
                piece = self._raw.read1(_PIECE_BYTES, decode_content=False)
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

    def begin(self, most_seconds: float) -> None:
        """Start the time limit of a request."""
        with self._lock:
            self._most_seconds = most_seconds
            self._deadline = time.monotonic() + most_seconds
            self._ended = None
            self._connections.use()

    def end(self) -> None:
        """Mark this thread as idle, so that no request is aborted."""
        with self._lock:
            self._deadline = None

    def request(self, method: str, address: WebUrl, headers: dict[str, str]) -> requests.Response:
        """Send one request; do not read the body."""
        with self.turning_faults():
            auth = None
            if address.credentials is not None:
                # As bytes, because requests encodes text as Latin-1.
                user, password = address.credentials
                auth = HTTPBasicAuth(user.encode(), password.encode())
            return self.session.request(
                method,
                address.url,
                headers=headers,
                auth=auth,
                timeout=(self._bounds.connect_seconds, self._bounds.stall_seconds),
                allow_redirects=False,
                stream=True,
            )

    def may_tell(self, following: WebUrl, *, who_asked: WebUrl) -> bool:
        """Return whether the target of a redirect may receive the first server's credentials."""
        strip: bool = self.session.should_strip_auth(  # type: ignore[no-untyped-call]
            who_asked.url, following.url
        )
        return not strip

    def end_if_overdue(self) -> None:
        """Abort the request if its time limit has passed."""
        deadline = self._deadline  # another thread may end the request meanwhile
        if deadline is not None and time.monotonic() > deadline:
            words = f"not completed within {self._most_seconds:g} seconds"
            self.hang_up(Fault(words, Cause.PASSING))

    def hang_up(self, why: Exception) -> None:
        """Abort the request: shut the connections down, so that the thread raises ``why``."""
        with self._lock:
            if self._deadline is None or self._ended is not None:
                return
            self._ended = why
            self._connections.shut()

    @contextmanager
    def turning_faults(self) -> Iterator[None]:
        """Convert exceptions of the libraries to faults; check the time limit afterwards."""
        try:
            yield
        except RAISED as error:
            if self._ended is None:
                raise fault_of(error, self._bounds) from None
        self.end_if_overdue()
        if self._ended is not None:
            raise self._ended


class Web:
    """Sends requests. Each thread has its own connections and reuses them.

    Args:
        connect_seconds: time limit for establishing a connection.
        stall_seconds: maximum time without data.
    """

    def __init__(self, *, connect_seconds: float, stall_seconds: float) -> None:
        self._bounds = Bounds(connect_seconds=connect_seconds, stall_seconds=stall_seconds)
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

    def _follow(
        self, connection: Connection, url: str, method: str, headers: dict[str, str]
    ) -> requests.Response:
        address = _address(url)
        seen = {address.url}
        while True:
            response = connection.request(method, address, headers)
            if not response.is_redirect:
                return response
            Response(response, connection).let_go()
            target = _redirect_target(response, address.url)
            following = _address(target)
            if following.credentials is None and connection.may_tell(following, who_asked=address):
                following = WebUrl(url=following.url, credentials=address.credentials)
            address = following
            if address.url in seen:
                raise Fault(f"redirect loop to {redact(address.url)}", Cause.LASTING)
            if len(seen) > MOST_REDIRECTS:
                raise Fault(f"more than {MOST_REDIRECTS} redirects", Cause.LASTING)
            seen.add(address.url)


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
