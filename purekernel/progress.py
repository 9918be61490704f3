"""How a build says what it is doing, to whoever wants to know."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """What a build tells of its steps."""

    def step(self, words: str) -> AbstractContextManager[object]:
        """Return a context that lasts as long as the step named by ``words``."""
        ...


class Silent:
    """Tell nobody."""

    def step(self, words: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Return a context that does nothing."""
        return nullcontext()
