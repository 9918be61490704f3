"""Run ``purekernel build``: make a bootable image."""

from __future__ import annotations

from typing import Any

import click

from purekernel.cli.gathering import limit_option, locked_option, request_options, store_options
from purekernel.cli.parameters import (
    Integer,
    IntegerRange,
    OutputParameter,
    PathParameter,
    Size,
    Words,
)
from purekernel.cli.printer import Printer, reports
from purekernel.recipe.flavour import DISK_FORMATS, EMITS, LAYOUTS


@click.command("build", short_help="Make a bootable image from a bundle or a recipe.")
@click.argument("bundle", type=PathParameter(), required=False)
@click.option("--sample", is_flag=True, help="Build from the included sample bundle.")
@request_options
@store_options
@locked_option
@click.option(
    "--overlay",
    "overlays",
    type=PathParameter(),
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
    "--layout",
    type=click.Choice(LAYOUTS),
    help="How to distribute the root file system: over as many initrds as the base has, in one, or "
    "the changes alone in one more.  [default: the recipe's, or as-base]",
)
@click.option(
    "--keep-iso-files",
    is_flag=True,
    help="Copy everything on the base ISO, not only boot/.",
)
@click.option(
    "--hybrid/--no-hybrid",
    default=None,
    help="Make an ISO that also boots from a USB stick or disk that it is written to.  [default: "
    "the recipe's choice]",
)
@click.option(
    "--drop-boot",
    is_flag=True,
    help="Build even if the output cannot have a boot method of the base (unknown code in an MBR, "
    "HFS+, early microcode) or the base has boot menus that a change does not reach; report what "
    "is dropped.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Stop, with status 4, if something that is added to the image will not run there.",
)
@click.option(
    "--embed",
    is_flag=True,
    help="Let the image carry its recipe, its lock file and the digests of local inputs, for "
    "'purekernel rebuild'.",
)
@click.option("--boot-append", metavar="WORDS", help="Append WORDS to the kernel command line.")
@click.option(
    "--boot-timeout",
    type=Integer(),
    metavar="TENTHS",
    help="Tenths of a second until the default boots; 0 waits forever.  [default: 100 where Core "
    "has 300]",
)
@click.option("--boot-default", metavar="LABEL", help="The label that boots by default.")
@click.option(
    "--serial",
    "boot_serial",
    metavar="PORT",
    help="Use PORT, such as ttyS0,115200, as console and for logins too.",
)
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
@click.option(
    "--no-changes", is_flag=True, help="Do not compare the image with the one that it replaces."
)
@click.option("--no-nested", is_flag=True, help="Do not recompress gzip files inside the image.")
@click.option(
    "-j",
    "--jobs",
    type=IntegerRange(1),
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
    help="What to write: iso, core (the initrds and the kernel), initrd (the second initrd alone), "
    "pxe (a folder for a TFTP or HTTP server), tce (the extensions for a partition), rootfs (the "
    "root file system), oci (a container image), disk (a disk that boots), sbom, provenance; "
    "several with commas.  "
    "[default: the recipe's, or iso]",
)
@click.option(
    "--sbom",
    is_flag=True,
    help="Write NAME.cdx.json too, a CycloneDX bill of materials.",
)
@click.option(
    "--provenance",
    is_flag=True,
    help="Write NAME.provenance.json too, which tells how the other files were made, as SLSA does.",
)
@click.option(
    "--rootfs-compression",
    type=click.Choice(["none", "gzip", "zstd"]),
    help="The compression of the output rootfs.  [default: the recipe's, or gzip]",
)
@click.option(
    "--disk-format",
    type=click.Choice(DISK_FORMATS),
    help="The format of the disk image.  [default: the recipe's, or raw]",
)
@click.option(
    "--disk-size",
    type=Size(),
    help="The size of the disk, such as 1G.  [default: what the files and the free space need]",
)
@click.option(
    "--disk-free",
    type=Size(),
    help="The space that must be left on the disk.  [default: 64M]",
)
@click.option(
    "-o",
    "--output",
    "--output-dir",
    "output",
    type=OutputParameter(),
    metavar="PATH",
    help="Where to write: a folder; a file, if its name has the output's ending, such as .iso; or "
    "- for stdout.  [default: the recipe's, or the current folder]",
)
@click.option(
    "--timestamp",
    type=Integer(),
    envvar="SOURCE_DATE_EPOCH",
    show_envvar=True,
    help="The newest time in the image, in seconds since 1970, UTC.  [default: the newest input's]",
)
@limit_option
@click.option(
    "--dry-run", is_flag=True, help="Print what would be fetched and written; write nothing."
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print each step and its duration.")
@reports
def build_command(
    printer: Printer,
    /,
    *,
    jobs: int | None,
    executor: str | None,
    quiet: bool,
    verbose: bool,
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
      purekernel build --recipe my-core/purekernel.toml -o my-core.iso
    """  # noqa: D301  # click keeps the line breaks after a backspace
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    if jobs is not None and executor is not None:
        raise click.UsageError(
            "--jobs is for encoders on this machine, and cannot be used with --executor"
        )
    from purekernel.cli.build_image import run_build  # noqa: PLC0415  # too slow for --help

    run_build(printer, jobs=jobs, executor=executor, quiet=quiet, verbose=verbose, **options)
