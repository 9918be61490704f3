"""Define what a build uses of its surroundings: the store, the network, time and processors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from pathlib import Path

from attrs import field

from purekernel.encode.cache import Cache
from purekernel.errors import UsageError
from purekernel.fetch.model import Download, DownloadedFile
from purekernel.input import DEFAULT_LIMITS, Limits
from purekernel.progress import Progress, Silent
from purekernel.recipe.model import MAX_TIMESTAMP, Recipe, is_timestamp
from purekernel.records import frozen
from purekernel.threads import running_executor
from purekernel.tree import Tree, newest_time

Report = Callable[[Download, DownloadedFile | None], None]
"""Called with each fetched file, and with ``None`` for a missing optional file."""


def _is_positive(_context: object, _attribute: object, jobs: int | None) -> None:
    if jobs is not None and jobs < 1:
        raise UsageError(
            f"jobs must be 1 or more, got {jobs}", hint="give 1 or more, or leave it out"
        )


def _has_no_jobs(context: Context, _attribute: object, executor: Executor | None) -> None:
    if executor is not None and context.jobs is not None:
        raise UsageError(
            "jobs and executor cannot be used together: an executor has its own number of workers",
            hint="leave out one of the two",
        )


def _has_lock(context: Context, _attribute: object, locked: bool) -> None:
    if locked and context.no_lock:
        raise UsageError(
            "--locked and --no-lock exclude each other", hint="leave out one of the two"
        )


@frozen(kw_only=True)
class Context:
    """What a build may use of its surroundings.

    Only ``timestamp``, ``environment`` and the lock file can change the bytes of an image.

    Attributes:
        cache_dir: the folder of the store of downloads; ``None`` for the user's default.
        offline: use only files that are in the store.
        allow_http: let plain http mirrors stand in for https mirrors, as the recipe may, too.
        lock_file: path of the lock file; ``None`` for ``purekernel.lock`` beside the recipe.
        no_lock: ignore the lock file.
        locked: require a lock file that fits the recipe.
        environment: environment variables, which may hold passwords of accounts.
        timestamp: the latest time that an entry of the image may have, and the time of generated
            entries, in seconds since 1970, UTC; ``None`` for the recipe's, or else the newest time
            of the inputs.
        limits: limits on parsed input.
        progress: receives the steps.
        report: called with each fetched file.
        jobs: number of encoders that run at once; ``None`` for one per processor.
        executor: runs the encoders in place of threads. Any executor works, including one that
            uses processes or other machines.
        cache: stores the encoders' results.

    Raises:
        UsageError: the timestamp is out of range, ``jobs`` is less than 1, ``jobs`` and
            ``executor`` are both given, or ``locked`` and ``no_lock``.
    """

    cache_dir: Path | None = None
    offline: bool = False
    allow_http: bool = False
    lock_file: Path | None = None
    no_lock: bool = False
    locked: bool = field(default=False, validator=_has_lock)
    environment: Mapping[str, str] = field(factory=dict, repr=False)
    timestamp: int | None = field(default=None, validator=is_timestamp)
    limits: Limits = DEFAULT_LIMITS
    progress: Progress = field(factory=Silent, repr=False)
    report: Report | None = field(default=None, repr=False)
    jobs: int | None = field(default=None, validator=_is_positive)
    executor: Executor | None = field(default=None, validator=_has_no_jobs)
    cache: Cache | None = None

    def time_of(self, recipe: Recipe, trees: Iterable[Tree] = (), *, at_least: int = 0) -> int:
        """Return the time of an image, in seconds since 1970, UTC.

        The context's timestamp comes first, then the recipe's, then the newest time of the inputs,
        limited to the range from 0 to :data:`MAX_TIMESTAMP`.

        Args:
            recipe: the recipe.
            trees: the inputs; read only if no timestamp is given.
            at_least: the newest time of the files that the trees were read from.
        """
        for given in (self.timestamp, recipe.timestamp):
            if given is not None:
                return given
        return min(max(at_least, 0, *map(newest_time, trees)), MAX_TIMESTAMP)

    def encoders(self) -> AbstractContextManager[Executor]:
        """Return a context that yields the executor of encoders; it closes its own threads."""
        return running_executor(self.executor, jobs=self.jobs)
