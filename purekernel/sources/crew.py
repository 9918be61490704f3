"""Threads that work at several things at once, and never keep the process from ending."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue


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
