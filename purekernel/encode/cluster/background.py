"""An event loop in a thread of its own, for what must be left at once when somebody interrupts."""

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
    """A coroutine that lives in a thread of its own, and others beside it.

    Args:
        life: begins with :meth:`start`; when it ends, the loop ends and all others with it.

    Attributes:
        loop: the event loop, for what is to be made for it before it starts.
    """

    def __init__(self, life: Coroutine[Any, Any, None]) -> None:
        self._runner = asyncio.Runner(loop_factory=_new_loop)
        self.loop = self._runner.get_loop()
        self._life = self.loop.create_task(life)
        self._thread = Thread(target=self._run, name="event loop", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def add(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Let ``work`` run as well; return what will have its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def stop(self, *, patience_seconds: float) -> None:
        """Cancel all, and wait for the end; not for longer than that, if something clings."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop has just been closed
                self.loop.call_soon_threadsafe(self._life.cancel)
            self._thread.join(timeout=patience_seconds)

    def _run(self) -> None:
        with self._runner as runner:
            runner.run(asyncio.wait((self._life,)))


def _new_loop() -> asyncio.AbstractEventLoop:
    # On Windows tornado has no use for the usual kind.
    is_windows = sys.platform == "win32"
    loop = asyncio.SelectorEventLoop() if is_windows else asyncio.new_event_loop()
    # It would complain, even at the end of the program, of failures that nobody asked for.
    loop.set_exception_handler(lambda _loop, _context: None)
    return loop
