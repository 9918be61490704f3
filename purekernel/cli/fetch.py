"""Run ``purekernel fetch``: download all inputs into the store."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from purekernel.cli.gathering import request_options, store_options, take_context, take_recipe


@click.command("fetch", short_help="Download all inputs into the store.")
@request_options
@store_options
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print each step and each file.")
def fetch_command(*, quiet: bool, verbose: bool, **options: Any) -> None:
    """Download all inputs of an image into the store, without building.

    Afterwards, 'purekernel build --offline' needs no network.
    """
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    # These imports are too slow for --help.
    from purekernel.cli.terminal import choose_progress, megabytes, say, say_warning  # noqa: PLC0415
    from purekernel.plan.fetch_plan import gather, open_plan_context  # noqa: PLC0415

    recipe = take_recipe(options)
    with closing(choose_progress(quiet=quiet, verbose=verbose, json=False)) as progress:
        context = take_context(options, progress)
        with open_plan_context(recipe, context) as plan_context:
            gathered = gather(plan_context, progress=progress)
    for note in gathered.plan.notes:
        say_warning(note)
    if not quiet:
        files = [fetched for fetched in gathered.fetched.values() if fetched is not None]
        size = megabytes(sum(fetched.size_bytes for fetched in files))
        say(f"{len(files)} files, {size}, are in the store")
