"""Try the mirrors of one file in order, and retry until one succeeds or all have failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from purekernel.errors import (
    ChecksumError,
    DownloadError,
    MissingFileError,
    OfflineError,
    Outage,
)
from purekernel.fetch.model import Cause, Download, DownloadPolicy, Fault
from purekernel.fetch.urls import is_local, redact

# An attempt that receives at least this much is not counted, because the download progresses.
_PROGRESS_BYTES = 64 << 10
Result = TypeVar("Result")

# One short outage can hit two files. This many failures in a row, without a response in
# between, mean that the host is down.
_UNRESPONSIVE_AFTER = 3


class Undecided(Exception):  # noqa: N818  # the caller turns it into an error
    """Signal that no URL provided the file, but that some may have it."""


def ask_each(
    urls: Iterable[str],
    attempt: Callable[[str], Result],
    faults: dict[str, Fault],
    *,
    decisive: str | None,
) -> Result | None:
    """Return the result of the first successful attempt, or ``None`` if the file is missing.

    Args:
        urls: the URLs to try, in order.
        attempt: tries one URL; raises ``Fault`` on failure.
        faults: the last fault of every URL, including earlier calls; updated in place.
        decisive: a URL that decides for all: if it reports the file as missing, the file is
            missing.

    Raises:
        Undecided: all attempts failed, and not all URLs report the file as missing.
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


# Remember which hosts respond, so that a host that is down is waited for once, not once per file.


