from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from purekernel.host import staging as staging_module
from purekernel.host.hints import hint_for
from purekernel.host.staging import Staging, create, delete, remove, rename
from purekernel.host.write import write_whole
from tests.host.test_write import everything
from tests.ordinary import ordinary_user
from tests.processes import environment


def stage(folder: Path, *names: str, error: BaseException | None = None) -> None:
    """Write files through a staging; raise ``error`` before the commit."""
    with Staging() as staging:
        for name in names:
            with create(staging.add(folder / name), "xb") as stream:
                stream.write(b"new")
        staging.add(folder / "never created")
        if error is not None:
            raise error
        staging.commit()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")])
def test_staging_deletes_uncommitted_files(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(type(error)):
        stage(tmp_path, "a", "b", error=error)
    assert everything(tmp_path) == {"a": b"old"}


def test_failed_rename_gives_earlier_files_their_old_content_again(tmp_path: Path) -> None:
    (tmp_path / "folder" / "full").mkdir(parents=True)
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OSError) as caught:  # noqa: PT011  # which one differs by system
        stage(tmp_path, "a", "new", "folder", "b")
    assert caught.value.filename == str(tmp_path / "folder")
    assert everything(tmp_path) == {"a": b"old"}


def test_failed_rename_without_hard_links_keeps_earlier_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on FAT: the old content cannot come back."""
    (tmp_path / "folder" / "full").mkdir(parents=True)
    (tmp_path / "a").write_bytes(b"old")

    def refuse(*_arguments: object, **_named: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError):  # noqa: PT011  # which one differs by system
        stage(tmp_path, "a", "folder", "b")
    assert everything(tmp_path) == {"a": b"new"}


def test_committed_files_leave_no_second_name_of_old_ones(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"old")
    with Staging() as staging:
        for name in ("a", "b"):
            with create(staging.add(tmp_path / name), "xb") as stream:
                stream.write(b"new")
        staging.commit()
    assert everything(tmp_path) == {"a": b"new", "b": b"new"}


def test_rename_creates_missing_folders(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    rename(tmp_path / "source", tmp_path / "a" / "b" / "target")
    assert everything(tmp_path) == {"a/b/target": b"content"}


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="Windows cannot refuse links")
@pytest.mark.parametrize("mode", ["xb", "wb", "ab"])
def test_create_does_not_follow_link(tmp_path: Path, mode: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("secret")
    with pytest.raises(OSError) as caught:  # noqa: PT011  # EEXIST or ELOOP
        create(tmp_path / "link", mode)
    assert caught.value.errno in (errno.EEXIST, errno.ELOOP)
    assert (tmp_path / "secret").read_bytes() == b"secret"


# Temporary files of killed processes

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot lock folders")

LEFTOVER = ".purekernel.0123456789ab.part"
DAY = 86400


def leave(folder: Path, *, days: float, name: str = LEFTOVER) -> Path:
    path = folder / name
    path.write_bytes(b"left")
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@posix
def test_old_temporary_files_are_deleted_and_others_kept(tmp_path: Path) -> None:
    leave(tmp_path, days=3)
    recent = leave(tmp_path, days=0.9, name=".purekernel.aaaaaaaaaaaa.part")
    others = [
        leave(tmp_path, days=90, name=name)
        for name in (
            ".purekernel.part",
            f"x{LEFTOVER}",
            f"{LEFTOVER}s",
            ".purekernel.ABCDEFABCDEF.part",
        )
    ]
    (tmp_path / ".purekernel.bbbbbbbbbbbb.part").mkdir()
    os.utime(tmp_path / ".purekernel.bbbbbbbbbbbb.part", (5, 5))
    write_whole(tmp_path / "a", b"new")
    expected = [recent.name, "a", ".purekernel.bbbbbbbbbbbb.part", ".purekernel.aaaaaaaaaaaa.part"]
    assert names(tmp_path) == sorted({*expected, *(other.name for other in others)})


@posix
def test_old_link_with_temporary_name_is_deleted_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / LEFTOVER).symlink_to("secret")
    os.utime(tmp_path / LEFTOVER, (5, 5), follow_symlinks=False)
    write_whole(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a", "secret"]


@posix
@pytest.mark.parametrize("by_descriptor", [True, False])
def test_temporary_files_of_a_running_process_are_kept(tmp_path: Path, by_descriptor: bool) -> None:
    folder = os.open(tmp_path, os.O_RDONLY) if by_descriptor else None
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from purekernel.host.staging import Staging, create\n"
        "with Staging() as staging:\n"
        "    temporary = staging.add(Path(sys.argv[1], 'x'))\n"
        "    create(temporary, 'xb').close()\n"  # closed, but not renamed yet
        "    print(temporary.name, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path],
        env=environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        os.utime(tmp_path / name, (5, 5))
        with Staging() as staging:
            path = Path("a") if by_descriptor else tmp_path / "a"
            create(staging.add(path, folder=folder), "xb", folder=folder).close()
            staging.commit()
        assert names(tmp_path) == sorted([name, "a"])
        process.kill()
    with Staging() as staging:
        staging.add(tmp_path / "b")
    assert names(tmp_path) == ["a"]
    if folder is not None:
        os.close(folder)


@posix
def test_staging_releases_the_lock_of_its_folder(tmp_path: Path) -> None:
    import fcntl  # noqa: PLC0415  # not on Windows

    lock = os.open(tmp_path, os.O_RDONLY)
    with Staging() as staging:
        staging.add(tmp_path / "a")
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # others may write there too
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(lock)


@posix
def test_without_locks_the_last_change_of_any_kind_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.EBADF, "as NFS does for a folder")

    monkeypatch.setattr("fcntl.flock", refuse)
    leave(tmp_path, days=90)
    write_whole(tmp_path / "a", b"new")
    assert names(tmp_path) == [LEFTOVER, "a"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3 * DAY)
    write_whole(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"]


def test_file_is_stale_on_windows_two_days_after_its_last_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave(tmp_path, days=0)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1.9 * DAY)
    staging_module._delete_leftovers(tmp_path, days=2, by_change=True)
    assert left.exists()
    monkeypatch.setattr(time, "time", lambda: now + 2.1 * DAY)
    staging_module._delete_leftovers(tmp_path, days=2, by_change=True)
    assert not left.exists()


@posix
def test_leftovers_in_unreadable_folder_are_ignored(
    open_folder: Path,
) -> None:
    folder = open_folder / "a"
    folder.mkdir()
    leave(folder, days=90)
    folder.chmod(0o333)
    with ordinary_user():
        write_whole(folder / "b", b"new")
    folder.chmod(0o777)
    assert names(folder) == [LEFTOVER, "b"]


# Files that other programs have open, on Windows


class InUse:
    """Make calls of the host fail as on Windows, while another program has the file open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *calls: str, winerror: int = 5) -> None:
        self.failures = 0
        self.waits = 0
        self._winerror = winerror
        monkeypatch.setattr(staging_module, "ON_WINDOWS", True)
        monkeypatch.setattr(staging_module.time, "sleep", self._wait)
        for call in calls:
            monkeypatch.setattr(os, call, partial(self._call, getattr(os, call)))

    def _wait(self, _seconds: float) -> None:
        self.waits += 1

    def _call(self, real: Callable[..., object], *arguments: Any, **options: Any) -> object:
        if self.failures:
            self.failures -= 1
            error = PermissionError(errno.EACCES, "Access is denied")
            error.winerror = self._winerror  # type: ignore[attr-defined]
            raise error
        return real(*arguments, **options)


