"""Change modes, owners, times and attributes without following symbolic links.

Before fchmodat2 (Linux 6.6), Linux has no call that changes a mode without following a link. So a
file is opened with ``O_PATH``, which does not follow links and works for files of any kind, and
is changed through its entry in ``/proc/self/fd``. If that is not available, calls that do not
follow links are used; changes that they do not support fail with ``ENOTSUP``.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_O_PATH = getattr(os, "O_PATH", 0)
_O_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
DESCRIPTORS = "/proc/self/fd"

# Set in the reparse tag of everything that refers to another path: symbolic links, junctions.
_NAME_SURROGATE = 0x20000000

# Whether the system sets the times of an open file; Windows sets only those of a path.
SETS_TIMES_OF_DESCRIPTORS = os.utime in os.supports_fd


def is_link(status: os.stat_result) -> bool:
    """Return whether a status from ``os.lstat`` is of a symbolic link or a Windows junction."""
    tag = getattr(status, "st_reparse_tag", 0)
    return stat.S_ISLNK(status.st_mode) or bool(tag & _NAME_SURROGATE)


def refuse_link(status: os.stat_result) -> None:
    """Raise the ``OSError`` for a link where none is followed (``ELOOP``) if it is one."""
    if is_link(status):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


class HostInode:
    """A file of any kind, a folder, or a symbolic link itself.

    Attributes:
        status: its status when it was opened.
    """

    def __init__(
        self, target: int | str | Path, status: os.stat_result, *, folder: int | None, follow: bool
    ) -> None:
        self.status = status
        self._target = target
        self._folder = folder
        # Whether calls on the target must follow it: it is a descriptor, or an entry in /proc.
        self._follow = follow

    def chown(self, uid: int, gid: int) -> None:
        """Change the owner and group."""
        os.chown(self._target, uid, gid, dir_fd=self._folder, follow_symlinks=self._follow)

    def chmod(self, mode: int) -> None:
        """Change the mode.

        Raises:
            OSError: the inode is a symbolic link, or the system cannot change the mode without
                following links.
        """
        follow = self._follow
        if isinstance(self._target, int) and os.chmod not in os.supports_fd:
            return  # Windows has no modes
        if os.name == "nt" and os.chmod not in os.supports_follow_symlinks:
            follow = True  # required by the call; before Python 3.13 it follows no links
        try:
            os.chmod(self._target, mode, dir_fd=self._folder, follow_symlinks=follow)
        except (NotImplementedError, ValueError):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP)) from None

    def set_times(self, times_ns: tuple[int, int]) -> None:
        """Set the times of access and modification, in nanoseconds since 1970, UTC."""
        follow = self._follow
        if os.utime not in os.supports_follow_symlinks:
            if is_link(self.status):
                return
            follow = True
        os.utime(self._target, ns=times_ns, dir_fd=self._folder, follow_symlinks=follow)

    def set_xattr(self, name: bytes, value: bytes) -> None:
        """Set an extended attribute; the system must support them.

        Raises:
            OSError: the attribute cannot be set.
        """
        if self._folder is not None:  # the call does not support descriptors of folders
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        os.setxattr(self._target, name, value, follow_symlinks=self._follow)


def inode_of(descriptor: int) -> HostInode:
    """Return the inode of an open file or folder."""
    return HostInode(descriptor, os.fstat(descriptor), folder=None, follow=True)


@contextmanager
def inode_at(path: str | Path, *, folder: int | None = None) -> Iterator[HostInode]:
    """Yield the inode at a path; do not follow a link there.

    Args:
        path: a name in ``folder``, or a path.
        folder: the descriptor of an open folder.

    Raises:
        OSError: the path does not exist.
    """
    handle = _open_handle(path, folder)
    if handle is None:
        status = os.stat(path, dir_fd=folder, follow_symlinks=False)
        yield HostInode(path, status, folder=folder, follow=False)
        return
    try:
        yield HostInode(f"{DESCRIPTORS}/{handle}", os.fstat(handle), folder=None, follow=True)
    finally:
        os.close(handle)


@contextmanager
def open_readable(path: str | Path, *, folder: int | None = None) -> Iterator[HostInode]:
    """Yield the inode of a readable file or folder; this does not need ``/proc``.

    Args:
        path: a name in ``folder``, or a path.
        folder: the descriptor of an open folder.

    Raises:
        OSError: the path is missing, a link, or unreadable.
    """
    if os.chmod not in os.supports_fd:
        with inode_at(path, folder=folder) as inode:
            refuse_link(inode.status)
            yield inode
        return
    flags = os.O_RDONLY | _O_NOFOLLOW | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        yield inode_of(descriptor)
    finally:
        os.close(descriptor)


def change_mode(path: Path, mode: int) -> None:
    """Change the mode of the file at ``path``.

    Raises:
        OSError: the path is missing or a link, or the mode cannot be changed.
    """
    with inode_at(path) as inode:
        refuse_link(inode.status)
        inode.chmod(mode)


def set_times(path: Path, times_ns: tuple[int, int]) -> None:
    """Set the times of access and modification of the file at ``path``, which must not be a link.

    Raises:
        OSError: the path is missing or a link, or the times cannot be changed.
    """
    with inode_at(path) as inode:
        refuse_link(inode.status)
        inode.set_times(times_ns)


def touch(path: Path) -> None:
    """Set the times of the file, or of the link itself, at ``path`` to now.

    Raises:
        OSError: the path is missing, or its times cannot be changed.
    """
    os.utime(path, follow_symlinks=os.utime not in os.supports_follow_symlinks)


def _open_handle(path: str | Path, folder: int | None) -> int | None:
    """Open a path with ``O_PATH`` without following a link, or return ``None`` if unsupported."""
    if not _O_PATH:
        return None
    handle = os.open(path, _O_PATH | _O_NOFOLLOW, dir_fd=folder)
    try:
        if os.path.samestat(Path(DESCRIPTORS, str(handle)).stat(), os.fstat(handle)):
            return handle
    except OSError:
        pass  # proc is not mounted
    os.close(handle)
    return None
