from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from purekernel.errors import ChecksumError, InputError, LimitError
from purekernel.host.read import (
    check_digest,
    exists,
    is_file,
    is_folder,
    load_file,
    read_to_end,
)
from purekernel.input import Limits


def test_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    assert load_file(tmp_path / "f") == b"content"


ASKED = (exists, is_file, is_folder)


def test_missing_path_is_neither_file_nor_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    for path in (tmp_path / "no", tmp_path / "f" / "no", tmp_path / ("n" * 300), Path("a\0b")):
        assert [asked(path) for asked in ASKED] == [False, False, False]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_link_to_nothing_and_loop_of_links_exist(tmp_path: Path) -> None:
    for name, target in (("nothing", "no"), ("loop", "loop")):
        (tmp_path / name).symlink_to(target)
        assert [asked(tmp_path / name) for asked in ASKED] == [True, False, False]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_path_that_the_host_cannot_look_at_is_an_error_and_not_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: Callable[[Path], bool],
    number: int,
) -> None:
    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "lstat", refuse)
    with pytest.raises(InputError) as caught:
        asked(tmp_path)
    assert str(caught.value) == f"{tmp_path} cannot be read: {os.strerror(number)}"


def test_file_larger_than_its_reported_size_is_read() -> None:
    # Linux reports the size 0 for all files in proc. The limit applies to the data that was read.
    path = Path("/proc/self/maps")
    if not path.exists():
        pytest.skip("this system has no /proc")
    assert b"\n" in load_file(path)
    with pytest.raises(LimitError):
        load_file(path, limits=Limits(unpacked_bytes=8))


def test_missing_file_or_folder_is_refused(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "no", "does not exist"), (tmp_path, "is a folder, not a file")):
        with pytest.raises(InputError) as caught:
            load_file(path)
        assert str(caught.value) == f"{path} {words}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no fifos")
def test_fifo_or_device_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(InputError, match="is neither a file nor a folder"):
            load_file(path)


def test_missing_file_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        check_digest(tmp_path / "missing", "0" * 64)
    with pytest.raises(InputError, match="must be a file to have a SHA-256, got a folder"):
        check_digest(tmp_path, "0" * 64)


def test_wrong_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    check_digest(path, digest.upper())
    with pytest.raises(ChecksumError) as caught:
        check_digest(path, "0" * 64)
    assert str(caught.value) == (
        f"{path} failed verification: SHA-256 must be {'0' * 64}, got {digest}"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_file_without_available_data_is_refused() -> None:
    """Some files in proc have no data at times. A pipe is similar, and any user can create it."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with (
        os.fdopen(writer, "wb"),
        os.fdopen(reader, "rb") as stream,
        pytest.raises(BlockingIOError, match="unavailable"),
    ):
        read_to_end(stream, source="kmsg", limits=Limits(unpacked_bytes=8))
