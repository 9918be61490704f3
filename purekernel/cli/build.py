"""``purekernel build``: a bundle becomes a bootable image."""

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


@click.command("build", short_help="Make a bootable image, of a bundle or a recipe.")
@click.argument("bundle", type=Place(), required=False)
@click.option("--sample", is_flag=True, help="Build from the sample bundle that comes along.")
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
    help="Trust the owners that --overlay archives record.  [default: root's]",
)
@click.option(
    "--keep-iso-files",
    is_flag=True,
    help="Carry over everything on the base ISO, not only boot/.",
)
@click.option(
    "--drop-boot",
    is_flag=True,
    help="Build even if the base boots in more ways than the output can (UEFI, USB, early "
    "microcode) or has menus that a change does not reach; report what is dropped.",
)
@click.option(
    "--boot-append", metavar="WORDS", help="Words for the end of the kernel command line."
)
@click.option(
    "--boot-timeout",
    type=int,
    metavar="TENTHS",
    help="Tenths of a second until the default boots; 0 waits.  [default: 100 where Core has 300]",
)
@click.option("--boot-default", metavar="LABEL", help="The label that boots when nobody chooses.")
@click.option("--volume-id", metavar="TEXT", help="The ISO's volume id, at most 32 characters.")
@click.option("--application", metavar="TEXT", help="The ISO's application field.")
@click.option("--system", metavar="TEXT", help="The ISO's system field.  [default: LINUX]")
@click.option("--publisher", metavar="TEXT", help="The ISO's publisher field.")
@click.option("--preparer", metavar="TEXT", help="The ISO's preparer field.")
@click.option(
    "--effort",
    type=click.Choice(["fast", "balanced", "max"]),
    help="How much is done for a small core.  [default: max for production, else balanced]",
)
@click.option(
    "--modules",
    type=click.Choice(["keep", "redo", "raw"]),
    default="redo",
    show_default=True,
    help="Kernel modules packed with gzip: as they are, packed smaller, or unpacked: smaller "
    "still on the disc, and larger in memory.",
)
@click.option(
    "--compression",
    type=click.Choice(["gzip", "xz", "zstd", "lz4", "auto"]),
    default="gzip",
    show_default=True,
    help="Of the core, if the kernel on the ISO can undo it; auto is the smallest that it can.",
)
@click.option("--no-nested", is_flag=True, help="Leave gzip files inside the image as they are.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    help="How many encoders run at once on this machine.  [default: one a processor]",
)
@click.option(
    "--executor",
    metavar="ADDRESS",
    help="Encode on a cluster: dask://HOST:PORT, the scheduler's of dask.distributed, or "
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
    help="Where outputs go.  [default: the recipe's, or the current folder]",
)
@click.option(
    "--timestamp",
    type=int,
    envvar="SOURCE_DATE_EPOCH",
    show_envvar=True,
    help="Seconds since 1970, UTC: nothing in the image is newer.  [default: the newest input's]",
)
@click.option(
    "--max-unpacked",
    type=Size(),
    help="What one input may unpack to, such as 4G.  [default: 1G]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be fetched and made; make nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something is wrong.")
@click.option("-v", "--verbose", is_flag=True, help="Say each step and how long it took.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary for machines.")
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
    """Make an image of BUNDLE, as build-bundle-file.sh or 'purekernel bundle' makes it.

    Without BUNDLE all that the image is made of is gathered first: what purekernel.toml says, or
    a Razor-Microkernel project. Writes NAME.iso, whole or not at all. The same inputs give the
    same bytes, wherever and whenever.

    \b
    Examples:
      purekernel build --sample
      purekernel build bundle.tar.gz --iso-version 0.9.0.1
      purekernel build bundle.tar.gz --overlay site/ --emit iso,pxe
      purekernel build --recipe my-core/purekernel.toml
    """  # noqa: D301  # click reads the backspace as "keep these lines"
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    if jobs is not None and executor is not None:
        raise click.UsageError(
            "--jobs is for encoders on this machine; how many run on a cluster, its workers say"
        )
    # What these import takes longer than --help may.
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
    """Make an image of what is gathered; return it with what to write of it, and where.

    ``None`` in place of the image: the plan was shown, and nothing made.
    """
    from purekernel.cli.terminal import say_warning  # noqa: PLC0415
    from purekernel.recipe.model import BootChanges  # noqa: PLC0415
    from purekernel.remaster.compose import Surroundings  # noqa: PLC0415
    from purekernel.remaster.image_name import identify  # noqa: PLC0415
    from purekernel.remaster.outputs import output_names  # noqa: PLC0415

    if options["keep_iso_files"]:
        asked = asked.keeping_iso_files()
    said = asked.recipe.output
    emit = emit or said.emit or EMITS[:1]
    if output_dir is None:
        output_dir = asked.recipe.folder / said.folder if said.folder is not None else Path()
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
    """Take out the options that say what is gathered; refuse them beside a bundle."""
    version = options.pop("iso_version")
    for name in (*REQUEST_OPTIONS, *PROVISION_OPTIONS):
        value = options.pop(name, None)
        if name == "cache_dir":  # which is for what is encoded as well
            continue
        if value not in (None, False, ()):
            raise click.UsageError(
                f"--{name.replace('_', '-')} says what to gather, and a bundle is gathered already"
            )
    if dry_run:
        raise click.UsageError(
            "--dry-run shows what would be gathered, and a bundle is that already"
        )
    options["iso_version"] = version
