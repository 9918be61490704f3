from __future__ import annotations

import os
import time
from pathlib import Path

import filelock
import pytest

from purekernel.fetch.store import Partial, Store
from purekernel.host.cache_folder import clear_away
from tests.fetch.fetching import fetch
from tests.fetch.server import Server

DAY = 86400


def aged(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"part")
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def test_old_files_are_deleted_and_recent_ones_kept(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("tmp", "partials", "locks")]
    gone = [
        aged(folders[0] / "1-a", 3),
        aged(folders[1] / "aa", 31),
        aged(folders[1] / "aa.json", 31),
        aged(folders[1] / "aa.json.new", 31),
    ]
    kept = [
        aged(folders[0] / "1-b", 1),
        aged(folders[1] / "bb", 29),
        aged(folders[1] / "cc", 31),
        # A resumed download is as recent as its last byte, and so is its cache entry.
        aged(folders[1] / "dd", 1),
        aged(folders[1] / "dd.json", 31),
    ]
    folders[2].mkdir()
    with filelock.FileLock(folders[2] / "cc"):
        clear_away(*folders)
    assert [path for path in gone if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_missing_folders_are_ignored(tmp_path: Path) -> None:
    clear_away(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("days", [1, 3])
def test_store_deletes_old_files_on_first_write(tmp_path: Path, days: float) -> None:
    store = Store(tmp_path / "store")
    left = aged(store.folder / "v1" / "tmp" / "99-killed", days)
    (tmp_path / "a").write_bytes(b"content")
    assert fetch(store, str(tmp_path / "a")) == b"content"
    assert left.exists() is (days < 2)


def test_download_restarts_after_its_files_were_deleted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may be suspended for days in the middle of a copy."""
    content = b"content"
    store = Store(tmp_path / "store")
    (tmp_path / "a").write_bytes(content)
    slept = []

    def sleep(self: Partial, path: Path) -> None:
        if len(slept) % 2 == 0:
            then = time.time() - 3 * DAY
            os.utime(self.path, (then, then))
            clear_away(*(store.folder / "v1" / name for name in ("tmp", "partials", "locks")))
        slept.append(self.path.exists())
        become(self, path)

    become = Partial.become
    monkeypatch.setattr(Partial, "become", sleep)
    assert fetch(store, str(tmp_path / "a")) == content
    assert slept == [False, True]
    # For a download from a server, the lock shows that the files are in use.
    monkeypatch.setattr("purekernel.host.cache_folder._PARTIAL_SECONDS", 2 * DAY)
    assert fetch(store, server.put("/b", b"other")) == b"other"
    assert slept == [False, True, True]
