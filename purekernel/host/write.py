"""Write files atomically: under a temporary name first, which is then renamed.

The outputs of a build are flushed to the disk, and renamed when all are complete. After an earlier
failure, such as a full disk or Ctrl-C, the outputs of the previous build are unchanged and no
temporary file remains. Files of the store are not flushed: a power failure may leave empty or
wrong files in it, so every reader verifies them.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self, cast

from attrs import frozen

from purekernel.errors import OutputError
from purekernel.host.hints import NOT_PERMITTED, writing
from purekernel.host.no_follow import change_mode, inode_of, open_readable
from purekernel.host.windows_names import ON_WINDOWS, check_windows_name
from purekernel.interruption import undisturbed
from purekernel.tree import Buffer

WriteOutput = Callable[[BinaryIO], None]
"""Writes one output to a stream, which is also readable and seekable."""

_HASH_STEP_BYTES = 1 << 20

# Windows cannot replace a file that another program has open, such as a virus scanner. The rename
# is retried this often, for 1.5 seconds in total.
_TRIES = 30
_PAUSE_SECONDS = 0.05
_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


class Staging:
    """Temporary files and links that get their names together, or not at all.

    The end of the ``with`` block deletes those that :meth:`commit` has not renamed.
    """

    def __init__(self) -> None:
        self._staged: list[tuple[Path, Path, int | None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for temporary, _path, folder in self._staged:
            remove(temporary, folder=folder)

    def add(self, path: Path, *, folder: int | None = None, temporary: Path | None = None) -> Path:
        """Return the temporary name under which the caller creates what belongs at ``path``.

        Args:
            path: the final name.
            folder: the descriptor of an open folder, to which both names are relative.
            temporary: a private name on the same file system; by default a new one in the folder
                of ``path``.
        """
        if temporary is None:
            temporary = path.with_name(f".purekernel.{secrets.token_hex(6)}.part")
        self._staged.append((temporary, path, folder))
        return temporary

    def commit(self) -> None:
        """Rename all to their final names, in order; signals are delayed meanwhile.

        Raises:
            OSError: a rename failed; its ``filename`` is the final name.
        """
        with undisturbed():
            while self._staged:
                temporary, path, folder = self._staged[0]
                rename(temporary, path, folder=folder)
                del self._staged[0]


def create(
    path: Path,
    mode: str = "wb",
    *,
    folder: int | None = None,
    permissions: int = 0o666,
    buffering: int = 0,
) -> BinaryIO:
    """Open a file for writing; do not follow a link. Create missing folders.

    Args:
        path: the file.
        mode: ``xb`` for a file that must not exist, ``wb`` to truncate it, ``ab`` to append.
        folder: the descriptor of an open folder, to which ``path`` is relative.
        permissions: the mode of a new file, which the umask restricts.
        buffering: as in :func:`open`; by default unbuffered (see :func:`write_piece`).
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), permissions, dir_fd=folder)

    def open_itself() -> BinaryIO:
        return cast("BinaryIO", open(path, mode, buffering=buffering, opener=opener))

    try:
        return open_itself()
    except FileNotFoundError:
        if folder is not None:
            raise
        path.parent.mkdir(parents=True, exist_ok=True)
        return open_itself()


def write_piece(stream: BinaryIO, piece: Buffer) -> None:
    """Write all of ``piece``: one write to an unbuffered file may write only a part."""
    rest = memoryview(piece)
    while rest:
        rest = rest[stream.write(rest) :]


