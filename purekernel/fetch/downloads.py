"""Fetch files from the store or, if it lacks them, from mirrors, several at once.

::

    with Downloads(Store()) as downloads:
        fetched = downloads.fetch_all([Download(name="bash.tcz", urls=(...,), md5=...)])
        content = downloads.load(fetched[0])

Every returned file was checked against the expected digests and size, the length that the
server announced, and the expected kind of file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self, TypeVar

from attrs import evolve

from purekernel.errors import (
    ChecksumError,
    DownloadError,
    PurekernelError,
    StoreError,
    raise_all,
)
from purekernel.fetch.attempts import missing
from purekernel.fetch.finder import Finder
from purekernel.fetch.model import Download, DownloadedFile, DownloadPolicy, Stopped
from purekernel.fetch.store import Store, load_fetched
from purekernel.fetch.urls import is_plain_http, redact
from purekernel.progress import Progress, Silent, Task
from purekernel.records import frozen
from purekernel.threads import Crew

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["DownloadPolicy", "Downloads", "load_fetched"]

# How often the calling thread wakes up: to notice Ctrl-C, which does not interrupt the wait on
# Windows, and to abort overdue requests.
_TICK_SECONDS = 0.1

# How long to wait for cancelled threads to end. Only a name server lookup can block them for
# longer, and they write nothing afterwards.
_LEAVE_SECONDS = 1.0

Report = Callable[[Download, DownloadedFile | None], None]
Result = TypeVar("Result")


@frozen
class _Failure:
    """The exception that the work on a file raised."""

    error: BaseException


class _Traffic:
    """Counts the bytes of several downloads; thread-safe.

    The total is known once the sizes of all files are that are not finished.

    Args:
        task: receives the numbers.
        downloads: the files.
    """

    def __init__(self, task: Task, downloads: Iterable[Download]) -> None:
        self._task = task
        self._lock = threading.Lock()
        self._starts: dict[Download, int] = {}
        self._received: dict[Download, int] = {}
        self._expected = {download: download.size_bytes for download in downloads}
        self._unknown = sum(size is None for size in self._expected.values())
        self._total = sum(size or 0 for size in self._expected.values())

    def receive(self, download: Download, offset: int, size_bytes: int, total: int | None) -> None:
        """Report that a request has received the bytes from ``offset`` to ``size_bytes``.

        What an earlier run received is not counted.
        """
        with self._lock:
            start = min(self._starts.get(download, offset), offset)
            before = self._received.get(download, 0)
            count = self._received[download] = size_bytes - start
            self._starts[download] = start
            if total is not None:
                self._expect(download, total - start)
        self._task.advance(count - before)

    def finish(self, download: Download) -> None:
        """Report that no bytes of a file are to come: it was fetched, or in the store."""
        with self._lock:
            self._expect(download, self._received.get(download, 0))

    def _expect(self, download: Download, size_bytes: int) -> None:
        before = self._expected.get(download)
        if before == size_bytes:
            return
        self._expected[download] = size_bytes
        self._unknown -= before is None
        self._total += size_bytes - (before or 0)
        self._task.set_total(None if self._unknown else self._total)


class Downloads:
    """Fetches files into a store. A context manager: leaving it ends threads and connections.

    Args:
        store: the store for downloaded files; files that it has are not downloaded.
        policy: the limits.
        offline: open no connection; mirror folders are still read.
        reuse: use the stored file of a URL without asking the server whether it has changed.
        report: called with each completed file, in the thread of the caller; the second
            argument is ``None`` if the file is optional and missing.
        sleep: waits for the given number of seconds; for tests.
        executor: runs the downloads instead of the built-in thread pool.
        progress: counts files and bytes.
    """

    def __init__(
        self,
        store: Store,
        *,
        policy: DownloadPolicy | None = None,
        offline: bool = False,
        reuse: bool = False,
        report: Report | None = None,
        sleep: Callable[[float], None] | None = None,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._policy = policy or DownloadPolicy()
        self._report = report
        self._progress = progress or Silent()
        self._traffic: _Traffic | None = None
        self._finder = Finder(
            store,
            policy=self._policy,
            offline=offline,
            reuse=reuse,
            sleep=sleep,
            received=self._received,
        )
        self._crew = Crew(self._policy.parallel)
        self._executor = executor
        self._origins: dict[str, Download] = {}
        self._unauthenticated: dict[str, None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel running downloads; no file can be fetched afterwards."""
        self._finder.stop()
        self._crew.dismiss(patience_seconds=_LEAVE_SECONDS)
        self._finder.close()

    @property
    def unauthenticated(self) -> list[str]:
        """The URLs of the files fetched so far that nothing authenticates, sorted."""
        return sorted(self._unauthenticated)

    def fetch(self, download: Download) -> DownloadedFile | None:
        """Return the file, or ``None`` if it is optional and no mirror has it.

        Raises:
            MissingFileError: no mirror has the file.
            ChecksumError: the mirrors have a file of another size or digest.
            OfflineError: the file is not in the store, and ``offline`` is set.
            DownloadError: the file cannot be fetched for another reason.
            StoreError: the store cannot be written to.
        """
        return self.fetch_all([download])[0]

    def fetch_all(self, downloads: Iterable[Download]) -> list[DownloadedFile | None]:
        """Return the files in the order of ``downloads``; fetch each file once.

        All files are tried before an error is raised.

        Raises:
            DownloadError: one file failed; see :meth:`fetch`.
            StoreError: the store cannot be written to.
            CombinedError: several files failed.
        """
        requests = list(downloads)
        fetched = self._run(self._fetch, requests, self._report)
        return [fetched[request] for request in requests]

    def try_all(self, downloads: Iterable[Download]) -> list[DownloadedFile | DownloadError | None]:
        """Return the files as :meth:`fetch_all` does, with errors in place of failed files.

        Raises:
            StoreError: the store cannot be written to.
        """
        requests = list(downloads)
        report = self._report

        def report_success(
            request: Download, result: DownloadedFile | DownloadError | None
        ) -> None:
            if report is not None and not isinstance(result, DownloadError):
                report(request, result)

        fetched = self._run(_return_error(self._fetch), requests, report_success)
        return [fetched[request] for request in requests]

    def exists(self, download: Download) -> bool:
        """Return whether the file exists at any URL, without fetching it.

        Raises:
            OfflineError: the store does not know, and ``offline`` is set.
            DownloadError: the requests failed.
        """
        (result,) = self.look_all([download])
        if isinstance(result, DownloadError):
            raise result
        return result

    def look_all(self, downloads: Iterable[Download]) -> list[bool | DownloadError]:
        """Return for each file whether it exists at any URL, or an error; fetch no file."""
        requests = list(downloads)
        results = self._run(_return_error(self._finder.look), requests, None)
        return [
            sight if isinstance(sight, DownloadError) else sight is not None
            for sight in (results[request] for request in requests)
        ]

    def sizes(self, downloads: Iterable[Download]) -> dict[Download, int | None]:
        """Return the sizes of files in bytes, without fetching them.

        Returns:
            For each file the expected size, or the size that a mirror reports; ``None`` if it
            is unknown or the request fails. Fetching the file reports the reason.
        """

        def size(request: Download) -> int | None:
            if request.size_bytes is not None:
                return request.size_bytes
            try:
                sight = self._finder.look(request)
            except PurekernelError:
                return None
            return None if sight is None else sight.size_bytes

        return self._run(size, list(downloads), None)

    def load(self, fetched: DownloadedFile) -> bytes:
        """Return the content of a fetched file; fetch it again if it was damaged since.

        Raises:
            DownloadError: the file was damaged and cannot be fetched again.
            StoreError: the file was damaged, and another object fetched it.
        """
        try:
            return load_fetched(fetched)
        except StoreError:
            if (origin := self._origins.get(fetched.sha256)) is None:
                raise
        again = self.fetch(evolve(origin, sha256=fetched.sha256, optional=False))
        return load_fetched(again or fetched)

    def _run(
        self,
        work: Callable[[Download], Result],
        requests: list[Download],
        report: Callable[[Download, Result], None] | None,
    ) -> dict[Download, Result]:
        """Run ``work`` once for each file; raise all errors together."""
        todo = dict.fromkeys(requests)
        with (
            self._progress.task("files", total=len(todo)) as files,
            self._progress.task("bytes") as received,
        ):
            traffic = self._traffic = _Traffic(received, todo)

            def finish(download: Download) -> None:
                files.advance()
                traffic.finish(download)

            return self._run_counted(work, todo, report, finish)

    def _run_counted(
        self,
        work: Callable[[Download], Result],
        todo: Collection[Download],
        report: Callable[[Download, Result], None] | None,
        finish: Callable[[Download], None],
    ) -> dict[Download, Result]:
        """Run ``work`` for each file of ``todo``; call ``finish`` after each."""
        done: SimpleQueue[tuple[Download, Result | _Failure]] = SimpleQueue()
        results: dict[Download, Result] = {}
        errors: dict[Download, PurekernelError] = {}
        try:
            for download in todo:
                self._submit(work, download, done)
            while len(results) + len(errors) < len(todo):
                download, result = self._next(done)
                finish(download)
                if not isinstance(result, _Failure):
                    results[download] = result
                    if report is not None:
                        report(download, result)
                elif isinstance(result.error, PurekernelError):
                    errors[download] = result.error.within(_place(download, result.error))
                else:
                    raise result.error
        except Stopped:
            self.close()  # ends threads that were started since the last close
            raise DownloadError("the downloads were cancelled", hint="run again") from None
        except BaseException:
            self.close()
            raise
        # A full disk is reported once, also if several files failed because of it.
        raise_all(
            {
                str(errors[download]): errors[download] for download in todo if download in errors
            }.values()
        )
        return results

    def _received(
        self, download: Download, offset: int, size_bytes: int, total: int | None
    ) -> None:
        """Count bytes; called by the threads of downloads."""
        if self._traffic is not None:
            self._traffic.receive(download, offset, size_bytes, total)

    def _submit(
        self,
        work: Callable[[Download], Result],
        download: Download,
        done: SimpleQueue[tuple[Download, Result | _Failure]],
    ) -> None:
        def task() -> None:
            try:
                self._finder.check_stopped()
                done.put((download, work(download)))
            except BaseException as error:  # noqa: BLE001  # raised in the waiting thread
                done.put((download, _Failure(error)))

        (self._executor or self._crew).submit(task)

    def _next(
        self, done: SimpleQueue[tuple[Download, Result | _Failure]]
    ) -> tuple[Download, Result | _Failure]:
        """Wait for the next result; abort overdue requests meanwhile."""
        while True:
            self._finder.end_overdue()
            with suppress(Empty):
                return done.get(timeout=_TICK_SECONDS)

    def _fetch(self, download: Download) -> DownloadedFile | None:
        result = self._finder.find(download)
        if result is None:
            if download.optional:
                return None
            raise missing(download)
        url, blob = result
        self._origins[blob.sha256] = download
        fetched = DownloadedFile(
            name=download.name,
            url=redact(url),
            size_bytes=blob.size_bytes,
            sha256=blob.sha256,
            md5=blob.md5,
            path=blob.path,
        )
        if is_unauthenticated(download, fetched):
            self._unauthenticated[fetched.url] = None
        return fetched


def is_unauthenticated(download: Download, file: DownloadedFile) -> bool:
    """Return whether a file came over plain http, and no strong digest proves it."""
    return is_plain_http(file.url) and not download.is_pinned


def _return_error(
    work: Callable[[Download], Result],
) -> Callable[[Download], Result | DownloadError]:
    """Wrap ``work`` so that it returns a :class:`DownloadError` instead of raising it."""

    def run(download: Download) -> Result | DownloadError:
        try:
            return work(download)
        except DownloadError as error:
            return error

    return run


def _place(download: Download, error: PurekernelError) -> str:
    """Return where the user gave what failed; empty for errors of the store."""
    if isinstance(error, ChecksumError) and download.sha256_place:
        return download.sha256_place
    return download.place if isinstance(error, DownloadError) else ""
