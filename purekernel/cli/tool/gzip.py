"""``purekernel tool gzip``: compress files, and undo it."""

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
    from purekernel.formats.limits import Limits

# What a compressed file's name ends with, and what it ends with after that is undone.
SUFFIXES = {".gz": "", "-gz": "", ".tgz": ".tar", ".taz": ".tar"}

STREAM = "-"

# A gzip header has room for times up to 2106.
MAX_MTIME = 0xFFFFFFFF

# libdeflate's slowest is 12, which gzip has no digit for.
BEST, SLOWEST = 9, 12


def _level_options(command: Any) -> Any:
    for digit in range(BEST, 0, -1):
        level = SLOWEST if digit == BEST else digit
        words = {1: "With libdeflate 1, its fastest.", BEST: "With libdeflate 12.  [default]"}
        command = click.option(
            f"-{digit}", "level", flag_value=level, type=int, help=words.get(digit),
            hidden=digit not in words,
        )(command)  # fmt: skip
    return command


@click.command("gzip", short_help="Compress files, and undo it.")
@click.argument("files", metavar="[FILE]...", type=Place(), nargs=-1)
@click.option("-d", "--decompress", "undo", is_flag=True, help="Undo it.")
@click.option("-c", "--stdout", "to_stdout", is_flag=True, help="To standard output; keep FILEs.")
@click.option("-k", "--keep", is_flag=True, help="Keep FILEs.")
@click.option("-f", "--force", is_flag=True, help="Overwrite, follow links, write to terminals.")
@click.option("-n", "--no-name", is_flag=True, help="Put no name and no time in the header.")
@_level_options
@click.option("--zopfli", is_flag=True, help="With zopfli, which takes long.")
@click.option("--max-unpacked", type=Size(), help="What a FILE may unpack to.  [default: 1G]")
def gzip_command(
    *, files: tuple[Path, ...], to_stdout: bool, max_unpacked: int | None, **options: Any
) -> None:
    """Compress each FILE to FILE.gz, and remove it; or, with -d, the other way.

    Without FILE, or where it is -, standard input goes to standard output. -2 to -8 are
    libdeflate's levels of these numbers.

    \b
    Examples:
      purekernel tool gzip -k -n initrd.cpio
      purekernel tool gzip -d < core.gz | cpio -t
    """  # noqa: D301  # click reads the backspace as "keep these lines"
    from purekernel.cli.terminal import say_bytes  # noqa: PLC0415
    from purekernel.formats.limits import limits_of  # noqa: PLC0415

    limits = limits_of(max_unpacked)
    errors = []
    for path in files or (Path(STREAM),):
        try:
            if str(path) == STREAM or to_stdout:
                _check_terminal(**options)
                data, name, mtime = _load(path, limits)
                source = "standard input" if str(path) == STREAM else str(path)
                say_bytes(_turn(data, source, name, mtime, limits=limits, **options))
            else:
                _replace(path, limits, **options)
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)


def _replace(path: Path, limits: Limits, *, force: bool, keep: bool, **options: Any) -> None:
    from purekernel.host.write import write_whole  # noqa: PLC0415

    output = _output(path, undo=options["undo"])
    if not force and path.is_symlink():
        raise InputError(f"{path} is a link, and would be replaced", hint="add -f, or use -c")
    data, name, mtime = _load(path, limits)
    status = path.stat()
    if not force and not keep and status.st_nlink > 1:
        raise InputError(f"{path} has other names by hard links", hint="add -k to keep it, or -f")
    if not force and (output.exists() or output.is_symlink()):
        raise OutputError(f"{output} is there already", hint="add -f to overwrite it, or use -c")
    made = _turn(data, str(path), name, mtime, limits=limits, **options)
    times_ns = status.st_atime_ns, status.st_mtime_ns
    write_whole(output, made, mode=stat.S_IMODE(status.st_mode), times_ns=times_ns)
    if keep:
        return
    try:
        path.unlink()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be removed: {error.strerror or error}",
            hint=f"{output} is complete; remove the other yourself",
        ) from None


def _output(path: Path, *, undo: bool) -> Path:
    """Return where what becomes of the file at ``path`` goes."""
    for suffix, other in SUFFIXES.items():
        if not path.name.endswith(suffix) or path.name == suffix:
            continue
        if undo:
            return path.with_name(path.name[: -len(suffix)] + other)
        raise InputError(
            f"{path} is compressed already: its name ends with {suffix}", hint="use -c"
        )
    if undo:
        raise InputError(
            f"{path} has a name without .gz, so none is left for what is in it", hint="use -c"
        )
    return path.with_name(path.name + ".gz")


def _load(path: Path, limits: Limits) -> tuple[bytes, bytes, int]:
    """Return what is in a file or standard input, and its name and time for a header."""
    from purekernel.host.read import load_file  # noqa: PLC0415

    if str(path) != STREAM:
        data = load_file(path, limits=limits)
        mtime = int(path.stat().st_mtime)
        return data, os.fsencode(path.name), mtime if 0 < mtime <= MAX_MTIME else 0
    if sys.stdin is None:  # closed by whoever started us
        raise InputError("standard input is closed", hint="name a file")
    data = sys.stdin.buffer.read(limits.unpacked_bytes + 1)
    limits.check_unpacked(len(data), source="standard input")
    return data, b"", 0


def _turn(
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
    """Return ``data`` compressed, or no longer so."""
    if undo:
        from purekernel.formats.gzip import parse_gzip  # noqa: PLC0415

        return parse_gzip(data, source=source, limits=limits)
    from purekernel.encode.encoders import Encoder, Libdeflate, Zopfli, compress  # noqa: PLC0415

    encoder: Encoder = Zopfli() if zopfli else Libdeflate(level=level or SLOWEST)
    if no_name:
        name, mtime = b"", 0
    return compress(data, encoder=encoder, name=name, mtime=mtime)


def _check_terminal(*, undo: bool, force: bool, **_options: Any) -> None:
    if not undo and not force and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError(
            "compressed data would go to a terminal", hint="send it elsewhere, or add -f"
        )
