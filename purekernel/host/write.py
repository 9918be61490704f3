"""Write output files, all of them or none.

Outputs are first written to temporary files in the same folder and flushed to the disk. When all
are complete, each is renamed to its final name.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, Self, cast

from attrs import evolve

from purekernel.errors import OutputError
from purekernel.host.hints import NOT_PERMITTED, hint_for, reason, writing
from purekernel.host.no_follow import (
    SETS_TIMES_OF_DESCRIPTORS,
    change_mode,
    inode_of,
    set_times,
)
from purekernel.host.staging import Staging, create, write_piece
from purekernel.host.windows_names import ON_WINDOWS, check_windows_name
from purekernel.input import Buffer
from purekernel.records import frozen

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

WriteOutput = Callable[[BinaryIO], object]
"""Writes one output to a stream, which is also readable and seekable."""


# FSCTL_SET_SPARSE of winioctl.h.
_SET_SPARSE = 0x900C4


def with_holes(write: WriteOutput) -> WriteOutput:
    """Return a function that writes an output, with holes where ``write`` seeks over zeros.

    Windows makes holes only in files that are marked for it, and fills others with zeros. Other
    systems make them in any file, if the file system can.
    """

    def run(stream: BinaryIO) -> None:
        if sys.platform == "win32":
            handle = wintypes.HANDLE(msvcrt.get_osfhandle(stream.fileno()))
            # Without success, as on FAT, the file has no holes, and the same content.
            ctypes.windll.kernel32.DeviceIoControl(
                handle, wintypes.DWORD(_SET_SPARSE), None, wintypes.DWORD(0), None,
                wintypes.DWORD(0), ctypes.byref(wintypes.DWORD()), None,
            )  # fmt: skip
        write(stream)

    return run


STDOUT = Path("-")
"""The path of an output that went to a stream."""

# Large enough that a pipe is rarely waited for, small beside an image.
_PIECE_BYTES = 1 << 20


@frozen(kw_only=True)
class Replaced:
    """What an output replaced.

    Attributes:
        size_bytes: the size; ``None`` for what is not a file.
        sha256: the digest; ``None`` for what is not a file, or cannot be read.
    """

    size_bytes: int | None = None
    sha256: str | None = None


@frozen(kw_only=True)
class Output:
    """A written output file.

    Attributes:
        path: its path; ``STDOUT`` if it went to a stream.
        size_bytes: its size.
        sha256: its digest.
        replaced: what had its path before; ``None`` if the path was free.
    """

    path: Path
    size_bytes: int
    sha256: str
    replaced: Replaced | None = None


Closing = Callable[[Sequence[Output]], AbstractContextManager[tuple[str, Buffer]]]
"""Gives, for files that are written, the name and the content of one more file about them.

