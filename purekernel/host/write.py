"""Write output files and files of the store atomically.

Outputs are first written to temporary files in the same folder and flushed to the disk. When all
are complete, each is renamed to its final name. After an earlier failure, such as a full disk or
Ctrl-C, the outputs of the previous build are unchanged and no temporary file remains.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self, cast

from attrs import frozen

from purekernel.errors import OutputError, StoreError
from purekernel.host.no_follow import change_mode, open_readable, opened
from purekernel.host.windows_names import ON_WINDOWS, check_windows_name
from purekernel.interruption import undisturbed
from purekernel.tree import Buffer

Writer = Callable[[BinaryIO], None]
"""Writes one output to a stream, which is also readable and seekable."""


_HASH_STEP_BYTES = 1 << 20


_ON_WINDOWS = os.name == "nt"


# Windows cannot replace a file that another program has open, such as a virus scanner. The rename
# is retried this often, for 1.5 seconds in total.
_TRIES = 30
_PAUSE_SECONDS = 0.05
_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ELSEWHERE = "set another folder with --cache-dir or PUREKERNEL_CACHE"
_NOT_PERMITTED = f"change the permissions of the folder, or {_ELSEWHERE}"


_HINTS = {
    errno.ENOSPC: f"free some space, or {_ELSEWHERE}",
    errno.EDQUOT: f"free some of your quota, or {_ELSEWHERE}",
    errno.EFBIG: f"raise the limit on file sizes, or {_ELSEWHERE}",
    errno.EACCES: _NOT_PERMITTED,
    errno.EPERM: _NOT_PERMITTED,
}


@frozen(kw_only=True)
class Output:
    """A written output file."""

    path: Path
    size_bytes: int
    sha256: str


def publish(
    folder: Path,
    writers: Mapping[str, Writer],
    *,
    mode: int | None = None,
    option: str = "--output-dir",
) -> list[Output]:
    """Write files into ``folder``; create it if it is missing.

    Args:
        folder: the folder for the files.
        writers: for each path in ``folder``, with slashes, the function that writes the file.
        mode: the mode of the files; ``None`` for the default of the host.
        option: the option with which users choose another folder, for messages.

    Returns:
        The written files, in the order of ``writers``.

    Raises:
        OutputError: a file cannot be written. No file was changed then, unless a rename failed
            after others had succeeded (on Windows, if another program has the file open).
    """
    with _Staging(mode, option) as staging:
        outputs = [
            staging.write(_output_path(folder, name), write) for name, write in writers.items()
        ]
        staging.commit()
    return outputs


def write_whole(
    path: Path,
    content: Buffer,
    *,
    mode: int | None = None,
    times_ns: tuple[int, int] | None = None,
) -> None:
    """Write a file of the host atomically.

    If ``path`` is a link, it is kept, and its target is written.

    Args:
        path: the path of the file; any name is allowed.
        content: the whole content.
        mode: the mode of the file; ``None`` keeps the mode of an existing file.
        times_ns: times of access and modification in nanoseconds since 1970, UTC, if the host
            can set them; ``None`` for now.

    Raises:
        OutputError: the file cannot be written, or the path exists and is not a regular file.
    """
    try:
        path = path.resolve()
        status = path.stat()
    except OSError:
        pass  # the file is missing, or inaccessible, which writing it reports
    else:
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise OutputError(
                f"{path} must be a regular file, got a device, fifo or socket",
                hint="give a file with --output",
            )
        mode = stat.S_IMODE(status.st_mode) if mode is None else mode
    with _Staging(mode, "--output", times_ns) as staging:
        staging.write(path, writer_of(content))
        staging.commit()


def writer_of(content: Buffer) -> Writer:
    """Return a function that writes ``content``."""
    return partial(_write, content)


def _write(content: Buffer, stream: BinaryIO) -> None:
    stream.write(content)


def _output_path(folder: Path, name: str, *, windows: bool = ON_WINDOWS) -> Path:
    if windows:
        for part in name.split("/"):
            if reason := check_windows_name(part.encode("utf-8", "surrogatepass")):
                raise OutputError(
                    f"the output name {name!r} is invalid on Windows: {reason}",
                    hint="choose another name",
                )
    if any(part in ("", ".", "..") or set(part) & set("\\:") for part in name.split("/")):
        raise OutputError(f"{name!r} is not a valid name for an output")
    return folder.joinpath(*name.split("/"))


class _Staging:
    """Temporary files to be renamed to their final names, and the folders created for them."""

    def __init__(
        self, mode: int | None, option: str, times_ns: tuple[int, int] | None = None
    ) -> None:
        self._mode = mode
        self._times_ns = times_ns
        self._option = option
        self._staged: list[tuple[Path, Path]] = []
        self._folders: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        """Delete the temporary files and empty folders that remain."""
        for temporary, _path in self._staged:
            with suppress(OSError):
                temporary.unlink()
        for folder in reversed(self._folders):
            with suppress(OSError):  # a folder that contains outputs is not empty and stays
                folder.rmdir()

    def write(self, path: Path, write: Writer) -> Output:
        if "\0" in str(path):
            raise OutputError(f"{str(path)!r} cannot be written: it contains a NUL")
        with _located(path, self._option):
            self._make_folder(path.parent)
            if path.is_dir():
                raise OutputError(
                    f"{path} must be a file, got a folder",
                    hint=f"move it away, or choose another folder with {self._option}",
                )
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
            self._staged.append((temporary, path))
            with temporary.open("x+b") as stream:
                write(stream)
                if self._mode is not None:
                    if os.chmod in os.supports_fd:
                        opened(stream.fileno()).chmod(self._mode)
                    else:
                        change_mode(temporary, self._mode)
                stream.flush()
                size_bytes = stream.seek(0, io.SEEK_END)
                digest = _digest(stream)
                self._set_times(stream)
                os.fsync(stream.fileno())
        return Output(path=path, size_bytes=size_bytes, sha256=digest)

    def _set_times(self, stream: BinaryIO) -> None:
        """Set the times of an open file, if the host supports that for descriptors."""
        if self._times_ns is not None and os.utime in os.supports_fd:
            with suppress(OSError):
                os.utime(stream.fileno(), ns=self._times_ns)

    def commit(self) -> None:
        with undisturbed():
            while self._staged:
                temporary, path = self._staged[0]
                with _located(path, self._option):
                    temporary.replace(path)
                del self._staged[0]

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.exists() and folder != folder.parent:
            missing.append(folder)
            folder = folder.parent
        for created in reversed(missing):
            created.mkdir(exist_ok=True)
            self._folders.append(created)


def _digest(stream: BinaryIO) -> str:
    sha256 = hashlib.sha256()
    stream.seek(0)
    while block := stream.read(_HASH_STEP_BYTES):
        sha256.update(block)
    return sha256.hexdigest()


@contextmanager
def _located(path: Path, option: str) -> Iterator[None]:
    """Convert ``OSError`` to :class:`OutputError` with a hint."""
    try:
        yield
    except OSError as error:
        hints = {
            errno.ENOSPC: f"free some space, or choose another folder with {option}",
            errno.EDQUOT: f"free some of your quota, or choose another folder with {option}",
            errno.EFBIG: f"raise the limit on file sizes, or choose another folder with {option}",
            errno.EROFS: f"choose a writable folder with {option}",
            errno.EACCES: f"choose a folder that you may write to with {option}",
            errno.EPERM: f"choose a folder that you may write to with {option}",
            errno.ENOTDIR: f"choose a folder with {option}",
            errno.EEXIST: f"choose a folder with {option}",
        }
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            hint=hints.get(error.errno or 0, ""),
        ) from None


# Write files of the store atomically.
#
# The files are not flushed to the disk. A power failure may leave empty or wrong files in the
# store, so every reader verifies them.


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Convert ``OSError`` to :class:`StoreError` with the same message for all files of a store.

    Raises:
        StoreError: an operation of the host failed.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the store of downloads, {folder}, cannot be written: {error.strerror or error}",
            hint=_HINTS.get(error.errno or 0, _ELSEWHERE),
        ) from None


def create(path: Path) -> BinaryIO:
    """Open ``path`` for writing, unbuffered; truncate it, and create missing folders."""
    try:
        return open_itself(path, "wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open_itself(path, "wb")


def open_itself(path: Path, mode: str) -> BinaryIO:
    """Open a file for writing, unbuffered; do not follow a link."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)

    return cast("BinaryIO", open(path, mode, buffering=0, opener=opener))


