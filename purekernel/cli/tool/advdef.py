"""``purekernel tool advdef``: recompress gzip files in place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from purekernel.cli.parameters import Place, Size
from purekernel.errors import OutputError, PurekernelError, UsageError, raise_all

if TYPE_CHECKING:
    from purekernel.encode.encoders import Encoder
    from purekernel.input import Limits

STORE, FAST, NORMAL, EXTRA, INSANE = range(5)

ITERATIONS = 15


@click.command("advdef", short_help="Recompress gzip files in place.")
@click.argument("files", metavar="[FILE]...", type=Place(), nargs=-1)
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
    "-i", "--iter", "iterations", metavar="N", type=click.IntRange(1, 10_000), default=ITERATIONS,
    show_default=True, help="How many iterations zopfli makes with -4.",
)  # fmt: skip
@click.option(
    "-f", "--force", "is_forced", is_flag=True, help="Write the result even if it is larger."
)
@click.option("-q", "--quiet", is_flag=True, help="Print no sizes.")
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of a FILE.  [default: 1G]"
)
def advdef_command(
    *,
    files: tuple[Path, ...],
    is_asked: bool,
    level: int | None,
    iterations: int,
    is_forced: bool,
    quiet: bool,
    max_unpacked: int | None,
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
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.input import limits_of  # noqa: PLC0415

    if not is_asked:
        raise UsageError("-z is missing", hint="add -z to recompress the files")
    chosen = EXTRA if level is None else level
    encoders = _encoders(chosen, iterations)
    limits = limits_of(max_unpacked)
    old_total = new_total = 0
    errors = []
    for path in files:
        try:
            old_bytes, new_bytes, remark = _recompress_file(
                path, encoders, is_forced=is_forced or chosen == STORE, limits=limits
            )
        except PurekernelError as error:
            errors.append(error)
            continue
        old_total += old_bytes
        new_total += new_bytes
        if not quiet:
            say(f"{_sizes(old_bytes, new_bytes)} {path}{remark}")
    if not quiet:
        say(_sizes(old_total, new_total))
    raise_all(errors)


def _encoders(level: int, iterations: int) -> tuple[Encoder, ...]:
    from purekernel.encode.encoders import Libdeflate, Stored, Zopfli  # noqa: PLC0415

    known: dict[int, tuple[Encoder, ...]] = {
        STORE: (Stored(),),
        FAST: (Libdeflate(level=1),),
        NORMAL: (Libdeflate(level=6),),
        EXTRA: (Libdeflate(),),
        INSANE: (Libdeflate(), Zopfli(iterations=iterations)),
    }
    return known[level]


def _recompress_file(
    path: Path, encoders: tuple[Encoder, ...], *, is_forced: bool, limits: Limits
) -> tuple[int, int, str]:
    """Return a file's old and new size in bytes, and what is remarked on it."""
    from purekernel.encode.recompress import recompress  # noqa: PLC0415
    from purekernel.host.read import load_file  # noqa: PLC0415
    from purekernel.host.write import write_whole  # noqa: PLC0415

    old = load_file(path, limits=limits)
    done = recompress(old, encoders, source=str(path), is_forced=is_forced, limits=limits)
    if done.data != old:
        try:
            write_whole(path.resolve(), done.data)
        except OutputError as error:
            raise OutputError(
                error.message, hint="the file is unchanged; check its folder and the free space"
            ) from None
    is_bigger = done.data == old and done.fresh_bytes > len(old)
    return len(old), len(done.data), f" (Bigger {done.fresh_bytes})" if is_bigger else ""


def _sizes(old_bytes: int, new_bytes: int) -> str:
    """Return the columns that advdef prints.

    Source: AdvanceCOMP 2.5, redef.cc.
    """
    percent = new_bytes * 100 // old_bytes if old_bytes else 0
    return f"{old_bytes:12}{new_bytes:12} {percent:3}%"
