"""``purekernel build``: a bundle becomes a bootable image."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # generic only from click 8.4 on
    ParamType = click.ParamType

EMITS = ("iso", "core", "pxe")

_SIZE = re.compile(r"([0-9]{1,15})\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class _Emit(ParamType):
    """A list of outputs, parted by commas."""

    name = "list"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(part.strip() for part in str(value).split(",")))
        for name in names:
            if name not in EMITS:
                self.fail(f"{name!r} is none of {', '.join(EMITS)}", param, ctx)
        return names


class _Size(ParamType):
    """A number of bytes, with K, M, G or T (powers of 1024) behind it if you like."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size; give bytes, or 500M, or 2G", param, ctx)
        return int(match.group(1)) * _UNITS[match.group(2).upper()]


@click.command("build", short_help="Turn a bundle into a bootable image.")
@click.argument("bundle", type=click.Path(path_type=Path, readable=False), required=False)
@click.option("--sample", is_flag=True, help="Build from the sample bundle that comes along.")
@click.option(
    "--iso-version",
    metavar="VERSION",
    help="The image's version.  [default: the bundle's own, from its gitversion.sh]",
)
@click.option(
    "--overlay",
    "overlays",
    type=click.Path(path_type=Path, readable=False),
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
    "--emit",
    type=_Emit(),
    default="iso",
    show_default=True,
    help="What to write: iso, core (core.gz and vmlinuz), pxe (a folder for a TFTP or HTTP "
    "server); several with commas.",
)
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path, readable=False),
    default=Path(),
    help="Where outputs go.  [default: the current folder]",
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
    type=_Size(),
    help="What one input may unpack to, such as 4G.  [default: 1G]",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something is wrong.")
@click.option("-v", "--verbose", is_flag=True, help="Say each step and how long it took.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary for machines.")
def build_command(
    *,
    bundle: Path | None,
    emit: tuple[str, ...],
    output_dir: Path,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn BUNDLE, as build-bundle-file.sh makes it, into an image.

    Writes rz_mk_FLAVOUR-image.VERSION.iso, whole or not at all. The same inputs give the
    same bytes, wherever and whenever.

    \b
    Examples:
      purekernel build --sample
      purekernel build bundle.tar.gz --iso-version 0.9.0.1
      purekernel build bundle.tar.gz --overlay site/ --emit iso,pxe
    """  # noqa: D301  # click reads the backspace as "keep these lines"
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    # What these import takes longer than --help may.
    from purekernel.build.job import make_image  # noqa: PLC0415
    from purekernel.build.outputs import Emit, write_image  # noqa: PLC0415
    from purekernel.cli.summary import render_json, render_text, summarize  # noqa: PLC0415
    from purekernel.cli.terminal import choose_progress, say  # noqa: PLC0415

    volume = {
        f"{name}_id": options.pop(option)
        for option, name in (
            ("volume_id", "volume"),
            ("application", "application"),
            ("system", "system"),
            ("publisher", "publisher"),
            ("preparer", "preparer"),
        )
    }
    start = time.perf_counter()
    progress = choose_progress(quiet=quiet, verbose=verbose, json=as_json)
    try:
        image = make_image(
            bundle,
            volume={name: text for name, text in volume.items() if text is not None},
            progress=progress,
            **options,
        )
        outputs = write_image(
            image, output_dir, emit=[Emit(name) for name in emit], progress=progress
        )
    finally:
        progress.close()
    if as_json:
        total = time.perf_counter() - start
        say(render_json(summarize(image, outputs, progress.seconds, total)))
    elif not quiet:
        say(render_text(outputs))
