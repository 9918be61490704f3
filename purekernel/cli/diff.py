"""Run ``purekernel diff``: compare two images in depth."""

from __future__ import annotations

import click

from purekernel.cli.parameters import Size
from purekernel.cli.printer import DIFFERENT, TROUBLE, Printer, reports
from purekernel.errors import UsageError, raise_all

# Those of purekernel.analysis.diff.model, which --help does not import. Content and type always
# count.
ASPECTS = (
    "mode", "owner", "time", "link", "device", "xattrs", "hard-links", "structure", "packing",
)  # fmt: skip


def _aspects(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    names = [name.strip() for value in values for name in value.split(",")]
    for name in names:
        if name not in ASPECTS:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(ASPECTS)}")
    return tuple(names)


@click.command("diff", short_help="Compare two images, archives or folders in depth.")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option(
    "--ignore", metavar="WHAT", multiple=True, callback=_aspects,
    help=f"What not to compare, separated by commas: {', '.join(ASPECTS)}.",
)  # fmt: skip
@click.option("-q", "--brief", is_flag=True, help="Print one line, if OLD and NEW differ.")
@click.option("--stat", is_flag=True, help="Print a line for each change, not its content.")
@click.option(
    "--expand", is_flag=True,
    help="List each file of a folder that was added, removed or renamed as a whole.",
)  # fmt: skip
@click.option(
    "--changes", type=click.IntRange(min=0), default=200, show_default=True, metavar="N",
    help="The number of changes to print; 0 for all.",
)  # fmt: skip
@click.option(
    "--lines", type=click.IntRange(min=0), default=40, show_default=True, metavar="N",
    help="The number of lines to print about each content; 0 for all.",
)  # fmt: skip
@click.option(
    "--max-unpacked", type=Size(),
    help="The maximum size of what is unpacked, such as 4G.  [default: 2G, and 1G for each]",
)  # fmt: skip
@reports
def diff_command(
    printer: Printer,
    /,
    *,
    old: str,
    new: str,
    ignore: tuple[str, ...],
    brief: bool,
    stat: bool,
    expand: bool,
    changes: int,
    lines: int,
    max_unpacked: int | None,
) -> None:
    """Compare OLD and NEW: files, archives in archives, boot menus, partitions.

    Each is an image, an archive or a folder of any kind, or a place inside one: a colon after a
    file leads into it. Sizes are what a change adds to the image, packed; "about" marks estimates.

    Exit status: 0 if nothing differs, 1 if something does, 2 in case of trouble, as that of diff.

    \b
    Examples:
      purekernel diff Core-current.iso my.iso
      purekernel diff --ignore time,owner old.iso:boot/core.gz new.iso:boot/core.gz
      purekernel diff --stat old.tcz new.tcz
    """  # noqa: D301  # click keeps the line breaks after a backspace
    printer.error_status = TROUBLE
    if brief and stat:
        raise UsageError("--brief and --stat exclude each other", hint="leave one out")

    from purekernel.analysis.diff.render import diff_places  # noqa: PLC0415  # too slow for --help

    report = diff_places(
        old,
        new,
        ignore=ignore,
        shown={"changes": changes, "lines": lines, "has_details": not (brief or stat)},
        is_expanded=expand,
        max_unpacked=max_unpacked,
        note=printer.note_later,
    )
    is_same = report.comparison.is_same
    if printer.as_json:
        printer.document |= report.json()
    elif not brief:
        printer.text(*report.lines())
    elif not is_same:
        printer.text(f"{old} and {new} differ")
    if not is_same:
        printer.status = DIFFERENT
    raise_all(report.comparison.faults)
