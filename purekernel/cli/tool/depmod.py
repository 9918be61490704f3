"""Run ``purekernel tool depmod``: index the modules of a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from purekernel.cli.parameters import PathParameter
from purekernel.cli.printer import Printer, reports
from purekernel.cli.tool.roots import change_options, refuse_output
from purekernel.errors import UsageError


@click.command("depmod", short_help="Index the modules of a kernel.")
@click.argument("release", metavar="[KVER]", required=False)
@click.option("-b", "--basedir", "root_place", metavar="ROOT", help="The root file system.")
@click.option("-a", "--all", "everything", is_flag=True, help="Index all modules; always the case.")
@click.option(
    "-A", "--quick", is_flag=True, help="Index only if a module is newer than modules.dep."
)
@click.option("-n", "--show", is_flag=True, help="Print the text files, and write nothing.")
@click.option("-e", "--errsyms", is_flag=True, help="Report unresolved symbols; requires -E or -F.")
@click.option(
    "-F",
    "--filesyms",
    "system_map",
    metavar="FILE",
    type=PathParameter(),
    help="The kernel's System.map.",
)
@click.option(
    "-E", "--symvers", metavar="FILE", type=PathParameter(),
    help="The kernel's Module.symvers, whose checksums modules must match.",
)  # fmt: skip
@click.option("-w", "--warn", is_flag=True, help="Report duplicate aliases and symbols.")
@click.option(
    "--dialect", metavar="WHOSE",
    help="The format of the files: kmod, kmod:34, busybox or busybox:1.20.  [default: ROOT's]",
)  # fmt: skip
@change_options
@reports
def depmod_command(
    printer: Printer,
    /,
    *,
    root_place: str | None,
    everything: bool,  # noqa: ARG001  # always the case
    show: bool,
    output: Path | None,
    **options: Any,
) -> None:
    """Write the modules.* files in ROOT, which modprobe reads to find modules and dependencies.

    KVER is the kernel's release, the name of a folder in lib/modules. Without KVER, index the
    modules of all kernels.

    \b
    Examples:
      purekernel tool depmod -b root/ 6.1.0-50-amd64
      purekernel tool depmod -b Core-current.iso -n
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.depmod import run_depmod  # noqa: PLC0415  # too slow for --help

    if root_place is None:
        raise UsageError(
            "the root file system is missing",
            hint="set it with -b; for this system, use its own depmod",
        )
    if show:
        refuse_output(output, "-n")
    kernels: list[dict[str, object]] = []
    printer.document["kernels"] = kernels
    for index in run_depmod(root_place, show=show, output=output, note=printer.note, **options):
        texts = {name: text for name, text in index.files.items() if not name.endswith(b".bin")}
        shown: dict[str, object] = {"texts": texts} if show else {}
        kernels.append({"release": index.release, "files": list(index.files), **shown})
        if show:
            for text in texts.values():
                printer.lines(text.split(b"\n")[:-1])
