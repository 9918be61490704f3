"""Open files and folders below a folder of the host without leaving it; convert their names.

If the system supports it, each folder is opened relative to the descriptor of its parent, and no
link is followed. Replacing a folder with a link meanwhile therefore has no effect.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from purekernel.errors import InputError
from purekernel.host.no_follow import refuse_link
from purekernel.host.windows_names import ON_WINDOWS, check_windows_name, windows_target
from purekernel.records import frozen
from purekernel.tree import display

_BY_DESCRIPTOR = {os.open, os.mkdir, os.symlink, os.unlink, os.rename} <= os.supports_dir_fd
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)  # otherwise Windows converts line ends


def host_names(path: bytes, *, windows: bool | None = None) -> list[str]:
    """Split an image path into names of the host.

    Args:
        path: the image path, with slashes.
        windows: whether the host is Windows; by default the real host.

    Raises:
        OSError: a name is invalid on the host.
    """
    names = [name for name in path.split(b"/") if name]
    if not (ON_WINDOWS if windows is None else windows):
        return [os.fsdecode(name) for name in names]
    for name in names:
        if reason := check_windows_name(name):
            raise OSError(errno.EINVAL, f"{display(name)} is invalid on Windows: {reason}")
    return [name.decode("utf-8") for name in names]


def host_target(target: bytes, *, windows: bool | None = None) -> str | None:
    """Return the target of a symbolic link for the host, or ``None`` if invalid on the host."""
    if ON_WINDOWS if windows is None else windows:
        return windows_target(target)
    return os.fsdecode(target)


def image_name(name: str, *, windows: bool = ON_WINDOWS) -> bytes:
    """Return a name of the host as bytes for an image: UTF-8 on Windows.

    Raises:
        InputError: the name contains a lone surrogate, which UTF-8 cannot encode.
    """
    if not windows:
        return os.fsencode(name)
    try:
        return name.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"the name {name!a} is not valid Unicode", hint="rename the file"
        ) from None


def image_target(target: str, *, windows: bool = ON_WINDOWS) -> bytes:
    r"""Return the target of a link for an image: with slashes, without the ``\\?\`` of Windows."""
    if windows:
        target = target.removeprefix("\\\\?\\").replace("\\", "/")
    return image_name(target, windows=windows)


def open_top(top: Path, *, follow: bool) -> int | None:
    """Open a folder for :func:`folder_below`; return ``None`` if the system does not support it.

    Args:
        top: the path of the folder.
        follow: whether it may be a link.

    Raises:
        OSError: the folder is missing, or is a link.
    """
    if not _BY_DESCRIPTOR:
        return None
    flags = _FOLDER & ~getattr(os, "O_NOFOLLOW", 0) if follow else _FOLDER
    return os.open(top, os.O_RDONLY | flags)


@frozen(kw_only=True)
class OpenFolder:
    """A folder of the host that is open.

    Attributes:
        path: its path.
        descriptor: its descriptor, for the ``dir_fd`` of functions of :mod:`os`; ``None`` if the
            system does not support that.
    """

    path: Path
    descriptor: int | None

    def at(self, name: str) -> Path:
        """Return the path to use together with :attr:`descriptor` for a name in the folder."""
        return self.path / name if self.descriptor is None else Path(name)


@contextmanager
def folder_below(top: Path, path: bytes, *, opened: int | None = None) -> Iterator[OpenFolder]:
    """Open the folder at ``path`` below ``top``.

    Args:
        top: a folder; it may be reached through links.
        path: the image path of a folder below it.
        opened: the descriptor of ``top`` from :func:`open_top`; by default ``top`` is opened.

    Raises:
        OSError: the folder is missing, or is reached through a link.
    """
    names = host_names(path)
    host_path = top.joinpath(*names)
    descriptor = open_top(top, follow=True) if opened is None else os.dup(opened)
    if descriptor is None:
        _check_folders(top, names)
        yield OpenFolder(path=host_path, descriptor=None)
        return
    try:
        for name in names:
            below = os.open(name, os.O_RDONLY | _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield OpenFolder(path=host_path, descriptor=descriptor)
    finally:
        os.close(descriptor)


def open_file_below(top: Path, path: bytes) -> int:
    """Open the file at ``path`` below ``top`` for reading; return its descriptor.

    Raises:
        OSError: the file is missing, unreadable, or reached through a link.
    """
    above, _slash, name = path.rpartition(b"/")
    (host_name,) = host_names(name)
    with folder_below(top, above) as folder:
        host_path = folder.at(host_name)
        if folder.descriptor is None:
            refuse_link(host_path.lstat())
        return os.open(host_path, os.O_RDONLY | _FILE | _BINARY, dir_fd=folder.descriptor)


def _check_folders(top: Path, names: list[str]) -> None:
    """Refuse links on the path; without descriptors, a race remains possible."""
    path = top
    for name in names:
        path /= name
        status = os.lstat(path)
        refuse_link(status)
        if not stat.S_ISDIR(status.st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
