"""Do the work of ``purekernel bundle``, ``fetch`` and ``lock``, and of dry runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import click
from attrs import evolve

from purekernel.cli.build_image import take_context, take_destination
from purekernel.cli.drawing import draw, draw_plan, guides
from purekernel.cli.gathering import REQUEST_OPTIONS
from purekernel.cli.printer import Printer
from purekernel.cli.summary import (
    describe_inputs,
    render_text,
    summarize_bundle,
    summarize_plan,
)
from purekernel.cli.terminal import StepTimer, choose_progress, megabytes
from purekernel.encode.releases import installed_releases
from purekernel.errors import LockError, UsageError
from purekernel.plan import Plan
from purekernel.plan.fetch_plan import gather, open_plan_context, sizes_of
from purekernel.plan.lock import build_lock, changes, write_lock
from purekernel.plan.locking import make_lock
from purekernel.plan.planner import make_plan, release_notes
from purekernel.razor.bundle import BUNDLE_FORM, bundle_name
from purekernel.recipe.context import Context
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.model import Recipe
from purekernel.recipe.request import Request, join_request, with_password
from purekernel.remaster.compose import write_bundle

STDIN = "-"


def fetch_inputs(printer: Printer, *, quiet: bool, verbose: bool, **options: Any) -> None:
    """Fetch all inputs of a recipe into the store."""
    recipe = take_recipe(options, printer)
    progress = choose_progress(quiet=quiet, verbose=verbose, json=printer.as_json)
    with closing(progress):
        context = take_context(options, progress, printer)
        with open_plan_context(recipe, context) as plan_context:
            gathered = gather(plan_context, progress=progress)
    for note in gathered.plan.notes:
        printer.note(note)
    printer.document |= {
        "inputs": describe_inputs(gathered), "releases": installed_releases(),
    }  # fmt: skip
    if not quiet:
        files = [fetched for fetched in gathered.fetched.values() if fetched is not None]
        size = megabytes(sum(fetched.size_bytes for fetched in files))
        printer.text(f"{len(files)} files, {size}, are in the store")


def lock_inputs(
    printer: Printer,
    *,
    names: tuple[str, ...],
    update: bool,
    check: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Write the lock file of a recipe, or check it.

    Raises:
        LockError: ``check`` is set, and the lock file would change.
    """
    recipe = take_recipe(options, printer)
    progress = choose_progress(quiet=quiet, verbose=verbose, json=printer.as_json)
    with closing(progress):
        context = take_context(options, progress, printer)
        with open_plan_context(recipe, context, makes_lock=True) as plan_context:
            old, path = plan_context.lock, plan_context.lock_path
            new, notes = make_lock(plan_context, update=update, names=names, progress=progress)
            if check and old is not None:  # other releases pin the same inputs
                new = evolve(new, releases=old.releases)
                notes = (*notes, *release_notes(old))
            is_changed = old is None or build_lock(old) != build_lock(new)
            if is_changed and not check:
                write_lock(path, new)
    if recipe.downloads.reuse:
        notes = ("--reuse-prev-dl is ignored: 'lock' asks the mirrors what they have now", *notes)
    for note in notes:
        printer.note(note)
    lines = [] if old is None else list(changes(old, new))
    count = len(new.pins())
    printer.document |= {
        "lock": str(path), "changed": is_changed, "changes": lines, "files": count,
        "releases": installed_releases(),
    }  # fmt: skip
    if not quiet:
        for line in lines:
            printer.text(line)
    if check and is_changed:
        state = "missing" if old is None else "not up to date"
        raise LockError(f"{path} is {state}", hint="run 'purekernel lock'")
    if not quiet:
        printer.text(f"{path} {'written' if is_changed else 'up to date'}: {count} files")


def gather_bundle(
    printer: Printer, *, output: str, dry_run: bool, quiet: bool, verbose: bool, **options: Any
) -> None:
    """Gather a bundle, and write it to ``output``; with ``dry_run``, print the plan."""
    destination = take_destination(printer, output, BUNDLE_FORM, dry_run=dry_run)
    recipe = take_recipe(options, printer)
    progress = choose_progress(quiet=quiet, verbose=verbose, json=printer.as_json)
    with closing(progress):
        context = take_context(options, progress, printer, timestamp=options.pop("timestamp"))
        if dry_run:
            show_plan(
                printer,
                recipe,
                context,
                lambda plan: destination.paths([bundle_name(plan.flavour or Flavour.DEV)]),
                progress=progress,
            )
            return
        with open_plan_context(recipe, context) as plan_context:
            gathered = gather(plan_context, progress=progress)
            written = write_bundle(gathered, context, destination)
    for note in gathered.notes:
        printer.note(note)
    printer.document |= summarize_bundle(gathered, [written], progress.seconds)
    if not quiet:
        printer.text(*render_text([written]))


def take_recipe(options: dict[str, Any], printer: Printer) -> Recipe:
    """Remove the options of a request from ``options``, and return the recipe that they give.

    This may ask for a password, so nothing else may use the terminal at that time.

    Raises:
        PurekernelError: an option or the recipe is invalid.
    """
    request = {name: options.pop(name) for name in REQUEST_OPTIONS if name in options}
    asks = request.get("tc_passwd") == STDIN
    if asks:
        request["tc_passwd"] = None
    recipe = join_request(Request(**request), os.environ)
    if asks:
        # Only after all else is checked.
        recipe = with_password(recipe, read_password())
    for warning in recipe.warnings:
        printer.note(warning)
    return recipe


def show_plan(
    printer: Printer,
    recipe: Recipe,
    context: Context,
    writes: Callable[[Plan], Iterable[str]],
    *,
    progress: StepTimer,
) -> None:
    """Print what would be fetched and written.

    Args:
        printer: prints it.
        recipe: the recipe to plan.
        context: the store and the lock file.
        writes: returns the files that would be written.
        progress: receives the steps; closed before anything is printed.
    """
    with open_plan_context(recipe, context) as plan_context:
        with progress.step("planning"):
            _planner, plan = make_plan(plan_context)
        with progress.step("asking for sizes"):
            sizes = sizes_of(plan, plan_context.downloads)
    progress.close()
    if printer.as_json:  # the tree has the notes too
        for note in plan.notes:
            printer.note(note)
    printer.document |= summarize_plan(plan, sizes, writes(plan))
    printer.text(*draw(draw_plan(plan, sizes, writes(plan)), guides()))


def read_password() -> str:
    """Return the password of ``tc`` from stdin; ask for it twice on a terminal.

    Raises:
        UsageError: the password is missing, or the two entries differ.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        password: str = click.prompt("password of tc", hide_input=True, err=True)
        again: str = click.prompt("repeat the password", hide_input=True, err=True)
        if password != again:
            raise UsageError(
                "the two passwords differ", hint="run again, and enter the same password twice"
            )
        return password
    line = "" if sys.stdin is None else sys.stdin.readline()
    password = line.removesuffix("\n").removesuffix("\r")
    if not password:
        raise UsageError(
            "the password on stdin is empty",
            hint="write it to stdin: printf '%s\\n' \"$PASSWORD\" | purekernel … --tc-passwd -",
        )
    return password
