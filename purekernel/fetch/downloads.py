"""Fetch files: from the store where it has them, else from mirrors, several at once.

::

    with Downloads(Store()) as downloads:
        fetched = downloads.fetch_all([Wanted(name="bash.tcz", urls=(...,), md5=...)])
        content = downloads.load(fetched[0])

Whatever comes out of here was checked: against the digests and the size that were promised,
the length that the server announced, and the kind of file that was wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self, TypeVar

from attrs import evolve, frozen

from purekernel.errors import DownloadError, PurekernelError, StoreError, raise_all
from purekernel.fetch.attempts import missing
from purekernel.fetch.finder import Finder
from purekernel.fetch.store import Store, load_fetched
from purekernel.fetch.urls import redact
from purekernel.fetch.wanted import DownloadPolicy, Fetched, Stopped, Wanted
from purekernel.threads import Crew

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["DownloadPolicy", "Downloads", "load_fetched"]

# How often the caller's thread looks up from waiting: for Ctrl-C, which Windows does not wake
# it for, and for requests that have had their time.
_TICK_SECONDS = 0.1

# What threads that were called off are waited for; all that can hold them longer is a name
# server, and they write nothing afterwards.
_LEAVE_SECONDS = 1.0

Report = Callable[[Wanted, Fetched | None], None]
Result = TypeVar("Result")


@frozen
class _Raised:
    """What the work at a file ended with in place of a result."""

    error: BaseException


class Downloads:
    """Fetches files into a store; a context manager, whose end ends threads and connections.

    Args:
        store: where files go, and come from when it has them.
        policy: bounds.
        offline: open no connection; folders are still read.
        reuse: trust what the store has from an address without asking whether it has changed.
        report: told of each file, in the thread that asked for it, when it is there; ``None``
            is one that may be missing, and is.
        sleep: waits for so many seconds; for tests.
        executor: what works in place of threads of our own.
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
    ) -> None:
        self._policy = policy or DownloadPolicy()
        self._report = report
        self._finder = Finder(store, policy=self._policy, offline=offline, reuse=reuse, sleep=sleep)
        self._crew = Crew(self._policy.parallel)
        self._executor = executor
        self._origins: dict[str, Wanted] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End what is under way; nothing can be fetched afterwards."""
        self._finder.stop()
        self._crew.dismiss(patience_seconds=_LEAVE_SECONDS)
        self._finder.close()

    def fetch(self, wanted: Wanted) -> Fetched | None:
        """Return the file, or ``None``: it is optional, and no mirror has it.

        Raises:
            MissingFileError: no mirror has it.
            ChecksumError: mirrors have another file of that name.
            OfflineError: it is not in the store, and nothing may be asked.
            DownloadError: it cannot be had for another reason.
            StoreError: the store cannot be written to.
        """
        return self.fetch_all([wanted])[0]

    def fetch_all(self, wanted: Iterable[Wanted]) -> list[Fetched | None]:
        """Return the files in the order in which they are asked for, each fetched once.

        Raises:
            DownloadError: of one file, as :meth:`fetch` has it.
            StoreError: the store cannot be written to.
            CombinedError: several of these: all files were tried.
        """
        asked = list(wanted)
        fetched = self._run(self._fetch, asked, self._report)
        return [fetched[one] for one in asked]

    def try_all(self, wanted: Iterable[Wanted]) -> list[Fetched | DownloadError | None]:
        """Return the files as :meth:`fetch_all` does, or why one cannot be had.

        Raises:
            StoreError: the store cannot be written to.
        """
        asked = list(wanted)
        report = self._report

        def tell(one: Wanted, result: Fetched | DownloadError | None) -> None:
            if report is not None and not isinstance(result, DownloadError):
                report(one, result)

        fetched = self._run(_or_why_not(self._fetch), asked, tell)
        return [fetched[one] for one in asked]

    def exists(self, wanted: Wanted) -> bool:
        """Say whether some place has the file, without fetching it.

        Raises:
            OfflineError: the store does not know, and nothing may be asked.
            DownloadError: nobody can tell.
        """
        (seen,) = self.look_all([wanted])
        if isinstance(seen, DownloadError):
            raise seen
        return seen

    def look_all(self, wanted: Iterable[Wanted]) -> list[bool | DownloadError]:
        """Return whether some place has each file, or why nobody can tell; fetch none."""
        asked = list(wanted)
        seen = self._run(_or_why_not(self._finder.look), asked, None)
        return [
            sight if isinstance(sight, DownloadError) else sight is not None
            for sight in (seen[one] for one in asked)
        ]

    def sizes(self, wanted: Iterable[Wanted]) -> dict[Wanted, int | None]:
        """Return how many bytes files have, without fetching them.

        Returns:
            For each file what was promised of it, or what a mirror says; ``None`` where nobody
            does, for whatever reason: to fetch it will tell the reason.
        """

        def size(one: Wanted) -> int | None:
            if one.size_bytes is not None:
                return one.size_bytes
            try:
                sight = self._finder.look(one)
            except PurekernelError:
                return None
            return None if sight is None else sight.size_bytes

        return self._run(size, list(wanted), None)

    def load(self, fetched: Fetched) -> bytes:
        """Return what a file that was fetched here holds; what was damaged since comes anew.

        Raises:
            DownloadError: it was damaged, and cannot be had again.
            StoreError: likewise, where it was fetched elsewhere.
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
        work: Callable[[Wanted], Result],
        asked: list[Wanted],
        report: Callable[[Wanted, Result], None] | None,
    ) -> dict[Wanted, Result]:
        """Have ``work`` done for each file, each once; raise all errors together."""
        todo = dict.fromkeys(asked)
        done: SimpleQueue[tuple[Wanted, Result | _Raised]] = SimpleQueue()
        results: dict[Wanted, Result] = {}
        errors: dict[Wanted, PurekernelError] = {}
        try:
            for wanted in todo:
                self._submit(work, wanted, done)
            while len(results) + len(errors) < len(todo):
                wanted, result = self._next(done)
                if not isinstance(result, _Raised):
                    results[wanted] = result
                    if report is not None:
                        report(wanted, result)
                elif isinstance(result.error, PurekernelError):
                    errors[wanted] = result.error
                else:
                    raise result.error
        except Stopped:
            self.close()  # threads that were started since it was closed
            raise DownloadError("the downloads were called off", hint="run again") from None
        except BaseException:
            self.close()
            raise
        # A full disk is one fault, however many files it kept out.
        raise_all({str(errors[one]): errors[one] for one in todo if one in errors}.values())
        return results

    def _submit(
        self,
        work: Callable[[Wanted], Result],
        wanted: Wanted,
        done: SimpleQueue[tuple[Wanted, Result | _Raised]],
    ) -> None:
        def task() -> None:
            try:
                self._finder.check_stopped()
                done.put((wanted, work(wanted)))
            except BaseException as error:  # noqa: BLE001  # raised where it is waited for
                done.put((wanted, _Raised(error)))

        (self._executor or self._crew).submit(task)

    def _next(
        self, done: SimpleQueue[tuple[Wanted, Result | _Raised]]
    ) -> tuple[Wanted, Result | _Raised]:
        """Wait for the next result, and see to it meanwhile that no request takes too long."""
        while True:
            self._finder.end_overdue()
            with suppress(Empty):
                return done.get(timeout=_TICK_SECONDS)

    def _fetch(self, wanted: Wanted) -> Fetched | None:
        found = self._finder.find(wanted)
        if found is None:
            if wanted.optional:
                return None
            raise missing(wanted)
        url, blob = found
        self._origins[blob.sha256] = wanted
        return Fetched(
            name=wanted.name,
            url=redact(url),
            size_bytes=blob.size_bytes,
            sha256=blob.sha256,
            md5=blob.md5,
            path=blob.path,
        )


def _or_why_not(
    work: Callable[[Wanted], Result],
) -> Callable[[Wanted], Result | DownloadError]:
    """Return ``work`` with its error as a result."""

    def try_it(wanted: Wanted) -> Result | DownloadError:
        try:
            return work(wanted)
        except DownloadError as error:
            return error

    return try_it
