"""Read a file of the host's, or say why not in words that help."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from purekernel.errors import ChecksumError, InputError, PurekernelError
from purekernel.formats.limits import DEFAULT_LIMITS, Limits


def load_file(path: Path, *, limits: Limits = DEFAULT_LIMITS, streams: bool = False) -> bytes:
    """Return the bytes of the file at ``path``.

    Args:
        path: of the file.
        limits: bounds on its size.
        streams: whether it may be a fifo or a device, such as ``/dev/stdin`` and the shell's
            ``<(…)``, which is read to its end.

    Raises:
        InputError: it is missing, no file, or may not be read.
        LimitError: it is larger than what ``limits`` let an input unpack to.
    """
    try:
        # A fifo with no writer is not waited for, where a system has fifos.
        patience = 0 if streams else getattr(os, "O_NONBLOCK", 0)
        opened = os.open(path, os.O_RDONLY | patience | _BINARY)
        with _closing(opened):
            status = os.fstat(opened)
            if stat.S_ISDIR(status.st_mode):
                raise InputError(f"{path} is a folder, not a file", hint="give the path of a file")
            is_file = stat.S_ISREG(status.st_mode)
            if not is_file and not (streams and _flows(status.st_mode)):
                # A device or fifo may never end.
                raise InputError(
                    f"{path} is neither a file nor a folder", hint="give the path of a file"
                )
            limits.check_unpacked(status.st_size, source=str(path))
            with os.fdopen(opened, "rb", closefd=False) as stream:
                # Python makes room for all that it is to read, and gives the rest back after it.
                likely_bytes = status.st_size if is_file else limits.unpacked_bytes
                content = stream.read(likely_bytes + 1)
                if len(content) > likely_bytes:
                    content += stream.read(limits.unpacked_bytes + 1 - len(content))
            limits.check_unpacked(len(content), source=str(path))
            return content
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist", hint="check the path; it is taken from the current folder"
        ) from None
    except OSError as error:
        if is_folder(path):  # which Windows does not open
            raise InputError(
                f"{path} is a folder, not a file", hint="give the path of a file"
            ) from None
        raise unreadable(path, error) from None
    except PurekernelError:
        raise
    except ValueError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from None
    except MemoryError:
        raise InputError(
            f"{path} does not fit in memory", hint="it is too large to be an image's part"
        ) from None


def check_digest(path: Path, sha256: str) -> None:
    """Refuse a file that has another digest.

    Raises:
        ChecksumError: it has.
        InputError: it is missing, a folder, or may not be read.
    """
    if is_folder(path):
        raise InputError(f"{path} is a folder, and only a file has a SHA-256")
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
    if found != sha256.lower():
        raise ChecksumError(
            f"{path} is not what was promised: its SHA-256 is {found}, not {sha256.lower()}",
            hint="correct the digest in the recipe, or the file",
        )


def _flows(mode: int) -> bool:
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def is_folder(path: Path) -> bool:
    """Say whether ``path`` is a folder that we may look at."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def unreadable(path: Path, error: OSError) -> InputError:
    """Return the error that says why ``path`` cannot be read."""
    return InputError(f"{path} cannot be read: {error.strerror or error}")


# Windows would change line ends otherwise.
_BINARY = getattr(os, "O_BINARY", 0)
