"""Run ``purekernel verify``: check that an image is intact."""

from __future__ import annotations

from pathlib import Path

import click

from purekernel.cli.parameters import PathParameter, Size
from purekernel.cli.printer import Printer, reports
from purekernel.errors import PurekernelError, VerificationError, raise_all


@click.command("verify", short_help="Check that an image is intact.")
@click.argument("image")
@click.option(
    "--lock",
    type=PathParameter(),
    metavar="FILE",
    help="Compare extensions, gems and the kernel with the digests in this lock file too.",
)
@click.option(
    "--max-unpacked", type=Size(),
    help="The maximum size of what is unpacked, such as 4G.  [default: 2G, and 1G for each]",
)  # fmt: skip
@reports
def verify_command(
    printer: Printer, /, *, image: str, lock: Path | None, max_unpacked: int | None
) -> None:
    """Check every digest, list and boot structure in IMAGE, and print each result.

    IMAGE is an ISO, a disk image, an initrd, an extension, a folder, or a place inside one. A
    check is 'ok', 'failed', or 'not there' if IMAGE has nothing to check. Exit status 1 if a check
    failed, or a part cannot be read.

    \b
    Examples:
      purekernel verify my-core.iso
      purekernel verify my-core.iso --lock purekernel.lock
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.verify import verify  # noqa: PLC0415  # too slow for --help

    done = verify(image, lock=lock, max_unpacked=max_unpacked, note=printer.note_later)
    failed = len(done.failed)
    printer.document |= {
        "image": image, "checks": [check.json() for check in done.checks], "failed": failed,
    }  # fmt: skip
    printer.text(*done.lines())
    errors: list[PurekernelError] = list(done.faults)
    if failed:
        count = "1 check failed" if failed == 1 else f"{failed} checks failed"
        errors.insert(0, VerificationError(f"{image}: {count}"))
    raise_all(errors)