def write_piece(stream: BinaryIO, piece: bytes) -> None:
    """Write all of ``piece``: one write to an unbuffered file may write only a part."""
    rest = memoryview(piece)
    while rest:
        rest = rest[stream.write(rest) :]


def temporary_name() -> str:
    """Return a name that is unique across processes and threads."""
    return f"{os.getpid()}-{os.urandom(8).hex()}"


def replace_file(path: Path, content: bytes, *, by_way_of: Path) -> None:
    """Replace the file at ``path`` atomically.

    Args:
        path: the file.
        content: the new content.
        by_way_of: a private path on the same file system for the temporary file.
    """
    try:
        with create(by_way_of) as stream:
            write_piece(stream, content)
        put(by_way_of, path)
    except BaseException:
        remove(by_way_of)
        raise


def put(source: Path, path: Path) -> None:
    """Rename ``source`` to ``path``; replace an existing file."""
    for tries_left in reversed(range(_TRIES)):
        try:
            source.replace(path)
        except FileNotFoundError:
            # Do not check whether the folder exists: another thread may have created it since.
            if not tries_left or not source.exists():
                raise
            path.parent.mkdir(parents=True, exist_ok=True)
        except PermissionError:
            if not _ON_WINDOWS or not tries_left:
                raise
            with suppress(OSError):
                change_mode(path, stat.S_IWRITE)  # Windows cannot replace a read-only file either
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def make_read_only(path: Path) -> None:
    """Remove all write and execute permissions; keep the read permissions."""
    with open_readable(path) as inode:
        inode.chmod(inode.status.st_mode & _READ_ONLY)


def remove(path: Path) -> bool:
    """Delete a file if possible. A file that remains is verified before it is used.

    Returns:
        Whether the file no longer exists.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError:
        if not _ON_WINDOWS:
            return False
        try:  # Windows cannot delete a read-only file
            change_mode(path, stat.S_IWRITE)
            path.unlink(missing_ok=True)
        except OSError:
            return False
    return True
