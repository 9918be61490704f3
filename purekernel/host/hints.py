"""Say what to do when the host refuses to write a file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from purekernel.errors import OutputError, StoreError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The errors for a file that does not fit."""

NOT_PERMITTED = (errno.EACCES, errno.EPERM)
"""The errors for an operation that the user may not do."""

# Each goes on with ", or" and the way to choose another place, which every caller names.
_HINTS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on file sizes",
    errno.EROFS: "mount the file system read-write",
    **dict.fromkeys(NOT_PERMITTED, "change the permissions of the folder"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "move the file on this path away"),
    errno.ELOOP: "delete the link on this path",
    errno.ESTALE: "check which other users may write there",
    **dict.fromkeys((errno.EBUSY, errno.ETXTBSY), "close the program that uses the file"),
}

# ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION of Windows.
_IN_USE_ON_WINDOWS = (32, 33)
_IN_USE = "another program has it open"
# ERROR_PRIVILEGE_NOT_HELD: Windows lets only administrators and developers create links.
_NO_PRIVILEGE = 1314

_STORE_ELSEWHERE = "set another folder with --cache-dir or PUREKERNEL_CACHE"


def reason(error: OSError) -> str:
    """Return why an operation of the host failed, in the words of the host."""
    return _IN_USE if is_in_use(error) else error.strerror or str(error)


def is_in_use(error: OSError) -> bool:
    """Return whether Windows refused an operation because another program has the file open."""
    return getattr(error, "winerror", None) in _IN_USE_ON_WINDOWS


def in_use(path: Path) -> OSError:
    """Return the error for a file that another program has open."""
    return OSError(errno.EBUSY, _IN_USE, os.fspath(path))


def hint_for(error: OSError, *, elsewhere: str, instead: Mapping[int, str] | None = None) -> str:
    """Return what to do about a failed write.

    Args:
        error: the error of the host.
        elsewhere: how to choose another place, such as ``choose another folder with -d``.
        instead: for an ``errno``, the whole hint, where a command has a better one.
    """
    number = errno.EBUSY if is_in_use(error) else error.errno or 0
    if getattr(error, "winerror", None) == _NO_PRIVILEGE:
        return f"turn on Windows' developer mode, or {elsewhere}"
    if instead is not None and number in instead:
        return instead[number]
    return f"{_HINTS[number]}, or {elsewhere}" if number in _HINTS else elsewhere


@contextmanager
def writing(
    path: Path, *, elsewhere: str, instead: Mapping[int, str] | None = None
) -> Iterator[None]:
    """Convert ``OSError`` while ``path`` is written; see :func:`hint_for`.

    Raises:
        OutputError: an operation of the host failed.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {reason(error)}",
            hint=hint_for(error, elsewhere=elsewhere, instead=instead),
            file=path,
        ) from None


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Convert ``OSError`` while the store in ``folder`` is written: the same for all its files.

    Raises:
        StoreError: an operation of the host failed.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the store of downloads, {folder}, cannot be written: {reason(error)}",
            hint=hint_for(error, elsewhere=_STORE_ELSEWHERE),
        ) from None
