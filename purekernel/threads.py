"""Run calls in daemon threads, which never keep the process from ending."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Crew:
    """Runs what it is given, in order, at most ``hands`` at once.

    Not ThreadPoolExecutor: that has the interpreter wait, when it ends, for threads that may
    be waiting themselves, for a name server that does not answer, which nothing can cut short.

    Args:
        hands: how many threads there are at the most; each starts when it is needed.
        name: of the threads.
    """

    def __init__(self, hands: int, *, name: str = "purekernel-download") -> None:
        self._hands = hands
        self._name = name
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def submit(self, task: Callable[[], None]) -> None:
        """Have ``task`` run; it raises nothing."""
        self._tasks.put(task)
        with self._lock:
            if len(self._threads) >= self._hands:
                return
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._threads.append(thread)
        thread.start()

    def dismiss(self, *, patience_seconds: float) -> None:
        """Let all threads end, after what they are at, and wait for that, but not for long."""
        with self._lock:
            threads, self._threads = self._threads, []
        for _thread in threads:
            self._tasks.put(None)
        deadline = time.monotonic() + patience_seconds
        for thread in threads:
            # Ctrl-C may have come just before it was started, or another thread may be at it.
            with suppress(RuntimeError):
                thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()


class Threads(Executor):
    """An executor of threads that can be left behind.

    Not ThreadPoolExecutor: the interpreter waits, when it ends, for what those threads are at, and
    nothing cuts zopfli short, which may take a minute over one file.

    Args:
        hands: how many there are at the most.
    """

    def __init__(self, hands: int) -> None:
        self._crew = Crew(hands, name="purekernel-encoder")
        self._is_shut = False
        self._is_called_off = False

    def submit(
        self, call: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs
    ) -> Future[_T]:
        """Have ``call`` run.

        Raises:
            RuntimeError: it was shut down.
        """
        if self._is_shut:
            raise RuntimeError("these threads take nothing more")
        future: Future[_T] = Future()
        self._crew.submit(partial(self._run, future, partial(call, *arguments, **named)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; what has begun is not stopped.

        Args:
            wait: whether to wait for it.
            cancel_futures: whether what has not begun is called off.
        """
        self._is_shut = True
        self._is_called_off = self._is_called_off or cancel_futures
        self._crew.dismiss(patience_seconds=threading.TIMEOUT_MAX if wait else 0)

    def _run(self, future: Future[Any], call: Callable[[], Any]) -> None:
        if self._is_called_off:
            future.cancel()
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  # it is raised where the result is asked for
            future.set_exception(error)
        else:
            future.set_result(result)
