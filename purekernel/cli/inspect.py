"""Run ``purekernel inspect``: show how an image is built, and what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from purekernel.cli.parameters import Size
from purekernel.cli.printer import Printer, reports
from purekernel.errors import PurekernelError, UsageError, raise_all

if TYPE_CHECKING:
    from purekernel.analysis.inspection import Inspection, View


@click.command("inspect", short_help="Show how an image is built, and all files in it.")
@click.argument("image", metavar="IMAGE")
@click.option(
    "-l", "--long", "is_long", is_flag=True,
    help="List full paths, with numbers of names and times.",
)  # fmt: skip
@click.option(
    "--sort", "order", type=click.Choice(("name", "size", "time")), default="name",
    show_default=True, help="The largest, or the newest, first.",
)  # fmt: skip
@click.option(
    "--depth", type=click.IntRange(min=0), metavar="N",
    help="Show so many levels of folders; 0 shows no files.  [default: all; 2 for --usage]",
)  # fmt: skip
@click.option(
    "--find", "patterns", metavar="GLOB", multiple=True,
    help="List only files with this name, or with this path if it has a slash. May be repeated.",
)  # fmt: skip
@click.option("--usage", is_flag=True, help="Show what takes the space, raw and packed.")
@click.option(
    "--extract", "folder", type=click.Path(path_type=Path), metavar="DIR",
    help="Unpack the files of IMAGE into the new folder DIR; with --find, only these.",
)  # fmt: skip
@click.option("--mtree", is_flag=True, help="Print a manifest of IMAGE, as mtree reads it.")
@click.option(
    "--max-unpacked", type=Size(),
    help="The maximum size of what is unpacked, such as 4G.  [default: 2G, and 1G for each]",
)  # fmt: skip
@reports
def inspect_command(
    printer: Printer,
    /,
    *,
    image: str,
    is_long: bool,
    order: str,
    depth: int | None,
    patterns: tuple[str, ...],
    usage: bool,
    folder: Path | None,
    mtree: bool,
    max_unpacked: int | None,
) -> None:
    """Show how IMAGE is built, and a tree of the files in it.

    IMAGE is an ISO, a disk image, an initrd, an extension, a package, a bundle, a container image,
    another archive, a kernel or a folder, or a place inside one (see 'purekernel ls --help'). The
    initrds, extensions and partitions inside it are shown too. Of a damaged image, all that can be
    read is shown, then where and why reading stopped; the exit status is 1.

    \b
    Examples:
      purekernel inspect Core-current.iso
      purekernel inspect Core-current.iso --depth 0
      purekernel inspect Core-current.iso:boot/core.gz --long --sort size
      purekernel inspect Core-current.iso --find '*.ko.gz'
      purekernel inspect Core-current.iso --usage
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.analysis.inspection import (  # noqa: PLC0415  # too slow for --help
        Order,
        View,
        inspect_image,
        parse_patterns,
    )
    from purekernel.input import limits_of  # noqa: PLC0415

    if usage + mtree + (folder is not None) > 1:
        raise UsageError(
            "--usage, --mtree and --extract exclude each other", hint="give one of them"
        )
    if mtree and printer.as_json:
        raise UsageError("a manifest is not JSON", hint="leave out --json or --mtree")
    view = View(is_long=is_long, order=Order(order), depth=depth, patterns=parse_patterns(patterns))
    found = inspect_image(image, limits=limits_of(max_unpacked, report=printer.note_later))
    faults = [*found.faults]
    if mtree:
        printer.lines(found.mtree(faults.append))
    elif folder is not None:
        faults += _extract(printer, found, view, folder)
    elif printer.as_json:
        printer.document.update(found.json(view))
        if usage:
            printer.document["usage"] = found.usage_json()
    else:
        lines = found.usage_lines(2 if depth is None else depth) if usage else found.lines(view)
        printer.lines(line.encode("utf-8", "surrogateescape") for line in lines)
    raise_all({str(fault): fault for fault in faults}.values())


def _extract(
    printer: Printer, found: Inspection, view: View, folder: Path
) -> tuple[PurekernelError, ...]:
    """Unpack an image; return what could not be unpacked."""
    unpacked = found.extract(view, folder)
    for note in unpacked.notes:
        printer.note(note)
    printer.document["names"] = unpacked.names
    printer.text(f"{unpacked.names} names unpacked into {folder}")
    return unpacked.errors
