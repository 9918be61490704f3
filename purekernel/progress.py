"""Define how a build reports its progress."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """Receives the steps of a build."""

    def step(self, words: str) -> AbstractContextManager[object]:
        """Return a context that lasts as long as the step; ``words`` describe it."""
        ...


class Silent:
    """Ignore progress."""

    def step(self, words: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return a context that does nothing."""
        return nullcontext()
