"""Keep the checksums of all outputs in a folder in its file SHA256SUMS.

Several builds may end in one folder at the same time. Each locks the folder's checksums from when
it reads them until its outputs have their names, so that no lines are lost.

Source: sha256sum(1); the GNU coreutils manual, "md5sum invocation", for the lines of a checksum
file.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from purekernel.errors import InputError, OutputError
from purekernel.host.hints import writing
from purekernel.host.read import find_status, load_file
from purekernel.host.staging import LOCK_NAME, remove
from purekernel.host.write import Closing, Output
from purekernel.input import Limits
from purekernel.records import frozen

if sys.platform != "win32":
    import fcntl

CHECKSUMS = "SHA256SUMS"

# The lock is held while a few files are renamed. Wait a minute for it.
_TRIES = 1200
_PAUSE_SECONDS = 0.05

# Far more than the lines of all images that anyone keeps in one folder.
_MAX_BYTES = 1 << 24

_LINE = re.compile(rb"(\\?)([0-9A-Fa-f]{64}) [ *](.+)", re.DOTALL)
_TAGGED_LINE = re.compile(rb"(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})", re.DOTALL)
# In a line that begins with a backslash; the backslash itself is escaped first.
_ESCAPE = re.compile(rb"\\([\\nr])")
_ESCAPED = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}


@frozen(kw_only=True)
class ChecksumLine:
    """A line of a checksum file.

    Attributes:
        raw: its bytes.
        name: the file that it is about; empty for a comment.
        sha256: the digest in lower-case hexadecimal; empty for a comment.
    """

    raw: bytes
    name: bytes
    sha256: str = ""


def load_checksums(folder: Path) -> list[ChecksumLine]:
    """Return the lines of the checksum file in ``folder``; none if there is no such file.

    Raises:
        InputError: the file cannot be read, or has lines that sha256sum does not check.
        LimitError: it is too large.
    """
    path = folder / CHECKSUMS
    if find_status(path, follow=False) is None:
        return []
    data = load_file(path, limits=Limits(unpacked_bytes=_MAX_BYTES))
    return list(_lines(data, path))


def closing_checksums(folder: Path) -> Closing:
    """Return what adds the checksum file to outputs that are written into ``folder``."""
    return partial(_merged, folder)


@contextmanager
def _merged(folder: Path, outputs: Iterable[Output]) -> Iterator[tuple[str, bytes]]:
    """Give name and content of the checksum file with the lines of ``outputs``.

    The folder's checksums are locked until the end of the ``with`` block.

    Raises:
        OutputError: the lock cannot be made, or another process does not free it.
    """
    with _locked(folder):
        yield CHECKSUMS, _merge(folder, outputs)


def _merge(folder: Path, outputs: Iterable[Output]) -> bytes:
    """Return the content of the checksum file with the lines of ``outputs``.

    Comments come first, then all other lines, sorted by name. Lines of other files stay, because
    other builds wrote them.
    """
    new = {}
    for output in outputs:
        name = output.path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        raw = _line(output.sha256.encode(), name)
        new[name] = ChecksumLine(raw=raw, name=name, sha256=output.sha256)
    kept = [line for line in load_checksums(folder) if line.name not in new]
    lines = sorted([*kept, *new.values()], key=lambda line: line.name)
    return b"".join(line.raw + b"\n" for line in lines)


def _line(digest: bytes, name: bytes) -> bytes:
    escaped = name
    for letter, byte in _ESCAPED.items():
        escaped = escaped.replace(byte, b"\\" + letter)
    return b"%s%s  %s" % (b"" if escaped == name else b"\\", digest, escaped)


def _lines(data: bytes, path: Path) -> Iterator[ChecksumLine]:
    for number, raw in enumerate(data.split(b"\n"), start=1):
        line = raw.removesuffix(b"\r")
        if not line or line.startswith(b"#"):
            if line:
                yield ChecksumLine(raw=raw, name=b"")
            continue
        match = _LINE.fullmatch(line)
        tagged = _TAGGED_LINE.fullmatch(line)
        if match is not None:
            is_escaped, sha256, name = match.groups()
        elif tagged is not None:
            is_escaped, name, sha256 = tagged.groups()
        else:
            raise InputError(
                f"{path}, line {number}: must be a SHA-256 and a file name, as sha256sum writes "
                "them",
                hint="move the file away, or write the outputs to another folder",
            )
        if is_escaped:
            name = _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], name)
        yield ChecksumLine(raw=raw, name=name.removeprefix(b"./"), sha256=sha256.decode().lower())


# The lock.


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder's checksums; where files cannot be locked, hold nothing.

    Raises:
        OutputError: the file of the lock cannot be made, or another process does not free it.
    """
    path = folder / LOCK_NAME
    with writing(path, elsewhere="write the outputs to another folder"):
        for _each in range(_TRIES):
            lock = _try_lock(path)
            if lock is not None:
                break
            time.sleep(_PAUSE_SECONDS)
        else:
            raise OutputError(
                f"{folder / CHECKSUMS} is in use by another build, which does not end",
                hint="end that build, or write the outputs to another folder",
                file=folder / CHECKSUMS,
            )
    try:
        yield
    finally:
        if sys.platform != "win32":  # Windows deletes it when it is closed
            remove(path)
        with suppress(OSError):
            os.close(lock)


def _try_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock until it is closed; ``None`` if another has it.

    The holder deletes the file before it frees the lock, so a lock counts only if its file is
    still at ``path``.

    Raises:
        OSError: the file cannot be made.
    """
    if sys.platform == "win32":
        try:
            return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_TEMPORARY)
        except (FileExistsError, PermissionError):  # the latter while it is being deleted
            return None
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.lstat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:  # a file system without locks
        return lock
    os.close(lock)
    return None
