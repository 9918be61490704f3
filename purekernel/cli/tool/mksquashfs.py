"""Run ``purekernel tool mksquashfs``: make an extension, or any squashfs image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from purekernel.cli.parameters import IntegerRange, PathParameter, Size
from purekernel.cli.printer import Printer, reports
from purekernel.cli.tool.single_dash import SingleDashCommand
from purekernel.errors import UsageError

# The values of SquashfsCompression and Effort in purekernel.encode, which
# are too slow to import for --help.
COMPRESSIONS = ("gzip", "xz", "lz4", "zstd")
EFFORTS = ("fast", "balanced", "max")

TIME = IntegerRange(0, 0xFFFFFFFF)


@click.command(
    "mksquashfs",
    cls=SingleDashCommand,
    rest_option="-e",
    short_help="Make an extension, or any squashfs image.",
)
@click.argument("places", metavar="SOURCE... OUT", type=PathParameter(), nargs=-1)
@click.option(
    "-b", "block_bytes", type=Size(), metavar="SIZE", default=4096, show_default=True,
    help="The block size: a power of two up to 1M. Tiny Core uses 4096.",
)  # fmt: skip
@click.option(
    "-comp", "compression", type=click.Choice(COMPRESSIONS), default="gzip", show_default=True,
    help="The compression of blocks.",
)  # fmt: skip
@click.option(
    "--effort", type=click.Choice(EFFORTS), default="fast", show_default=True,
    help="How much time to spend on a small image.",
)  # fmt: skip
@click.option("-noappend", "replace", is_flag=True, help="Replace OUT if it exists.")
@click.option("-all-root", "-root-owned", "all_root", is_flag=True, help="Make root own all files.")
@click.option("-force-uid", metavar="USER", help="Make USER, a number or a name, own all files.")
@click.option("-force-gid", metavar="GROUP", help="Set the group of all files to GROUP.")
@click.option(
    "-xattrs/-no-xattrs", default=True, help="Store extended attributes.  [default: -xattrs]"
)
@click.option(
    "-e", "excluded", metavar="PATH...", multiple=True,
    help="Exclude these paths; takes all arguments that follow.",
)  # fmt: skip
@click.option(
    "-ef",
    "exclude_file",
    type=PathParameter(),
    metavar="FILE",
    help="Exclude the paths that FILE lists.",
)
@click.option(
    "-sort", "sort_file", type=PathParameter(), metavar="FILE",
    help="Order files by the priorities in FILE: a path and a number per line.",
)  # fmt: skip
@click.option(
    "-mkfs-time", "-fstime", "mkfs_time", type=TIME, metavar="SECONDS",
    help="The image's time of creation, since 1970, UTC.  [default: the newest time in it]",
)  # fmt: skip
@click.option("-all-time", type=TIME, metavar="SECONDS", help="Set the time of all files.")
@click.option(
    "--timestamp", type=TIME, metavar="SECONDS", envvar="SOURCE_DATE_EPOCH", show_envvar=True,
    help="The image's time of creation; newer times of files are set to it.",
)  # fmt: skip
@click.option(
    "-processors", type=IntegerRange(1, 1024), metavar="N",
    help="How many blocks to compress at once.  [default: one per processor]",
)  # fmt: skip
@click.option("-no-fragments", is_flag=True, help="Do not let the ends of files share blocks.")
@click.option("-no-exports", is_flag=True, help="Write no export table, which NFS needs.")
@click.option("-no-duplicates", is_flag=True, help="Store files of equal content separately.")
@click.option("-nopad", is_flag=True, help="Do not pad to a multiple of 4 KiB.")
@click.option(
    "-always-use-fragments", "-tailends", "-exports", "-no-progress", "-reproducible", "ignored",
    is_flag=True, help="Ignored: this is always the case.",
)  # fmt: skip
@click.option("-quiet", is_flag=True, help="Print nothing.")
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of a SOURCE.  [default: 1G]"
)
@reports
def mksquashfs_command(
    printer: Printer,
    /,
    *,
    places: tuple[Path, ...],
    replace: bool,
    ignored: bool,  # noqa: ARG001  # as its help says
    quiet: bool,
    **options: Any,
) -> None:
    """Make the squashfs image OUT from the content of SOURCE, as mksquashfs does.

    SOURCE is a folder, a tar or cpio archive, compressed or not, or another squashfs image.
    Several SOURCEs, and files that are not archives, are added under their own names.

    \b
    Examples:
      purekernel tool mksquashfs root/ my.tcz -all-root
      purekernel tool mksquashfs data.tar.xz my.tcz -noappend --effort max
      purekernel tool mksquashfs root/ my.tcz -noappend -e usr/share/doc usr/share/man
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.host.read import exists  # noqa: PLC0415  # too slow for --help
    from purekernel.tools.mksquashfs import make_squashfs  # noqa: PLC0415  # too slow for --help

    if len(places) < 2:
        raise UsageError("SOURCE or OUT is missing", hint="see 'purekernel tool mksquashfs --help'")
    *sources, out = places
    if exists(out) and not replace:
        raise UsageError(
            f"{out} exists already, and appending to images is not supported",
            hint="add -noappend to replace it, or use another name",
        )
    made = make_squashfs(sources, out, note=printer.note, **options)
    compression, block_bytes = options["compression"], options["block_bytes"]
    printer.document |= {
        "image": str(out), "bytes": made.size_bytes, "names": made.names,
        "compression": compression, "block_bytes": block_bytes,
    }  # fmt: skip
    if not quiet:
        text = f"{out}: {made.size_bytes} bytes, {made.names} names, {compression}, {block_bytes}"
        printer.text(text)
