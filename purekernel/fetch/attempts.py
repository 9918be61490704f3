"""Ask the mirrors of one file in turn, round after round, until one gives it or none will."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar
from urllib.parse import urlsplit

from purekernel.errors import ChecksumError, DownloadError, MissingFileError, OfflineError
from purekernel.fetch.urls import redact
from purekernel.fetch.wanted import Cause, DownloadPolicy, Fault, Wanted

# A round in which so much has come is not counted: the file gets on, if in pieces.
_PROGRESS_BYTES = 64 << 10
Result = TypeVar("Result")


# Two files may have met one short outage; so many in a row, with no answer in between, say
# that the host is down.
_DOUBTFUL_AFTER = 3


class Undecided(Exception):  # noqa: N818  # whoever asked knows what it comes to
    """Say that no place gave the file, and that some may have it."""


def ask_each(
    urls: Iterable[str],
    attempt: Callable[[str], Result],
    faults: dict[str, Fault],
    *,
    decisive: str | None,
) -> Result | None:
    """Return what the first attempt that succeeds comes to, or ``None``: nobody has the file.

    Args:
        urls: the places, in order.
        attempt: asks one, and raises ``Fault``.
        faults: the last fault of every place that was asked, now or before; added to.
        decisive: the place that speaks for all when it has no such file, if one does.

    Raises:
        Undecided: neither.
    """
    for url in urls:
        try:
            return attempt(url)
        except Fault as fault:
            faults[url] = fault
            if url == decisive and fault.cause is Cause.MISSING:
                return None
    if all(fault.cause is Cause.MISSING for fault in faults.values()):
        return None
    raise Undecided


# Know which hosts answer, so that one that is down costs its time once and not once a file.


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


class Rounds:
    """The attempts at one file.

    Args:
        wanted: the file.
        policy: how many rounds there are, and what pauses between them.
        reachability: what is known of the hosts.
        sleep: waits for so many seconds.

    Attributes:
        faults: for each address that was asked, why it did not give the file.
    """

    def __init__(
        self,
        wanted: Wanted,
        *,
        policy: DownloadPolicy,
        reachability: Reachability,
        sleep: Callable[[float], None],
    ) -> None:
        self.faults: dict[str, Fault] = {}
        self._wanted = wanted
        self._policy = policy
        self._reachability = reachability
        self._sleep = sleep
        self._attempts = min(wanted.attempts or policy.attempts, policy.attempts)
        self._deadline = time.monotonic() + policy.most_seconds

    def run(
        self, attempt: Callable[[str, float], Result], *, decisive: str | None = None
    ) -> Result | None:
        """Return what the first attempt that succeeds comes to, or ``None``: nobody has it.

        Args:
            attempt: asks an address, for so many seconds at the most, and raises ``Fault``.
            decisive: as :func:`ask_each` has it.

        Raises:
            DownloadError: some mirror may have it, and none gave it.
        """
        hopeful = list(dict.fromkeys(self._wanted.urls))
        number = 0
        while True:
            try:
                return ask_each(
                    self._reachability.in_order(hopeful),
                    lambda url: attempt(url, self._seconds_left()),
                    self.faults,
                    decisive=decisive,
                )
            except Undecided:
                pass
            gained = any(self.faults[url].gained_bytes >= _PROGRESS_BYTES for url in hopeful)
            number = 0 if gained else number + 1
            hopeful = [url for url in hopeful if self.faults[url].may_pass]
            if not hopeful or number >= self._attempts or not self._pause(number, hopeful):
                break
        if self._attempts == self._policy.attempts:
            for url in hopeful:
                self._reachability.give_up(url, self.faults[url])
        raise failure(self._wanted, self.faults)

    def _pause(self, number: int, hopeful: list[str]) -> bool:
        """Wait as long as it is time to; say whether there is time for another round."""
        asked = max(self.faults[url].pause_seconds for url in hopeful)
        pause = max(
            self._policy.pause_seconds(max(number - 1, 0)),
            min(asked, self._policy.most_pause_seconds),
        )
        if pause >= self._seconds_left():
            return False
        self._sleep(pause)
        return True

    def _seconds_left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())


def failure(wanted: Wanted, faults: dict[str, Fault]) -> DownloadError:
    """Return the error that names each mirror, and what is wrong with it."""
    hint = next((fault.hint for fault in faults.values() if fault.hint), "")
    if any(fault.cause is Cause.CONTENT for fault in faults.values()):
        return ChecksumError(
            f"{wanted.name} is not what was promised: {_reasons(faults)}", hint=hint
        )
    return DownloadError(f"{wanted.name} cannot be fetched: {_reasons(faults)}", hint=hint)


def missing(wanted: Wanted) -> MissingFileError:
    """Return the error that no mirror has the file."""
    places = ", ".join(map(redact, dict.fromkeys(wanted.urls)))
    return MissingFileError(f"{wanted.name} is nowhere: looked for {places}")


def not_in_store(wanted: Wanted, faults: dict[str, Fault]) -> OfflineError:
    """Return the error that only a server could have the file, and none may be asked."""
    return OfflineError(f"{wanted.name} cannot be had offline: {_reasons(faults)}")


def _reasons(faults: dict[str, Fault]) -> str:
    return "; ".join(f"{redact(url)}: {fault.reason}" for url, fault in faults.items())
