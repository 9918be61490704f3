"""Run ``purekernel lock``: pin every input of an image."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from purekernel.cli.gathering import request_options, store_options, take_context, take_recipe


@click.command("lock", short_help="Pin every input of an image.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@request_options
@store_options
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
def lock_command(
    *,
    names: tuple[str, ...],
    update: bool,
    check: bool,
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
    # These imports are too slow for --help.
    from purekernel.cli.terminal import choose_progress, say, say_warning  # noqa: PLC0415
    from purekernel.errors import LockError  # noqa: PLC0415
    from purekernel.plan.fetch_plan import open_plan_context  # noqa: PLC0415
    from purekernel.plan.lock import build_lock, changes, write_lock  # noqa: PLC0415
    from purekernel.plan.locking import make_lock  # noqa: PLC0415

    recipe = take_recipe(options)
    with closing(choose_progress(quiet=quiet, verbose=verbose, json=False)) as progress:
        context = take_context(options, progress)
        with open_plan_context(recipe, context, makes_lock=True) as plan_context:
            old, path = plan_context.lock, plan_context.lock_path
            new, notes = make_lock(plan_context, update=update, names=names, progress=progress)
            changed = old is None or build_lock(old) != build_lock(new)
            if changed and not check:
                write_lock(path, new)
    for note in notes:
        say_warning(note)
    if old is not None and not quiet:
        for line in changes(old, new):
            say(line)
    if check and changed:
        state = "missing" if old is None else "not up to date"
        raise LockError(f"{path} is {state}", hint="run 'purekernel lock'")
    if quiet:
        return
    count = len(new.pins())
    state = "written" if changed else "up to date"
    say(f"{path} {state}: {count} files")
