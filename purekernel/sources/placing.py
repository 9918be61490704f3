"""Put files into the store so that nobody ever sees half of one, on every system's terms.

Nothing is flushed to the disk: a loss of power may leave files in the store that are empty or
wrong, and whoever reads one checks it first.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from purekernel.errors import StoreError
from purekernel.sources.no_follow import change_mode, open_readable

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


def write_whole(path: Path, content: bytes, *, by_way_of: Path) -> None:
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