It is entered when all others are written, and left when all have their names.
"""

About = Callable[[Sequence[Output]], tuple[str, Buffer]]
"""Returns, for files that are written, the name and the content of a file about them."""


def publish(
    folder: Path,
    contents: Mapping[str, Buffer | WriteOutput],
    *,
    mode: int | None = None,
    option: str = "--output-dir",
    about: About | None = None,
    closing: Closing | None = None,
) -> list[Output]:
    """Write files into ``folder``; create it if it is missing.

    Args:
        folder: the folder for the files.
        contents: for each path in ``folder``, with slashes, the content of the file, or a function
            that writes it.
        mode: the mode of the files; ``None`` for the default of the host.
        option: the option with which users choose another folder, for messages.
        about: gives one more file when those of ``contents`` are written; it is among the written.
        closing: gives one more file, which gets its name last.

    Returns:
        The written files, in the order of ``contents``, and that of ``about``; not that of
        ``closing``.

    Raises:
        OutputError: a file cannot be written. No file was changed then, unless a rename failed
            after others had succeeded, on a file system without hard links.
    """
    with _Outputs(mode, option) as outputs:
        for name, content in contents.items():
            outputs.write(_output_path(folder, name), content)
        if about is not None:
            name, content = about(outputs.written)
            outputs.write(_output_path(folder, name), content)
        return outputs.commit_with(closing, folder)


def publish_file(
    path: Path,
    content: Buffer | WriteOutput,
    *,
    option: str = "--output",
    closing: Closing | None = None,
) -> Output:
    """Write one file under a name that the user chose; create its folder if it is missing.

    Args:
        path: the path of the file; any name is allowed that the host allows.
        content: the content of the file, or a function that writes it.
        option: the option with which users choose another path, for messages.
        closing: gives one more file for the same folder.

    Raises:
        OutputError: the file cannot be written; an existing one was not changed.
    """
    _check_name(path.name, ON_WINDOWS)
    with _Outputs(None, option) as outputs:
        outputs.write(path, content)
        (output,) = outputs.commit_with(closing, path.parent)
    return output


def send(stream: BinaryIO, content: Buffer | WriteOutput) -> Output:
    """Write one output to a stream that cannot seek, such as a pipe.

    It is complete before its first byte is written, so that nothing is written after an error.

    Args:
        stream: a binary stream; it is flushed and stays open.
        content: the content, or a function that writes it.

    Raises:
        OutputError: the stream, or a temporary file, cannot be written.
        BrokenPipeError: the reader of the stream is gone.
    """
    with ExitStack() as stack:
        if isinstance(content, Buffer):
            made = cast("BinaryIO", stack.enter_context(io.BytesIO(content)))
        else:
            with writing(Path(tempfile.gettempdir()), elsewhere="set another folder with TMPDIR"):
                made = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))
                content(made)
                made.flush()
        made.seek(0)
        digest, size_bytes = hashlib.sha256(), 0
        try:
            while piece := made.read(_PIECE_BYTES):
                write_piece(stream, piece)
                digest.update(piece)
                size_bytes += len(piece)
            stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            if ON_WINDOWS and error.errno == errno.EINVAL:  # a pipe without a reader
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
            raise OutputError(
                f"the output stream cannot be written: {reason(error)}",
                hint=hint_for(error, elsewhere="write to a file with -o"),
            ) from None
    return Output(path=STDOUT, size_bytes=size_bytes, sha256=digest.hexdigest())


def write_whole(
    path: Path,
    content: Buffer,
    *,
    mode: int | None = None,
    times_ns: tuple[int, int] | None = None,
) -> None:
    """Write a file of the host atomically.

    If ``path`` is a link, it is kept, and its target is written.

    Args:
        path: the path of the file; any name is allowed.
        content: the whole content.
        mode: the mode of the file; ``None`` keeps the mode of an existing file.
        times_ns: times of access and modification in nanoseconds since 1970, UTC, if the host
            can set them; ``None`` for now.

    Raises:
        OutputError: the file cannot be written, or the path exists and is not a regular file.
    """
    path = resolved(path)
    status = None
    with (
        writing(path, elsewhere="choose another folder with --output"),
        # An inaccessible folder is reported when the file is written.
        suppress(FileNotFoundError, NotADirectoryError, PermissionError),
    ):
        status = path.stat()
    if status is not None:
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise OutputError(
                f"{path} must be a regular file, got a device, fifo or socket",
                hint="give a file with --output",
            )
        mode = stat.S_IMODE(status.st_mode) if mode is None else mode
    with _Outputs(mode, "--output", times_ns) as outputs:
        outputs.write(path, content)
        outputs.commit()


def resolved(path: Path) -> Path:
    """Return the path of the file that is written if ``path`` is: a link is kept.

    Raises:
        OutputError: the path is a loop of links, or the current folder was deleted.
    """
    with writing(path, elsewhere="choose another file"):
        try:
            return path.resolve()
        except RuntimeError:  # Python before 3.13 raises it for a loop of links
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None


def _output_path(folder: Path, name: str, *, windows: bool = ON_WINDOWS) -> Path:
    parts = name.split("/")
    if any(part in ("", ".", "..") or set(part) & set("\\:") for part in parts):
        raise OutputError(f"{name!r} is not a valid name for an output")
    for part in parts:
        _check_name(part, windows)
    return folder.joinpath(*parts)


def _check_name(name: str, windows: bool) -> None:
    if windows and (fault := check_windows_name(name.encode("utf-8", "surrogatepass"))):
        raise OutputError(
            f"the output name {name!r} is invalid on Windows: {fault}", hint="choose another name"
        )


def _replaced_by(path: Path) -> Replaced | None:
    """Return what a file at ``path`` is about to replace; a file that cannot be read may be, too.

    Raises:
        OSError: the host cannot tell what is there.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return Replaced()
    digest = None
    with suppress(OSError), open(path, "rb", opener=_open_itself) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Replaced(size_bytes=status.st_size, sha256=digest)


