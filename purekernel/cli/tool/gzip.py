"""Run ``purekernel tool gzip``: compress or decompress files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from purekernel.cli.parameters import PathParameter, Size
from purekernel.cli.printer import Printer, reports
from purekernel.cli.terminal import is_terminal
from purekernel.errors import PurekernelError, UsageError, raise_all

STREAM = "-"

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
@click.argument("files", metavar="[FILE]...", type=PathParameter(), nargs=-1)
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
@reports
def gzip_command(
    printer: Printer,
    /,
    *,
    files: tuple[Path, ...],
    to_stdout: bool,
    level: int | None,
    **options: Any,
) -> None:
    """Compress each FILE to FILE.gz and delete FILE; with -d, decompress.

    Without FILE, or if FILE is -, read stdin and write stdout. -2 to -8 are libdeflate's levels
    of the same number.

    \b
    Examples:
      purekernel tool gzip -k -n initrd.cpio
      purekernel tool gzip -d < core.gz | cpio -t
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.gzip import GzipOptions, convert, convert_file  # noqa: PLC0415

    chosen = GzipOptions(level=level or SLOWEST, **options)
    converted: list[dict[str, object]] = []
    printer.document["files"] = converted
    errors = []
    for path in files or (Path(STREAM),):
        is_stream = str(path) == STREAM
        try:
            if is_stream or to_stdout:
                _check_stdout(printer, undo=chosen.undo, force=chosen.force)
                printer.contents(convert(None if is_stream else path, chosen))
                continue
            done = convert_file(path, chosen)
        except PurekernelError as error:
            errors.append(error)
            continue
        converted.append({
            "path": str(done.path), "output": str(done.output),
            "old_bytes": done.old_bytes, "new_bytes": done.new_bytes,
        })  # fmt: skip
    raise_all(errors)


def _check_stdout(printer: Printer, /, *, undo: bool, force: bool) -> None:
    if printer.as_json:
        raise UsageError(
            "--json prints JSON on stdout, and cannot be used if the data goes there",
            hint="add the name of a file, and leave out -c",
        )
    if not undo and not force and is_terminal(sys.stdout):
        raise UsageError(
            "stdout is a terminal, and the data is compressed", hint="redirect stdout, or add -f"
        )
