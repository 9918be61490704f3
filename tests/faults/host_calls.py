"""Count the calls that a command makes to the host's files, and let one of them fail.

The functions of :mod:`os` and :mod:`fcntl`, and the files that :func:`open` returns, are replaced
by ones that count. Calls are numbered in the order in which they are made.
"""

from __future__ import annotations

import _pyio
import builtins
import contextlib
import errno
import inspect
import io
import os
import re
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

with contextlib.suppress(ImportError):  # Windows has none; these tests are for Linux
    import fcntl

# What is replaced, and what a system call trace calls it (test_trace.py).
BY_PATH = (
    "open", "stat", "lstat", "mkdir", "rmdir", "unlink", "remove", "rename", "replace", "link",
    "symlink", "readlink", "listdir", "scandir", "chmod", "utime", "truncate", "access", "mknod",
    "chown", "setxattr", "getxattr", "listxattr",
)  # fmt: skip
BY_DESCRIPTOR = (
    "read", "write", "pread", "pwrite", "readv", "writev", "fstat", "fsync", "fdatasync", "close",
    "ftruncate", "fchmod", "fchown", "dup", "sendfile", "copy_file_range",
)  # fmt: skip

# The calls that need space.
NEED_SPACE = ("write", "mkdir", "link")

# Names of no file, which only a trace of system calls sees.
BEGIN, END = "/purekernel-calls-begin", "/purekernel-calls-end"

# Names that differ from run to run.
RANDOM = re.compile(r"(?<=\.purekernel\.)[0-9a-f]{12}(?=\.)|\b\d+-[0-9a-f]{16}\b")
_DESCRIPTOR = re.compile(r"(?<=/proc/self/fd/)\d+")


class Call(NamedTuple):
    """A call to the host: the name of the function, and the path of the file."""

    function: str
    path: str


class Fault(NamedTuple):
    """What happens at one call.

    Attributes:
        number: the number of the call, from 0.
        errno: the error.
        half: whether a write stores half of the data first; with ``errno`` 0, it then returns as
            if that were all, and a read returns half of what was asked for.
        lasts: whether all later calls that need space fail as well.
    """

    number: int
    errno: int
    half: bool = False
    lasts: bool = False

    def check(self) -> None:
        """Raise the error, if there is one.

        Raises:
            OSError: the error.
        """
        if self.errno:
            raise OSError(self.errno, os.strerror(self.errno))

    def __str__(self) -> str:
        name = errno.errorcode.get(self.errno, "short")
        return name + ("-half" if self.half else "") + ("-lasting" if self.lasts else "")


