"""Run ``purekernel tool gzip``: compress or decompress files."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purekernel.cli.parameters import Place, Size
from purekernel.errors import InputError, OutputError, PurekernelError, UsageError, raise_all

if TYPE_CHECKING:
    from purekernel.input import Limits

# Suffixes of compressed files, and what replaces each after decompression.
SUFFIXES = {".gz": "", "-gz": "", ".tgz": ".tar", ".taz": ".tar"}

STREAM = "-"

# The time in a gzip header has 32 bits, enough until 2106.
MAX_MTIME = 0xFFFFFFFF

# libdeflate's slowest level is 12, and gzip's options have one digit; so -9 stands for it.
BEST, SLOWEST = 9, 12


def _level_options(command: Any) -> Any:
    for digit in range(BEST, 0, -1):
        level = SLOWEST if digit == BEST else digit
        words = {
            1: "Compress with libdeflate 1, its fastest.",
            BEST: "Compress with libdeflate 12.  [default]",
        }
        command = click.option(
            f"-{digit}", "level", flag_value=level, type=int, help=words.get(digit),
            hidden=digit not in words,
        )(command)  # fmt: skip
    return command


@click.command("gzip", short_help="Compress or decompress files.")
@click.argument("files", metavar="[FILE]...", type=Place(), nargs=-1)
@click.option("-d", "--decompress", "undo", is_flag=True, help="Decompress.")
@click.option("-c", "--stdout", "to_stdout", is_flag=True, help="Write to stdout; keep FILEs.")
@click.option("-k", "--keep", is_flag=True, help="Keep FILEs.")
@click.option("-f", "--force", is_flag=True, help="Overwrite, follow links, write to terminals.")
@click.option("-n", "--no-name", is_flag=True, help="Store no name and no time in the header.")
@_level_options
@click.option("--zopfli", is_flag=True, help="Compress with zopfli, which is slow.")
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of a FILE.  [default: 1G]"
)
def gzip_command(
    *, files: tuple[Path, ...], to_stdout: bool, max_unpacked: int | None, **options: Any
) -> None:
    """Compress each FILE to FILE.gz and delete FILE; with -d, decompress.

    Without FILE, or if FILE is -, read stdin and write stdout. -2 to -8 are libdeflate's levels
    of the same number.

    \b
    Examples:
      purekernel tool gzip -k -n initrd.cpio
      purekernel tool gzip -d < core.gz | cpio -t
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.cli.terminal import say_bytes  # noqa: PLC0415
    from purekernel.input import limits_of  # noqa: PLC0415

    limits = limits_of(max_unpacked)
    errors = []
    for path in files or (Path(STREAM),):
        try:
            if str(path) == STREAM or to_stdout:
                _check_terminal(**options)
                data, name, mtime = _load(path, limits)
                source = "standard input" if str(path) == STREAM else str(path)
                say_bytes(_convert(data, source, name, mtime, limits=limits, **options))
            else:
                _replace(path, limits, **options)
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)


def _replace(path: Path, limits: Limits, *, force: bool, keep: bool, **options: Any) -> None:
    from purekernel.host.write import write_whole  # noqa: PLC0415

    output = _output(path, undo=options["undo"])
    if not force and path.is_symlink():
        raise InputError(f"{path} is a symbolic link", hint="add -f to replace it, or use -c")
    data, name, mtime = _load(path, limits)
    status = path.stat()
    if not force and not keep and status.st_nlink > 1:
        raise InputError(f"{path} has other hard links", hint="add -k to keep it, or -f")
    if not force and (output.exists() or output.is_symlink()):
        raise OutputError(f"{output} exists already", hint="add -f to overwrite it, or use -c")
    made = _convert(data, str(path), name, mtime, limits=limits, **options)
    times_ns = status.st_atime_ns, status.st_mtime_ns
    write_whole(output, made, mode=stat.S_IMODE(status.st_mode), times_ns=times_ns)
    if keep:
        return
    try:
        path.unlink()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be deleted: {error.strerror or error}",
            hint=f"{output} is complete; delete {path} yourself",
        ) from None


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
    """Return the content of a file or of stdin, with the name and time for a gzip header."""
    from purekernel.host.read import load_file  # noqa: PLC0415

    if str(path) != STREAM:
        data = load_file(path, limits=limits)
        mtime = int(path.stat().st_mtime)
        return data, os.fsencode(path.name), mtime if 0 < mtime <= MAX_MTIME else 0
    if sys.stdin is None:  # closed by the calling process
        raise InputError("stdin is closed", hint="add the name of a file")
    data = sys.stdin.buffer.read(limits.unpacked_bytes + 1)
    limits.check_unpacked(len(data), source="standard input")
    return data, b"", 0


def _convert(
    data: bytes,
    source: str,
    name: bytes,
    mtime: int,
    *,
    limits: Limits,
    undo: bool,
    no_name: bool,
    level: int | None,
    zopfli: bool,
    **_options: Any,
) -> bytes:
    """Return ``data`` compressed, or decompressed with ``undo``."""
    if undo:
        from purekernel.formats.gzip import parse_gzip  # noqa: PLC0415
        from purekernel.input import Input  # noqa: PLC0415

        return parse_gzip(Input(data, name=source, limits=limits))
    from purekernel.encode.encoders import Encoder, Libdeflate, Zopfli, compress  # noqa: PLC0415

    encoder: Encoder = Zopfli() if zopfli else Libdeflate(level=level or SLOWEST)
    if no_name:
        name, mtime = b"", 0
    return compress(data, encoder=encoder, name=name, mtime=mtime)


def _check_terminal(*, undo: bool, force: bool, **_options: Any) -> None:
    if not undo and not force and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError(
            "stdout is a terminal, and the data is compressed", hint="redirect stdout, or add -f"
        )
