"""Run ``purekernel tool deb2tcz``: make an extension from a Debian package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from purekernel.cli.parameters import IntegerRange, PathParameter, Size
from purekernel.cli.printer import Printer, reports
from purekernel.cli.tool.mksquashfs import EFFORTS


@click.command("deb2tcz", short_help="Make an extension (.tcz) from a Debian package.")
@click.argument("package", metavar="FILE.deb", type=PathParameter())
@click.argument("output", metavar="[OUT.tcz]", type=PathParameter(), required=False)
@click.option("--dep", "needs", metavar="NAME", multiple=True,
    help="An extension to depend on, for the .dep. Repeatable.")  # fmt: skip
@click.option("--script", type=PathParameter(), metavar="FILE",
    help="A script to run after postinst on load, such as Tiny Core's importscripts.",
)  # fmt: skip
@click.option("--keep-doc", is_flag=True, help="Keep usr/share/doc, man, menu and lintian.")
@click.option("--keep-empty", is_flag=True, help="Keep empty folders.")
@click.option("--no-library-links", is_flag=True,
    help="Make no links to libraries in the folders that Core's loader searches.")  # fmt: skip
@click.option("--effort", type=click.Choice(EFFORTS), default="balanced", show_default=True,
    help="How much time to spend on a small image.")  # fmt: skip
@click.option("--jobs", type=IntegerRange(1, 1024), metavar="N",
    help="How many blocks to compress at once.  [default: one per processor]",
)  # fmt: skip
@click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
@click.option("-q", "--quiet", is_flag=True, help="Print no names.")
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of FILE.  [default: 1G]"
)
@reports
def deb2tcz_command(
    printer: Printer, /, *, package: Path, output: Path | None, quiet: bool, **options: Any
) -> None:
    """Make an extension from a Debian package, and .md5.txt, .dep, .info and .list beside it.

    Without OUT.tcz, name it after the package, in the current folder. The package's postinst
    becomes usr/local/postinst/NAME, and the extension's start script calls it. The package's
    dependencies are printed; use --dep to depend on extensions instead.

    \b
    Examples:
      purekernel tool deb2tcz lshw_02.19-2_i386.deb
      purekernel tool deb2tcz --dep pci-utils.tcz lshw.deb tce/optional/lshw.tcz
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.deb2tcz import write_extension  # noqa: PLC0415  # too slow for --help

    written = write_extension(package, output, **options)
    for note in written.notes:
        printer.note(note)
    printer.document |= {
        "extension": str(written.path), "bytes": written.size_bytes,
        "package": written.package, "depends": written.depends,
    }  # fmt: skip
    if quiet:
        return
    printer.text(f"{written.path}  {written.size_bytes} bytes, from {written.package}")
    if written.depends:
        printer.text(f"depends on: {written.depends}")
