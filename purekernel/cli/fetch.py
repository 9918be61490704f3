"""``purekernel fetch``: bring all inputs into the store."""

from __future__ import annotations

from typing import Any

import click

from purekernel.cli.gathering import (
    open_session,
    provision_options,
    request_options,
    take_request,
)


@click.command("fetch", short_help="Bring all inputs into the store.")
@request_options
@provision_options
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something is wrong.")
@click.option("-v", "--verbose", is_flag=True, help="Say each step and each file.")
def fetch_command(*, quiet: bool, verbose: bool, **options: Any) -> None:
    """Fetch all that an image is made of, and make nothing.

    After this, 'purekernel build --offline' needs no network.
    """
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    # What these import takes longer than --help may.
    from purekernel.cli.drawing import megabytes  # noqa: PLC0415
    from purekernel.cli.terminal import choose_progress, say, say_warning  # noqa: PLC0415

    asked = take_request(options)
    progress = choose_progress(quiet=quiet, verbose=verbose, json=False)
    try:
        with open_session(asked, options, progress=progress) as session:
            gathered = session.gather()
    finally:
        progress.close()
    for note in gathered.plan.notes:
        say_warning(note)
    if not quiet:
        found = [one for one in gathered.fetched.values() if one is not None]
        size = megabytes(sum(one.size_bytes for one in found))
        say(f"{len(found)} files, {size}, are in the store")