@pytest.mark.parametrize("call", ["replace", "unlink"])
def test_change_of_a_file_in_use_is_retried_on_windows(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    host = InUse(monkeypatch, call)
    host.failures = 29
    if call == "replace":
        rename(tmp_path / "a", tmp_path / "b")
        assert everything(tmp_path) == {"b": b"a"}
    else:
        delete(tmp_path / "a")
        assert everything(tmp_path) == {"b": b"b"}
    assert (host.failures, host.waits) == (0, 29)


@pytest.mark.parametrize("winerror", [5, 32, 33])
@pytest.mark.parametrize("call", ["replace", "unlink"])
def test_file_that_stays_in_use_is_reported_as_that(
    call: str, winerror: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    host = InUse(monkeypatch, call, winerror=winerror)
    host.failures = 30
    change = partial(rename, tmp_path / "a") if call == "replace" else delete
    with pytest.raises(OSError, match="another program has it open") as caught:
        change(tmp_path / "b")
    assert (host.failures, host.waits) == (0, 29)
    assert caught.value.filename == str(tmp_path / "b")
    hint = hint_for(caught.value, elsewhere="elsewhere")
    assert hint == "close the program that uses the file, or elsewhere"
    assert everything(tmp_path) == {"a": b"a", "b": b"b"}


def test_missing_permission_is_not_reported_as_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    host = InUse(monkeypatch, "replace")
    host.failures = 30
    with pytest.raises(PermissionError, match="Access is denied"):
        rename(tmp_path / "a", tmp_path / "new")  # nothing is there that could be open


@pytest.mark.parametrize("failures", [0, 1, 29])
def test_read_only_file_is_replaced_on_windows(
    failures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    (tmp_path / "b").chmod(0o444)
    host = InUse(monkeypatch, "replace")
    modes = []
    real = os.replace

    def replace(source: Path, target: Path, **folders: Any) -> None:
        modes.append(target.stat().st_mode & stat.S_IWRITE)
        if not modes[-1]:
            raise PermissionError(errno.EACCES, "Access is denied")
        real(source, target, **folders)

    monkeypatch.setattr(os, "replace", replace)
    host.failures = failures
    rename(tmp_path / "a", tmp_path / "b")
    assert modes == [0, *[stat.S_IWRITE] * (failures + 1)]
    assert everything(tmp_path) == {"b": b"a"}
    assert (tmp_path / "b").stat().st_mode & 0o222


def test_read_only_file_in_use_stays_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    (tmp_path / "b").chmod(0o444)
    host = InUse(monkeypatch, "replace", winerror=32)
    host.failures = 100
    with pytest.raises(OSError, match="another program has it open"):
        rename(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o444
    assert everything(tmp_path) == {"a": b"a", "b": b"b"}


@pytest.mark.parametrize(("winerror", "waits"), [(32, 29), (33, 29), (5, 0)])
def test_opening_a_file_in_use_is_retried_on_windows(
    winerror: int, waits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = InUse(monkeypatch, "open", winerror=winerror)
    host.failures = 30
    with pytest.raises(OSError) as caught:  # noqa: PT011  # the message is checked below
        create(tmp_path / "a")
    assert host.waits == waits
    words = "Access is denied" if winerror == 5 else "another program has it open"
    assert caught.value.strerror == words
    host.failures = min(waits, 29)
    create(tmp_path / "a").close()
    assert everything(tmp_path) == {"a": b""}


def test_remove_does_not_wait_for_other_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    host = InUse(monkeypatch, "unlink")
    host.failures = 1
    assert remove(tmp_path / "a") is False
    assert host.waits == 0
    assert remove(tmp_path / "a") is True
    assert remove(tmp_path / "a") is True
