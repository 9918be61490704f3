from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from purekernel.errors import OutputError
from purekernel.host import staging
from purekernel.host import write as module
from purekernel.host.write import Replaced, publish, publish_file, send, write_whole
from purekernel.host.write import _output_path as place_output
from tests.ordinary import ordinary_user


def writes(content: bytes):
    def write(stream: IO[bytes]) -> None:
        stream.write(content)

    return write


def breaks(error: BaseException):
    def write(stream: IO[bytes]) -> None:
        stream.write(b"half of it")
        raise error

    return write


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_outputs_are_written_and_described(tmp_path: Path) -> None:
    outputs = publish(tmp_path / "new" / "out", {"a.iso": writes(b"A"), "b/c": writes(b"BC")})
    assert everything(tmp_path) == {"new/out/a.iso": b"A", "new/out/b/c": b"BC"}
    assert [(out.path.name, out.size_bytes, out.sha256) for out in outputs] == [
        ("a.iso", 1, hashlib.sha256(b"A").hexdigest()),
        ("c", 2, hashlib.sha256(b"BC").hexdigest()),
    ]


def test_existing_outputs_are_replaced_and_other_files_kept(tmp_path: Path) -> None:
    (tmp_path / "x.pxe").mkdir()
    (tmp_path / "x.pxe" / "pxelinux.0").write_bytes(b"the user's own")
    (tmp_path / "x.pxe" / "core.gz").write_bytes(b"old")
    publish(tmp_path, {"x.pxe/core.gz": writes(b"new")})
    assert everything(tmp_path) == {
        "x.pxe/core.gz": b"new",
        "x.pxe/pxelinux.0": b"the user's own",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_output_mode_follows_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        publish(tmp_path, {"a": writes(b"")})
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (MemoryError(), MemoryError),
        (ValueError("from a library"), ValueError),
    ],
)
def test_failure_keeps_old_outputs_and_leaves_no_temporary_files(
    tmp_path: Path, error: BaseException, raised: type[BaseException]
) -> None:
    (tmp_path / "a.iso").write_bytes(b"old")
    with pytest.raises(raised):
        publish(tmp_path, {"a.iso": writes(b"new"), "p/q/r": writes(b"x"), "b.iso": breaks(error)})
    assert everything(tmp_path) == {"a.iso": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.iso"]


def test_full_disk_is_reported(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError) as caught:
        publish(tmp_path, {"a.iso": breaks(full)})
    path = tmp_path / "a.iso"
    assert str(caught.value) == f"{path} cannot be written: No space left on device"
    assert caught.value.hint == "free some space, or choose another folder with --output-dir"


def test_folder_or_file_at_output_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.iso").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="must be a file, got a folder"):
        publish(tmp_path, {"a.iso": writes(b"")})
    with pytest.raises(OutputError, match="cannot be written"):
        publish(tmp_path / "file", {"a.iso": writes(b"")})
    assert everything(tmp_path) == {"file": b""}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_folder_without_permission_is_refused(open_folder: Path) -> None:
    out = open_folder / "out"
    out.mkdir()
    out.chmod(0o555)
    with ordinary_user(), pytest.raises(OutputError) as caught:
        publish(out, {"a.iso": writes(b"")})
    assert caught.value.hint == "choose a folder that you may write to with --output-dir"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "", "a//b", "..\\\\x", "C:x"])
def test_output_name_outside_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="is not a valid name for an output"):
        publish(tmp_path / "out", {name: writes(b"")})
    assert everything(tmp_path) == {}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows delivers Ctrl-C to consoles only")
def test_signal_is_deferred_during_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may deliver a signal to another thread, such as the one that draws progress."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    replace = os.replace
    seen: list[str] = []

    def replace_and_signal(source: Path, target: Path, **folders: int | None) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        seen.append(target.name)
        replace(source, target, **folders)

    monkeypatch.setattr(os, "replace", replace_and_signal)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            publish(tmp_path, {"a": writes(b"a"), "b": writes(b"b"), "c": writes(b"c")})
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
        stop.set()
        thread.join()
    assert seen == ["a", "b", "c"]
    assert everything(tmp_path) == {"a": b"a", "b": b"b", "c": b"c"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_write_whole_accepts_any_name_and_keeps_mode(tmp_path: Path) -> None:
    path = tmp_path / "a:\\b"
    write_whole(path, b"old", mode=0o640)
    assert path.stat().st_mode & 0o7777 == 0o640
    write_whole(path, memoryview(b"new"))
    assert path.stat().st_mode & 0o7777 == 0o640
    assert everything(tmp_path) == {"a:\\b": b"new"}


@pytest.mark.parametrize("name", ["con.tcz", "x.pxe/nul", "a. ", "a?b", "caf\udcff"])
def test_invalid_windows_output_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"the output name .* is invalid on Windows"):
        place_output(tmp_path, name, windows=True)
    assert place_output(tmp_path, name, windows=False) == tmp_path / name


def swap_for_link(secret: Path) -> Callable[[IO[bytes]], None]:
    """Return a function that writes an output while another user replaces it with a link."""

    def write(stream: IO[bytes]) -> None:
        stream.write(b"new")
        Path(stream.name).unlink()
        Path(stream.name).symlink_to(secret)

    return write


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_mode_of_planted_link_target_is_not_changed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    secret.chmod(0o600)
    publish(tmp_path / "out", {"a": swap_for_link(secret)}, mode=0o4777)
    assert secret.stat().st_mode & 0o7777 == 0o600
    assert secret.read_bytes() == b"secret"


