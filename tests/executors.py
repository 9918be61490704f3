"""Run calls in tests without making threads."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any


class AtOnce(Executor):
    """An executor that runs each call at once, and counts the calls."""

    def __init__(self) -> None:
        self.done = 0

    def submit(self, call: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        self.done += 1
        future: Future[Any] = Future()
        future.set_result(call(*arguments, **named))
        return future
