"""Find one file: in the store, by what is remembered of an address, or at a mirror."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from purekernel.errors import DownloadError
from purekernel.fetch.attempts import Reachability, Rounds, Undecided, ask_each, not_in_store
from purekernel.fetch.file_mirror import copy_local, look_local
from purekernel.fetch.records import Record
from purekernel.fetch.store import Blob, Store, taking_turns
from purekernel.fetch.transfer import Transfer, ask_size
from purekernel.fetch.urls import is_local, redact
from purekernel.fetch.wanted import Cause, DownloadPolicy, Fault, Stopped, Wanted

if TYPE_CHECKING:
    from purekernel.fetch.http import Web

Result = TypeVar("Result")


@frozen(kw_only=True)
class Sight:
    """What was seen of a file that somebody has.

    Attributes:
        size_bytes: its size, where that was said.
    """

    size_bytes: int | None


class Finder:
    """Finds files one by one, for any number of threads.

    Args:
        store: where files go, and come from when it has them.
        policy: bounds.
        offline: open no connection.
        reuse: trust what the store has from an address without asking whether it has changed.
        sleep: waits for so many seconds; ``None``: until :meth:`stop` at the most.
    """

    def __init__(
        self,
        store: Store,
        *,
        policy: DownloadPolicy,
        offline: bool,
        reuse: bool,
        sleep: Callable[[float], None] | None,
    ) -> None:
        self._store = store
        self._policy = policy
        self._offline = offline
        self._reuse = reuse
        self._sleep = sleep or self._wait
        self._reachability = Reachability()
        self._stopped = threading.Event()
        self._web: Web | None = None
        self._web_lock = threading.Lock()

    def end_overdue(self) -> None:
        """Cut off every request that has had its time; to be called now and then."""
        if self._web is not None:
            self._web.end_overdue()

    def stop(self) -> None:
        """Call off what is under way: all threads raise ``Stopped``, soon and from now on."""
        with self._web_lock:
            self._stopped.set()
        if self._web is not None:
            self._web.stop()

    def close(self) -> None:
        """Close what is open, when all threads have ended."""
        if self._web is not None:
            self._web.close()

    def check_stopped(self) -> None:
        """Raise ``Stopped`` where the work was called off."""
        if self._stopped.is_set():
            raise Stopped

    def find(self, wanted: Wanted) -> tuple[str, Blob] | None:
        """Return the file and where it is from, or ``None``: nobody has it.

        Raises:
            DownloadError: somebody may have it, and nobody gave it.
            StoreError: the store cannot be written to.
            Stopped: the work was called off.
        """
        blob = self._store.find(sha256=wanted.sha256, md5=wanted.md5, wanted=wanted)
        if blob is not None:
            return self._origin(wanted, blob), blob
        return self._decide(
            wanted,
            recall=lambda url: (url, self._recall(wanted, url)),
            attempt=lambda url, seconds: (url, self._attempt(wanted, url, seconds)),
        )

    def _origin(self, wanted: Wanted, blob: Blob) -> str:
        """Return the first of a file's places that once gave it, or else the first of all.

        What stands in a lock must not depend on whether the store had the file already.
        """
        for url in wanted.urls:
            record = self._store.record(url)
            if record is not None and record.sha256 == blob.sha256:
                return url
        return wanted.urls[0] if wanted.urls else ""

    def look(self, wanted: Wanted) -> Sight | None:
        """Return what can be told of the file without fetching it, or ``None``: nobody has it.

        Raises:
            DownloadError: nobody can tell.
            Stopped: the work was called off.
        """
        blob = self._store.find(sha256=wanted.sha256, md5=wanted.md5, wanted=wanted)
        if blob is not None:
            return Sight(size_bytes=blob.size_bytes)
        return self._decide(
            wanted,
            recall=lambda url: self._recall_sight(wanted, url),
            attempt=self._look,
        )

    def _decide(
        self,
        wanted: Wanted,
        *,
        recall: Callable[[str], Result],
        attempt: Callable[[str, float], Result],
    ) -> Result | None:
        """Go by what is known where that is to do, else ask the mirrors."""
        if not wanted.urls:
            raise DownloadError(
                f"{wanted.name} cannot be fetched: no place is named where it could be",
                hint="name a mirror",
            )
        decisive = wanted.urls[0] if wanted.optional else None
        if self._offline or self._reuse:
            faults: dict[str, Fault] = {}
            try:
                found = ask_each(wanted.urls, recall, faults, decisive=decisive)
                # What was not there then may be there now; of what may be missing, nobody asks.
                if found is not None or self._offline or wanted.optional:
                    return found
            except Undecided:
                if self._offline:
                    raise not_in_store(wanted, faults) from None
        rounds = Rounds(
            wanted,
            policy=self._policy,
            reachability=self._reachability,
            sleep=self._sleep,
        )
        return rounds.run(attempt, decisive=decisive)

    def _recall(self, wanted: Wanted, url: str) -> Blob:
        """Return what came from ``url`` earlier; folders are looked into all the same."""
        if is_local(url):
            return copy_local(self._store, wanted, url, stopped=self._stopped)
        record = self._remembered(url)
        blob = self._store.find(sha256=record.sha256, wanted=wanted)
        if blob is None:
            raise _not_stored()
        return blob

    def _recall_sight(self, wanted: Wanted, url: str) -> Sight:
        if is_local(url):
            return Sight(size_bytes=look_local(url).st_size)
        record = self._remembered(url)
        if wanted.sha256 is not None and wanted.sha256.lower() != record.sha256:
            raise _not_stored()
        return Sight(size_bytes=record.size_bytes)

    def _remembered(self, url: str) -> Record:
        record = self._store.record(url)
        if record is None:
            raise _not_stored()
        if record.sha256 is None:
            raise Fault("it was not there", Cause.MISSING)
        return record

    def _attempt(self, wanted: Wanted, url: str, seconds: float) -> Blob:
        """Fetch a file from one place, and remember where there is none."""
        self.check_stopped()
        if is_local(url):
            return copy_local(self._store, wanted, url, stopped=self._stopped)
        with self._noting(url):
            try:
                return self._transfer(wanted, url, seconds)
            except Fault as fault:
                if fault.cause is Cause.MISSING:
                    self._store.remember(url, Record(url=redact(url)))
                raise

    def _look(self, url: str, seconds: float) -> Sight:
        """Ask a place what it has; whoever only looks changes nothing of what is known of it.

        Some servers have no answer to ``HEAD`` but 404, for files that they give.
        """
        self.check_stopped()
        if is_local(url):
            return Sight(size_bytes=look_local(url).st_size)
        with self._noting(url):
            return Sight(size_bytes=ask_size(self._connect(), url, most_seconds=seconds))

    @contextmanager
    def _noting(self, url: str) -> Iterator[None]:
        """Keep what an attempt tells of a host."""
        self._reachability.check(url)
        try:
            yield
        except Fault as fault:
            self._reachability.note(url, fault)
            raise
        self._reachability.note(url, None)

    def _transfer(self, wanted: Wanted, url: str, seconds: float) -> Blob:
        """Fetch a file from a server, or let somebody do it who is at it already."""
        before = self._store.record_time(url)
        shared = self._store.partial(url)
        with taking_turns(
            self._store.lock_path(url),
            patience_seconds=self._policy.connect_seconds + self._policy.stall_seconds,
            progress=shared.size_bytes,
            stopped=self._stopped,
        ) as turn:
            if turn.waited and self._store.record_time(url) != before:
                with suppress(Fault):
                    return self._recall(wanted, url)
            transfer = Transfer(self._store, wanted, url, ours=turn.ours)
            return transfer.run(self._connect(), most_seconds=seconds)

    def _connect(self) -> Web:
        """Return what asks servers, made when it is first needed: its import takes 80 ms."""
        from purekernel.fetch.http import Web  # noqa: PLC0415

        with self._web_lock:
            if self._web is None:
                self._web = Web(
                    connect_seconds=self._policy.connect_seconds,
                    stall_seconds=self._policy.stall_seconds,
                )
            self.check_stopped()  # what is made now, nobody would stop
            return self._web

    def _wait(self, seconds: float) -> None:
        self._stopped.wait(seconds)
        self.check_stopped()


def _not_stored() -> Fault:
    return Fault("it is not in the store", Cause.LASTING)
