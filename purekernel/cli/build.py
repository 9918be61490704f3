"""Run ``purekernel build``: make a bootable image."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purekernel.cli.gathering import (
    PROVISION_OPTIONS,
    REQUEST_OPTIONS,
    open_session,
    provision_options,
    request_options,
    show_plan,
    take_request,
)
from purekernel.cli.parameters import Place, Size, Words

if TYPE_CHECKING:
    from purekernel.cli.terminal import StepTimer
    from purekernel.recipe.encoding import Encoding
    from purekernel.recipe.request import Asked
    from purekernel.remaster.image import Image

EMITS = ("iso", "core", "pxe")


@click.command("build", short_help="Make a bootable image from a bundle or a recipe.")
@click.argument("bundle", type=Place(), required=False)
@click.option("--sample", is_flag=True, help="Build from the included sample bundle.")
@request_options
@provision_options
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
    type=Words(*EMITS),
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
    from purekernel.recipe.encoding import Encoding, Modules  # noqa: PLC0415
    from purekernel.remaster.job import make_image  # noqa: PLC0415
    from purekernel.remaster.outputs import Emit, write_image  # noqa: PLC0415

    volume = {
        f"{name}_id": text
        for option, name in (
            ("volume_id", "volume"),
            ("application", "application"),
            ("system", "system"),
            ("publisher", "publisher"),
            ("preparer", "preparer"),
        )
        if (text := options.pop(option)) is not None
    }
    start = time.perf_counter()
    cluster = None if executor is None else Address.parse(executor)
    cache_dir = options["cache_dir"]
    asked = None
    if bundle is None and not sample:
        asked = take_request(options)
    else:
        _refuse_gathering(options, dry_run=dry_run)
    with ExitStack() as stack:
        cache = stack.enter_context(closing(EncodedCache(cache_dir)))
        progress = stack.enter_context(
            closing(choose_progress(quiet=quiet, verbose=verbose, json=as_json))
        )
        encoding = Encoding(
            effort=None if effort is None else Effort(effort),
            jobs=jobs,
            nested=not no_nested,
            modules=Modules(modules),
            compression=None if compression == "auto" else Compression(compression),
            executor=stack.enter_context(
                running_on(None if dry_run else cluster, progress=progress)
            ),
            cache=cache,
        )
        if asked is not None:
            image, emit, output_dir = _gather(
                asked,
                options,
                volume,
                emit,
                output_dir,
                encoding=encoding,
                dry_run=dry_run,
                as_json=as_json,
                progress=progress,
            )
            if image is None:
                return
        else:
            image = make_image(
                bundle,
                sample=sample,
                volume=volume,
                encoding=encoding,
                progress=progress,
                writes_iso=emit is None or "iso" in emit,
                **options,
            )
        outputs = write_image(
            image,
            output_dir or Path(),
            emit=[Emit(name) for name in emit or EMITS[:1]],
            progress=progress,
        )
    for note in image.notes:
        say_warning(note)
    if as_json:
        total = time.perf_counter() - start
        say(render_json(summarize(image, outputs, progress.seconds, total)))
    elif not quiet:
        say(render_text(outputs, image))


def _gather(
    asked: Asked,
    options: dict[str, Any],
    volume: dict[str, str],
    emit: tuple[str, ...] | None,
    output_dir: Path | None,
    *,
    encoding: Encoding,
    dry_run: bool,
    as_json: bool,
    progress: StepTimer,
) -> tuple[Image | None, tuple[str, ...], Path]:
    """Gather inputs and make an image; return it with the kinds and the folder of its outputs.

    The image is ``None`` if only the plan was printed.
    """
    from purekernel.cli.terminal import say_warning  # noqa: PLC0415
    from purekernel.recipe.model import BootChanges  # noqa: PLC0415
    from purekernel.remaster.compose import Surroundings  # noqa: PLC0415
    from purekernel.remaster.image_name import identify  # noqa: PLC0415
    from purekernel.remaster.outputs import output_names  # noqa: PLC0415

    if options["keep_iso_files"]:
        asked = asked.keeping_iso_files()
    output = asked.recipe.output
    emit = emit or output.emit or EMITS[:1]
    if output_dir is None:
        output_dir = asked.recipe.folder / output.folder if output.folder is not None else Path()
    with open_session(
        asked, options, progress=progress, max_unpacked=options["max_unpacked"]
    ) as session:
        if dry_run:
            folder, kinds = output_dir, emit
            show_plan(
                session,
                lambda plan: [
                    str(folder / name) for name in output_names(identify(plan).name, kinds)
                ],
                progress=progress,
                as_json=as_json,
            )
            return None, emit, output_dir
        surroundings = Surroundings(
            environment=os.environ,
            overlays=options["overlays"],
            keep_owners=options["keep_owners"],
            timestamp=options["timestamp"],
            limits=session.limits,
        )
        boot = BootChanges(
            append=options["boot_append"],
            timeout=options["boot_timeout"],
            default=options["boot_default"],
        )
        image = session.make_image(
            surroundings,
            boot=boot,
            volume=volume,
            encoding=encoding,
            drop_boot=options["drop_boot"],
            writes_iso="iso" in emit,
        )
        notes = session.notes
    progress.close()
    for note in notes:
        say_warning(note)
    return image, emit, output_dir


def _refuse_gathering(options: dict[str, Any], *, dry_run: bool) -> None:
    """Remove the options for gathering from ``options``; refuse those that are set."""
    version = options.pop("iso_version")
    for name in (*REQUEST_OPTIONS, *PROVISION_OPTIONS):
        value = options.pop(name, None)
        if name == "cache_dir":  # also the folder of the encode cache
            continue
        if value not in (None, False, ()):
            raise click.UsageError(
                f"--{name.replace('_', '-')} cannot be used with a bundle, which needs no gathering"
            )
    if dry_run:
        raise click.UsageError("--dry-run cannot be used with a bundle, which needs no gathering")
    options["iso_version"] = version
