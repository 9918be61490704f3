"""Find a file in the store, through the cache entries of its URLs, or on a mirror."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from purekernel.errors import DownloadError
from purekernel.fetch.attempts import Reachability, Rounds, Undecided, ask_each, not_in_store
from purekernel.fetch.file_mirror import copy_local, look_local
from purekernel.fetch.model import Cause, Download, DownloadPolicy, Fault, Stopped
from purekernel.fetch.records import CacheEntry, Validators
from purekernel.fetch.store import Blob, Store, taking_turns
from purekernel.fetch.transfer import Transfer, ask_size
from purekernel.fetch.urls import http_fallbacks, is_local, redact
from purekernel.records import frozen

if TYPE_CHECKING:
    from purekernel.fetch.http import Web

Result = TypeVar("Result")

HTTP_HINT = "use another https mirror, or permit plain http with --allow-http"


@frozen(kw_only=True)
class Sight:
    """What is known of an existing file without fetching it.

    Attributes:
        size_bytes: its size, if known.
    """

    size_bytes: int | None


class Finder:
    """Finds single files; thread-safe.

    Args:
        store: the store for downloaded files; files that it has are not downloaded.
        policy: the limits.
        offline: open no connection.
        reuse: use the stored file of a URL without asking the server whether it has changed.
        sleep: waits for the given number of seconds; the default wait ends early on
            :meth:`stop`.
        received: called by the threads of downloads after each piece; see :class:`Transfer`.
    """

    def __init__(
        self,
        store: Store,
        *,
        policy: DownloadPolicy,
        offline: bool,
        reuse: bool,
        sleep: Callable[[float], None] | None,
        received: Callable[[Download, int, int, int | None], None],
    ) -> None:
        self._received = received
        self._store = store
        self._policy = policy
        self._offline = offline
        self._reuse = reuse
        self._sleep = sleep or self._wait
        self._reachability = Reachability()
        self._begun: dict[str, Validators] = {}
        self._stopped = threading.Event()
        self._web: Web | None = None
        self._web_lock = threading.Lock()

    def end_overdue(self) -> None:
        """Abort all overdue requests; call this regularly."""
        if self._web is not None:
            self._web.end_overdue()

    def stop(self) -> None:
        """Cancel running work: all threads raise ``Stopped`` soon, and on every later call."""
        with self._web_lock:
            self._stopped.set()
        if self._web is not None:
            self._web.stop()

    def close(self) -> None:
        """Close the connections; all threads must have ended."""
        if self._web is not None:
            self._web.close()

    def check_stopped(self) -> None:
        """Raise ``Stopped`` if the work was cancelled."""
        if self._stopped.is_set():
            raise Stopped

    def find(self, download: Download) -> tuple[str, Blob] | None:
        """Return the URL and the stored file, or ``None`` if the file is missing everywhere.

        A stored file that has the expected SHA-256 is used whatever its source. MD5 proves less,
        because two files with one MD5 can be made: by MD5, a stored file is used only for the URL
        that it came from.

        Raises:
            DownloadError: a mirror may have the file, but none provided it.
            StoreError: the store cannot be written to.
            Stopped: the work was cancelled.
        """
        blob = self._store.find(sha256=download.sha256, download=download)
        if blob is not None:
            return self._origin(download, blob), blob
        return self._decide(
            download,
            recall=lambda url: (url, self._recall(download, url)),
            attempt=lambda url, seconds: (url, self._attempt(download, url, seconds)),
        )

    def _origin(self, download: Download, blob: Blob) -> str:
        """Return the first URL that ever provided the file, or else the first URL.

        The URL in a lock file must not depend on whether the store already had the file.
        """
        for url in download.urls:
            record = self._store.record(url)
            if record is not None and record.sha256 == blob.sha256:
                return url
        return download.urls[0] if download.urls else ""

    def look(self, download: Download) -> Sight | None:
        """Return what is known of the file without fetching it, or ``None`` if it is missing.

        Raises:
            DownloadError: the requests failed.
            Stopped: the work was cancelled.
        """
        blob = self._store.find(sha256=download.sha256, download=download)
        if blob is not None:
            return Sight(size_bytes=blob.size_bytes)
        return self._decide(
            download,
            recall=lambda url: self._recall_sight(download, url),
            attempt=lambda url, seconds: self._look(download, url, seconds),
        )

    def _decide(
        self,
        download: Download,
        *,
        recall: Callable[[str], Result],
        attempt: Callable[[str, float], Result],
    ) -> Result | None:
        """Use the cache entries if ``offline`` or ``reuse`` is set, else ask the mirrors."""
        if not download.urls:
            raise DownloadError(
                f"{download.name} cannot be fetched: it has no URL", hint="give a mirror"
            )
        decisive = download.urls[0] if download.optional else None
        refused = self._refused(download)
        urls = [url for url in download.urls if url not in refused]
        if self._offline or self._reuse:
            faults = dict(refused)
            try:
                result = ask_each(urls, recall, faults, decisive=decisive)
                # A file that was missing earlier may exist now; optional files are not asked for
                # again.
                if result is not None or self._offline or download.optional:
                    return result
            except Undecided:
                if self._offline:
                    raise not_in_store(download, faults) from None
        rounds = Rounds(
            download,
            refused=refused,
            policy=self._policy,
            reachability=self._reachability,
            sleep=self._sleep,
        )
        return rounds.run(attempt, decisive=decisive)

    def _refused(self, download: Download) -> dict[str, Fault]:
        """Return the URLs that must not be tried, each with the reason."""
        if self._policy.allow_http or download.is_pinned:
            return {}
        fault = Fault(
            "not tried, because plain http must not stand in for https",
            Cause.LASTING,
            hint=HTTP_HINT,
        )
        return dict.fromkeys(http_fallbacks(download.urls), fault)

    def _recall(self, download: Download, url: str) -> Blob:
        """Return the stored file of ``url``; read local mirrors as usual."""
        if is_local(url):
            return copy_local(self._store, download, url, stopped=self._stopped)
        record = self._remembered(url)
        blob = self._store.find(sha256=record.sha256, download=download)
        if blob is None:
            raise _not_stored()
        return blob

    def _recall_sight(self, download: Download, url: str) -> Sight:
        if is_local(url):
            return Sight(size_bytes=look_local(url).st_size)
        record = self._remembered(url)
        if download.sha256 is not None and download.sha256.lower() != record.sha256:
            raise _not_stored()
        return Sight(size_bytes=record.size_bytes)

    def _remembered(self, url: str) -> CacheEntry:
        record = self._store.record(url)
        if record is None:
            raise _not_stored()
        if record.sha256 is None:
            raise Fault("not found by an earlier request", Cause.MISSING)
        return record

    def _attempt(self, download: Download, url: str, seconds: float) -> Blob:
        """Fetch a file from one URL; write a cache entry if it is missing there."""
        self.check_stopped()
        if is_local(url):
            return copy_local(self._store, download, url, stopped=self._stopped)
        before = self._store.record_time(url)
        if (blob := self._proven(download, url)) is not None:
            return blob
        with self._noting(url):
            try:
                return self._transfer(download, url, seconds, before)
            except Fault as fault:
                if fault.cause is Cause.MISSING:
                    self._store.remember(url, CacheEntry(url=redact(url)))
                raise

    def _proven(self, download: Download, url: str) -> Blob | None:
        """Return the stored file that came from ``url``, if the expected digest proves it."""
        # With a SHA-256, the store was searched before.
        weaker = download.md5 is not None or download.sha512 is not None
        record = self._store.record(url) if weaker else None
        if record is None or record.sha256 is None:
            return None
        return self._store.find(sha256=record.sha256, download=download)

    def _look(self, download: Download, url: str, seconds: float) -> Sight:
        """Ask a URL for the size of its file; do not change its cache entry.

        Some servers answer ``HEAD`` with 404 for files that exist.
        """
        self.check_stopped()
        if is_local(url):
            return Sight(size_bytes=look_local(url).st_size)
        if (blob := self._proven(download, url)) is not None:
            return Sight(size_bytes=blob.size_bytes)
        with self._noting(url):
            return Sight(size_bytes=ask_size(self._connect(), url, most_seconds=seconds))

    @contextmanager
    def _noting(self, url: str) -> Iterator[None]:
        """Record whether the host of ``url`` responds."""
        self._reachability.check(url)
        try:
            yield
        except Fault as fault:
            self._reachability.note(url, fault)
            raise
        self._reachability.note(url, None)

    def _transfer(self, download: Download, url: str, seconds: float, before: int | None) -> Blob:
        """Download a file, or wait for another process that is downloading it.

        Args:
            download: the file.
            url: the URL.
            seconds: time limit.
            before: the time of the cache entry of ``url`` when the attempt began.
        """
        shared = self._store.partial(url)
        with taking_turns(
            self._store.lock_path(url),
            patience_seconds=self._policy.connect_seconds + self._policy.stall_seconds,
            progress=shared.size_bytes,
            stopped=self._stopped,
        ) as turn:
            if self._store.record_time(url) != before:  # another process has just fetched it
                with suppress(Fault):
                    return self._recall(download, url)
            transfer = Transfer(
                self._store,
                download,
                url,
                ours=turn.ours,
                begun=self._begun,
                received=partial(self._received, download),
            )
            return transfer.run(self._connect(), most_seconds=seconds)

    def _connect(self) -> Web:
        """Return the HTTP client; create it on first use, because its import takes 80 ms."""
        from purekernel.fetch.http import Bounds, Web  # noqa: PLC0415

        with self._web_lock:
            if self._web is None:
                policy = self._policy
                self._web = Web(
                    Bounds(
                        connect_seconds=policy.connect_seconds,
                        stall_seconds=policy.stall_seconds,
                        slow_seconds=policy.slow_seconds,
                        min_bytes_per_second=policy.min_bytes_per_second,
                    )
                )
            self.check_stopped()  # stop() does not reach a client that is created after it
            return self._web

    def _wait(self, seconds: float) -> None:
        self._stopped.wait(seconds)
        self.check_stopped()


def _not_stored() -> Fault:
    return Fault("not in the store", Cause.LASTING)
