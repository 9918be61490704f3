"""Reach what lies below a folder of the host, and nothing outside of it.

Where the system lets us, each folder on the way is opened by its name in the one before, and no
link is followed: whoever swaps a folder for a link meanwhile leads nobody anywhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from purekernel.host.no_follow import is_link
from purekernel.host.windows_names import ON_WINDOWS, check_windows_name, windows_target
from purekernel.tree import display

_BY_DESCRIPTOR = {os.open, os.mkdir, os.symlink, os.unlink, os.rename} <= os.supports_dir_fd
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def host_names(path: bytes, *, windows: bool | None = None) -> list[str]:
    """Return the names on the way to an image's path, as the host has them.

    Args:
        path: with slashes.
        windows: whether the host is Windows; by default, whether it is.

    Raises:
        OSError: the host can have no such name, or it would lead elsewhere.
    """
    names = [name for name in path.split(b"/") if name]
    if not (ON_WINDOWS if windows is None else windows):
        return [os.fsdecode(name) for name in names]
    for name in names:
        if reason := check_windows_name(name):
            raise OSError(errno.EINVAL, f"Windows cannot hold {display(name)}: {reason}")
    return [name.decode("utf-8") for name in names]


def host_target(target: bytes, *, windows: bool | None = None) -> str | None:
    """Return a symbolic link's target as the host has it, or ``None`` if it can have no such."""
    if ON_WINDOWS if windows is None else windows:
        return windows_target(target)
    return os.fsdecode(target)


def open_top(top: Path, *, follow: bool) -> int | None:
    """Return a descriptor of a folder to hand to :func:`folder_below`, if the system has such.

    Args:
        top: its path.
        follow: whether it may be a link.

    Raises:
        OSError: it is not there, or is a link.
    """
    if not _BY_DESCRIPTOR:
        return None
    flags = _FOLDER & ~getattr(os, "O_NOFOLLOW", 0) if follow else _FOLDER
    return os.open(top, os.O_RDONLY | flags)


@contextmanager
def folder_below(
    top: Path, path: bytes, *, opened: int | None = None
) -> Iterator[tuple[int | None, Path]]:
    """Give the folder at ``path`` below ``top``: a descriptor, if the system has such, and a place.

    Names in the folder are reached by the descriptor, or by the place where that is ``None``.

    Args:
        top: a folder; it may be reached through links.
        path: below it.
        opened: the descriptor of ``top``, from :func:`open_top`; by default it is opened here.

    Raises:
        OSError: it is not there, or is reached through a link.
    """
    names = host_names(path)
    place = top.joinpath(*names)
    descriptor = open_top(top, follow=True) if opened is None else os.dup(opened)
    if descriptor is None:
        _check_folders(top, names)
        yield None, place
        return
    try:
        for name in names:
            below = os.open(name, os.O_RDONLY | _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor, place
    finally:
        os.close(descriptor)


def open_file_below(top: Path, path: bytes) -> int:
    """Return a descriptor to read the file at ``path`` below ``top`` with.

    Raises:
        OSError: it is not there, may not be read, or is reached through a link.
    """
    folder, _slash, name = path.rpartition(b"/")
    (host_name,) = host_names(name)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    with folder_below(top, folder) as (descriptor, place):
        if descriptor is None:
            if is_link(os.lstat(place / host_name)):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            return os.open(place / host_name, flags)
        return os.open(host_name, flags | _FILE, dir_fd=descriptor)


def _check_folders(top: Path, names: list[str]) -> None:
    """Refuse links on the way, as well as a system without descriptors lets us."""
    place = top
    for name in names:
        place /= name
        status = os.lstat(place)
        if is_link(status):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not stat.S_ISDIR(status.st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
