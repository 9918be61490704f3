"""Test the disk cache of encoded bytes."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from purekernel.encode.disk_cache import EncodedCache, Usage
from purekernel.errors import StoreError
from tests.processes import environment


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("encoded-v1/??/*"))


def test_entry_is_read_back(tmp_path: Path) -> None:
    cache = EncodedCache(tmp_path)
    assert cache.get("a key") is None
    cache.put("a key", memoryview(b"content"))
    cache.put("empty", b"")
    assert EncodedCache(tmp_path).get("a key") == b"content"
    assert EncodedCache(tmp_path).get("empty") == b""
    assert cache.usage() == Usage(files=2, size_bytes=7 + 2 * 32)
    assert cache.clear() == Usage(files=2, size_bytes=7 + 2 * 32)
    assert cache.get("a key") is None


def test_damaged_entry_is_deleted(tmp_path: Path) -> None:
    cache = EncodedCache(tmp_path)
    for damage in (b"", b"short", None):
        cache.put("key", b"content")
        (path,) = files(tmp_path)
        path.write_bytes(path.read_bytes()[:-1] + b"?" if damage is None else damage)
        assert cache.get("key") is None
        assert not files(tmp_path)


def test_least_recently_used_entries_are_pruned_first(tmp_path: Path) -> None:
    cache = EncodedCache(tmp_path, most_bytes=3 * (100 + 32))
    old = time.time() - 1000
    for number in range(5):
        cache.put(f"key {number}", bytes([number]) * 100)
    for age, path in enumerate(files(tmp_path)):
        os.utime(path, (old + age, old + age))
    by_age = [path.read_bytes()[32] for path in files(tmp_path)]
    oldest = by_age[0]
    assert cache.get(f"key {oldest}") is not None  # this makes it the most recently used
    cache.close()
    left = {number for number in range(5) if cache.get(f"key {number}") is not None}
    assert left == {oldest, *by_age[3:]}
    assert cache.prune(0) == Usage(files=3, size_bytes=3 * 132)


def test_unwritable_cache_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    cache = EncodedCache(tmp_path / "file")
    cache.put("key", b"content")
    assert cache.get("key") is None
    cache.close()
    assert cache.usage() == Usage(files=0, size_bytes=0)


FILL = """
import sys
from pathlib import Path
from purekernel.encode.disk_cache import EncodedCache
cache = EncodedCache(Path(sys.argv[1]))
for round in range(10_000):
    cache.put(f"key {round % 7}", bytes([round % 7]) * 200_000)
"""


@pytest.mark.slow
def test_concurrent_and_killed_writers_leave_valid_entries(tmp_path: Path) -> None:
    for _ in range(3):
        command = [sys.executable, "-c", FILL, str(tmp_path)]
        fillers = [subprocess.Popen(command, env=environment()) for _ in range(2)]
        cache = EncodedCache(tmp_path)
        deadline = time.monotonic() + 20
        while cache.get("key 6") is None and time.monotonic() < deadline:
            time.sleep(0.01)
        for filler in fillers:
            filler.kill()
            filler.wait()
        for number in range(7):
            assert cache.get(f"key {number}") in (bytes([number]) * 200_000, None)
        assert cache.get("key 6") is not None
        cache.clear()


def test_folder_that_cannot_be_listed_fails_the_commands_and_no_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EncodedCache(tmp_path)
    cache.put("key", b"content")

    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for function in ("scandir", "listdir"):
        monkeypatch.setattr(os, function, refuse)
    cache.close()
    with pytest.raises(StoreError, match="cannot be read: Input/output error"):
        cache.usage()


def test_entry_under_another_name_is_deleted(tmp_path: Path) -> None:
    cache = EncodedCache(tmp_path)
    cache.put("one", b"content of one")
    (one,) = files(tmp_path)
    cache.put("two", b"content of two")
    (two,) = set(files(tmp_path)) - {one}
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert cache.get("one") is None
    assert cache.get("two") is None
    assert not files(tmp_path)


def test_planted_digest_of_the_content_alone_is_refused(tmp_path: Path) -> None:
    cache = EncodedCache(tmp_path)
    cache.put("key", b"content")
    (path,) = files(tmp_path)
    path.write_bytes(hashlib.sha256(b"planted").digest() + b"planted")
    assert cache.get("key") is None
    assert not files(tmp_path)


def test_entry_larger_than_the_whole_cache_is_deleted_unread(tmp_path: Path) -> None:
    cache = EncodedCache(tmp_path, most_bytes=1 << 20)
    cache.put("key", b"content")
    (path,) = files(tmp_path)
    os.truncate(path, 1 << 40)  # a sparse file, too large for memory
    assert cache.get("key") is None
    assert not files(tmp_path)


def test_entries_of_older_releases_are_counted_and_pruned_first(tmp_path: Path) -> None:
    cache = EncodedCache(tmp_path, most_bytes=200)
    name = hashlib.sha256(b"key").hexdigest()
    old = tmp_path / "encoded-v1" / name[:2] / name
    old.parent.mkdir(parents=True)
    old.write_bytes(hashlib.sha256(b"old").digest() + b"old" * 40)
    os.utime(old, (1_000_000_000, 1_000_000_000))
    assert cache.get("key") is None
    assert cache.usage().files == 1
    cache.put("key", b"new" * 40)
    cache.close()
    assert not old.exists()
    assert cache.get("key") == b"new" * 40
    old.write_bytes(b"old")
    assert cache.clear().files == 2