def _open_itself(path: str, flags: int) -> int:
    """Open a file that may have become a link or a fifo: follow no link, and wait for no writer."""
    extra = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags | extra)


class _Outputs:
    """Output files to be renamed to their final names, and the folders created for them."""

    def __init__(
        self, mode: int | None, option: str, times_ns: tuple[int, int] | None = None
    ) -> None:
        self._mode = mode
        self._times_ns = times_ns
        self._elsewhere = f"choose another folder with {option}"
        # Unlike the store, outputs need not be in the same folder each time.
        self._instead = dict.fromkeys(
            NOT_PERMITTED, f"choose a folder that you may write to with {option}"
        )
        self._staging = Staging()
        self.written: list[Output] = []
        self._folders: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Delete the temporary files and empty folders that remain."""
        self._staging.__exit__(*exception)
        for folder in reversed(self._folders):
            with suppress(OSError):  # a folder that contains outputs is not empty and stays
                folder.rmdir()

    def write(self, path: Path, content: Buffer | WriteOutput) -> None:
        if "\0" in str(path):
            raise OutputError(f"{str(path)!r} cannot be written: it contains a NUL")
        with writing(path, elsewhere=self._elsewhere, instead=self._instead):
            self._make_folder(path.parent)
            if path.is_dir():
                raise OutputError(
                    f"{path} must be a file, got a folder",
                    hint=f"move it away, or {self._elsewhere}",
                )
            temporary = self._staging.add(path)
            with create(temporary, "x+b", buffering=io.DEFAULT_BUFFER_SIZE) as stream:
                if isinstance(content, Buffer):
                    stream.write(content)
                else:
                    content(stream)
                if self._mode is not None:
                    if os.chmod in os.supports_fd:
                        inode_of(stream.fileno()).chmod(self._mode)
                    else:
                        change_mode(temporary, self._mode)
                stream.flush()
                size_bytes = stream.seek(0, io.SEEK_END)
                stream.seek(0)
                digest = hashlib.file_digest(cast("io.BufferedRandom", stream), "sha256")
                if self._times_ns is not None and SETS_TIMES_OF_DESCRIPTORS:
                    with suppress(OSError):
                        os.utime(stream.fileno(), ns=self._times_ns)
                os.fsync(stream.fileno())
            if self._times_ns is not None and not SETS_TIMES_OF_DESCRIPTORS:
                with suppress(OSError):
                    set_times(temporary, self._times_ns)
        self.written.append(Output(path=path, size_bytes=size_bytes, sha256=digest.hexdigest()))

    def commit_with(self, closing: Closing | None, folder: Path) -> list[Output]:
        """Rename all, and the file of ``closing`` in ``folder``; return all others."""
        if closing is None:
            return self.commit()
        with closing(self.written) as (name, content):
            self.write(_output_path(folder, name), content)
            return self.commit()[:-1]

    def commit(self) -> list[Output]:
        written = []
        for output in self.written:
            with writing(output.path, elsewhere=self._elsewhere, instead=self._instead):
                written.append(evolve(output, replaced=_replaced_by(output.path)))
        try:
            self._staging.commit()
        except OSError as error:
            with writing(Path(error.filename), elsewhere=self._elsewhere, instead=self._instead):
                raise
        return written

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.exists() and folder != folder.parent:
            missing.append(folder)
            folder = folder.parent
        for created in reversed(missing):
            created.mkdir(exist_ok=True)
            self._folders.append(created)
