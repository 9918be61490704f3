"""``purekernel tool advdef``: recompress gzip files in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from purekernel.cli.parameters import IntegerRange, PathParameter, Size
from purekernel.cli.printer import Printer, reports
from purekernel.cli.tool.recompress import describe, sizes
from purekernel.errors import PurekernelError, UsageError, raise_all

STORE, FAST, NORMAL, EXTRA, INSANE = range(5)

ITERATIONS = 15


@click.command("advdef", short_help="Recompress gzip files in place.")
@click.argument("files", metavar="[FILE]...", type=PathParameter(), nargs=-1)
@click.option("-z", "--recompress", "is_asked", is_flag=True, help="Recompress FILEs; required.")
@click.option(
    "-0", "--shrink-store", "level", flag_value=STORE, type=int, help="Store without compression."
)
@click.option(
    "-1", "--shrink-fast", "level", flag_value=FAST, type=int, help="Compress with libdeflate 1."
)
@click.option(
    "-2",
    "--shrink-normal",
    "level",
    flag_value=NORMAL,
    type=int,
    help="Compress with libdeflate 6.",
)
@click.option(
    "-3", "--shrink-extra", "level", flag_value=EXTRA, type=int,
    help="Compress with libdeflate 12, its slowest.  [default]",
)  # fmt: skip
@click.option(
    "-4", "--shrink-insane", "level", flag_value=INSANE, type=int,
    help="Compress with libdeflate 12 and with zopfli, and keep the smaller.",
)  # fmt: skip
@click.option(
    "-i", "--iter", "iterations", metavar="N", type=IntegerRange(1, 10_000), default=ITERATIONS,
    show_default=True, help="How many iterations zopfli makes with -4.",
)  # fmt: skip
@click.option(
    "-f", "--force", "is_forced", is_flag=True, help="Write the result even if it is larger."
)
@click.option("-q", "--quiet", is_flag=True, help="Print no sizes.")
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of a FILE.  [default: 1G]"
)
@reports
def advdef_command(
    printer: Printer,
    /,
    *,
    files: tuple[Path, ...],
    is_asked: bool,
    level: int | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Recompress each gzip FILE in place, as advdef -z does.

    FILE is recognised by its content. The new file unpacks to the same bytes, which is checked, and
    is never larger unless -f or -0 is given. Each line has the old size, the new size, the new size
    in percent of the old one, and the name.

    \b
    Examples:
      purekernel tool advdef -z -4 core.gz
      purekernel tool advdef -z -q *.gz
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.recompress import recompress_gzip_files  # noqa: PLC0415

    if not is_asked:
        raise UsageError("-z is missing", hint="add -z to recompress the files")
    recompressed: list[dict[str, object]] = []
    printer.document["files"] = recompressed
    old_total = new_total = 0
    errors = []
    chosen = EXTRA if level is None else level
    for result in recompress_gzip_files(files, level=chosen, **options):
        if isinstance(result, PurekernelError):
            errors.append(result)
            continue
        recompressed.append(describe(result))
        old_total += result.old_bytes
        new_total += result.new_bytes
        if not quiet:
            remark = "" if result.larger_bytes is None else f" (Bigger {result.larger_bytes})"
            printer.text(f"{sizes(result.old_bytes, result.new_bytes)} {result.path}{remark}")
    if not quiet:
        printer.text(sizes(old_total, new_total))
    raise_all(errors)
