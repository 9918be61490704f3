"""Why one place did not give a file: between what asks it and what decides how to go on."""

from __future__ import annotations

from enum import Enum


class Cause(Enum):
    """What kind of fault it is, which decides what is done about it."""

    MISSING = "missing"
    """The place says that it has no such file."""
    UNREACHABLE = "unreachable"
    """Nobody answers there; it may pass."""
    PASSING = "passing"
    """It failed in a way that may pass: cut off, stalled, overloaded, in the way."""
    LASTING = "lasting"
    """It would fail the same way again."""
    CONTENT = "content"
    """It has another file than the one that was promised."""


class Fault(Exception):  # noqa: N818  # an error is what it becomes when all mirrors have one
    """Say why one place did not give a file. Never seen outside this package.

    Attributes:
        reason: in words that follow the place's name and a colon.
        cause: what kind of fault it is.
        hint: what the user can do, where that is particular to this fault.
        pause_seconds: how long the server asks to be left alone.
        gained_bytes: how much came all the same, and need not come again.
    """

    def __init__(
        self, reason: str, cause: Cause, *, hint: str = "", pause_seconds: float = 0.0
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause
        self.hint = hint
        self.pause_seconds = pause_seconds
        self.gained_bytes = 0

    @property
    def may_pass(self) -> bool:
        """Whether the same place is worth asking again."""
        return self.cause in (Cause.UNREACHABLE, Cause.PASSING)


class Stopped(Exception):  # noqa: N818  # it is nobody's error
    """Say that the work was called off; whoever called it off raises what is to be said."""
