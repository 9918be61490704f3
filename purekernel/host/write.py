"""Put outputs where the user wants them, whole or not at all.

Everything is first written to temporary neighbours and flushed; only when all are complete
does each take its name. Whatever goes wrong before that, a full disk or Ctrl-C, the outputs
of the last build still stand and nothing else is left.
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
"""Writes one output's bytes to a stream that can be read and sought as well."""


_HASH_STEP_BYTES = 1 << 20


_ON_WINDOWS = os.name == "nt"


# Windows renames over no file that somebody has open, if only to look for viruses: it is asked
# again this often, with pauses in between, a second and a half in all.
_TRIES = 30
_PAUSE_SECONDS = 0.05
_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ELSEWHERE = "choose another folder with --cache-dir, or PUREKERNEL_CACHE"
_MAY_NOT = f"allow yourself to write there, or {_ELSEWHERE}"


_HINTS = {
    errno.ENOSPC: f"free some space, or {_ELSEWHERE}",
    errno.EDQUOT: f"free some of your quota, or {_ELSEWHERE}",
    errno.EFBIG: f"the file system or a limit forbids files of that size: {_ELSEWHERE}",
    errno.EACCES: _MAY_NOT,
    errno.EPERM: _MAY_NOT,
}


@frozen(kw_only=True)
class Output:
    """One file as it was written."""

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
    """Write files into ``folder``, which is made where it is missing.

    Args:
        folder: where the files go.
        writers: for each file's path in ``folder``, with slashes, what writes it.
        mode: of the files; ``None`` for what the host gives new ones.
        option: what people choose another place with, for messages.

    Returns:
        What was written, in the order of ``writers``.

    Raises:
        OutputError: a file cannot be written. None was changed then, save where several were
            complete and taking their names failed half-way (on Windows, for one that another
            program has open): those before it are the new ones.
    """
    with _Staging(mode, option) as staging:
        outputs = [staging.write(_place(folder, name), write) for name, write in writers.items()]
        staging.commit()
    return outputs


def write_whole(
    path: Path,
    content: Buffer,
    *,
    mode: int | None = None,
    times_ns: tuple[int, int] | None = None,
) -> None:
    """Write a file of the host, whole or not at all; its name may be any.

    Args:
        path: where.
        content: all of it.
        mode: of the file; ``None`` for that of what stood there.
        times_ns: of access and change, in nanoseconds since 1970, where the host can set them;
            ``None`` for now.

    A link is followed, and stays one.

    Raises:
        OutputError: it cannot be written, or something else than a file stands there.
    """
    try:
        path = path.resolve()
        status = path.stat()
    except OSError:
        pass  # it is not there, or it cannot be written either, which is told then
    else:
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise OutputError(
                f"{path} is no file, and would become one", hint="name a file with --output"
            )
        mode = stat.S_IMODE(status.st_mode) if mode is None else mode
    with _Staging(mode, "--output", times_ns) as staging:
        staging.write(path, writer_of(content))
        staging.commit()


def writer_of(content: Buffer) -> Writer:
    """Return what writes ``content``."""
    return partial(_write, content)


def _write(content: Buffer, stream: BinaryIO) -> None:
    stream.write(content)


def _place(folder: Path, name: str, *, windows: bool = ON_WINDOWS) -> Path:
    if windows:
        for part in name.split("/"):
            if reason := check_windows_name(part.encode("utf-8", "surrogatepass")):
                raise OutputError(
                    f"Windows cannot hold an output called {name!r}: {reason}",
                    hint="choose another name",
                )
    if any(part in ("", ".", "..") or set(part) & set("\\:") for part in name.split("/")):
        raise OutputError(f"{name!r} is no name for an output")
    return folder.joinpath(*name.split("/"))


