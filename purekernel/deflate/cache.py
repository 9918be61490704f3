"""What is made once by slow encoders, and remembered from one build to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
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


@frozen(kw_only=True)
class Task:
    """Something to be made, wherever the executor makes it.

    Attributes:
        call: makes it of ``arguments``; an executor of other processes must be able to send both.
        size_bytes: of what it is made of, for the order of starting.
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


def make_all(tasks: Sequence[Task], *, executor: Executor, cache: Cache | None) -> Iterator[bytes]:
    """Yield the result of each task in order, remembered or made now and kept."""
    keys = [task.key() for task in tasks] if cache is not None else []
    known = [cache.get(key) for key in keys] if cache is not None else [None] * len(tasks)
    missing = [
        index
        for index, (task, content) in enumerate(zip(tasks, known, strict=True))
        if content is None or len(content) < task.least_bytes
    ]
    # The largest first, so that none is waited for at the end.
    futures = {
        index: executor.submit(tasks[index].call, *tasks[index].arguments)
        for index in sorted(missing, key=lambda index: -tasks[index].size_bytes)
    }
    for index, task in enumerate(tasks):
        content = known[index]
        if index in futures or content is None:
            content = task.finish(futures[index].result())
            if cache is not None:
                cache.put(keys[index], content)
        yield content
