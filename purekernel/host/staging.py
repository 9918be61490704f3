"""Write files under temporary names first, and rename them when they are complete.

After a failure, such as a full disk or Ctrl-C, the old files are unchanged and no temporary file
remains. What is written here is not flushed to the disk: after a power failure a file may be empty
or wrong. So readers of the store verify its files, and outputs are flushed by their writer.

A process that is killed leaves its temporary files behind. The next one that writes to the folder
deletes those that are certainly stale: their name is one that only this module gives, they are a
day old, and no process holds the folder's lock. Each process holds that lock, shared with others,
while it has temporary files in the folder; the system frees it when the process ends. The age is
for file systems whose locks other hosts do not see. Where folders cannot be locked (Windows, NFS),
a file is stale two days after its last change of any kind.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self, TypeVar, cast

from purekernel.host.hints import in_use, is_in_use
from purekernel.host.no_follow import change_mode, open_readable
from purekernel.host.windows_names import ON_WINDOWS
from purekernel.input import Buffer
from purekernel.interruption import undisturbed

if sys.platform != "win32":
    import fcntl

# Windows cannot replace or delete a file that another program has open, such as a virus scanner.
# That is retried this often, for 1.5 seconds in total.
_TRIES = 30
_PAUSE_SECONDS = 0.05

_Result = TypeVar("_Result")

LOCK_NAME = ".purekernel.lock"
"""The name of a file that a process locks while it changes what several write to a folder."""

_TEMPORARY_NAME = re.compile(rf"\.purekernel\.[0-9a-f]{{12}}\.part|{re.escape(LOCK_NAME)}")
_DAY_SECONDS = 86400
_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


# What link(2) reports where a file system has no hard links, or none to such a file.
_NO_LINKS = (
    errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK,
    errno.EXDEV,
)  # fmt: skip


class Staging:
    """Temporary files and links that get their names together, or not at all.

    The end of the ``with`` block deletes those that :meth:`commit` has not renamed.
    """

    def __init__(self) -> None:
        self._staged: list[tuple[Path, Path, int | None]] = []
        # Second names of the old files, for as long as a later rename can fail.
        self._kept: list[tuple[Path, int | None]] = []
        self._locks: dict[Path | int, int | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.discard()
        for old, folder in self._kept:
            with suppress(OSError):
                delete(old, folder=folder)
        self._kept.clear()
        for lock in self._locks.values():
            if lock is not None:
                with suppress(OSError):  # nothing was written to the folder itself
                    os.close(lock)
        self._locks.clear()

    def add(self, path: Path, *, folder: int | None = None, temporary: Path | None = None) -> Path:
        """Return the temporary name under which the caller creates what belongs at ``path``.

        Args:
            path: the final name.
            folder: the descriptor of an open folder, to which both names are relative.
            temporary: a private name on the same file system; by default a new one in the folder
                of ``path``.
        """
        if temporary is None:
            where = path.parent if folder is None else folder
            if where not in self._locks:
                self._locks[where] = _lock_folder(where)
            temporary = _temporary_beside(path)
        self._staged.append((temporary, path, folder))
        return temporary

    def commit(self) -> None:
        """Rename all to their final names, in order; signals are delayed meanwhile.

        If a rename fails, the old files get their names back, if the file system has hard links.

        Raises:
            OSError: a rename failed; its ``filename`` is the final name.
        """
        undo: list[Callable[[], object]] = []
        with undisturbed():
            while self._staged:
                temporary, path, folder = self._staged[0]
                try:
                    if len(self._staged) > 1:  # nothing that could fail follows the last rename
                        undo.append(self._keep_old(path, folder))
                    rename(temporary, path, folder=folder)
                except OSError as error:
                    error.filename = os.fspath(path)
                    for step in reversed(undo):
                        with suppress(OSError):
                            step()
                    raise
                del self._staged[0]

    def discard(self) -> None:
        """Delete the temporary files that are not renamed."""
        for temporary, _path, folder in self._staged:
            with suppress(OSError):
                delete(temporary, folder=folder)
        self._staged.clear()

    def _keep_old(self, path: Path, folder: int | None) -> Callable[[], object]:
        """Return what undoes the replacement of ``path``, which is about to happen."""
        try:
            os.stat(path, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return partial(delete, path, folder=folder)
        old = _temporary_beside(path)
        follow = os.link not in os.supports_follow_symlinks  # Windows links to the link anyway
        try:
            os.link(path, old, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _do_nothing
        self._kept.append((old, folder))
        return partial(rename, old, path, folder=folder)


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".purekernel.{secrets.token_hex(6)}.part")


def _do_nothing() -> None:
    """Undo nothing, where there is no way to."""


def _lock_folder(folder: Path | int) -> int | None:
    """Lock a folder for temporary files, and delete those that killed processes left there.

    Args:
        folder: the path of the folder, or its descriptor.

    Returns:
        A descriptor that holds the lock until it is closed; ``None`` if locks are unsupported.
    """
    if sys.platform == "win32":
        _delete_leftovers(folder, days=2, by_change=True)
        return None
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        if isinstance(folder, int):
            lock = os.open(".", flags, dir_fd=folder)
        else:
            lock = os.open(folder, flags)
    except OSError:
        return None  # the folder is missing, or may not be read
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _delete_leftovers(lock, days=1, by_change=False)
        fcntl.flock(lock, fcntl.LOCK_SH)
    except BlockingIOError:  # another process has temporary files there, or deletes some
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        _delete_leftovers(lock, days=2, by_change=True)
    return lock


def _delete_leftovers(folder: Path | int, *, days: int, by_change: bool) -> None:
    """Delete old temporary files in a folder; ignore what cannot be read or deleted.

    Args:
        folder: the path of the folder, or its descriptor.
        days: how old a file must be.
        by_change: whether its last change of any kind counts, or else its modification.
    """
    latest = time.time() - days * _DAY_SECONDS
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _TEMPORARY_NAME.fullmatch(entry.name):
                continue
            status = entry.stat(follow_symlinks=False)
            changed = status.st_ctime if by_change else 0.0
            if max(status.st_mtime, changed) >= latest or stat.S_ISDIR(status.st_mode):
                continue
            if isinstance(folder, int):
                remove(Path(entry.name), folder=folder)
            else:
                remove(folder / entry.name)


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

    def open_or_make_folder() -> BinaryIO:
        try:
            return open_itself()
        except FileNotFoundError:
            if folder is not None:
                raise
            path.parent.mkdir(parents=True, exist_ok=True)
            return open_itself()

    try:
        return _retry(open_or_make_folder, may_pass=is_in_use)
    except OSError as error:
        raise (in_use(path) if is_in_use(error) else error) from None


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

    def replace() -> None:
        try:
            os.replace(source, path, src_dir_fd=folder, dst_dir_fd=folder)
        except FileNotFoundError:
            if folder is not None or not source.exists():
                raise
            # Do not check whether the folder exists: another thread may have created it since.
            path.parent.mkdir(parents=True, exist_ok=True)
            source.replace(path)

    try:
        _until_released(replace, path)
    except OSError as error:
        error.filename = os.fspath(path)
        raise


def delete(path: Path, *, folder: int | None = None) -> None:
    """Delete a file; on Windows, wait for other programs that have it open.

    Args:
        path: the file.
        folder: the descriptor of an open folder, to which ``path`` is relative.

    Raises:
        OSError: the file cannot be deleted. A missing file is no error.
    """
    with suppress(FileNotFoundError):
        _until_released(lambda: os.unlink(path, dir_fd=folder), path)


def remove(path: Path, *, folder: int | None = None) -> bool:
    """Delete a file if possible. A file of the store that remains is verified before it is used.

    This does not wait for other programs that have the file open.

    Returns:
        Whether the file no longer exists.
    """
    try:
        _until_released(lambda: os.unlink(path, dir_fd=folder), path, tries=1)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _until_released(change: Callable[[], None], path: Path, *, tries: int = _TRIES) -> None:
    """Make a change that replaces or deletes the file at ``path``; on Windows, retry it.

    There, this also works for a read-only file.

    Raises:
        OSError: the change failed. For a file that another program still has open, it is that of
            :func:`~purekernel.host.hints.in_use`.
    """
    if not ON_WINDOWS:
        change()
        return
    mode = None

    def change_read_only() -> None:
        nonlocal mode
        try:
            change()
        except PermissionError:
            if mode is not None or (mode := _make_writable(path)) is None:
                raise
            change()

    try:
        _retry(change_read_only, tries=tries, may_pass=lambda e: isinstance(e, PermissionError))
    except PermissionError as error:
        if mode is not None:
            with suppress(OSError):
                change_mode(path, mode)
        raise (in_use(path) if is_in_use(error) or _is_writable(path) else error) from None


def _retry(
    attempt: Callable[[], _Result], *, may_pass: Callable[[OSError], bool], tries: int = _TRIES
) -> _Result:
    """Attempt something at most ``tries`` times, with pauses, while its error may pass."""
    for _each in range(tries - 1):
        try:
            return attempt()
        except OSError as error:
            if not may_pass(error):
                raise
        time.sleep(_PAUSE_SECONDS)
    return attempt()


def _make_writable(path: Path) -> int | None:
    """Make a read-only file writable; return its old mode, or ``None`` if it was not changed."""
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode) or mode & stat.S_IWRITE:
            return None
        change_mode(path, stat.S_IMODE(mode) | stat.S_IWRITE)
    except OSError:
        return None
    return stat.S_IMODE(mode)


def _is_writable(path: Path) -> bool:
    """Return whether a file exists that may be written, so that only its use forbids a rename."""
    try:
        os.close(os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)))
    except OSError as error:
        return is_in_use(error)
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
