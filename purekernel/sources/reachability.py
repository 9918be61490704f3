"""Know which hosts answer, so that one that is down costs its time once and not once a file."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from urllib.parse import urlsplit

from purekernel.sources.faults import Cause, Fault

# Two files may have met one short outage; so many in a row, with no answer in between, say
# that the host is down.
_DOUBTFUL_AFTER = 3


class Reachability:
    """What was seen of each host in this run, by all threads.

    A host that did not answer several times in a row is doubtful, and asked after the others.
    One on which all attempts at a file were spent is given up: with a hundred more files to
    ask it for, nobody wants to wait for each.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._misses: dict[str, int] = {}
        self._given_up: dict[str, Fault] = {}

    def in_order(self, urls: Iterable[str]) -> list[str]:
        """Return ``urls`` in their order, those of doubtful hosts at the end."""
        with self._lock:
            return sorted(urls, key=lambda url: self._misses.get(_host(url), 0) >= _DOUBTFUL_AFTER)

    def check(self, url: str) -> None:
        """Refuse to ask a host that was given up.

        Raises:
            Fault: why it was.
        """
        with self._lock:
            fault = self._given_up.get(_host(url))
        if fault is not None:
            raise Fault(fault.reason, Cause.LASTING, hint=fault.hint)

    def note(self, url: str, fault: Fault | None) -> None:
        """Take in what an attempt came to."""
        with self._lock:
            if fault is not None and fault.cause is Cause.UNREACHABLE:
                self._misses[_host(url)] = self._misses.get(_host(url), 0) + 1
            else:
                self._misses.pop(_host(url), None)

    def give_up(self, url: str, fault: Fault) -> None:
        """Ask this host no more, if ``fault``, the last one, is that nobody answers."""
        if fault.cause is Cause.UNREACHABLE:
            with self._lock:
                self._given_up[_host(url)] = fault


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
