"""Reach what lies below a folder of the host, and nothing outside of it.

Where the system lets us, each folder on the way is opened by its name in the one before, and no
link is followed: whoever swaps a folder for a link meanwhile leads nobody anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from purekernel.sources.folder import ON_WINDOWS

_BY_DESCRIPTOR = {os.open, os.mkdir, os.symlink, os.unlink, os.rename} <= os.supports_dir_fd
_FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def host_names(path: bytes) -> list[str]:
    """Return the names on the way to an image's path, as the host has them."""
    text = path.decode("utf-8") if ON_WINDOWS else os.fsdecode(path)
    return [name for name in text.split("/") if name]


@contextmanager
def folder_below(top: Path, path: bytes) -> Iterator[tuple[int | None, Path]]:
    """Give the folder at ``path`` below ``top``: a descriptor, if the system has such, and a place.

    Names in the folder are reached by the descriptor, or by the place where that is ``None``.

    Raises:
        OSError: it is not there, or is reached through a link.
    """
    place = top.joinpath(*host_names(path))
    if not _BY_DESCRIPTOR:
        yield None, place
        return
    descriptor = os.open(top, os.O_RDONLY | _FOLDER & ~getattr(os, "O_NOFOLLOW", 0))
    try:
        for name in host_names(path):
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
            return os.open(place / host_name, flags)
        return os.open(host_name, flags | _FILE, dir_fd=descriptor)
