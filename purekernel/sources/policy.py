"""How patient downloads are."""

from __future__ import annotations

import math

from attrs import frozen

from purekernel.errors import UsageError


@frozen(kw_only=True)
class DownloadPolicy:
    """Bounds on downloads.

    Attributes:
        parallel: files at once. Mirrors are other people's: eight are what browsers have
            taken for good manners, and fill most lines.
        attempts: rounds over all mirrors of a file in which nothing comes of it.
        connect_seconds: until a connection stands. Three SYNs, sent after 0, 1 and 3 seconds,
            have had time for an answer.
        stall_seconds: without a byte. A proxy that looks for viruses may hold back a file of
            some megabytes so long.
        most_seconds: for a file as a whole, attempts and pauses together. In an hour an ISO of
            700 MB comes over a line of 2 Mbit/s.
        first_pause_seconds: after the first round; each later pause is twice as long.
        most_pause_seconds: what no pause is longer than, whatever the server asks for.
    """

    parallel: int = 8
    attempts: int = 4
    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    most_seconds: float = 3600.0
    first_pause_seconds: float = 0.5
    most_pause_seconds: float = 30.0

    def __attrs_post_init__(self) -> None:
        """Refuse numbers that would have nothing downloaded, or never end.

        Raises:
            UsageError: one is.
        """
        for name in ("parallel", "attempts", "connect_seconds", "stall_seconds", "most_seconds"):
            self._check(name, positive=True)
        for name in ("first_pause_seconds", "most_pause_seconds"):
            self._check(name, positive=False)

    def _check(self, name: str, *, positive: bool) -> None:
        value = getattr(self, name)
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise UsageError(
                f"downloads: {name} cannot be {value}",
                hint="give a number above 0" if positive else "give 0 or a number above it",
            )

    def pause_seconds(self, number: int) -> float:
        """Return how long to wait after round ``number``, the first being 0."""
        # Twice as long thirty times over is longer than anybody waits.
        grown = self.first_pause_seconds * 2.0 ** min(number, 30)
        return min(grown, self.most_pause_seconds)
