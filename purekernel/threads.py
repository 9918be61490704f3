"""Run calls in daemon threads, which do not keep the process from ending."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Crew:
    """A pool of daemon threads that starts tasks in order, at most ``hands`` at once.

    Not ThreadPoolExecutor: the interpreter waits for its threads at exit. A thread may hang in a
    DNS lookup that cannot be interrupted.

    Args:
        hands: the maximum number of threads; each starts when it is needed.
        name: the name of the threads.
    """

    def __init__(self, hands: int, *, name: str = "purekernel-download") -> None:
        self._hands = hands
        self._name = name
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def submit(self, task: Callable[[], None]) -> None:
        """Queue ``task``, which must not raise."""
        self._tasks.put(task)
        with self._lock:
            if len(self._threads) >= self._hands:
                return
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._threads.append(thread)
        thread.start()

    def dismiss(self, *, patience_seconds: float) -> None:
        """Let each thread end after its current task; wait at most ``patience_seconds`` for all."""
        with self._lock:
            threads, self._threads = self._threads, []
        for _thread in threads:
            self._tasks.put(None)
        deadline = time.monotonic() + patience_seconds
        for thread in threads:
            # The thread may not be started: Ctrl-C came first, or another thread is starting it.
            with suppress(RuntimeError):
                thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()


class Threads(Executor):
    """An executor of daemon threads.

    Not ThreadPoolExecutor: the interpreter waits for its threads at exit, and zopfli, which cannot
    be interrupted, may take a minute for one file.

    Args:
        hands: the maximum number of threads.
    """

    def __init__(self, hands: int) -> None:
        self._crew = Crew(hands, name="purekernel-encoder")
        self._is_shut = False
        self._is_cancelled = False

    def submit(
        self, call: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs
    ) -> Future[_T]:
        """Queue ``call``.

        Raises:
            RuntimeError: the executor is shut down.
        """
        if self._is_shut:
            raise RuntimeError("the executor is shut down")
        future: Future[_T] = Future()
        self._crew.submit(partial(self._run, future, partial(call, *arguments, **named)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls; running calls are not stopped.

        Args:
            wait: whether to wait for the calls.
            cancel_futures: whether to cancel the calls that have not started.
        """
        self._is_shut = True
        self._is_cancelled = self._is_cancelled or cancel_futures
        self._crew.dismiss(patience_seconds=threading.TIMEOUT_MAX if wait else 0)

    def _run(self, future: Future[Any], call: Callable[[], Any]) -> None:
        if self._is_cancelled:
            future.cancel()
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  # raised again by result()
            future.set_exception(error)
        else:
            future.set_result(result)


@contextmanager
def running_executor(
    executor: Executor | None = None, *, jobs: int | None = None
) -> Iterator[Executor]:
    """Yield ``executor``, or else threads that are shut down afterwards.

    An interrupted build does not wait for encoders that are running. Their threads continue in the
    background, for a minute at most, unless the process ends first.

    Args:
        executor: an executor that the caller owns and shuts down.
        jobs: the number of threads; ``None`` for one per processor.
    """
    if executor is not None:
        yield executor
        return
    threads = Threads(jobs or _processors())
    try:
        yield threads
    except BaseException:
        threads.shutdown(wait=False, cancel_futures=True)
        raise
    threads.shutdown()


def _processors() -> int:
    """Return the number of processors that the process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
