"""Ask for a URL, and follow where servers send us."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin

import requests

from purekernel.sources.faults import Cause, Fault, Stopped
from purekernel.sources.http.faults import Bounds, unusable
from purekernel.sources.http.line import Answer, Line
from purekernel.sources.urls import Address, is_local, parse_address, redact

# A mirror's address, its move to https, a region, a day's host: few more make sense.
MOST_REDIRECTS = 10


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
