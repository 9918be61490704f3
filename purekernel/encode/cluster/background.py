"""Run an event loop in a thread of its own, so that an interrupt can abandon it at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """An event loop in its own thread, with one main coroutine and others beside it.

    Args:
        life: the main coroutine. It starts with :meth:`start`; when it ends, the loop ends and
            all other coroutines are cancelled.

    Attributes:
        loop: the event loop, for objects that are made for it before it starts.
    """

    def __init__(self, life: Coroutine[Any, Any, None]) -> None:
        self._runner = asyncio.Runner(loop_factory=_new_loop)
        self.loop = self._runner.get_loop()
        self._life = self.loop.create_task(life)
        self._thread = Thread(target=self._run, name="event loop", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``work`` in the loop; return the future of its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def stop(self, *, patience_seconds: float) -> None:
        """Cancel all coroutines, and wait at most ``patience_seconds`` for the end."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop has just been closed
                self.loop.call_soon_threadsafe(self._life.cancel)
            self._thread.join(timeout=patience_seconds)

    def _run(self) -> None:
        with self._runner as runner:
            runner.run(asyncio.wait((self._life,)))


def _new_loop() -> asyncio.AbstractEventLoop:
    # On Windows tornado does not support the default event loop.
    is_windows = sys.platform == "win32"
    loop = asyncio.SelectorEventLoop() if is_windows else asyncio.new_event_loop()
    # The default handler reports errors of abandoned tasks, even at the end of the program.
    loop.set_exception_handler(lambda _loop, _context: None)
    return loop
