"""Find the user's cache folder, and remove what is out of date in it.

The store of downloads and the cache of encoded pieces keep their files there.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from purekernel.host.write import remove

_DAY_SECONDS = 86400

# A file takes an hour at the most by default, and every piece of it is written when it comes:
# what nobody has written to for days, nobody is at work on. A process that slept for so long
# finds its file gone, and begins anew (:meth:`~purekernel.fetch.store.Store.add`).
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
    clear_temporary(temporary)
    now = time.time()
    for key, paths in _by_key(partials).items():
        if _all_older(paths, now - _PARTIAL_SECONDS):
            _remove_unused(paths, locks / key, now - _PARTIAL_SECONDS)


def clear_temporary(folder: Path) -> None:
    """Remove what was about to get its name, days ago."""
    latest = time.time() - _TEMPORARY_SECONDS
    for path in _files(folder):
        if _is_older(path, latest):
            remove(path)


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _by_key(partials: Path) -> dict[str, list[Path]]:
    """Return bytes and records that belong together: bytes without theirs are worth nothing."""
    together: dict[str, list[Path]] = {}
    for path in _files(partials):
        together.setdefault(path.name.partition(".")[0], []).append(path)
    return together


def _all_older(paths: list[Path], time_seconds: float) -> bool:
    return all(_is_older(path, time_seconds) for path in paths)


def _is_older(path: Path, time_seconds: float) -> bool:
    """Say whether a file was last written to before then; one that is gone was."""
    try:
        return path.stat().st_mtime < time_seconds
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _remove_unused(paths: list[Path], lock: Path, time_seconds: float) -> None:
    """Remove part of a file, and its record, unless somebody is at work on it."""
    import filelock  # noqa: PLC0415  # 30 ms, and there is hardly ever anything to remove

    with suppress(filelock.Timeout, OSError, NotImplementedError):
        lock.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=0):
            if _all_older(paths, time_seconds):
                for path in paths:
                    remove(path)


CACHE_VARIABLE = "PUREKERNEL_CACHE"


def default_folder() -> Path:
    """Return where caches are: what ``PUREKERNEL_CACHE`` says, or the user's cache folder."""
    if said := os.environ.get(CACHE_VARIABLE):
        return Path(said)
    import platformdirs  # noqa: PLC0415  # 13 ms, and few runs need it

    return Path(platformdirs.user_cache_dir("purekernel", appauthor=False))
