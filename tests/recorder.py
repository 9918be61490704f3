"""Record the progress that a build reports."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Counted:
    """The counts that were reported for one task."""

    def __init__(self, unit: str, total: int | None) -> None:
        self.unit = unit
        self.total = total
        self.done = 0
        self.totals = [total]
        self.is_ended = False
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self.done += count

    def set_total(self, total: int | None) -> None:
        self.total = total
        self.totals.append(total)


class Recorder:
    """A progress that records the words of all steps, and all tasks."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.tasks: list[Counted] = []

    @contextmanager
    def step(self, words: str) -> Iterator[None]:
        self.steps.append(words)
        yield

    @contextmanager
    def task(self, unit: str, *, total: int | None = None) -> Iterator[Counted]:
        task = Counted(unit, total)
        self.tasks.append(task)
        try:
            yield task
        finally:
            task.is_ended = True

    def of(self, unit: str) -> Counted:
        """Return the only task with ``unit``."""
        (task,) = [task for task in self.tasks if task.unit == unit]
        return task
