"""Change modes, owners, times and attributes, and never those of what a link leads to.

Linux has no call that changes a mode without following a link (before fchmodat2 of Linux 6.6). So
what stands at a name is opened with ``O_PATH``, which follows nothing and works for files of any
kind, and is changed through its entry in ``/proc/self/fd``. Where there is no such thing, calls
that follow no link are used, and what those cannot do fails with ``ENOTSUP``.
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

# Set in the reparse tags of all that stands for another place: symbolic links and junctions.
_NAME_SURROGATE = 0x20000000


def is_link(status: os.stat_result) -> bool:
    """Say whether ``os.lstat`` found a symbolic link, or a junction of Windows."""
    tag = getattr(status, "st_reparse_tag", 0)
    return stat.S_ISLNK(status.st_mode) or bool(tag & _NAME_SURROGATE)


class Inode:
    """A file of any kind, a folder, or a symbolic link itself.

    Attributes:
        status: as it was when it was found.
    """

    def __init__(
        self, place: int | str | Path, status: os.stat_result, *, folder: int | None, follow: bool
    ) -> None:
        self.status = status
        self._place = place
        self._folder = folder
        # Whether the place leads to the inode by following: a descriptor, or its entry in /proc.
        self._follow = follow

    def chown(self, uid: int, gid: int) -> None:
        """Give it another owner."""
        os.chown(self._place, uid, gid, dir_fd=self._folder, follow_symlinks=self._follow)

    def chmod(self, mode: int) -> None:
        """Give it another mode.

        Raises:
            OSError: it is a symbolic link, or the system cannot do it without following one.
        """
        follow = self._follow
        if isinstance(self._place, int) and os.chmod not in os.supports_fd:
            return  # Windows has no modes
        if os.name == "nt" and os.chmod not in os.supports_follow_symlinks:
            follow = True  # so it is called, but before Python 3.13 it follows none
        try:
            os.chmod(self._place, mode, dir_fd=self._folder, follow_symlinks=follow)
        except (NotImplementedError, ValueError):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP)) from None

    def set_times(self, seconds: int) -> None:
        """Set the times of access and change, in seconds since 1970."""
        if isinstance(self._place, int) and os.utime not in os.supports_fd:
            return
        follow = self._follow
        if os.utime not in os.supports_follow_symlinks:
            if is_link(self.status):
                return
            follow = True
        os.utime(self._place, (seconds, seconds), dir_fd=self._folder, follow_symlinks=follow)

    def set_xattr(self, name: bytes, value: bytes) -> None:
        """Set an extended attribute; only where the system has such.

        Raises:
            OSError: it cannot be set.
        """
        if self._folder is not None:  # the call takes a path only
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        os.setxattr(self._place, name, value, follow_symlinks=self._follow)


def opened(descriptor: int) -> Inode:
    """Return the file or folder that is open."""
    return Inode(descriptor, os.fstat(descriptor), folder=None, follow=True)


@contextmanager
def found(place: str | Path, *, folder: int | None = None) -> Iterator[Inode]:
    """Give what stands at a name, a link itself if it is one.

    Args:
        place: a name in ``folder``, or a path.
        folder: the descriptor of an open folder.

    Raises:
        OSError: nothing stands there.
    """
    handle = _open_handle(place, folder)
    if handle is None:
        status = os.stat(place, dir_fd=folder, follow_symlinks=False)
        yield Inode(place, status, folder=folder, follow=False)
        return
    try:
        yield Inode(f"{DESCRIPTORS}/{handle}", os.fstat(handle), folder=None, follow=True)
    finally:
        os.close(handle)


@contextmanager
def open_readable(place: str | Path, *, folder: int | None = None) -> Iterator[Inode]:
    """Give the file or folder at a name that we may read, without the need of ``/proc``.

    Args:
        place: a name in ``folder``, or a path.
        folder: the descriptor of an open folder.

    Raises:
        OSError: it is not there, is a link, or may not be read.
    """
    if os.chmod not in os.supports_fd:
        with found(place, folder=folder) as inode:
            if is_link(inode.status):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
            yield inode
        return
    flags = os.O_RDONLY | _O_NOFOLLOW | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(place, flags, dir_fd=folder)
    try:
        yield opened(descriptor)
    finally:
        os.close(descriptor)


def change_mode(place: Path, mode: int) -> None:
    """Change the mode of the file at ``place``.

    Raises:
        OSError: nothing stands there, or a link, or it may not be changed.
    """
    with found(place) as inode:
        if is_link(inode.status):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
        inode.chmod(mode)


def touch(place: Path) -> None:
    """Set the times of the file, or the link, at ``place`` to now.

    Raises:
        OSError: nothing stands there, or it may not be changed.
    """
    os.utime(place, follow_symlinks=os.utime not in os.supports_follow_symlinks)


def _open_handle(place: str | Path, folder: int | None) -> int | None:
    """Open what stands at a name without following it, if the system can do that."""
    if not _O_PATH:
        return None
    handle = os.open(place, _O_PATH | _O_NOFOLLOW, dir_fd=folder)
    try:
        if os.path.samestat(Path(DESCRIPTORS, str(handle)).stat(), os.fstat(handle)):
            return handle
    except OSError:
        pass  # proc is not mounted
    os.close(handle)
    return None
