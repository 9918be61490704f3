"""Run ``purekernel bundle``: gather a bundle."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from purekernel.cli.gathering import (
    request_options,
    show_plan,
    store_options,
    take_context,
    take_recipe,
)
from purekernel.cli.parameters import Place, Size

DEFAULT_FOLDER = "build-files"


@click.command("bundle", short_help="Gather a bundle from a Razor-Microkernel project.")
@request_options
@store_options
@click.option(
    "--overlay",
    "overlays",
    type=Place(),
    multiple=True,
    help="A folder, tar, cpio, squashfs or mtree file to lay over the root file system. "
    "Repeatable; later ones win.",
)
@click.option(
    "-o",
    "--output-dir",
    type=Place(),
    help="The folder for the bundle.  [default: build-files]",
)
@click.option(
    "--timestamp",
    type=int,
    envvar="SOURCE_DATE_EPOCH",
    show_envvar=True,
    help="The newest time in the bundle, in seconds since 1970, UTC.  [default: the newest "
    "input's]",
)
@click.option(
    "--max-unpacked",
    type=Size(),
    help="The maximum unpacked size of one input, such as 4G.  [default: 1G]",
)
@click.option(
    "--dry-run", is_flag=True, help="Print what would be fetched and written; write nothing."
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print each step and each file.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
def bundle_command(
    *,
    output_dir: Path | None,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
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
    # These imports are too slow for --help.
    from purekernel.cli.summary import render_json, render_text, summarize_bundle  # noqa: PLC0415
    from purekernel.cli.terminal import choose_progress, say, say_warning  # noqa: PLC0415
    from purekernel.plan.fetch_plan import gather, open_plan_context  # noqa: PLC0415
    from purekernel.razor.bundle import bundle_name  # noqa: PLC0415
    from purekernel.recipe.flavour import Flavour  # noqa: PLC0415
    from purekernel.remaster.outputs import write_bundle  # noqa: PLC0415

    recipe = take_recipe(options)
    folder = output_dir or Path(DEFAULT_FOLDER)
    with closing(choose_progress(quiet=quiet, verbose=verbose, json=as_json)) as progress:
        context = take_context(options, progress, timestamp=options.pop("timestamp"))
        if dry_run:
            show_plan(
                recipe,
                context,
                lambda plan: [str(folder / bundle_name(plan.flavour or Flavour.DEV))],
                progress=progress,
                as_json=as_json,
            )
            return
        with open_plan_context(recipe, context) as plan_context:
            gathered = gather(plan_context, progress=progress)
            output = write_bundle(gathered, context, folder)
    for note in gathered.notes:
        say_warning(note)
    if as_json:
        say(render_json(summarize_bundle(gathered, [output], progress.seconds)))
    elif not quiet:
        say(render_text([output]))
