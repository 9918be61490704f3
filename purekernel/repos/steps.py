"""Count the steps of a resolution, and refuse one that a hostile index makes endless."""

from __future__ import annotations

from purekernel.errors import LimitError

# An application of 300 gems takes some 100,000 steps, and a complete desktop of packages 200,000.
# Five million take some 10 to 20 seconds.
MAX_STEPS = 5_000_000


class Steps:
    """The steps that are left of one resolution: comparisons, and dependencies followed."""

    def __init__(self, purpose: str, *, hint: str) -> None:
        """Start with :data:`MAX_STEPS`.

        Args:
            purpose: what the steps are for, for the error: ``to select all packages``.
            hint: what to do about too many.
        """
        self._left = MAX_STEPS
        self._purpose = purpose
        self._hint = hint

    def count(self, steps: int, source: str) -> None:
        """Count steps.

        Args:
            steps: their number.
            source: what takes them, for the error: ``the dependencies of the package x``.

        Raises:
            LimitError: there are more than :data:`MAX_STEPS`.
        """
        self._left -= steps
        if self._left < 0:
            raise LimitError(
                source=source,
                expected=f"at most {MAX_STEPS} steps {self._purpose}",
                got="more",
                hint=self._hint,
            )
