"""Run ``purekernel tool ldconfig``: make links to libraries, and the loader's cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from purekernel.cli.printer import Printer, reports
from purekernel.cli.tool.roots import change_options, refuse_output
from purekernel.errors import UsageError

CACHE = "/etc/ld.so.cache"
CONFIGURATION = "/etc/ld.so.conf"

# As in purekernel.rootfs.ldconfig.ARCHITECTURES, which is too slow to import for --help.
NAMES = ("aarch64", "arm", "armhf", "i386", "ppc64le", "riscv64", "s390x", "x32", "x86_64")


@click.command("ldconfig", short_help="Make links to libraries, and the loader's cache.")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1)
@click.option("-r", "root_place", metavar="ROOT", help="The root file system.")
@click.option("-p", "--print-cache", is_flag=True, help="Print the cache, and write nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Print the searched folders, and all links.")
@click.option("-N", "no_cache", is_flag=True, help="Write no cache.")
@click.option("-X", "no_links", is_flag=True, help="Make no links.")
@click.option("-n", "only", is_flag=True, help="Search only FOLDERs; write no cache.")
@click.option(
    "-f", "configuration", metavar="CONF", default=CONFIGURATION, show_default=True,
    help="The file that lists the folders to search.",
)  # fmt: skip
@click.option(
    "-C", "cache", metavar="CACHE", default=CACHE, show_default=True, help="The path of the cache."
)
@click.option(
    "-c",
    "--format",
    "form",
    type=click.Choice(["new", "compat", "old"]),
    help="The format of the cache.  [default: new from glibc 2.32 on, else compat]",
)
@click.option(
    "-i", "--ignore-aux-cache", is_flag=True, help="Ignored: there is no auxiliary cache."
)
@click.option(
    "--architecture",
    type=click.Choice(NAMES),
    help="The architecture.  [default: that of the loader in ROOT, or of most libraries]",
)
@click.option(
    "--glibc",
    metavar="RELEASE",
    help="The glibc whose rules to follow, such as 2.31.  [default: ROOT's, or 2.36]",
)
@click.option(
    "--generator", metavar="TEXT", help="The generator that the cache names.  "
    "[default: the ldconfig of ROOT's glibc]",
)  # fmt: skip
@change_options
@reports
def ldconfig_command(
    printer: Printer,
    /,
    *,
    root_place: str | None,
    print_cache: bool,
    verbose: bool,
    cache: str,
    output: Path | None,
    ignore_aux_cache: bool,  # noqa: ARG001  # there is no auxiliary cache
    **options: Any,
) -> None:
    """Make the links to libraries and the cache in ROOT, as glibc's ldconfig does.

    Names of folders and files are relative to ROOT; symbolic links are followed inside ROOT.

    \b
    Examples:
      purekernel tool ldconfig -r root/
      purekernel tool ldconfig -r core.gz -o new-core.gz
      purekernel tool ldconfig -r Core-current.iso -p
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.tools.ldconfig import (  # noqa: PLC0415  # too slow for --help
        describe_cache,
        describe_links,
        list_links,
        load_cache,
        render_cache,
        run_ldconfig,
    )

    if root_place is None and not print_cache:
        raise UsageError(
            "the root file system is missing",
            hint="set it with -r; for this system, use its own ldconfig",
        )
    if root_place is not None and print_cache:
        refuse_output(output, "-p")
    if root_place is None or print_cache:
        loaded = load_cache(cache, root_place, note=printer.note, **options)
        printer.document |= describe_cache(loaded)
        printer.lines(render_cache(loaded, name=cache))
        return
    done = run_ldconfig(root_place, cache=cache, output=output, note=printer.note, **options)
    printer.document |= describe_links(done)
    if verbose:
        printer.lines(list_links(done))