class _Staging:
    """Temporary neighbours on their way to their names, and the folders made for them."""

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
        """Take away what did not get its name."""
        for temporary, _path in self._staged:
            with suppress(OSError):
                temporary.unlink()
        for folder in reversed(self._folders):
            with suppress(OSError):  # not empty: it holds outputs, and stays
                folder.rmdir()

    def write(self, path: Path, write: Writer) -> Output:
        if "\0" in str(path):
            raise OutputError(f"{str(path)!r} cannot be written: it holds a NUL")
        with _located(path, self._option):
            self._make_folder(path.parent)
            if path.is_dir():
                raise OutputError(
                    f"{path} is a folder, and a file must go there",
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
        """Set the times of a file that is written, where the host lets us without its name."""
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
        for made in reversed(missing):
            made.mkdir(exist_ok=True)
            self._folders.append(made)


def _digest(stream: BinaryIO) -> str:
    sha256 = hashlib.sha256()
    stream.seek(0)
    while block := stream.read(_HASH_STEP_BYTES):
        sha256.update(block)
    return sha256.hexdigest()


@contextmanager
def _located(path: Path, option: str) -> Iterator[None]:
    """Turn the host's errors into ours, with what can be done."""
    try:
        yield
    except OSError as error:
        hints = {
            errno.ENOSPC: f"free some space, or choose another folder with {option}",
            errno.EDQUOT: f"free some of your quota, or choose another folder with {option}",
            errno.EFBIG: "the file system or a limit forbids files of that size: "
            f"choose another folder with {option}",
            errno.EROFS: f"choose a folder that can be written with {option}",
            errno.EACCES: f"choose a folder that you may write to with {option}",
            errno.EPERM: f"choose a folder that you may write to with {option}",
            errno.ENOTDIR: f"choose a folder with {option}",
            errno.EEXIST: f"choose a folder with {option}",
        }
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            hint=hints.get(error.errno or 0, ""),
        ) from None


# Put files into the store so that nobody ever sees half of one, on every system's terms.
#
# Nothing is flushed to the disk: a loss of power may leave files in the store that are empty or
# wrong, and whoever reads one checks it first.


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Turn the host's errors into ours; all say the same of one folder, for many files.

    Raises:
        StoreError: the host refused something.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the store of downloads, {folder}, cannot be written: {error.strerror or error}",
            hint=_HINTS.get(error.errno or 0, _ELSEWHERE),
        ) from None


def create(path: Path) -> BinaryIO:
    """Open ``path`` to write to it, empty, with its folder; what is written is there at once."""
    try:
        return open_itself(path, "wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open_itself(path, "wb")


def open_itself(path: Path, mode: str) -> BinaryIO:
    """Open a file to write to it, without a buffer; a link that stands there is not followed."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)

    return cast("BinaryIO", open(path, mode, buffering=0, opener=opener))


def write_piece(stream: BinaryIO, piece: bytes) -> None:
    """Write all of ``piece``; a file without a buffer may take a part and say so."""
    rest = memoryview(piece)
    while rest:
        rest = rest[stream.write(rest) :]


def temporary_name() -> str:
    """Return a name that no other process or thread uses."""
    return f"{os.getpid()}-{os.urandom(8).hex()}"


def replace_file(path: Path, content: bytes, *, by_way_of: Path) -> None:
    """Make ``path`` hold ``content``: at every moment it is the old file or the new.

    Args:
        path: the file.
        content: what it shall hold.
        by_way_of: a name on the same file system that is nobody else's.
    """
    try:
        with create(by_way_of) as stream:
            write_piece(stream, content)
        put(by_way_of, path)
    except BaseException:
        remove(by_way_of)
        raise


def put(source: Path, path: Path) -> None:
    """Rename ``source`` to ``path``, in place of what stands there."""
    for tries_left in reversed(range(_TRIES)):
        try:
            source.replace(path)
        except FileNotFoundError:
            # Whether the folder is there now tells nothing: another thread may have made it
            # since.
            if not tries_left or not source.exists():
                raise
            path.parent.mkdir(parents=True, exist_ok=True)
        except PermissionError:
            if not _ON_WINDOWS or not tries_left:
                raise
            with suppress(OSError):
                change_mode(path, stat.S_IWRITE)  # nor does it rename over a read-only file
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def make_read_only(path: Path) -> None:
    """Take away every right to write; those to read stay as the user's umask has them."""
    with open_readable(path) as inode:
        inode.chmod(inode.status.st_mode & _READ_ONLY)


def remove(path: Path) -> bool:
    """Take a file away, if it is there and if we may: what remains is never believed.

    Returns:
        Whether it is away.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError:
        if not _ON_WINDOWS:
            return False
        try:  # it removes no read-only file
            change_mode(path, stat.S_IWRITE)
            path.unlink(missing_ok=True)
        except OSError:
            return False
    return True
