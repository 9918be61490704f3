"""Find the user's cache folder, and delete outdated files in it.

The store of downloads and the encode cache keep their files there.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from purekernel.host.staging import remove

_DAY_SECONDS = 86400

# A download takes at most an hour by default, and every piece is written when it arrives, so a
# file that was not written for days is not in use. A process that was suspended for so long
# finds its file deleted and starts again (:meth:`~purekernel.fetch.store.Store.add`).
_TEMPORARY_SECONDS = 2 * _DAY_SECONDS

# A partial download is kept for as long as the same file is likely to be requested again.
_PARTIAL_SECONDS = 30 * _DAY_SECONDS


def clear_away(temporary: Path, partials: Path, locks: Path) -> None:
    """Delete old temporary files and partial downloads.

    Files that cannot be deleted are ignored; they do no harm.

    Args:
        temporary: the folder of temporary files.
        partials: the folder of partial downloads.
        locks: the folder of lock files, which have the names of the partial downloads.
    """
    clear_temporary(temporary)
    now = time.time()
    for key, paths in _by_key(partials).items():
        if _all_older(paths, now - _PARTIAL_SECONDS):
            _remove_unused(paths, locks / key, now - _PARTIAL_SECONDS)


def clear_temporary(folder: Path) -> None:
    """Delete temporary files that were not written for two days."""
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
    """Group each partial download with its record, because the one is useless without the other."""
    groups: dict[str, list[Path]] = {}
    for path in _files(partials):
        groups.setdefault(path.name.partition(".")[0], []).append(path)
    return groups


def _all_older(paths: list[Path], time_seconds: float) -> bool:
    return all(_is_older(path, time_seconds) for path in paths)


def _is_older(path: Path, time_seconds: float) -> bool:
    """Return whether a file was last written before ``time_seconds``, or is missing."""
    try:
        return path.stat().st_mtime < time_seconds
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _remove_unused(paths: list[Path], lock: Path, time_seconds: float) -> None:
    """Delete a partial download and its record, unless its lock is held."""
    import filelock  # noqa: PLC0415  # 30 ms, and rarely needed

    with suppress(filelock.Timeout, OSError, NotImplementedError):
        lock.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=0):
            if _all_older(paths, time_seconds):
                for path in paths:
                    remove(path)


CACHE_VARIABLE = "PUREKERNEL_CACHE"


def default_folder() -> Path:
    """Return the cache folder: the value of ``PUREKERNEL_CACHE``, or the user's cache folder."""
    if value := os.environ.get(CACHE_VARIABLE):
        return Path(value)
    import platformdirs  # noqa: PLC0415  # 13 ms, and few runs need it

    return Path(platformdirs.user_cache_dir("purekernel", appauthor=False))
