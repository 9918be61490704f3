"""Run ``purekernel rebuild``: build an image again from what it carries, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from purekernel.cli.gathering import limit_option
from purekernel.cli.parameters import PathParameter
from purekernel.cli.printer import Printer, reports


@click.command("rebuild", short_help="Build an image again from its own recipe, and compare.")
@click.argument("image")
@click.option(
    "--inputs",
    type=PathParameter(),
    metavar="DIR",
    help="A folder with the local inputs, which are found by their digests.",
)
@click.option(
    "--secrets",
    type=PathParameter(),
    metavar="FILE",
    help="A recipe with the passwords, which an image does not carry.",
)
@click.option(
    "--cache-dir",
    type=PathParameter(),
    envvar="PUREKERNEL_CACHE",
    show_envvar=True,
    help="The folder of the store of downloads.",
)
@click.option("--offline", is_flag=True, help="Use only files in the store.")
@limit_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print each step and its duration.")
@reports
def rebuild_command(
    printer: Printer,
    /,
    *,
    image: str,
    inputs: Path | None,
    secrets: Path | None,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Build IMAGE again from the recipe and the lock file that it carries, and compare the bytes.

    IMAGE is an ISO or a disk image that was built with --embed. What its lock file names is
    fetched, and local inputs are taken from DIR, whatever their names are there. Exit status 0 if
    the result has the same bytes, 1 if it differs, and 3 if something is missing to tell.

    \b
    Examples:
      purekernel rebuild my-core.iso
      purekernel rebuild my-core.iso --inputs my-core/ --secrets my-core/purekernel.toml
    """  # noqa: D301  # click keeps the line breaks after a backspace
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    from purekernel.cli.rebuild_image import run_rebuild  # noqa: PLC0415  # too slow for --help

    run_rebuild(
        printer, image=image, inputs=inputs, secrets=secrets, quiet=quiet, verbose=verbose,
        **options,
    )  # fmt: skip
