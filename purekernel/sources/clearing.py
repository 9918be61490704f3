"""Take out of the store what was begun and will never be ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from purekernel.sources.placing import remove

_DAY_SECONDS = 86400

# A file takes an hour at the most by default, and every piece of it is written when it comes:
# what nobody has written to for days, nobody is at work on.
_TEMPORARY_SECONDS = 2 * _DAY_SECONDS

# Part of a file is worth keeping for as long as the same file may be asked for again.
_PARTIAL_SECONDS = 30 * _DAY_SECONDS


def clear_away(temporary: Path, partials: Path, locks: Path) -> None:
    """Remove what is old.

    What cannot be removed stays; it is in nobody's way.

    Args:
        temporary: the folder of what is about to get its name.
        partials: that of what came of files until they were cut off.
        locks: that of the locks, by the names of the partials.
    """
    now = time.time()
    for path in _older(temporary, now - _TEMPORARY_SECONDS):
        remove(path)
    for path in _older(partials, now - _PARTIAL_SECONDS):
        _remove_unused(path, locks / path.name.split(".")[0], now - _PARTIAL_SECONDS)


def _older(folder: Path, time_seconds: float) -> Iterator[Path]:
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if _is_older(path, time_seconds):
                yield path


def _is_older(path: Path, time_seconds: float) -> bool:
    try:
        return path.stat().st_mtime < time_seconds
    except OSError:
        return False


def _remove_unused(path: Path, lock: Path, time_seconds: float) -> None:
    """Remove part of a file unless somebody is about to go on with it."""
    import filelock  # noqa: PLC0415  # 30 ms, and there is hardly ever anything to remove

    with suppress(filelock.Timeout, OSError, NotImplementedError):
        lock.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=0):
            if _is_older(path, time_seconds):
                remove(path)
