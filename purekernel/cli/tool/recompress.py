"""Run ``purekernel tool recompress``: make extensions smaller in place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purekernel.cli.parameters import IntegerRange, PathParameter, Size
from purekernel.cli.printer import Printer, reports
from purekernel.cli.tool.mksquashfs import EFFORTS
from purekernel.errors import PurekernelError, raise_all

if TYPE_CHECKING:
    from purekernel.tools.recompress import RecompressedImage


@click.command("recompress", short_help="Make extensions (.tcz) smaller in place.")
@click.argument("images", metavar="IMAGE...", type=PathParameter(), nargs=-1, required=True)
@click.option(
    "--effort", type=click.Choice(EFFORTS), default="max", show_default=True,
    help="How much time to spend on a small image.",
)  # fmt: skip
@click.option(
    "--jobs", type=IntegerRange(1, 1024), metavar="N",
    help="How many blocks to compress at once.  [default: one per processor]",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Print no sizes.")
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of an IMAGE.  [default: 1G]"
)
@reports
def recompress_command(
    printer: Printer, /, *, images: tuple[Path, ...], quiet: bool, **options: Any
) -> None:
    """Recompress each squashfs IMAGE in place, and write IMAGE.md5.txt beside it.

    The new image has the same content, which is checked, the same block size and the same
    compression. An image that would not become smaller is unchanged, and so is its checksum.

    \b
    Examples:
      purekernel tool recompress tce/optional/*.tcz
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.recompress import recompress_images  # noqa: PLC0415  # too slow for --help

    recompressed: list[dict[str, object]] = []
    printer.document["files"] = recompressed
    errors = []
    for result in recompress_images(images, **options):
        if isinstance(result, PurekernelError):
            errors.append(result)
            continue
        recompressed.append(describe(result))
        if not quiet:
            printer.text(f"{sizes(result.old_bytes, result.new_bytes)} {result.path}")
    raise_all(errors)


def sizes(old_bytes: int, new_bytes: int) -> str:
    """Return the columns that advdef prints.

    Source: AdvanceCOMP 2.5, redef.cc.
    """
    percent = new_bytes * 100 // old_bytes if old_bytes else 0
    return f"{old_bytes:12}{new_bytes:12} {percent:3}%"


def describe(result: RecompressedImage) -> dict[str, object]:
    """Return the JSON of a recompressed file."""
    return {
        "path": str(result.path),
        "old_bytes": result.old_bytes,
        "new_bytes": result.new_bytes,
    }
