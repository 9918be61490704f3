"""Test that changing a link keeps the mode, owner, times and attributes of its target."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from purekernel.host import no_follow
from purekernel.host.no_follow import change_mode, inode_at, is_link, open_readable, touch

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")

LONG_AGO = 1_000_000_000
LATER_NS = ((LONG_AGO + 5) * 10**9,) * 2


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return the target of a link. Its metadata must not change."""
    path = tmp_path / "secret"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    os.utime(path, (LONG_AGO, LONG_AGO))
    (tmp_path / "link").symlink_to(path)
    return path


@pytest.fixture(params=["held", "by name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run each test with the inode held open, and as on a system without O_PATH or proc."""
    if request.param == "by name":
        monkeypatch.setattr(no_follow, "_O_PATH", 0)
    elif not no_follow._O_PATH:
        pytest.skip("this system has no O_PATH")
    return str(request.param)


def check_untouched(secret: Path) -> None:
    status = secret.stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_mtime == LONG_AGO
    assert status.st_uid == os.geteuid()


@pytest.mark.usefixtures("way")
def test_change_of_link_keeps_target(secret: Path, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        for place, within in ((tmp_path / "link", None), ("link", folder)):
            with inode_at(place, folder=within) as inode:
                assert is_link(inode.status)
                inode.set_times(LATER_NS)
                if os.geteuid() == 0:
                    inode.chown(12, 34)
                if os.chmod not in os.supports_follow_symlinks:
                    with pytest.raises(OSError) as caught:  # noqa: PT011  # its number is checked
                        inode.chmod(0o777)
                    assert caught.value.errno in (errno.ENOTSUP, errno.EOPNOTSUPP)
    finally:
        os.close(folder)
    check_untouched(secret)
    status = (tmp_path / "link").lstat()
    assert status.st_mtime == LONG_AGO + 5
    if os.geteuid() == 0:
        assert (status.st_uid, status.st_gid) == (12, 34)


def test_open_inode_is_changed_after_name_becomes_link(secret: Path, tmp_path: Path) -> None:
    if not no_follow._O_PATH:
        pytest.skip("this system has no O_PATH")
    os.mkfifo(tmp_path / "fifo", 0o600)
    with inode_at(tmp_path / "fifo") as inode:
        (tmp_path / "fifo").rename(tmp_path / "moved")
        (tmp_path / "fifo").symlink_to(secret)
        inode.chmod(0o755)
        inode.set_times(LATER_NS)
        if os.geteuid() == 0:
            inode.chown(12, 34)
    check_untouched(secret)
    status = (tmp_path / "moved").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o755, LONG_AGO + 5)


@pytest.mark.usefixtures("way", "secret")
def test_mode_of_fifo_is_changed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    try:
        change_mode(tmp_path / "fifo", 0o755)
    except OSError as error:
        # An old C library without O_PATH reports that it cannot do this without following links.
        assert error.errno in (errno.ENOTSUP, errno.EOPNOTSUPP)  # noqa: PT017
        assert stat.S_IMODE((tmp_path / "fifo").stat().st_mode) == 0o600
    else:
        assert stat.S_IMODE((tmp_path / "fifo").stat().st_mode) == 0o755


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="this system has no extended attributes")
def test_xattr_of_link_is_not_set_on_target(secret: Path, tmp_path: Path) -> None:
    with inode_at(tmp_path / "link") as inode, pytest.raises(OSError, match="not permitted"):
        inode.set_xattr(b"user.a", b"b")
    assert os.listxattr(secret) == []


def test_no_handle_stays_open_without_proc(
    secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another user can create such an entry, as in a chroot where any user may create proc.
    (tmp_path / "fd").mkdir()
    for number in range(64):
        (tmp_path / "fd" / str(number)).symlink_to(secret)
    os.mkfifo(tmp_path / "fifo", 0o640)
    monkeypatch.setattr(no_follow, "DESCRIPTORS", str(tmp_path / "fd"))
    with inode_at(tmp_path / "fifo") as inode:
        assert stat.S_ISFIFO(inode.status.st_mode)
        inode.set_times(LATER_NS)
    check_untouched(secret)
    assert (tmp_path / "fifo").stat().st_mtime == LONG_AGO + 5


@pytest.mark.usefixtures("way")
def test_change_mode_of_link_is_refused(secret: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="symbolic links"):
        change_mode(tmp_path / "link", 0o777)
    with pytest.raises(OSError, match="symbolic links"), open_readable(tmp_path / "link"):
        pass
    check_untouched(secret)


def test_touch_of_link_keeps_target_times(secret: Path, tmp_path: Path) -> None:
    touch(tmp_path / "link")
    check_untouched(secret)
    touch(secret)
    assert secret.stat().st_mtime > LONG_AGO