class HostCalls:
    """The calls of one run.

    Attributes:
        calls: the calls so far.
        made_files: how many file objects were made; CPython calls fstat(2) for each.
        listed_descriptors: how many open folders were listed, which opens nothing.
        fault: the fault to inject.
        before: called with each call before it is made.
    """

    def __init__(self, top: Path, fault: Fault | None = None) -> None:
        self.calls: list[Call] = []
        self.made_files = 0
        self.listed_descriptors = 0
        self.fault = fault
        self.before: Callable[[Call], None] | None = None
        self._top = str(top)
        self._is_counting = False
        self._names: dict[int, str] = {}
        self._lock = threading.RLock()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Replace the functions until the block ends."""
        with pytest.MonkeyPatch.context() as patch:
            for name in (*BY_PATH, *BY_DESCRIPTOR):
                if hasattr(os, name):
                    self._replace(patch, os, name)
            self._replace(patch, fcntl, "flock")
            opens = _open_of(self)
            patch.setattr(builtins, "open", opens)
            patch.setattr(io, "open", opens)
            yield

    def restart(self) -> None:
        """Count from 0. A trace of system calls shows where this begins, and where it ends."""
        os.access(BEGIN, os.F_OK)
        self.calls.clear()
        self.made_files = self.listed_descriptors = 0
        self._is_counting = True

    def stop(self) -> None:
        """Count no more."""
        self._is_counting = False
        os.access(END, os.F_OK)

    def begin(self, function: str, target: object) -> Fault | None:
        """Count a call; raise its error, or return how it is cut short.

        Raises:
            OSError: the fault of this call.
        """
        if not self._is_counting:
            return None
        with self._lock:
            number = len(self.calls)
            call = Call(function, self._name(target))
            self.calls.append(call)
            if self.before is not None:
                self.before(call)
            fault = self.fault
        if fault is None or not (number == fault.number or (fault.lasts and number > fault.number)):
            return None
        if number > fault.number and function not in NEED_SPACE:
            return None
        if fault.half:
            return fault
        fault.check()
        return None

    def note(self, descriptor: int, target: object) -> None:
        """Remember the name of an open file."""
        self._names[descriptor] = self._name(target)

    def _name(self, target: object) -> str:
        if isinstance(target, int):
            return self._names.get(target, f"descriptor {target}")
        name = os.fsdecode(os.fspath(target))  # type: ignore[arg-type]
        name = RANDOM.sub("#", name.replace(self._top, ""))
        return _DESCRIPTOR.sub("#", name)

    def _replace(self, patch: pytest.MonkeyPatch, module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*arguments: Any, **named: Any) -> Any:
            target = arguments[0] if arguments else named.get("path", ".")
            if name == "close":
                return self.close(lambda: real(*arguments), target)
            fault = self.begin(name, target)
            if fault is not None:
                arguments = _cut_short(name, arguments)
            result = real(*arguments, **named)
            self.listed_descriptors += name == "scandir" and isinstance(target, int)
            if fault is not None:
                fault.check()
            if name in ("open", "dup"):
                self.note(result, target)
            return _Listing(self, result) if name == "scandir" else result

        patch.setattr(module, name, call)
        # Code asks these sets what a function of the host supports.
        for supported in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
            if real in supported:
                supported.add(call)

    def close(self, really: Callable[[], None], target: object) -> None:
        """Close a file; on Linux it is closed also when close(2) fails."""
        try:
            self.begin("close", target)
        finally:
            really()


def _half(data: Any) -> memoryview:
    """Return the first half of bytes or of a buffer, and one byte at least."""
    view = memoryview(data).cast("B")
    return view[: max(1, len(view) // 2)]


def _cut_short(name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of ``os.read`` or ``os.write`` for half as many bytes."""
    target, amount = arguments
    return (target, max(1, amount // 2) if name == "read" else _half(amount))


class _Listing:
    """What ``os.scandir`` returns, with entries that count."""

    def __init__(self, calls: HostCalls, entries: Any) -> None:
        self._calls = calls
        self._entries = entries

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return _Entry(self._calls, next(self._entries))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._entries.close()

    def close(self) -> None:
        self._entries.close()


class _Entry:
    def __init__(self, calls: HostCalls, entry: os.DirEntry[str]) -> None:
        self._calls = calls
        self._entry = entry
        self.name, self.path = entry.name, entry.path

    def __fspath__(self) -> str:
        return self.path

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        self._calls.begin("stat", self._entry.path)
        return self._entry.stat(follow_symlinks=follow_symlinks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)


class _CountedFile(io.FileIO):
    """A file whose calls are counted.

    Attributes:
        host: the calls of the run.
    """

    host: HostCalls

    def __init__(self, file: Any, mode: str = "r", closefd: bool = True, opener: Any = None):
        self._is_open = False
        if opener is None and not isinstance(file, int):
            self.host.begin("open", file)
        super().__init__(file, mode, closefd, opener)
        self._is_open = True
        self.host.made_files += 1
        if not isinstance(file, int):
            self.host.note(self.fileno(), file)

    def read(self, size: int | None = -1, /) -> bytes | None:
        if size is None or size < 0:
            return self.readall()
        fault = self.host.begin("read", self.fileno())
        return super().read(size if fault is None else max(1, size // 2))

    def readall(self) -> bytes:
        pieces = []
        while piece := self.read(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)

    def readinto(self, buffer: Any, /) -> int | None:
        fault = self.host.begin("read", self.fileno())
        return super().readinto(buffer if fault is None else _half(buffer))

    def write(self, data: Any, /) -> int:
        fault = self.host.begin("write", self.fileno())
        if fault is None:
            return super().write(data)
        written = super().write(_half(data))
        fault.check()
        return written

    def truncate(self, size: int | None = None, /) -> int:
        self.host.begin("ftruncate", self.fileno())
        return super().truncate(size)

    def close(self) -> None:
        if self.closed or not self._is_open or not self.closefd:
            super().close()
        else:
            self.host.close(super().close, self.fileno())


def _open_of(calls: HostCalls) -> Callable[..., Any]:
    """Return Python's own ``open``, with C's buffers over files that count."""
    parts = {**vars(_pyio), "FileIO": type("CountedFile", (_CountedFile,), {"host": calls})}
    for name in ("BufferedReader", "BufferedWriter", "BufferedRandom", "TextIOWrapper"):
        parts[name] = getattr(io, name)
    real = inspect.unwrap(_pyio.open)  # a static method before Python 3.13
    return types.FunctionType(real.__code__, parts, "open", real.__defaults__)
