"""Run ``purekernel ls``: list what is in any file or folder."""

from __future__ import annotations

import os

import click

from purekernel.cli.parameters import Size
from purekernel.cli.printer import Printer, reports
from purekernel.errors import PurekernelError, raise_all


@click.command("ls", short_help="List what is in an ISO, a core.gz, an extension, any archive.")
@click.argument("places", metavar="PLACE...", nargs=-1, required=True)
@click.option(
    "-l", "--long", "is_long", is_flag=True,
    help="List modes, numbers of names, owners, sizes, times and targets of links too.",
)  # fmt: skip
@click.option("-R", "--recursive", is_flag=True, help="List the folders below too.")
@click.option("-d", "--directory", is_flag=True, help="List PLACE itself, not what is in it.")
@click.option("-0", "--null", "nul", is_flag=True, help="End each line with NUL, not newline.")
@click.option(
    "--max-unpacked", type=Size(),
    help="The maximum size of what is unpacked, such as 4G.  [default: 2G, and 1G for each]",
)  # fmt: skip
@reports
def ls_command(
    printer: Printer,
    /,
    *,
    places: tuple[str, ...],
    is_long: bool,
    recursive: bool,
    directory: bool,
    nul: bool,
    max_unpacked: int | None,
) -> None:
    """List what is at each PLACE.

    PLACE is a folder, an archive or file system image of any kind, compressed or not, or a place
    inside one: a colon after a file leads into it, and again into an archive there. Nothing is
    written to disk. Owners are numbers, and times are in UTC.

    \b
    Examples:
      purekernel ls -l Core-current.iso:boot
      purekernel ls -R Core-current.iso:boot/core.gz:etc/init.d
      purekernel ls -l bash.tcz
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.analysis.listing import list_places  # noqa: PLC0415  # too slow for --help

    described: list[dict[str, object]] = []
    printer.document["places"] = described
    errors: list[PurekernelError] = []
    end = b"\0" if nul else b"\n"
    is_first = True
    for place, listing in list_places(
        places,
        is_recursive=recursive,
        is_itself=directory,
        max_unpacked=max_unpacked,
        note=printer.note_later,
    ):
        if isinstance(listing, PurekernelError):
            errors.append(listing)
            continue
        if printer.as_json:
            described.append({"place": place, **listing.json()})
        if len(places) > 1 and listing.is_folder:
            heading = os.fsencode(place) + b":"
            printer.lines([heading] if is_first else [b"", heading], end=end)
        printer.lines(listing.lines(is_long=is_long), end=end)
        is_first = False
    raise_all(errors)
