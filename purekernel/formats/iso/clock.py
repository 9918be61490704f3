"""Hold the clock that pycdlib reads.

pycdlib asks ``time.time()`` while it lays out and while it writes, and shifts every date
into the host's time zone. Its modules know the clock by the name ``time``; that name is
bound, once, to an object that passes everything through to the real module, save in a
thread (or task) that holds the clock. Other users of pycdlib in the process see nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from time import struct_time
from typing import Any

from pycdlib import dates, headervd, pycdlib, udf, utils

# Rock Ridge's dates count years from 1900 in one byte.
EARLIEST = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp())
LATEST = int(datetime(2155, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_held: ContextVar[float | None] = ContextVar("held", default=None)


class _Clock:
    """The ``time`` module, as pycdlib sees it."""

    def time(self) -> float:
        now = _held.get()
        return time.time() if now is None else now

    def localtime(self, seconds: float | None = None) -> struct_time:
        if _held.get() is None:
            return time.localtime(seconds)
        return self.gmtime(seconds)

    def gmtime(self, seconds: float | None = None) -> struct_time:
        now = _held.get()
        if now is None:
            return time.gmtime(seconds)
        # Not time.gmtime, which Windows refuses before 1970.
        return (EPOCH + timedelta(seconds=now if seconds is None else seconds)).timetuple()

    def __getattr__(self, name: str) -> Any:  # whatever the module has
        return getattr(time, name)


_CLOCK = _Clock()
for _module in (dates, headervd, pycdlib, udf, utils):
    if vars(_module).get("time") is time:
        vars(_module)["time"] = _CLOCK


@contextmanager
def hold(seconds: int) -> Iterator[None]:
    """Let pycdlib see ``seconds`` since 1970 as the time now, and UTC as the time zone."""
    # pycdlib takes 0.0 for "no date"; it stores whole seconds, so a fraction is lost again.
    token = _held.set(in_range(seconds) or 0.25)
    try:
        yield
    finally:
        _held.reset(token)


def in_range(seconds: int) -> int:
    """Return ``seconds``, or the nearest time that the format can say."""
    return min(max(seconds, EARLIEST), LATEST)
