"""Run ``purekernel build``: make a bootable image."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purekernel.cli.gathering import (
    REQUEST_OPTIONS,
    STORE_OPTIONS,
    request_options,
    show_plan,
    store_options,
    take_context,
    take_recipe,
)
from purekernel.cli.parameters import Place, Size, Words
from purekernel.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from purekernel.cli.terminal import StepTimer
    from purekernel.razor.bundle import Bundle
    from purekernel.recipe.context import Context
    from purekernel.recipe.model import Recipe
    from purekernel.recipe.outputs import Outputs

KINDS = ("iso", "core", "pxe")
VOLUME = ("volume_id", "application", "system", "publisher", "preparer")

# Options of a request that a bundle accepts too.
BUNDLE_OPTIONS = (
    "iso_version", "overlays", "keep_owners", "keep_iso_files", "drop_boot", "boot", "volume",
)  # fmt: skip


@click.command("build", short_help="Make a bootable image from a bundle or a recipe.")
@click.argument("bundle", type=Place(), required=False)
@click.option("--sample", is_flag=True, help="Build from the included sample bundle.")
@request_options
@store_options
@click.option(
    "--overlay",
    "overlays",
    type=Place(),
    multiple=True,
    help="A folder, tar, cpio, squashfs or mtree file to lay over the root file system last. "
    "Repeatable; later ones win.",
)
@click.option(
    "--keep-owners",
    is_flag=True,
    help="Keep the owners recorded in --overlay archives.  [default: root owns all files]",
)
@click.option(
    "--keep-iso-files",
    is_flag=True,
    help="Copy everything on the base ISO, not only boot/.",
)
@click.option(
    "--drop-boot",
    is_flag=True,
    help="Build even if the output lacks boot methods of the base (UEFI, USB, early microcode) "
    "or the base has boot menus that a change does not reach; report what is dropped.",
)
@click.option("--boot-append", metavar="WORDS", help="Append WORDS to the kernel command line.")
@click.option(
    "--boot-timeout",
    type=int,
    metavar="TENTHS",
    help="Tenths of a second until the default boots; 0 waits forever.  [default: 100 where Core "
    "has 300]",
)
@click.option("--boot-default", metavar="LABEL", help="The label that boots by default.")
@click.option("--volume-id", metavar="TEXT", help="The ISO's volume ID, at most 32 characters.")
@click.option("--application", metavar="TEXT", help="The ISO's application field.")
@click.option("--system", metavar="TEXT", help="The ISO's system field.  [default: LINUX]")
@click.option("--publisher", metavar="TEXT", help="The ISO's publisher field.")
@click.option("--preparer", metavar="TEXT", help="The ISO's preparer field.")
@click.option(
    "--effort",
    type=click.Choice(["fast", "balanced", "max"]),
    help="How much time to spend on a small core.  [default: max for production, else balanced]",
)
@click.option(
    "--modules",
    type=click.Choice(["keep", "redo", "raw"]),
    default="redo",
    show_default=True,
    help="Keep gzip-compressed kernel modules, recompress them, or store them unpacked: the image "
    "becomes smaller still, and needs more memory after boot.",
)
@click.option(
    "--compression",
    type=click.Choice(["gzip", "xz", "zstd", "lz4", "auto"]),
    default="gzip",
    show_default=True,
    help="The core's compression, which the kernel on the ISO must support; auto selects the "
    "smallest of these.",
)
@click.option("--no-nested", is_flag=True, help="Do not recompress gzip files inside the image.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    help="How many encoders to run at once on this machine.  [default: one per processor]",
)
@click.option(
    "--executor",
    metavar="ADDRESS",
    help="Encode on a dask.distributed cluster, given by its scheduler: dask://HOST:PORT or "
    "dask+tls://HOST:PORT.  [default: on this machine]",
)
@click.option(
    "--emit",
    type=Words(*KINDS),
    help="What to write: iso, core (core.gz and vmlinuz), pxe (a folder for a TFTP or HTTP "
    "server); several with commas.  [default: the recipe's, or iso]",
)
@click.option(
    "-o",
    "--output-dir",
    type=Place(),
    help="The folder for outputs.  [default: the recipe's, or the current folder]",
)
@click.option(
    "--timestamp",
    type=int,
    envvar="SOURCE_DATE_EPOCH",
    show_envvar=True,
    help="The newest time in the image, in seconds since 1970, UTC.  [default: the newest input's]",
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
@click.option("-v", "--verbose", is_flag=True, help="Print each step and its duration.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
def build_command(
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
    as_json: bool,
    **options: Any,
) -> None:
    """Make an image from BUNDLE, a file from build-bundle-file.sh or 'purekernel bundle'.

    Without BUNDLE, first gather the inputs that purekernel.toml or a Razor-Microkernel project
    describes. Write NAME.iso, completely or not at all. The same inputs give the same bytes, on
    any machine and at any time.

    \b
    Examples:
      purekernel build --sample
      purekernel build bundle.tar.gz --iso-version 0.9.0.1
      purekernel build bundle.tar.gz --overlay site/ --emit iso,pxe
      purekernel build --recipe my-core/purekernel.toml
    """  # noqa: D301  # click keeps the line breaks after a backspace
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    if jobs is not None and executor is not None:
        raise click.UsageError(
            "--jobs is for encoders on this machine, and cannot be used with --executor"
        )
    # These imports are too slow for --help.
    from purekernel.cli.cluster import running_on  # noqa: PLC0415
    from purekernel.cli.summary import render_json, render_text, summarize  # noqa: PLC0415
    from purekernel.cli.terminal import choose_progress, say, say_warning  # noqa: PLC0415
    from purekernel.encode.cluster import Address  # noqa: PLC0415
    from purekernel.encode.disk_cache import EncodedCache  # noqa: PLC0415
    from purekernel.encode.encoders import Effort  # noqa: PLC0415
    from purekernel.formats.initramfs import Compression  # noqa: PLC0415
    from purekernel.recipe.model import BootChanges, Recipe  # noqa: PLC0415
    from purekernel.recipe.outputs import Modules, Outputs  # noqa: PLC0415
    from purekernel.remaster.build import build  # noqa: PLC0415

    start = time.perf_counter()
    options["boot"] = BootChanges(
        append=options.pop("boot_append"),
        timeout=options.pop("boot_timeout"),
        default=options.pop("boot_default"),
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
        chosen = _source(bundle, options, sample=sample, dry_run=dry_run)
        cache = stack.enter_context(closing(EncodedCache(options["cache_dir"])))
        progress = stack.enter_context(
            closing(choose_progress(quiet=quiet, verbose=verbose, json=as_json))
        )
        context = take_context(
            options,
            progress,
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
                _show_plan(chosen, context, outputs, progress=progress, as_json=as_json)
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
        say_warning(note)
    if as_json:
        total = time.perf_counter() - start
        say(render_json(summarize(image, image.files, progress.seconds, total)))
    elif not quiet:
        say(render_text(image.files, image))


def _source(
    bundle: Path | None, options: dict[str, Any], *, sample: bool, dry_run: bool
) -> Recipe | Callable[..., Bundle]:
    """Return the recipe, or a function that loads the bundle with the changes in ``options``."""
    from purekernel.errors import UsageError  # noqa: PLC0415
    from purekernel.razor.bundle import load_bundle, sample_bundle  # noqa: PLC0415
    from purekernel.recipe.request import Request, bundle_changes  # noqa: PLC0415

    if bundle is None and not sample:
        return take_recipe(options)
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
    recipe: Recipe, context: Context, outputs: Outputs, *, progress: StepTimer, as_json: bool
) -> None:
    from purekernel.remaster.outputs import output_names  # noqa: PLC0415

    folder, kinds = outputs.folder or Path(), outputs.kinds_for(recipe)
    show_plan(
        recipe,
        context,
        lambda plan: [
            str(folder / name)
            for name in output_names(
                plan.conventions.identity(plan.recipe, plan.flavour).name, kinds
            )
        ],
        progress=progress,
        as_json=as_json,
    )
