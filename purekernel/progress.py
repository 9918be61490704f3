"""Define how a build reports its progress."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Task(Protocol):
    """Counts what is done of a part of a step. The methods are called from several threads."""

    def advance(self, count: int = 1) -> None:
        """Add ``count``; it is negative when a download starts over."""
        ...

    def set_total(self, total: int | None) -> None:
        """Set how much there is to do; ``None`` if that is unknown."""
        ...


class Progress(Protocol):
    """Receives the steps of a build."""

    def step(self, words: str) -> AbstractContextManager[object]:
        """Return a context that lasts as long as the step; ``words`` describe it."""
        ...

    def task(self, unit: str, *, total: int | None = None) -> AbstractContextManager[Task]:
        """Return a context that counts a part of the current step.

        Args:
            unit: what is counted: ``bytes``, ``files`` or ``segments``.
            total: how much there is to do; ``None`` if that is unknown.
        """
        ...


class Silent:
    """Ignore progress; a :class:`Progress` and a :class:`Task`."""

    def step(self, words: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return a context that does nothing."""
        return nullcontext()

    def task(self, unit: str, *, total: int | None = None) -> AbstractContextManager[Task]:  # noqa: ARG002
        """Return a context that counts nothing."""
        return nullcontext(self)

    def advance(self, count: int = 1) -> None:
        """Do nothing."""

    def set_total(self, total: int | None) -> None:
        """Do nothing."""
