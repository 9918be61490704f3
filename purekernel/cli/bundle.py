"""Run ``purekernel bundle``: gather a bundle."""

from __future__ import annotations

from typing import Any

import click

from purekernel.cli.gathering import limit_option, locked_option, request_options, store_options
from purekernel.cli.parameters import Integer, OutputParameter, PathParameter
from purekernel.cli.printer import Printer, reports

DEFAULT_FOLDER = "build-files/"


@click.command("bundle", short_help="Gather a bundle from a Razor-Microkernel project.")
@request_options
@store_options
@locked_option
@click.option(
    "--overlay",
    "overlays",
    type=PathParameter(),
    multiple=True,
    help="A folder, tar, cpio, squashfs or mtree file to lay over the root file system. "
    "Repeatable; later ones win.",
)
@click.option(
    "-o",
    "--output",
    "--output-dir",
    "output",
    type=OutputParameter(),
    metavar="PATH",
    default=DEFAULT_FOLDER,
    help="Where to write: a folder; a file, if its name ends in .tar.gz or .tgz; or - for stdout.  "
    "[default: build-files]",
)
@click.option(
    "--timestamp",
    type=Integer(),
    envvar="SOURCE_DATE_EPOCH",
    show_envvar=True,
    help="The newest time in the bundle, in seconds since 1970, UTC.  [default: the newest "
    "input's]",
)
@limit_option
@click.option(
    "--dry-run", is_flag=True, help="Print what would be fetched and written; write nothing."
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print each step and each file.")
@reports
def bundle_command(
    printer: Printer,
    /,
    *,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Gather a bundle, as build-bundle-file.sh did.

    Take a Razor-Microkernel project of either generation, fetch extensions with their
    dependencies, gems and the Core ISO, and write razor-microkernel-bundle-FLAVOUR.tar.gz,
    completely or not at all. 'purekernel build' and the original scripts make images from it.

    \b
    Examples:
      purekernel bundle -b builtin.lst -m mirror.lst
      purekernel bundle --project ../Razor-Microkernel -p --offline
      purekernel bundle --dry-run
    """  # noqa: D301  # click keeps the line breaks after a backspace
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    from purekernel.cli.plan_inputs import gather_bundle  # noqa: PLC0415  # too slow for --help

    gather_bundle(printer, quiet=quiet, verbose=verbose, **options)
