"""Read whole files of the host."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import cast

from purekernel.errors import ChecksumError, InputError, PurekernelError
from purekernel.host.hints import reason
from purekernel.input import DEFAULT_LIMITS, Input, Limits

# What a path has that leads to no file.
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
# The same on Windows: ERROR_NOT_READY, an empty drive; ERROR_INVALID_NAME; and
# ERROR_CANT_RESOLVE_FILENAME, a loop of links.
_MISSING_ON_WINDOWS = (21, 123, 1921)

# As much as one call reads of a file.
_ONE_READ_BYTES = 1 << 20
# Do not wait for a writer of a fifo, and do not convert line ends on Windows.
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

# What opening a folder raises; on Windows it is EACCES.
_OF_FOLDERS = (IsADirectoryError, PermissionError)


def load_file(path: Path, *, limits: Limits = DEFAULT_LIMITS, streams: bool = False) -> bytes:
    """Return the content of the file at ``path``.

    Args:
        path: the path of the file.
        limits: limits on its size.
        streams: whether to accept a fifo or a device, such as ``/dev/stdin`` or ``<(…)`` in a
            shell, and read it to its end.

    Raises:
        InputError: the file is missing, unreadable, or not a regular file.
        LimitError: the file is larger than ``limits`` allow for unpacked data.
    """
    with open_file(path, streams=streams) as stream:
        return read_to_end(stream, source=str(path), limits=limits)


def load_of_size(path: str, size_bytes: int, *, limits: Limits) -> bytes:
    """Return the content of a regular file that was just listed, in the fewest calls.

    Args:
        path: the path of the file.
        size_bytes: its size; if it has another one, it is read as by :func:`load_file`.
        limits: limits on its size.

    Raises:
        InputError, LimitError: as for :func:`load_file`.
    """
    if size_bytes <= _ONE_READ_BYTES:
        try:
            descriptor = os.open(path, os.O_RDONLY | _FLAGS)
            try:
                content = os.read(descriptor, size_bytes + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unreadable(Path(path), error) from None
        if len(content) == size_bytes <= limits.unpacked_bytes:
            return content
    return load_file(Path(path), limits=limits)


def load_unchanged(path: Path, status: os.stat_result, limits: Limits) -> bytes:
    """Return the content of a file that was listed before.

    Args:
        path: the path of the file.
        status: its status at that time.
        limits: limits on its size.

    Raises:
        InputError: the file has changed since, or as for :func:`load_file`.
        LimitError: as for :func:`load_file`.
    """
    with open_file(path) as stream:
        now = os.fstat(stream.fileno())
        content = read_to_end(stream, source=str(path), limits=limits)
    if len(content) != status.st_size or now.st_mtime_ns != status.st_mtime_ns:
        raise InputError(
            f"{path} has changed since the start of the command",
            hint="run it again when no other program writes to the file",
            file=path,
        )
    return content


@contextmanager
def open_file(path: Path, *, streams: bool = False) -> Iterator[BufferedReader]:
    """Open a file for reading.

    Args:
        path: the path of the file.
        streams: as for :func:`load_file`.

    Raises:
        InputError: the file is missing, unreadable, or not a regular file.
    """

    def opener(name: str, flags: int) -> int:
        # Do not wait for a writer of a fifo.
        return os.open(name, flags if streams else flags | getattr(os, "O_NONBLOCK", 0))

    try:
        with open(path, "rb", opener=opener) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            is_stream = stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
            if not stat.S_ISREG(mode) and not (streams and is_stream):
                # A device or fifo may be endless.
                raise InputError(
                    f"{path} is neither a file nor a folder",
                    hint="give the path of a file",
                    file=path,
                )
            yield stream
    except FileNotFoundError:
        raise missing_file(path) from None
    except OSError as error:
        if isinstance(error, _OF_FOLDERS) and is_folder(path):
            raise InputError(
                f"{path} is a folder, not a file", hint="give the path of a file", file=path
            ) from None
        raise unreadable(path, error) from None
    except PurekernelError:
        raise
    except ValueError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}", file=path) from None
    except MemoryError:
        raise InputError(
            f"{path} does not fit in memory",
            hint="check the file: no image has parts of this size",
            file=path,
        ) from None


def read_to_end(stream: BufferedReader, *, source: str, limits: Limits) -> bytes:
    """Return the rest of an open file.

    Args:
        stream: the file; it must have a descriptor.
        source: its name, for messages.
        limits: limits on its size.

    Raises:
        LimitError: the file is larger than ``limits`` allow for unpacked data.
        OSError: the file cannot be read, or has no data now and was opened not to wait for it.
    """
    status = os.fstat(stream.fileno())
    Input(b"", name=source, limits=limits).check_unpacked(status.st_size)
    # Python allocates the requested size at once and shrinks the buffer afterwards. Files in proc
    # are larger than the size that they report, which is 0.
    expected_bytes = status.st_size if stat.S_ISREG(status.st_mode) else limits.unpacked_bytes
    content = cast("bytes | None", stream.read(expected_bytes + 1))
    if content is None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    if len(content) > expected_bytes:
        content += stream.read(limits.unpacked_bytes + 1 - len(content))
    Input(content, name=source, limits=limits).check_unpacked(len(content))
    return content


def check_digest(path: Path, sha256: str) -> None:
    """Check the SHA-256 of a file.

    Raises:
        ChecksumError: the digest differs from ``sha256``.
        InputError: the file is missing, a folder, or unreadable.
    """
    if is_folder(path):
        raise InputError(f"{path} must be a file to have a SHA-256, got a folder", file=path)
    with open_file(path) as stream:
        actual = hashlib.file_digest(stream, "sha256").hexdigest()
    _compare_digests(str(path), actual, sha256)


def check_content(file: Input, sha256: str) -> None:
    """Check the SHA-256 of a file that was read.

    Raises:
        ChecksumError: the digest differs from ``sha256``.
    """
    _compare_digests(file.name, hashlib.sha256(file.data).hexdigest(), sha256)


def _compare_digests(name: str, actual: str, sha256: str) -> None:
    if actual != sha256.lower():
        raise ChecksumError(
            f"{name} failed verification: SHA-256 must be {sha256.lower()}, got {actual}",
            hint="correct the digest in the recipe, or replace the file",
        )


def resolve_links(path: Path) -> Path:
    """Return the absolute path of a file without links in it; the file may be missing.

    Raises:
        InputError: the host cannot tell.
    """
    try:
        try:
            return Path(os.path.realpath(path, strict=True))
        except (FileNotFoundError, NotADirectoryError):
            return Path(os.path.realpath(path))
    except OSError as error:
        raise unreadable(path, error) from None


def is_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder, or a link to one.

    Raises:
        InputError: the host cannot tell.
    """
    status = find_status(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def is_file(path: Path) -> bool:
    """Return whether ``path`` is a regular file, or a link to one; raise as :func:`is_folder`."""
    status = find_status(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def exists(path: Path) -> bool:
    """Return whether there is anything at ``path``, be it a link to nothing.

    Raises:
        InputError: the host cannot tell.
    """
    return find_status(path, follow=False) is not None


def find_status(path: Path, *, follow: bool = True) -> os.stat_result | None:
    """Return the status of ``path``, or ``None`` if it is missing.

    ``os.path.exists`` and, since Python 3.14, ``Path.exists`` take a file for missing that the host
    fails to look at. A lock file would then be ignored, and another image be built.

    Args:
        path: the path.
        follow: whether to follow a link.

    Raises:
        InputError: the host cannot tell: a disk fails, or a folder may not be searched.
    """
    try:
        return path.stat() if follow else path.lstat()
    except ValueError:  # the path contains a NUL
        return None
    except OSError as error:
        if error.errno in _MISSING or getattr(error, "winerror", None) in _MISSING_ON_WINDOWS:
            return None
        raise unreadable(path, error) from None


def missing_file(path: Path) -> InputError:
    """Return the error for a path that leads to nothing."""
    return InputError(
        f"{path} does not exist",
        hint="check the path; it is relative to the current folder",
        file=path,
    )


def unreadable(path: Path, error: OSError) -> InputError:
    """Return the error for a path that cannot be read."""
    return InputError(f"{path} cannot be read: {reason(error)}", file=path)
