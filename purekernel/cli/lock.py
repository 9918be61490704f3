"""Run ``purekernel lock``: pin every input of an image."""

from __future__ import annotations

from typing import Any

import click

from purekernel.cli.gathering import limit_option, request_options, store_options
from purekernel.cli.printer import Printer, reports


@click.command("lock", short_help="Pin every input of an image.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@request_options
@store_options
@limit_option
@click.option(
    "--update",
    is_flag=True,
    help="Look for newer files: of all NAMEs, or of all inputs without NAME.",
)
@click.option(
    "--check", is_flag=True, help="Write nothing; exit with status 1 if the lock would change."
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print each step and each file.")
@reports
def lock_command(
    printer: Printer,
    /,
    *,
    names: tuple[str, ...],
    update: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Write purekernel.lock: URL, size, SHA-256, MD5 and dependencies of every input.

    Existing pins stay, new inputs are added, and pins that are no longer needed are deleted.
    Afterwards, 'build' and 'bundle' use only these files.

    \b
    Examples:
      purekernel lock
      purekernel lock --update
      purekernel lock --update bash.tcz
    """  # noqa: D301  # click keeps the line breaks after a backspace
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    if names and not update:
        raise click.UsageError("NAME can only be used with --update")
    from purekernel.cli.plan_inputs import lock_inputs  # noqa: PLC0415  # too slow for --help

    lock_inputs(printer, names=names, update=update, quiet=quiet, verbose=verbose, **options)