def rename(source: Path, path: Path, *, folder: int | None = None) -> None:
    """Rename ``source`` to ``path``; replace an existing file, and create missing folders.

    Args:
        source: a name on the same file system.
        path: the new name.
        folder: the descriptor of an open folder, to which both are relative.

    Raises:
        OSError: the rename failed; its ``filename`` is ``path``.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            os.replace(source, path, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            error.filename = os.fspath(path)
            if not tries_left or folder is not None or not _prepare_rename(error, source, path):
                raise
        else:
            return


def _prepare_rename(error: OSError, source: Path, path: Path) -> bool:
    """Remove the cause of a failed rename if possible; return whether to try again."""
    if isinstance(error, FileNotFoundError) and source.exists():
        # Do not check whether the folder exists: another thread may have created it since.
        path.parent.mkdir(parents=True, exist_ok=True)
        return True
    if isinstance(error, PermissionError) and ON_WINDOWS:
        with suppress(OSError):
            change_mode(path, stat.S_IWRITE)  # Windows cannot replace a read-only file either
        time.sleep(_PAUSE_SECONDS)
        return True
    return False


def remove(path: Path, *, folder: int | None = None) -> bool:
    """Delete a file if possible. A file of the store that remains is verified before it is used.

    Returns:
        Whether the file no longer exists.
    """
    try:
        os.unlink(path, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError:
        if not ON_WINDOWS:
            return False
        try:  # Windows cannot delete a read-only file
            change_mode(path, stat.S_IWRITE)
            path.unlink(missing_ok=True)
        except OSError:
            return False
    return True


def temporary_name() -> str:
    """Return a name that is unique across processes and threads."""
    return f"{os.getpid()}-{os.urandom(8).hex()}"


def replace_file(path: Path, content: Buffer, *, by_way_of: Path) -> None:
    """Replace the file at ``path`` atomically; create missing folders.

    Args:
        path: the file.
        content: the new content.
        by_way_of: a private path on the same file system for the temporary file. An old file
            there is overwritten.
    """
    with Staging() as staging:
        staging.add(path, temporary=by_way_of)
        with create(by_way_of) as stream:
            write_piece(stream, content)
        staging.commit()


def make_read_only(path: Path) -> None:
    """Remove all write and execute permissions; keep the read permissions."""
    with open_readable(path) as inode:
        inode.chmod(inode.status.st_mode & _READ_ONLY)


@frozen(kw_only=True)
class Output:
    """A written output file."""

    path: Path
    size_bytes: int
    sha256: str


def publish(
    folder: Path,
    writers: Mapping[str, WriteOutput],
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
    with _Outputs(mode, option) as outputs:
        for name, write in writers.items():
            outputs.write(_output_path(folder, name), write)
        return outputs.commit()


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
    with _Outputs(mode, "--output", times_ns) as outputs:
        outputs.write(path, writer_of(content))
        outputs.commit()


def writer_of(content: Buffer) -> WriteOutput:
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


class _Outputs:
    """Output files to be renamed to their final names, and the folders created for them."""

    def __init__(
        self, mode: int | None, option: str, times_ns: tuple[int, int] | None = None
    ) -> None:
        self._mode = mode
        self._times_ns = times_ns
        self._elsewhere = f"choose another folder with {option}"
        # Unlike the store, outputs need not be in the same folder each time.
        self._instead = dict.fromkeys(
            NOT_PERMITTED, f"choose a folder that you may write to with {option}"
        )
        self._staging = Staging()
        self._written: list[Output] = []
        self._folders: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Delete the temporary files and empty folders that remain."""
        self._staging.__exit__(*exception)
        for folder in reversed(self._folders):
            with suppress(OSError):  # a folder that contains outputs is not empty and stays
                folder.rmdir()

    def write(self, path: Path, write: WriteOutput) -> None:
        if "\0" in str(path):
            raise OutputError(f"{str(path)!r} cannot be written: it contains a NUL")
        with writing(path, elsewhere=self._elsewhere, instead=self._instead):
            self._make_folder(path.parent)
            if path.is_dir():
                raise OutputError(
                    f"{path} must be a file, got a folder",
                    hint=f"move it away, or {self._elsewhere}",
                )
            temporary = self._staging.add(path)
            with create(temporary, "x+b", buffering=io.DEFAULT_BUFFER_SIZE) as stream:
                write(stream)
                if self._mode is not None:
                    if os.chmod in os.supports_fd:
                        inode_of(stream.fileno()).chmod(self._mode)
                    else:
                        change_mode(temporary, self._mode)
                stream.flush()
                size_bytes = stream.seek(0, io.SEEK_END)
                digest = _digest(stream)
                self._set_times(stream)
                os.fsync(stream.fileno())
        self._written.append(Output(path=path, size_bytes=size_bytes, sha256=digest))

    def _set_times(self, stream: BinaryIO) -> None:
        """Set the times of an open file, if the host supports that for descriptors."""
        if self._times_ns is not None and os.utime in os.supports_fd:
            with suppress(OSError):
                os.utime(stream.fileno(), ns=self._times_ns)

    def commit(self) -> list[Output]:
        try:
            self._staging.commit()
        except OSError as error:
            with writing(Path(error.filename), elsewhere=self._elsewhere, instead=self._instead):
                raise
        return self._written

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
