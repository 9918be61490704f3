"""Run slow encoders once, and reuse their results in later builds.

A cache is not trusted: a bad restore may swap its files, and files may be damaged or planted. So
each result is checked against its input before use, and is made again if it does not match. The
executor's results get the same check, because the executor may be a cluster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, Protocol

from purekernel.encode.encoders import wrong_stream
from purekernel.errors import FormatError
from purekernel.interruption import result_of
from purekernel.progress import Silent, Task
from purekernel.records import frozen
from purekernel.tree import Buffer


class Cache(Protocol):
    """Store encoded bytes by a key: a digest of the input and of the encoders."""

    def get(self, key: str) -> bytes | None:
        """Return the complete entry for ``key``, or ``None`` if there is no entry."""
        ...

    def put(self, key: str, content: Buffer) -> None:
        """Store ``content`` under ``key``; do nothing if that fails."""
        ...


# Input of tasks that were submitted and not yet yielded: enough for a small cluster, and small
# compared with a tree.
_AHEAD_BYTES = 12 << 20


@frozen(kw_only=True)
class EncodeTask:
    """One call for an executor, with the means to cache and check its result.

    Attributes:
        call: the function. It and ``arguments`` must be picklable for executors of other
            processes.
        arguments: the positional arguments of ``call``.
        size_bytes: the size of the input.
        key: returns the cache key; called only if there is a cache.
        check: says whether bytes, from any source, are a valid result for this input.
        finish: turns what the call returns into the bytes that are stored.
    """

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    size_bytes: int
    key: Callable[[], str]
    check: Callable[[bytes], bool]
    finish: Callable[[Any], bytes] = bytes


def make_all(
    tasks: Iterable[EncodeTask],
    *,
    executor: Executor,
    cache: Cache | None,
    counter: Task | None = None,
) -> Iterator[bytes]:
    """Yield the result of each task in order, from the cache or from the executor.

    New results are stored in the cache. Tasks start in order, and are taken from ``tasks`` only
    some way ahead of the results, so that not all of them are in memory at once. ``counter``
    advances by one for each task that is done, in any order.

    Raises:
        EncodingError: a result of the executor fails the task's check.
    """
    pending: deque[_PendingResult] = deque()
    ahead_bytes = 0
    counter = counter or Silent()
    for task in tasks:
        while pending and ahead_bytes + task.size_bytes > _AHEAD_BYTES:
            ahead_bytes -= pending[0].task.size_bytes
            yield pending.popleft().result()
        pending.append(_PendingResult(task, executor, cache, counter))
        ahead_bytes += task.size_bytes
    while pending:
        yield pending.popleft().result()


class _PendingResult:
    """A task whose result is cached or pending."""

    def __init__(
        self, task: EncodeTask, executor: Executor, cache: Cache | None, counter: Task
    ) -> None:
        self.task = task
        self._cache = cache
        self._key = "" if cache is None else task.key()
        self._cached = None if cache is None else cache.get(self._key)
        if self._cached is not None and not task.check(self._cached):
            self._cached = None  # the new result replaces it in the cache
        self._future: Future[Any] | None = None
        if self._cached is None:
            self._future = executor.submit(task.call, *task.arguments)
            self._future.add_done_callback(lambda _future: counter.advance())
        else:
            counter.advance()

    def result(self) -> bytes:
        if self._future is None:
            return self._cached or b""
        returned = result_of(self._future)
        try:
            result = self.task.finish(returned)
        except FormatError:
            raise wrong_stream() from None
        if not self.task.check(result):
            raise wrong_stream()
        if self._cache is not None:
            self._cache.put(self._key, result)
        return result
