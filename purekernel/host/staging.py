"""Write files under temporary names first, and rename them when they are complete.

After a failure, such as a full disk or Ctrl-C, the old files are unchanged and no temporary file
remains. What is written here is not flushed to the disk: after a power failure a file may be empty
or wrong. So readers of the store verify its files, and outputs are flushed by their writer.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self, cast

from purekernel.host.no_follow import change_mode, open_readable
from purekernel.host.windows_names import ON_WINDOWS
from purekernel.input import Buffer
from purekernel.interruption import undisturbed

# Windows cannot replace a file that another program has open, such as a virus scanner. The rename
# is retried this often, for 1.5 seconds in total.
_TRIES = 30
_PAUSE_SECONDS = 0.05
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for temporary, _path, folder in self._staged:
            remove(temporary, folder=folder)
        for old, folder in self._kept:
            remove(old, folder=folder)

    def add(self, path: Path, *, folder: int | None = None, temporary: Path | None = None) -> Path:
        """Return the temporary name under which the caller creates what belongs at ``path``.

        Args:
            path: the final name.
            folder: the descriptor of an open folder, to which both names are relative.
            temporary: a private name on the same file system; by default a new one in the folder
                of ``path``.
        """
        if temporary is None:
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

    def _keep_old(self, path: Path, folder: int | None) -> Callable[[], object]:
        """Return what undoes the replacement of ``path``, which is about to happen."""
        try:
            os.stat(path, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return partial(remove, path, folder=folder)
        old = _temporary_beside(path)
        follow = os.link not in os.supports_follow_symlinks  # Windows links to the link anyway
        try:
            os.link(path, old, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _do_nothing
        self._kept.append((old, folder))
        return partial(os.replace, old, path, src_dir_fd=folder, dst_dir_fd=folder)


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".purekernel.{secrets.token_hex(6)}.part")


def _do_nothing() -> None:
    """Undo nothing, where there is no way to."""


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
