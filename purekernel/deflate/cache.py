"""What is made once by slow encoders, and remembered from one build to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, Protocol

from attrs import frozen

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
        finish: turns what the call returned into the bytes that are kept.
        least_bytes: a result that has less is none.
    """

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    size_bytes: int
    key: Callable[[], str]
    finish: Callable[[Any], bytes] = bytes
    least_bytes: int = 0


def make_all(tasks: Iterable[Task], *, executor: Executor, cache: Cache | None) -> Iterator[bytes]:
    """Yield the result of each task in order, remembered or made now and kept.

    Tasks are begun in order, and are taken from ``tasks`` only some way ahead of what is yielded,
    so that not all of them need be in memory.
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
        self._future: Future[Any] | None = None
        if self._known is None or len(self._known) < task.least_bytes:
            self._future = executor.submit(task.call, *task.arguments)

    def result(self) -> bytes:
        if self._future is None:
            return self._known or b""
        made = self.task.finish(self._future.result())
        if self._cache is not None:
            self._cache.put(self._key, made)
        return made
