"""Run ``purekernel tool unsquashfs``: list or unpack an extension, or any squashfs image."""

from __future__ import annotations

import os
from pathlib import Path

import click

from purekernel.cli.parameters import PathParameter, Size
from purekernel.cli.printer import Printer, reports
from purekernel.cli.tool.single_dash import SingleDashCommand
from purekernel.errors import UsageError, raise_all


@click.command(
    "unsquashfs", cls=SingleDashCommand, short_help="List or unpack an extension, or any image."
)
@click.argument("image", metavar="IMAGE", type=PathParameter())
@click.argument("wanted", metavar="[PATH]...", nargs=-1)
@click.option("-l", "-ls", "short", is_flag=True, help="List names only.")
@click.option(
    "-ll", "-lls", "long", is_flag=True, help="List names, modes, owners, sizes and times."
)
@click.option("-lln", "-llnumeric", "numeric", is_flag=True, help="As -ll, with owners as numbers.")
@click.option("-s", "-stat", "facts", is_flag=True, help="Print the superblock of the image.")
@click.option("-cat", "cat", is_flag=True, help="Print the contents of the files at PATHs.")
@click.option(
    "-d", "-dest", "folder", type=PathParameter(), metavar="FOLDER", default="squashfs-root",
    show_default=True, help="Where to unpack.",
)  # fmt: skip
@click.option("-f", "-force", "replace", is_flag=True, help="Replace existing files.")
@click.option("-no-xattrs", is_flag=True, help="Set no extended attributes.")
@click.option("-q", "-quiet", "quiet", is_flag=True, help="Print no count.")
@click.option(
    "-n", "-no-progress", "-UTC", "-strict-errors", "ignored", is_flag=True,
    help="Ignored: this is always the case.",
)  # fmt: skip
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of IMAGE.  [default: 1G]"
)
@reports
def unsquashfs_command(
    printer: Printer,
    /,
    *,
    image: Path,
    wanted: tuple[str, ...],
    short: bool,
    long: bool,
    numeric: bool,
    facts: bool,
    cat: bool,
    folder: Path,
    replace: bool,
    no_xattrs: bool,
    quiet: bool,
    ignored: bool,  # noqa: ARG001  # as its help says
    max_unpacked: int | None,
) -> None:
    """List or unpack the squashfs image IMAGE, as unsquashfs does.

    With PATHs, list or unpack only these and everything below them; PATHs may contain *, ? and
    [...]. An ordinary user owns all unpacked files, and cannot make devices. Times are in UTC.

    \b
    Examples:
      purekernel tool unsquashfs -ll bash.tcz
      purekernel tool unsquashfs -d root/ bash.tcz usr/local/bin
      purekernel tool unsquashfs -cat bash.tcz usr/local/tce.installed/bash
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.unsquashfs import SquashfsTool  # noqa: PLC0415  # too slow for --help

    paths = [os.fsencode(text) for text in wanted]
    if sum((short, long or numeric, facts, cat)) > 1:
        raise UsageError("-l, -ll, -s and -cat exclude each other", hint="use one of them")
    if cat and printer.as_json:
        raise UsageError("-cat and --json exclude each other", hint="leave out one of them")
    if cat and not paths:
        raise UsageError("PATH is missing", hint="add the paths of files in the image")
    tool = SquashfsTool(image, max_unpacked=max_unpacked)
    if facts:
        printer.document |= tool.superblock_json()
        printer.text(*tool.superblock_lines())
    elif short or long or numeric:
        printer.document["entries"] = tool.entries(paths)
        printer.lines(tool.listing(paths, folder, is_long=not short, is_numeric=numeric))
    elif cat:
        printer.contents(b"".join(tool.contents(paths)))
    else:
        unpacked = tool.unpack(paths, folder, replace=replace, xattrs=not no_xattrs)
        for note in unpacked.notes:
            printer.note(note)
        printer.document |= {"folder": str(folder), "names": unpacked.names}
        if not quiet:
            printer.text(f"{folder}: {unpacked.names} names")
        raise_all(unpacked.errors)
