"""Run slow encoders once, and reuse their results in later builds.

A cache may hold anything: files are swapped by a bad restore, damaged, or put there by someone
else. So each result is checked against the data it was made of before it is used, and is made
again if it does not fit. Results of the executor get the same check: it may be a cluster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, Protocol

from attrs import frozen

from purekernel.encode.encoders import wrong_stream
from purekernel.errors import FormatError
from purekernel.tree import Buffer


class Cache(Protocol):
    """A memory of encoded bytes, by the digest of what they were made of and by what."""

    def get(self, key: str) -> bytes | None:
        """Return what is kept under ``key``, whole and as it was, or ``None``."""
        ...

    def put(self, key: str, content: Buffer) -> None:
        """Keep ``content`` under ``key``, if that is possible."""
        ...


# Of what is under way and not asked for yet: enough for a small cluster, and little beside a tree.
_AHEAD_BYTES = 12 << 20


@frozen(kw_only=True)
class Task:
    """Something to be made, wherever the executor makes it.

    Attributes:
        call: makes it of ``arguments``; an executor of other processes must be able to send both.
        size_bytes: of what it is made of.
        key: what the result can be kept under; asked for only where there is a cache.
        check: says whether bytes, from wherever they come, are a result for this input.
        finish: turns what the call returned into the bytes that are kept.
    """

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    size_bytes: int
    key: Callable[[], str]
    check: Callable[[bytes], bool]
    finish: Callable[[Any], bytes] = bytes


def make_all(tasks: Iterable[Task], *, executor: Executor, cache: Cache | None) -> Iterator[bytes]:
    """Yield the result of each task in order, remembered or made now and kept.

    Tasks are begun in order, and are taken from ``tasks`` only some way ahead of what is yielded,
    so that not all of them need be in memory.

    Raises:
        EncodingError: the executor returned something that fails the task's check.
    """
    begun: deque[_Begun] = deque()
    ahead_bytes = 0
    for task in tasks:
        while begun and ahead_bytes + task.size_bytes > _AHEAD_BYTES:
            ahead_bytes -= begun[0].task.size_bytes
            yield begun.popleft().result()
        begun.append(_Begun(task, executor, cache))
        ahead_bytes += task.size_bytes
    while begun:
        yield begun.popleft().result()


class _Begun:
    """A task whose result is known or under way."""

    def __init__(self, task: Task, executor: Executor, cache: Cache | None) -> None:
        self.task = task
        self._cache = cache
        self._key = "" if cache is None else task.key()
        self._known = None if cache is None else cache.get(self._key)
        if self._known is not None and not task.check(self._known):
            self._known = None  # the right result takes its place in the cache
        self._future: Future[Any] | None = None
        if self._known is None:
            self._future = executor.submit(task.call, *task.arguments)

    def result(self) -> bytes:
        if self._future is None:
            return self._known or b""
        returned = self._future.result()
        try:
            made = self.task.finish(returned)
        except FormatError:
            raise wrong_stream() from None
        if not self.task.check(made):
            raise wrong_stream()
        if self._cache is not None:
            self._cache.put(self._key, made)
        return made
