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
from attrs import evolve

from purekernel.analysis.findings import group_findings
from purekernel.cli.cluster import running_on
from purekernel.cli.gathering import REQUEST_OPTIONS, STORE_OPTIONS
from purekernel.cli.printer import Printer
from purekernel.cli.summary import render_text, summarize
from purekernel.cli.terminal import StepTimer, choose_progress
from purekernel.encode.cluster import Address
from purekernel.encode.disk_cache import EncodedCache
from purekernel.encode.encoders import Effort
from purekernel.errors import OutputError, UsageError, inside
from purekernel.formats.initramfs import Compression
from purekernel.input import limits_of
from purekernel.razor.bundle import Bundle, load_bundle, sample_bundle
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.context import Context
from purekernel.recipe.destination import (
    Destination,
    OutputForm,
    check_file,
    choose_destination,
    form_of,
)
from purekernel.recipe.disk import DiskChoice
from purekernel.recipe.flavour import DiskFormat
from purekernel.recipe.model import Recipe
from purekernel.recipe.outputs import Modules, Outputs
from purekernel.recipe.request import Request, bundle_changes
from purekernel.remaster.build import build
from purekernel.remaster.outputs.write import output_names

VOLUME = ("volume_id", "application", "system", "publisher", "preparer")

# Options of a request that a bundle accepts too.
BUNDLE_OPTIONS = (
    "iso_version", "overlays", "keep_owners", "keep_iso_files", "hybrid", "drop_boot",
    "strict", "boot", "disk", "volume", "rootfs_compression", "embed",
)  # fmt: skip


def run_build(
    printer: Printer,
    *,
    bundle: Path | None,
    sample: bool,
    emit: tuple[str, ...] | None,
    sbom: bool,
    provenance: bool,
    output: str | None,
    effort: str | None,
    modules: str,
    compression: str,
    no_nested: bool,
    no_changes: bool,
    jobs: int | None,
    executor: str | None,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Make an image from a bundle or a recipe, and write it; with ``dry_run``, print the plan."""
    start = time.perf_counter()
    options["boot"] = BootChanges(**_take_options(options, "boot_"))
    disk = _take_options(options, "disk_")
    chosen_format = disk.pop("format")
    options["disk"] = DiskChoice(
        **disk, format=None if chosen_format is None else DiskFormat(chosen_format)
    )
    options["volume"] = {name: text for name in VOLUME if (text := options.pop(name)) is not None}
    packing: dict[str, Any] = {
        "kinds": emit,
        "sbom": sbom,
        "provenance": provenance,
        "effort": None if effort is None else Effort(effort),
        "nested": not no_nested,
        "changes": not no_changes and (printer.as_json or not quiet),
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
        place = ""
        if isinstance(chosen, Recipe):
            key = "folder" if chosen.output.file is None else "file"
            place = "" if output is not None else chosen.output.place(key)
            source: Recipe | Bundle = chosen
            outputs = _outputs(printer, output, chosen, packing, dry_run=dry_run)
            if dry_run:
                _show_plan(printer, chosen, context, outputs, progress=progress)
                return
        else:
            outputs = _outputs(printer, output, Recipe(), packing)
            with progress.step("reading the bundle"):
                source = chosen(limits=context.limits)
        try:
            image = build(source, context, outputs)
        except OutputError as error:
            raise error.within(place) from None
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


def _take_options(options: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Remove the options whose names start with ``prefix``, and return them without it."""
    names = [name for name in options if name.startswith(prefix)]
    return {name.removeprefix(prefix): options.pop(name) for name in names}


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


def take_destination(
    printer: Printer, text: str, form: OutputForm, *, dry_run: bool = False
) -> Destination:
    """Return what ``-o TEXT`` names; for stdout, text goes to stderr from now on.

    Raises:
        UsageError: ``text`` does not fit the outputs, or their data cannot go to stdout.
        OutputError: stdout is closed.
    """
    return choose_destination(text, form, stdout=lambda: None if dry_run else printer.take_stdout())


def _outputs(
    printer: Printer,
    text: str | None,
    recipe: Recipe,
    packing: dict[str, Any],
    *,
    dry_run: bool = False,
) -> Outputs:
    """Return what to write and where, by ``-o TEXT`` or the recipe."""
    outputs = Outputs(**packing)
    form = form_of(outputs.kinds_for(recipe))
    if text is None:
        if recipe.output.file is None:
            return evolve(outputs, folder=recipe.folder / (recipe.output.folder or ""))
        path = recipe.folder / recipe.output.file
        with inside(recipe.output.place("file")):
            check_file(path, form, str(path))
        return evolve(outputs, file=path)
    destination = take_destination(printer, text, form, dry_run=dry_run)
    return evolve(
        outputs, folder=destination.folder, file=destination.file, stream=destination.stream
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


def _show_plan(
    printer: Printer, recipe: Recipe, context: Context, outputs: Outputs, *, progress: StepTimer
) -> None:
    from purekernel.cli.plan_inputs import show_plan  # noqa: PLC0415  # a bundle needs none

    kinds = outputs.kinds_for(recipe)
    show_plan(
        printer,
        recipe,
        context,
        lambda plan: outputs.destination.paths(
            output_names(plan.conventions.identity(plan.recipe, plan.flavour).name, kinds, recipe)
        ),
        progress=progress,
    )