class Reachability:
    """Track the hosts of this run that do not respond; shared by all threads.

    A host that failed to respond several times in a row is tried after the others. A host on
    which all attempts for a file failed is not tried again, because every further file would
    wait for it as long. If it accepts requests and does not answer, this holds only for a host
    that has not answered any request yet: otherwise, one slow file may be the reason.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[str, int] = {}
        self._given_up: dict[str, Fault] = {}
        self._answered: set[str] = set()

    def in_order(self, urls: Iterable[str]) -> list[str]:
        """Return ``urls`` in their order, with those of unresponsive hosts moved to the end."""
        with self._lock:
            return sorted(
                urls, key=lambda url: self._failures.get(_host(url), 0) >= _UNRESPONSIVE_AFTER
            )

    def check(self, url: str) -> None:
        """Refuse a URL whose host was given up.

        Raises:
            Fault: the reason for which the host was given up.
        """
        with self._lock:
            fault = self._given_up.get(_host(url))
        if fault is not None:
            raise Fault(fault.reason, Cause.GIVEN_UP, hint=fault.hint)

    def note(self, url: str, fault: Fault | None) -> None:
        """Record the outcome of an attempt; ``fault`` is ``None`` on success."""
        host = _host(url)
        with self._lock:
            if fault is not None and fault.is_outage:
                self._failures[host] = self._failures.get(host, 0) + 1
            else:
                self._failures.pop(host, None)
                self._answered.add(host)

    def give_up(self, url: str, fault: Fault) -> None:
        """Stop trying the host of ``url`` if ``fault``, the last one, is that it is down."""
        host = _host(url)
        with self._lock:
            is_slow = fault.cause is Cause.SILENT and host in self._answered
            if fault.is_outage and not is_slow:
                self._given_up.setdefault(host, fault)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class Rounds:
    """Download one file with retries.

    Args:
        download: the file.
        refused: the URLs that must not be tried, each with the reason.
        policy: the number of attempts and the pauses between them.
        reachability: the hosts that do not respond.
        sleep: waits for the given number of seconds.

    Attributes:
        faults: the last fault of each URL that was tried.
    """

    def __init__(
        self,
        download: Download,
        *,
        refused: Mapping[str, Fault],
        policy: DownloadPolicy,
        reachability: Reachability,
        sleep: Callable[[float], None],
    ) -> None:
        self.faults: dict[str, Fault] = dict(refused)
        self._refused = refused
        self._download = download
        self._policy = policy
        self._reachability = reachability
        self._sleep = sleep
        self._attempts = min(download.attempts or policy.attempts, policy.attempts)
        self._deadline = time.monotonic() + policy.most_seconds

    def run(
        self, attempt: Callable[[str, float], Result], *, decisive: str | None = None
    ) -> Result | None:
        """Return the result of the first successful attempt, or ``None`` if the file is missing.

        Args:
            attempt: tries one URL within the given number of seconds; raises ``Fault``.
            decisive: see :func:`ask_each`.

        Raises:
            DownloadError: a mirror may have the file, but none provided it.
        """
        remaining = [url for url in dict.fromkeys(self._download.urls) if url not in self._refused]
        number = 0
        while True:
            try:
                return ask_each(
                    self._reachability.in_order(remaining),
                    lambda url: attempt(url, self._seconds_left()),
                    self.faults,
                    decisive=decisive,
                )
            except Undecided:
                pass
            gained = any(self.faults[url].gained_bytes >= _PROGRESS_BYTES for url in remaining)
            number = 0 if gained else number + 1
            remaining = [url for url in remaining if self.faults[url].may_pass]
            if not remaining or number >= self._attempts or not self._pause(number, remaining):
                break
        if self._attempts == self._policy.attempts:
            for url in remaining:
                self._reachability.give_up(url, self.faults[url])
        tried = {url: fault for url, fault in self.faults.items() if url not in self._refused}
        raise failure(self._download, {**tried, **self._refused}, refused=self._refused)

    def _pause(self, number: int, remaining: list[str]) -> bool:
        """Wait before the next attempt; return whether there is time for one."""
        requested = max(self.faults[url].pause_seconds for url in remaining)
        pause = max(
            self._policy.pause_seconds(max(number - 1, 0)),
            min(requested, self._policy.most_pause_seconds),
        )
        if pause >= self._seconds_left():
            return False
        self._sleep(pause)
        return True

    def _seconds_left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())


def failure(
    download: Download, faults: dict[str, Fault], *, refused: Collection[str] = ()
) -> DownloadError:
    """Return the error that lists the fault of each mirror.

    Args:
        download: the file.
        faults: the fault of each URL.
        refused: those of the URLs that were not tried.
    """
    hint = next((fault.hint for fault in faults.values() if fault.hint), "")
    if any(fault.cause is Cause.CONTENT for fault in faults.values()):
        return ChecksumError(f"{download.name} failed verification: {_reasons(faults)}", hint=hint)
    return DownloadError(
        f"{download.name} cannot be fetched: {_reasons(faults)}",
        hint=hint,
        is_network=any(fault.is_network and not is_local(url) for url, fault in faults.items()),
        outage=_outage(download, faults, refused),
    )


def _outage(
    download: Download, faults: dict[str, Fault], refused: Collection[str]
) -> Outage | None:
    """Return the hosts, if at least one does not answer, and the others lack the file."""
    silent = [url for url, fault in faults.items() if fault.is_outage]
    others = (
        fault.cause is Cause.MISSING or url in refused
        for url, fault in faults.items()
        if url not in silent
    )
    if not silent or not all(others):
        return None
    hosts = {
        redact(url) if is_local(url) else _host(url): fault.reason for url, fault in faults.items()
    }
    return Outage(files=(download.name,), hosts=tuple(hosts.items()))


def missing(download: Download) -> MissingFileError:
    """Return the error for a file that no mirror has."""
    urls = ", ".join(map(redact, dict.fromkeys(download.urls)))
    return MissingFileError(f"{download.name} not found: tried {urls}")


def not_in_store(download: Download, faults: dict[str, Fault]) -> OfflineError:
    """Return the error for a file that would have to be downloaded while offline."""
    return OfflineError(f"{download.name} is not available offline: {_reasons(faults)}")


def _reasons(faults: dict[str, Fault]) -> str:
    return "; ".join(f"{redact(url)}: {fault.reason}" for url, fault in faults.items())
