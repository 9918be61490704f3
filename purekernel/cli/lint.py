"""Run ``purekernel lint``: find what is wrong in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from purekernel.cli.parameters import Size
from purekernel.cli.printer import Printer, reports
from purekernel.errors import FindingError, PurekernelError, raise_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from purekernel.analysis.findings import Finding


@click.command("lint", short_help="Find what is wrong in an image.")
@click.argument("image", metavar="IMAGE")
@click.option(
    "--select", metavar="CODE", multiple=True,
    help="Report only findings with this code, or with codes that start so, such as PK7; repeat "
    "it for more.",
)  # fmt: skip
@click.option(
    "--ignore", metavar="CODE[:PATH]", multiple=True,
    help="Leave out findings with this code, or those with this code and a path or pattern; "
    "repeat it for more.",
)  # fmt: skip
@click.option(
    "--from", "origin", metavar="BASE",
    help="The image or root file system that IMAGE was made from; its findings are the base's. "
    " [default: Tiny Core, if it is known]",
)  # fmt: skip
@click.option("--base", "with_base", is_flag=True, help="List the findings of the base too.")
@click.option("--strict", is_flag=True, help="End with status 4 if a finding is an error.")
@click.option(
    "--max-unpacked", type=Size(),
    help="The maximum size of what is unpacked, such as 4G.  [default: 2G, and 1G for each]",
)  # fmt: skip
@reports
def lint_command(
    printer: Printer,
    /,
    *,
    image: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    origin: str | None,
    with_base: bool,
    strict: bool,
    max_unpacked: int | None,
) -> None:
    """List what will not work in IMAGE, or is a risk, one line for each finding.

    IMAGE is an ISO, a disk image, an initrd, an extension, a package, another archive, or a
    folder, and may be a place inside one, as for ls. Nothing is run, and no file changes. What the
    base has too, such as the empty password of Tiny Core's own user, is counted, and not listed.
    docs/findings.md explains each code.

    \b
    Examples:
      purekernel lint my-core.iso
      purekernel lint --select PK6 --select PK7 my-core.iso
      purekernel lint --ignore 'PK604' --from Core-current.iso my-core.iso
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.analysis.lint import lint_and_select  # noqa: PLC0415  # too slow for --help

    found, unused = lint_and_select(
        image,
        base=origin,
        select=select,
        ignore=ignore,
        max_unpacked=max_unpacked,
        note=printer.note_later,
    )
    for text in unused:
        printer.note(f"--ignore {text} applies to no finding")
    printer.text(*found.lines(with_base=with_base))
    if printer.as_json:
        printer.document |= found.json(with_base=with_base)
    raise_all([*found.faults, *_errors(found.findings, strict=strict)])


def _errors(findings: Sequence[Finding], *, strict: bool) -> list[PurekernelError]:
    errors = [finding for finding in findings if finding.severity.value == "error"]
    if not strict or not errors:
        return []
    count = "1 finding is an error" if len(errors) == 1 else f"{len(errors)} findings are errors"
    return [
        FindingError(
            f"{count}, such as {errors[0].code}: {errors[0].message}", hint=errors[0].remedy
        )
    ]
