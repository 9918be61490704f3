"""Let one at a time fetch from an address, over all threads and processes that use a store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from purekernel.sources.faults import Stopped

# Long enough to cost nothing, short enough for nobody to notice.
POLL_SECONDS = 0.05


@frozen(kw_only=True)
class Turn:
    """Whose turn it is.

    Attributes:
        ours: whether what is shared may be written to; otherwise the other one hangs, or the
            file system has no locks, and the work is done under a name of its own.
        waited: whether another was at work, and may have left what is wanted.
    """

    ours: bool
    waited: bool


@contextmanager
def taking_turns(
    path: Path,
    *,
    patience_seconds: float,
    progress: Callable[[], object],
    stopped: threading.Event,
) -> Iterator[Turn]:
    """Hold the lock at ``path``, waiting for it as long as its holder gets on.

    The system frees the lock of a process that ends, however it ends.

    Args:
        path: the lock's file; it is made, and its folder.
        patience_seconds: how long ``progress`` may stay the same before we go our own way.
        progress: what changes while the holder gets on.
        stopped: set when the wait is to end.

    Raises:
        Stopped: ``stopped`` was set.
    """
    import filelock  # noqa: PLC0415  # 30 ms, which what is in the store need not take

    lock = filelock.FileLock(path)
    waited = False
    seen = progress()
    idle_seconds = 0.0
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except filelock.Timeout:
            pass
        except (OSError, NotImplementedError):  # no locks there, or we may not write
            break
        else:
            try:
                yield Turn(ours=True, waited=waited)
            finally:
                lock.release()
            return
        waited = True
        if stopped.wait(POLL_SECONDS):
            raise Stopped
        idle_seconds += POLL_SECONDS
        if (now := progress()) != seen:
            seen, idle_seconds = now, 0.0
        if idle_seconds >= patience_seconds:
            break
    yield Turn(ours=False, waited=waited)
