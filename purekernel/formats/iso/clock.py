"""Fix the clock and the time zone that pycdlib sees.

pycdlib calls ``time.time()`` while it plans and writes an image, and converts every date to the
host's time zone. This module replaces the name ``time`` in pycdlib's modules, once, with an object
that delegates to the real module, except in a thread (or task) that holds the clock. Other users of
pycdlib in the process are not affected.
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

# Dates of Rock Ridge store the years since 1900 in one byte.
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
        # time.gmtime fails on Windows for times before 1970.
        return (EPOCH + timedelta(seconds=now if seconds is None else seconds)).timetuple()

    def __getattr__(self, name: str) -> Any:  # delegate the rest of the module
        return getattr(time, name)


_CLOCK = _Clock()
for _module in (dates, headervd, pycdlib, udf, utils):
    if vars(_module).get("time") is time:
        vars(_module)["time"] = _CLOCK


@contextmanager
def hold(seconds: int) -> Iterator[None]:
    """Fix pycdlib's current time to ``seconds`` since 1970, and its time zone to UTC."""
    # pycdlib takes 0.0 for "no date". The fraction is dropped, because it stores whole seconds.
    token = _held.set(in_range(seconds) or 0.25)
    try:
        yield
    finally:
        _held.reset(token)


def in_range(seconds: int) -> int:
    """Return ``seconds``, or the nearest time that the format can store."""
    return min(max(seconds, EARLIEST), LATEST)
