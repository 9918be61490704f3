from __future__ import annotations

import os
import time
from pathlib import Path

import filelock
import pytest

from purekernel.sources.clearing import clear_away
from purekernel.sources.store import Store
from tests.sources.fetching import fetch

DAY = 86400


def aged(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"part")
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def test_what_is_old_goes_and_what_is_young_stays(tmp_path: Path) -> None:
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
    ]
    folders[2].mkdir()
    with filelock.FileLock(folders[2] / "cc"):
        clear_away(*folders)
    assert [path for path in gone if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_folders_that_are_not_there_are_clear(tmp_path: Path) -> None:
    clear_away(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("days", [1, 3])
def test_a_store_is_cleared_when_something_is_put_into_it(tmp_path: Path, days: float) -> None:
    store = Store(tmp_path / "store")
    left = aged(store.folder / "v1" / "tmp" / "99-killed", days)
    (tmp_path / "a").write_bytes(b"content")
    assert fetch(store, str(tmp_path / "a")) == b"content"
    assert left.exists() is (days < 2)
