from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from purekernel.host.staging import Staging, create, rename
from tests.host.test_write import everything


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
