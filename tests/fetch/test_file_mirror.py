"""Test folders as mirrors, by path and by file URL."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from purekernel.errors import ChecksumError, DownloadError, MissingFileError
from purekernel.fetch import file_mirror as local
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.file_mirror import copy_local
from purekernel.fetch.model import Download, Stopped
from purekernel.fetch.store import Store
from purekernel.formats.detect import FileKind
from tests.fetch.fetching import (
    NETWORK_HINT,
    QUICK,
    blobs,
    extension,
    fetch,
    files,
    md5,
    want,
    why_not,
)
from tests.fetch.server import Server
from tests.ordinary import ordinary_user

CONTENT = extension(5000)
PATH_HINT = "check the path and its permissions"

posix = pytest.mark.skipif(os.name == "nt", reason="not for Windows")


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror of mine"
    folder.mkdir()
    (folder / "a.tcz").write_bytes(CONTENT)
    return folder


def test_file_is_copied_by_path_or_file_url(
    mirror: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mirror)
    for url in (str(mirror / "a.tcz"), (mirror / "a.tcz").as_uri(), "a.tcz"):
        assert fetch(store, url, kind=FileKind.SQUASHFS, md5=md5(CONTENT)) == CONTENT
    assert files(store) == ["blobs", "urls"]


@posix
@pytest.mark.parametrize("name", ["a\nb", "\u00e9", "a%20b", "a?b", "a#b", "\udcff", "a\\b"])
def test_file_with_any_name_is_copied(name: str, mirror: Path, store: Store) -> None:
    (mirror / name).write_bytes(CONTENT)
    assert fetch(store, str(mirror / name)) == CONTENT
    assert fetch(Store(store.folder / "2"), (mirror / name).as_uri()) == CONTENT


def test_file_missing_in_folder_mirror_is_missing(
    mirror: Path, server: Server, store: Store
) -> None:
    local, remote = str(mirror / "b.tcz"), server.put("/b.tcz", CONTENT)
    assert fetch(store, local, optional=True) is None
    assert fetch(store, local, remote) == CONTENT
    assert why_not(store, local) == (
        MissingFileError,
        f"b.tcz not found: tried {local}",
        "check the name, or add another mirror (under [mirrors] in a recipe)",
    )


@pytest.mark.parametrize("function", ["fstat", "stat"])
def test_failing_disk_of_a_mirror_is_reported_with_the_file(
    mirror: Path, store: Store, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    path = mirror / "bash.tcz"
    path.write_bytes(CONTENT)

    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, function, refuse)
        outcome = why_not(store, str(path))
    assert outcome == (
        DownloadError,
        f"bash.tcz cannot be fetched: {path}: cannot be read: Input/output error",
        PATH_HINT,
    )


def test_missing_mirror_folder_is_reported(mirror: Path, store: Store) -> None:
    gone, folder = mirror / "not" / "mounted" / "a.tcz", mirror / "folder"
    folder.mkdir()
    assert why_not(store, str(gone), str(folder)) == (
        DownloadError,
        (
            f"a.tcz cannot be fetched: {gone}: folder {gone.parent} not found; "
            f"{folder}: must be a file, got a folder"
        ),
        NETWORK_HINT,
    )
    assert why_not(store, f"{mirror}/a.tcz/b")[0] is MissingFileError


@posix
def test_fifo_and_device_are_refused(mirror: Path, store: Store) -> None:
    os.mkfifo(mirror / "fifo")
    (mirror / "loop").symlink_to("loop")
    words = "must be a file, got a device, fifo or socket"
    assert why_not(store, f"{mirror}/fifo")[1] == (
        f"fifo cannot be fetched: {mirror}/fifo: {words}"
    )
    assert why_not(store, "/dev/zero")[1] == f"zero cannot be fetched: /dev/zero: {words}"
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(mirror)  # the path of a socket has a maximum length
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        assert why_not(store, f"{mirror}/socket")[1].endswith(f": {words}")
    kind, message, hint = why_not(store, f"{mirror}/loop")
    assert (kind, hint) == (DownloadError, PATH_HINT)
    assert message.startswith(f"loop cannot be fetched: {mirror}/loop: cannot be read: ")


@posix
def test_unreadable_file_is_a_fault(open_folder: Path) -> None:
    path, store = open_folder / "a.tcz", Store(open_folder / "store")
    path.write_bytes(CONTENT)
    path.chmod(0)
    (open_folder / "closed").mkdir(mode=0)
    with ordinary_user():
        assert why_not(store, str(path)) == (
            DownloadError,
            f"a.tcz cannot be fetched: {path}: cannot be read: Permission denied",
            PATH_HINT,
        )
        assert why_not(store, f"{open_folder}/closed/a.tcz")[1].endswith(
            "cannot be read: Permission denied"
        )


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file://other/a", "file://other/a: the host must be empty, got 'other'"),
        ("file://user:secret@other/a", "file://other/a: the host must be empty, got 'other'"),
        ("file:///a%00b", "file:///a%00b is not a valid path: it contains a NUL"),
        ("a\0b", "a%00b is not a valid path: it contains a NUL"),
        ("/a/\ud800", "/a/%3F is not a valid path on this host"),
        ("file:///a/\ud800", "file:///a/%3F is not a valid path on this host"),
        ("/" + "x" * 5000, "cannot be read: File name too long"),
    ],
)
@posix
def test_invalid_path_is_a_fault(url: str, words: str, store: Store) -> None:
    kind, message, _hint = why_not(store, url, name="a")
    assert kind is DownloadError
    assert message.partition(": ")[2].endswith(words)
    assert "secret" not in message


def test_copied_file_is_verified(mirror: Path, store: Store) -> None:
    url = str(mirror / "a.tcz")
    assert why_not(store, url, md5="0" * 32)[:2] == (
        ChecksumError,
        f"a.tcz failed verification: {url}: MD5 must be {'0' * 32}, got {md5(CONTENT)}",
    )
    for fields, words in (
        (
            {"kind": FileKind.GZIP},
            "not a gzip file: must have 1f 8b at byte 0, got 68 73 (a squashfs image)",
        ),
        ({"most_bytes": 4999}, "larger than 4999 bytes"),
    ):
        assert why_not(store, url, **fields)[1] == f"a.tcz cannot be fetched: {url}: {words}"
    assert why_not(store, url, size_bytes=4999)[:2] == (
        ChecksumError,
        f"a.tcz failed verification: {url}: size must be 4999 bytes, got 5000",
    )
    assert files(store) == []


def test_unchanged_file_is_not_copied_again(mirror: Path, store: Store) -> None:
    path = mirror / "a.tcz"
    os.utime(path, (1, 1))
    assert fetch(store, str(path)) == CONTENT
    os.utime(blobs(store)[0], (1, 1))
    # Size and time are the same, so the content is not read.
    path.write_bytes(bytes(5000))
    os.utime(path, (1, 1))
    assert fetch(store, str(path)) == CONTENT
    os.utime(path, (2, 2))
    assert fetch(store, str(path)) == bytes(5000)


def test_file_growing_during_copy_is_read_again(
    mirror: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mirror / "a.tcz"
    read: list[int] = []
    write_piece = local.write_piece

    def write(stream: object, piece: bytes) -> None:
        if not read:
            with path.open("ab") as more:
                more.write(b"more")
        read.append(len(piece))
        write_piece(stream, piece)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "write_piece", write)
    assert fetch(store, str(path)) == CONTENT + b"more"
    assert read == [5000, 4, 5004]


def test_stopped_copy_leaves_no_files(mirror: Path, store: Store) -> None:
    stopped = threading.Event()
    stopped.set()
    url = str(mirror / "a.tcz")
    with pytest.raises(Stopped):
        copy_local(store, want(url), url, stopped=stopped)
    assert files(store) == []


def test_hint_for_a_file_on_this_host_does_not_name_a_browser(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.iso").write_bytes(b"PK\3\4" + bytes(40_000))
    download = Download(name="a.iso", urls=(str(tmp_path / "a.iso"),), kind=FileKind.ISO)
    with (
        Downloads(store, policy=QUICK) as downloads,
        pytest.raises(DownloadError, match=r"got 00 00 00 00 00 \(a zip archive\)$") as caught,
    ):
        downloads.fetch(download)
    assert caught.value.hint.startswith("check the path: ")


def test_file_of_another_kind_on_this_host_is_tried_once(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.iso").write_bytes(b"PK\3\4" + bytes(40_000))
    download = Download(name="a.iso", urls=(str(tmp_path / "a.iso"),), kind=FileKind.ISO)
    pauses: list[float] = []
    with Downloads(store, sleep=pauses.append) as downloads, pytest.raises(DownloadError):
        downloads.fetch(download)
    assert pauses == []