@pytest.mark.parametrize("by_path", [True, os.name == "nt"])
def test_times_are_set(by_path: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows sets times by path only."""
    monkeypatch.setattr(module, "SETS_TIMES_OF_DESCRIPTORS", not by_path)
    write_whole(
        tmp_path / "a", b"a", times_ns=(1_700_000_000_000_000_100, 1_300_000_000_000_000_200)
    )
    status = (tmp_path / "a").stat()
    assert status.st_mtime_ns == 1_300_000_000_000_000_200
    # Wine sets the other time anew when the file is opened.
    assert os.name == "nt" or status.st_atime_ns == 1_700_000_000_000_000_100


@pytest.mark.skipif(os.name == "nt", reason="Windows sets no times of open files")
def test_times_are_set_before_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    os.utime(secret, (5, 5))
    real = os.replace

    def replace(path: Path, target: Path, **folders: int | None) -> None:
        path.rename(tmp_path / "taken")
        path.symlink_to(secret)
        real(path, target, **folders)

    write_whole(tmp_path / "a", b"a", times_ns=(7_000_000_001, 8_000_000_002))
    status = (tmp_path / "a").stat()
    assert (status.st_atime_ns, status.st_mtime_ns) == (7_000_000_001, 8_000_000_002)
    monkeypatch.setattr(os, "replace", replace)
    write_whole(tmp_path / "b", b"b", times_ns=(7_000_000_001, 8_000_000_002))
    assert secret.stat().st_mtime == 5
    assert (tmp_path / "taken").stat().st_mtime_ns == 8_000_000_002


def test_output_name_of_255_bytes_is_written(tmp_path: Path) -> None:
    name = "x" * 255
    assert publish(tmp_path, {name: writes(b"content")})[0].path.name == name
    assert everything(tmp_path) == {name: b"content"}


def test_rename_is_retried_on_windows_while_target_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = os.replace, [PermissionError(errno.EACCES, "in use")] * 3

    def replace(source: Path, target: Path, **folders: int | None) -> None:
        if failures:
            raise failures.pop()
        real(source, target, **folders)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(staging, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(staging, "ON_WINDOWS", True)
    publish(tmp_path, {"a": writes(b"new")})
    assert (everything(tmp_path), failures) == ({"a": b"new"}, [])
    monkeypatch.setattr(staging, "ON_WINDOWS", False)
    failures.append(PermissionError(errno.EACCES, "in use"))
    with pytest.raises(OutputError, match="a cannot be written: in use"):
        publish(tmp_path, {"a": writes(b"newer")})
    assert everything(tmp_path) == {"a": b"new"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_replaced_files_are_described_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to("a")
    outputs = publish(tmp_path, {"a": b"new", "link": b"new", "free": b"new"})
    old = Replaced(size_bytes=3, sha256=hashlib.sha256(b"old").hexdigest())
    assert [each.replaced for each in outputs] == [old, Replaced(), None]


def test_old_file_that_cannot_be_read_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module, "_open_itself", refuse)
    (output,) = publish(tmp_path, {"a": b"new"})
    assert output.replaced == Replaced(size_bytes=3, sha256=None)
    assert (tmp_path / "a").read_bytes() == b"new"


def test_one_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.iso"
    assert publish_file(path, writes(b"one")).replaced is None
    with pytest.raises(OutputError, match=r"a\.iso cannot be written: Input/output error"):
        publish_file(path, breaks(OSError(errno.EIO, "Input/output error")))
    assert everything(tmp_path) == {"new/a.iso": b"one"}


class Pipe(io.RawIOBase):
    """A pipe that takes three bytes at a time, and fails after ``room`` bytes."""

    def __init__(self, room: int, error: OSError | None = None) -> None:
        self.taken = b""
        self._room = room
        self._error = error

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(memoryview(data))[:3]  # type: ignore[arg-type]
        if len(self.taken) + len(piece) > self._room:
            assert self._error is not None
            raise self._error
        self.taken += piece
        return len(piece)


@pytest.mark.parametrize("content", [b"0123456789", writes(b"0123456789")])
def test_output_is_sent_to_a_pipe_that_takes_little_at_a_time(content: object) -> None:
    pipe = Pipe(room=10)
    output = send(pipe, content)  # type: ignore[arg-type]
    assert pipe.taken == b"0123456789"
    assert (output.size_bytes, output.sha256) == (10, hashlib.sha256(pipe.taken).hexdigest())


def test_output_that_fails_sends_nothing() -> None:
    pipe = Pipe(room=0)
    with pytest.raises(OutputError, match=r"cannot be written: No space left on device"):
        send(pipe, breaks(OSError(errno.ENOSPC, "No space left on device")))  # type: ignore[arg-type]
    assert pipe.taken == b""


def test_full_stream_is_an_error_and_a_closed_pipe_stays_one() -> None:
    with pytest.raises(OutputError, match=r"the output stream cannot be written: No space"):
        send(Pipe(4, OSError(errno.ENOSPC, "No space left")), b"0123456789")  # type: ignore[arg-type]
    with pytest.raises(BrokenPipeError):
        send(Pipe(4, BrokenPipeError(errno.EPIPE, "Broken pipe")), b"0123456789")  # type: ignore[arg-type]
