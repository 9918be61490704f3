"""Run ``purekernel cat``: print files, also from inside archives."""

from __future__ import annotations

import click

from purekernel.cli.parameters import Size
from purekernel.cli.printer import Printer, reports
from purekernel.errors import PurekernelError, UsageError, raise_all


@click.command("cat", short_help="Print a file, also from inside an ISO or archive.")
@click.argument("places", metavar="PLACE...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Print binary data on a terminal too.")
@click.option(
    "--max-unpacked", type=Size(),
    help="The maximum size of what is unpacked, such as 4G.  [default: 2G, and 1G for each]",
)  # fmt: skip
@reports
def cat_command(
    printer: Printer, /, *, places: tuple[str, ...], force: bool, max_unpacked: int | None
) -> None:
    """Print the file at each PLACE, unchanged, on stdout.

    PLACE is a file, or a place inside one: a colon after an archive or file system image leads
    into it, and again into an archive there. Links are followed inside their own archive. Nothing
    is unpacked at the end: a PLACE that ends in core.gz gives the bytes of core.gz.

    \b
    Examples:
      purekernel cat Core-current.iso:boot/isolinux/isolinux.cfg
      purekernel cat Core-current.iso:boot/core.gz:etc/passwd
      purekernel cat Core-current.iso:boot/core.gz > core.gz
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.analysis.open import load_places  # noqa: PLC0415  # too slow for --help

    if printer.as_json:
        raise UsageError("cat prints data, not JSON", hint="leave out --json")
    errors: list[PurekernelError] = []
    for file in load_places(places, max_unpacked=max_unpacked, note=printer.note_later):
        if isinstance(file, PurekernelError):
            errors.append(file)
            continue
        refusal = None if force else printer.find_unprintable(file)
        if refusal is None:
            printer.contents(file.data)
        else:
            errors.append(refusal)
    raise_all(errors)
