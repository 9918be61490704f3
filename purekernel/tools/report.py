"""Write the page about an image."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from purekernel.analysis.report.collect import Report, make_report
from purekernel.host.write import Output, publish_file, send
from purekernel.input import Report as Note
from purekernel.input import limits_of


def write_report(
    image: str,
    *,
    against: str | None,
    target: str | BinaryIO,
    max_unpacked: int | None,
    note: Note,
) -> tuple[Report, Output]:
    """Write a page about an image; return what it shows, and the file.

    Args:
        image: the address of the image.
        against: the address of an earlier image to compare with.
        target: the path of the page, or a stream.
        max_unpacked: the limit of what is unpacked, in bytes; ``None`` for the default.
        note: called with what the readers drop or replace, a line each.

    Raises:
        InputError, MissingPathError: nothing is at an address.
        OutputError: the page cannot be written.
    """
    report = make_report(image, against=against, limits=limits_of(max_unpacked, report=note))
    if isinstance(target, str):
        return report, publish_file(Path(target), report.page)
    return report, send(target, report.page)
