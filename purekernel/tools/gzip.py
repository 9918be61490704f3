"""Compress and decompress files as gzip does."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from purekernel.encode.encoders import Encoder, Libdeflate, Zopfli, compress
from purekernel.errors import InputError, OutputError
from purekernel.formats.gzip import parse_gzip
from purekernel.host.hints import reason
from purekernel.host.no_follow import is_link
from purekernel.host.read import exists, find_status, load_file, missing_file
from purekernel.host.staging import delete
from purekernel.host.write import write_whole
from purekernel.input import Input, Limits, limits_of
from purekernel.records import frozen

# Suffixes of compressed files, and what replaces each after decompression.
SUFFIXES = {".gz": "", "-gz": "", ".tgz": ".tar", ".taz": ".tar"}

# The time in a gzip header has 32 bits, enough until 2106.
MAX_MTIME = 0xFFFFFFFF


@frozen(kw_only=True)
class GzipOptions:
    """The options of gzip.

    Attributes:
        undo: decompress.
        keep: do not delete the file.
        force: replace existing outputs and follow links.
        no_name: store no name and no time in the header.
        level: the level of libdeflate, from 1 to 12.
        zopfli: compress with zopfli instead.
        max_unpacked: the maximum unpacked size of a file, in bytes; ``None`` for the default.
    """

    undo: bool
    keep: bool
    force: bool
    no_name: bool
    level: int
    zopfli: bool
    max_unpacked: int | None

    @property
    def limits(self) -> Limits:
        """Return the limits of readers."""
        return limits_of(self.max_unpacked)


@frozen(kw_only=True)
class Converted:
    """A file that was compressed or decompressed.

    Attributes:
        path: the file.
        output: the new file.
        old_bytes: the size of the file, in bytes.
        new_bytes: the size of the new file.
    """

    path: Path
    output: Path
    old_bytes: int
    new_bytes: int


def convert_file(path: Path, options: GzipOptions) -> Converted:
    """Write the compressed or decompressed file beside ``path``, and delete ``path``.

    Raises:
        InputError: the file cannot be read, or has a name or kind that is not converted.
        OutputError: the output exists or cannot be written, or the file cannot be deleted.
        FormatError: the file to decompress is damaged.
    """
    output = _output(path, undo=options.undo)
    if not options.force and is_link(_status(path, follow=False)):
        raise InputError(f"{path} is a symbolic link", hint="add -f to replace it, or use -c")
    data, name, mtime = _load(path, options.limits)
    status = _status(path)
    if not options.force and not options.keep and status.st_nlink > 1:
        raise InputError(f"{path} has other hard links", hint="add -k to keep it, or -f")
    if not options.force and exists(output):
        raise OutputError(f"{output} exists already", hint="add -f to overwrite it, or use -c")
    made = _convert(data, str(path), name, mtime, options)
    times_ns = status.st_atime_ns, status.st_mtime_ns
    write_whole(output, made, mode=stat.S_IMODE(status.st_mode), times_ns=times_ns)
    if not options.keep:
        try:
            delete(path)
        except OSError as error:
            raise OutputError(
                f"{path} cannot be deleted: {reason(error)}",
                hint=f"{output} is complete; delete {path} yourself",
            ) from None
    return Converted(path=path, output=output, old_bytes=len(data), new_bytes=len(made))


def convert(path: Path | None, options: GzipOptions) -> bytes:
    """Return the compressed or decompressed content of ``path``, or of stdin for ``None``.

    Raises:
        InputError: the file cannot be read, or stdin is closed.
        FormatError: the file to decompress is damaged.
    """
    if path is not None:
        data, name, mtime = _load(path, options.limits)
        return _convert(data, str(path), name, mtime, options)
    if sys.stdin is None:  # closed by the calling process
        raise InputError("stdin is closed", hint="add the name of a file")
    limits = options.limits
    data = sys.stdin.buffer.read(limits.unpacked_bytes + 1)
    Input(data, name="standard input", limits=limits).check_unpacked(len(data))
    return _convert(data, "standard input", b"", 0, options)


def _output(path: Path, *, undo: bool) -> Path:
    """Return the path of the output for ``path``."""
    for suffix, other in SUFFIXES.items():
        if not path.name.endswith(suffix) or path.name == suffix:
            continue
        if undo:
            return path.with_name(path.name[: -len(suffix)] + other)
        raise InputError(
            f"{path} is compressed already: its name ends with {suffix}", hint="use -c"
        )
    if undo:
        raise InputError(f"{path}: the name must end with .gz", hint="use -c")
    return path.with_name(path.name + ".gz")


def _load(path: Path, limits: Limits) -> tuple[bytes, bytes, int]:
    """Return the content of a file, with the name and time for a gzip header."""
    data = load_file(path, limits=limits)
    mtime = int(_status(path).st_mtime)
    return data, os.fsencode(path.name), mtime if 0 < mtime <= MAX_MTIME else 0


def _status(path: Path, *, follow: bool = True) -> os.stat_result:
    status = find_status(path, follow=follow)
    if status is None:
        raise missing_file(path)
    return status


def _convert(data: bytes, source: str, name: bytes, mtime: int, options: GzipOptions) -> bytes:
    if options.undo:
        return parse_gzip(Input(data, name=source, limits=options.limits))
    encoder: Encoder = Zopfli() if options.zopfli else Libdeflate(level=options.level)
    if options.no_name:
        name, mtime = b"", 0
    return compress(data, encoder=encoder, name=name, mtime=mtime)
