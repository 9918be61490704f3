"""Do the work of ``purekernel build``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import click

from purekernel.analysis.findings import group_findings
from purekernel.cli.cluster import running_on
from purekernel.cli.gathering import REQUEST_OPTIONS, STORE_OPTIONS
from purekernel.cli.printer import Printer
from purekernel.cli.summary import render_text, summarize
from purekernel.cli.terminal import StepTimer, choose_progress
from purekernel.encode.cluster import Address
from purekernel.encode.disk_cache import EncodedCache
from purekernel.encode.encoders import Effort
from purekernel.errors import OutputError, UsageError
from purekernel.formats.initramfs import Compression
from purekernel.input import limits_of
from purekernel.razor.bundle import Bundle, load_bundle, sample_bundle
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.context import Context
from purekernel.recipe.model import Recipe
from purekernel.recipe.outputs import Modules, Outputs
from purekernel.recipe.request import Request, bundle_changes
from purekernel.remaster.build import build
from purekernel.remaster.outputs.write import output_names

VOLUME = ("volume_id", "application", "system", "publisher", "preparer")

# Options of a request that a bundle accepts too.
BUNDLE_OPTIONS = (
    "iso_version", "overlays", "keep_owners", "keep_iso_files", "drop_boot", "strict",
    "boot", "volume", "rootfs_compression",
)  # fmt: skip


def run_build(
    printer: Printer,
    *,
    bundle: Path | None,
    sample: bool,
    emit: tuple[str, ...] | None,
    output_dir: Path | None,
    effort: str | None,
    modules: str,
    compression: str,
    no_nested: bool,
    jobs: int | None,
    executor: str | None,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Make an image from a bundle or a recipe, and write it; with ``dry_run``, print the plan."""
    start = time.perf_counter()
    options["boot"] = BootChanges(
        **{
            name.removeprefix("boot_"): options.pop(name)
            for name in list(options)
            if name.startswith("boot_")
        }
    )
    options["volume"] = {name: text for name in VOLUME if (text := options.pop(name)) is not None}
    packing: dict[str, Any] = {
        "kinds": emit,
        "effort": None if effort is None else Effort(effort),
        "nested": not no_nested,
        "modules": Modules(modules),
        "compression": None if compression == "auto" else Compression(compression),
    }
    cluster = None if executor is None else Address.parse(executor)
    with ExitStack() as stack:
        chosen = _source(printer, bundle, options, sample=sample, dry_run=dry_run)
        cache = stack.enter_context(closing(EncodedCache(options["cache_dir"])))
        progress = stack.enter_context(
            closing(choose_progress(quiet=quiet, verbose=verbose, json=printer.as_json))
        )
        context = take_context(
            options,
            progress,
            printer,
            timestamp=options.pop("timestamp"),
            jobs=jobs,
            executor=stack.enter_context(
                running_on(None if dry_run else cluster, progress=progress)
            ),
            cache=cache,
        )
        folder_place = ""
        if isinstance(chosen, Recipe):
            folder_place = "" if output_dir else chosen.output.place("folder")
            source: Recipe | Bundle = chosen
            outputs = Outputs(folder=output_dir or _folder_of(chosen), **packing)
            if dry_run:
                _show_plan(printer, chosen, context, outputs, progress=progress)
                return
        else:
            with progress.step("reading the bundle"):
                source = chosen(limits=context.limits)
            outputs = Outputs(folder=output_dir or Path(), **packing)
        try:
            image = build(source, context, outputs)
        except OutputError as error:
            raise error.within(folder_place) from None
    for note in image.notes:
        printer.note(note)
    if not printer.as_json:
        for line in group_findings(image.findings):
            printer.note(line)
    total = time.perf_counter() - start
    if printer.as_json:  # it reads the whole tree
        printer.document |= summarize(image, image.files, progress.seconds, total)
    elif not quiet:
        printer.text(*render_text(image.files, image))


def take_context(
    options: dict[str, Any], progress: StepTimer, printer: Printer, **settings: Any
) -> Context:
    """Remove the options of a store and lock file from ``options``, and return a context of them.

    Args:
        options: the options of a command.
        progress: receives the steps and the fetched files.
        printer: receives the notes of readers.
        settings: further attributes of the context.
    """
    settings.update({name: options.pop(name) for name in STORE_OPTIONS if name in options})
    return Context(
        **settings,
        limits=limits_of(options.pop("max_unpacked", None), report=printer.note_later).budgeted(),
        environment=os.environ,
        progress=progress,
        report=progress.had,
    )


def _source(
    printer: Printer,
    bundle: Path | None,
    options: dict[str, Any],
    *,
    sample: bool,
    dry_run: bool,
) -> Recipe | Callable[..., Bundle]:
    """Return the recipe, or a function that loads the bundle with the changes in ``options``."""
    if bundle is None and not sample:
        from purekernel.cli.plan_inputs import take_recipe  # noqa: PLC0415  # a bundle needs none

        return take_recipe(options, printer)
    if bundle is not None and sample:
        raise UsageError("a bundle and --sample exclude each other")
    for name in (*REQUEST_OPTIONS, *STORE_OPTIONS):
        # The cache folder also holds the encoders' results.
        if name in (*BUNDLE_OPTIONS, "cache_dir") or not options[name]:
            continue
        raise click.UsageError(
            f"--{name.replace('_', '-')} cannot be used with a bundle, which needs no gathering"
        )
    if dry_run:
        raise click.UsageError("--dry-run cannot be used with a bundle, which needs no gathering")
    request = {name: options.pop(name) for name in REQUEST_OPTIONS}
    changes = bundle_changes(Request(**{name: request[name] for name in BUNDLE_OPTIONS}))
    if bundle is None:
        return partial(sample_bundle, changes=changes)
    return partial(load_bundle, bundle, changes=changes)


def _folder_of(recipe: Recipe) -> Path:
    folder = recipe.output.folder
    return Path() if folder is None else recipe.folder / folder


def _show_plan(
    printer: Printer, recipe: Recipe, context: Context, outputs: Outputs, *, progress: StepTimer
) -> None:
    from purekernel.cli.plan_inputs import show_plan  # noqa: PLC0415  # a bundle needs none

    folder, kinds = outputs.folder or Path(), outputs.kinds_for(recipe)
    show_plan(
        printer,
        recipe,
        context,
        lambda plan: [
            str(folder / name)
            for name in output_names(
                plan.conventions.identity(plan.recipe, plan.flavour).name, kinds, recipe
            )
        ],
        progress=progress,
    )
