"""Run ``purekernel fetch``: download all inputs into the store."""

from __future__ import annotations

from typing import Any

import click

from purekernel.cli.gathering import limit_option, locked_option, request_options, store_options
from purekernel.cli.printer import Printer, reports


@click.command("fetch", short_help="Download all inputs into the store.")
@request_options
@store_options
@locked_option
@limit_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print each step and each file.")
@reports
def fetch_command(printer: Printer, /, *, quiet: bool, verbose: bool, **options: Any) -> None:
    """Download all inputs of an image into the store, without building.

    Afterwards, 'purekernel build --offline' needs no network.
    """
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    from purekernel.cli.plan_inputs import fetch_inputs  # noqa: PLC0415  # too slow for --help

    fetch_inputs(printer, quiet=quiet, verbose=verbose, **options)
