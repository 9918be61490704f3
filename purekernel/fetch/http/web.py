"""Ask for a URL, and follow where servers send us."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin

import requests
import urllib3
from requests.auth import HTTPBasicAuth

from purekernel.fetch.http.adapter import Adapter, Connections
from purekernel.fetch.http.faults import RAISED, Bounds, fault_of, unusable
from purekernel.fetch.urls import Address, is_local, parse_address, redact
from purekernel.fetch.wanted import Cause, Fault, Stopped
from purekernel.version import __version__

# A mirror's address, its move to https, a region, a day's host: few more make sense.
MOST_REDIRECTS = 10


# A count of bytes or seconds; more digits than any has are nonsense, and slow to convert.
_NUMBER = re.compile(r"\d{1,18}")
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE)


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


# One thread's connections: what is asked over them, and how another thread cuts them off.


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


class Web:
    """Asks servers; each thread has connections of its own, and keeps them for the next time.

    Args:
        connect_seconds: until a connection stands.
        stall_seconds: without a byte.
    """

    def __init__(self, *, connect_seconds: float, stall_seconds: float) -> None:
        self._bounds = Bounds(connect_seconds=connect_seconds, stall_seconds=stall_seconds)
        self._lines: list[Line] = []
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
    ) -> Iterator[Answer]:
        """Ask for ``url``, redirects followed; the answer's body may be read inside.

        Args:
            url: with user and password, perhaps.
            method: ``GET`` or ``HEAD``.
            headers: those beside our own.
            most_seconds: for all of it, the body included.

        Raises:
            Fault: there is no answer.
            Stopped: the work was called off.
        """
        line = self._line()
        line.begin(most_seconds)
        try:
            if self._stopped:
                raise Stopped
            answer = Answer(self._follow(line, url, method, dict(headers or {})), line)
            try:
                yield answer
            finally:
                answer.let_go()
        finally:
            line.end()

    def end_overdue(self) -> None:
        """Cut off every request that has had its time; to be called now and then."""
        for line in self._every_line():
            line.end_if_overdue()

    def stop(self) -> None:
        """Cut off every request, of every thread, and answer none from now on."""
        self._stopped = True
        for line in self._every_line():
            line.hang_up(Stopped())

    def close(self) -> None:
        """Close what is open."""
        for line in self._every_line():
            line.session.close()

    def _every_line(self) -> list[Line]:
        with self._lock:
            return list(self._lines)

    def _line(self) -> Line:
        line: Line | None = getattr(self._mine, "line", None)
        if line is None:
            line = self._mine.line = Line(self._bounds)
            with self._lock:
                self._lines.append(line)
        return line

    def _follow(
        self, line: Line, url: str, method: str, headers: dict[str, str]
    ) -> requests.Response:
        address = _address(url)
        seen = {address.url}
        while True:
            response = line.request(method, address, headers)
            if not response.is_redirect:
                return response
            Answer(response, line).let_go()
            target = _redirect_target(response, address.url)
            following = _address(target)
            if following.credentials is None and line.may_tell(following, who_asked=address):
                following = Address(url=following.url, credentials=address.credentials)
            address = following
            if address.url in seen:
                raise Fault(f"it redirects in a circle, to {redact(address.url)}", Cause.LASTING)
            if len(seen) > MOST_REDIRECTS:
                raise Fault(f"it redirects more than {MOST_REDIRECTS} times", Cause.LASTING)
            seen.add(address.url)


def _address(url: str) -> Address:
    scheme = url.partition(":")[0].lower()
    if is_local(url) or scheme not in ("http", "https"):
        raise Fault(f"{redact(url)} is neither http nor https", Cause.LASTING)
    try:
        return parse_address(url)
    except ValueError:
        raise unusable() from None


def _redirect_target(response: requests.Response, url: str) -> str:
    """Return where a redirect leads."""
    try:
        # Headers are read as Latin-1, and servers that send other characters send UTF-8.
        location = response.headers["Location"].encode("latin-1").decode()
        return urljoin(url, location)
    except ValueError:
        raise Fault("it redirects to what is no address", Cause.LASTING) from None


# Read the few headers of HTTP answers that downloads go by (RFC 9110).
#
# A header that is malformed is as good as missing.


def parse_length(value: str | None) -> int | None:
    """Return what ``Content-Length`` says, in bytes."""
    value = (value or "").strip()
    return int(value) if _NUMBER.fullmatch(value) else None


def parse_content_range(value: str | None) -> tuple[int | None, int | None]:
    """Return from where the bytes are, and how many the whole has; ``None``: not said."""
    found = _CONTENT_RANGE.fullmatch((value or "").strip())
    if found is None:
        return None, None
    first, _last, total = found.groups()
    return (
        None if first is None else int(first),
        None if total == "*" else int(total),
    )


def parse_retry_after(value: str | None, *, date: str | None) -> float:
    """Return how many seconds the server asks to be left alone; 0 where it does not.

    Args:
        value: ``Retry-After``: seconds, or a date.
        date: ``Date``, the server's own clock; ours is not asked.
    """
    value = (value or "").strip()
    if _NUMBER.fullmatch(value):
        return float(value)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  # 6 ms, and rarely needed

    try:
        pause = parsedate_to_datetime(value) - parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(0.0, pause.total_seconds())
