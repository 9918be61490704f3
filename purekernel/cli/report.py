"""Run ``purekernel report``: write a page about an image."""

from __future__ import annotations

import click

from purekernel.cli.parameters import OutputParameter, Size
from purekernel.cli.printer import Printer, reports
from purekernel.errors import raise_all

STDOUT = "-"


@click.command("report", short_help="Write a page about an image: what takes its space.")
@click.argument("image", metavar="IMAGE")
@click.option(
    "-o", "--output", metavar="FILE", type=OutputParameter(), default="report.html",
    show_default=True, help="The page to write; - for stdout.",
)  # fmt: skip
@click.option("--against", metavar="OLD", help="An earlier image, to show what changed since then.")
@click.option(
    "--max-unpacked", type=Size(),
    help="The maximum size of what is unpacked, such as 4G.  [default: 2G, and 1G for each]",
)  # fmt: skip
@reports
def report_command(
    printer: Printer,
    /,
    *,
    image: str,
    output: str,
    against: str | None,
    max_unpacked: int | None,
) -> None:
    """Write one HTML page about IMAGE, for a browser.

    IMAGE is an ISO, a disk, an initrd, an extension, another archive, or a folder. The page shows
    what takes the space, packed and unpacked; where each file comes from; the extensions and what
    they need; what changed since an earlier image; findings; and components. It needs no network.
    The same image gives the same page.

    \b
    Examples:
      purekernel report Core-current.iso
      purekernel report bash.tcz -o bash.html
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.report import write_report  # noqa: PLC0415  # too slow for --help

    report, written = write_report(
        image,
        against=against,
        target=printer.take_stdout() if output == STDOUT else output,
        max_unpacked=max_unpacked,
        note=printer.note_later,
    )
    printer.document.update(
        {"path": output, "bytes": written.size_bytes, "sha256": written.sha256, **report.json()}
    )
    printer.text(f"{'stdout' if output == STDOUT else output}  {written.size_bytes / 1e6:.2f} MB")
    raise_all(report.faults)
