"""One thread's connections: what is asked over them, and how another thread cuts them off."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from purekernel.sources.faults import Cause, Fault
from purekernel.sources.headers import parse_length
from purekernel.sources.http.adapter import Adapter, Connections
from purekernel.sources.http.faults import RAISED, Bounds, fault_of
from purekernel.sources.urls import Address
from purekernel.version import __version__

# What one read takes from a socket at the most: a local server fills as much.
_PIECE_BYTES = 256 << 10

# The rest of an answer that nobody wants is read up to this, for the connection's sake: a page
# that says "not found" is shorter.
_MOST_REST_BYTES = 16 << 10

_HEADERS = {
    "User-Agent": f"purekernel/{__version__}",
    "Accept": "*/*",
    # Files are stored as they are; what a server labels as encoded is what was asked for.
    "Accept-Encoding": "identity",
}


class Answer:
    """What a server says to one request, its body still to come.

    Attributes:
        status: HTTP's number.
        headers: by name, in whatever case.
        length: of the body, in bytes, where the server says.
    """

    def __init__(self, response: requests.Response, line: Line) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        # The one overrides the other (RFC 9112, 6.3).
        chunked = "Transfer-Encoding" in response.headers
        self.length = None if chunked else parse_length(response.headers.get("Content-Length"))
        self._raw: urllib3.BaseHTTPResponse = response.raw
        self._line = line

    def pieces(self) -> Iterator[bytes]:
        """Give the body as it comes, as the server sent it: nothing is decoded.

        Raises:
            Fault: the connection was cut, or nothing came for too long.
            Stopped: the work was called off.
        """
        while True:
            with self._line.turning_faults():
                piece = self._raw.read1(_PIECE_BYTES, decode_content=False)
            if not piece:
                return
            yield piece

    def let_go(self) -> None:
        """Leave the connection to the next request, or close it where more is to come."""
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
        """Leave redirects to us."""


class Line:
    """One thread's session, the connections beneath it, and the request that is under way."""

    def __init__(self, bounds: Bounds) -> None:
        self.session = _Session()
        self.session.headers.clear()
        self.session.headers.update(_HEADERS)
        # Cookies would make what is fetched depend on what was fetched before, by which thread.
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
        """Let a request have so many seconds from now on."""
        with self._lock:
            self._most_seconds = most_seconds
            self._deadline = time.monotonic() + most_seconds
            self._ended = None
            self._connections.use()

    def end(self) -> None:
        """Be idle: there is nothing to cut off."""
        with self._lock:
            self._deadline = None

    def request(self, method: str, address: Address, headers: dict[str, str]) -> requests.Response:
        """Send one request; the body is still to be read."""
        with self.turning_faults():
            auth = None
            if address.credentials is not None:
                # As bytes, for requests would have them in Latin-1.
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

    def may_tell(self, following: Address, *, who_asked: Address) -> bool:
        """Say whether a server that we are sent to may know the first one's password."""
        strip: bool = self.session.should_strip_auth(  # type: ignore[no-untyped-call]
            who_asked.url, following.url
        )
        return not strip

    def end_if_overdue(self) -> None:
        """Cut the request off if it has had its time."""
        deadline = self._deadline  # the request may end meanwhile
        if deadline is not None and time.monotonic() > deadline:
            words = f"it was not done within {self._most_seconds:g} seconds"
            self.hang_up(Fault(words, Cause.PASSING))

    def hang_up(self, why: Exception) -> None:
        """Wake the thread from whatever it waits for; it will raise ``why``."""
        with self._lock:
            if self._deadline is None or self._ended is not None:
                return
            self._ended = why
            self._connections.shut()

    @contextmanager
    def turning_faults(self) -> Iterator[None]:
        """Turn what the libraries raise into what it means; look at the clock afterwards."""
        try:
            yield
        except RAISED as error:
            if self._ended is None:
                raise fault_of(error, self._bounds) from None
        self.end_if_overdue()
        if self._ended is not None:
            raise self._ended
