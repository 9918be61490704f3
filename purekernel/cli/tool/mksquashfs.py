"""Run ``purekernel tool mksquashfs``: make an extension, or any squashfs image."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from purekernel.cli.parameters import Place, Size
from purekernel.cli.tool.single_dash import SingleDashCommand
from purekernel.errors import UsageError

if TYPE_CHECKING:
    from purekernel.input import Limits
    from purekernel.tree import Tree

# The values of purekernel.encode.squashfs.Compression and purekernel.encode.encoders.Effort, which
# are too slow to import for --help.
COMPRESSIONS = ("gzip", "xz", "lz4", "zstd")
EFFORTS = ("fast", "balanced", "max")

TIME = click.IntRange(0, 0xFFFFFFFF)


@click.command(
    "mksquashfs",
    cls=SingleDashCommand,
    rest_option="-e",
    short_help="Make an extension, or any squashfs image.",
)
@click.argument("places", metavar="SOURCE... OUT", type=Place(), nargs=-1)
@click.option(
    "-b", "block_bytes", type=Size(), metavar="SIZE", default=4096, show_default=True,
    help="The block size: a power of two up to 1M. Tiny Core uses 4096.",
)  # fmt: skip
@click.option(
    "-comp", "compression", type=click.Choice(COMPRESSIONS), default="gzip", show_default=True,
    help="The compression of blocks.",
)  # fmt: skip
@click.option(
    "--effort", type=click.Choice(EFFORTS), default="fast", show_default=True,
    help="How much time to spend on a small image.",
)  # fmt: skip
@click.option("-noappend", "replace", is_flag=True, help="Replace OUT if it exists.")
@click.option("-all-root", "-root-owned", "all_root", is_flag=True, help="Make root own all files.")
@click.option("-force-uid", metavar="USER", help="Make USER, a number or a name, own all files.")
@click.option("-force-gid", metavar="GROUP", help="Set the group of all files to GROUP.")
@click.option(
    "-xattrs/-no-xattrs", default=True, help="Store extended attributes.  [default: -xattrs]"
)
@click.option(
    "-e", "excluded", metavar="PATH...", multiple=True,
    help="Exclude these paths; takes all arguments that follow.",
)  # fmt: skip
@click.option(
    "-ef", "exclude_file", type=Place(), metavar="FILE", help="Exclude the paths that FILE lists."
)
@click.option(
    "-sort", "sort_file", type=Place(), metavar="FILE",
    help="Order files by the priorities in FILE: a path and a number per line.",
)  # fmt: skip
@click.option(
    "-mkfs-time", "-fstime", "mkfs_time", type=TIME, metavar="SECONDS",
    help="The image's time of creation, since 1970, UTC.  [default: the newest time in it]",
)  # fmt: skip
@click.option("-all-time", type=TIME, metavar="SECONDS", help="Set the time of all files.")
@click.option(
    "--timestamp", type=TIME, metavar="SECONDS", envvar="SOURCE_DATE_EPOCH", show_envvar=True,
    help="The image's time of creation; newer times of files are set to it.",
)  # fmt: skip
@click.option(
    "-processors", type=click.IntRange(1, 1024), metavar="N",
    help="How many blocks to compress at once.  [default: one per processor]",
)  # fmt: skip
@click.option("-no-fragments", is_flag=True, help="Do not let the ends of files share blocks.")
@click.option("-no-exports", is_flag=True, help="Write no export table, which NFS needs.")
@click.option("-no-duplicates", is_flag=True, help="Store files of equal content separately.")
@click.option("-nopad", is_flag=True, help="Do not pad to a multiple of 4 KiB.")
@click.option(
    "-always-use-fragments", "-tailends", "-exports", "-no-progress", "-reproducible", "ignored",
    is_flag=True, help="Ignored: this is always the case.",
)  # fmt: skip
@click.option("-quiet", is_flag=True, help="Print nothing.")
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of a SOURCE.  [default: 1G]"
)
def mksquashfs_command(
    *,
    places: tuple[Path, ...],
    block_bytes: int,
    compression: str,
    effort: str,
    replace: bool,
    all_root: bool,
    force_uid: str | None,
    force_gid: str | None,
    xattrs: bool,
    excluded: tuple[str, ...],
    exclude_file: Path | None,
    sort_file: Path | None,
    mkfs_time: int | None,
    all_time: int | None,
    timestamp: int | None,
    processors: int | None,
    no_fragments: bool,
    no_exports: bool,
    no_duplicates: bool,
    nopad: bool,
    ignored: bool,  # noqa: ARG001  # as its help says
    quiet: bool,
    max_unpacked: int | None,
) -> None:
    """Make the squashfs image OUT from the content of SOURCE, as mksquashfs does.

    SOURCE is a folder, a tar or cpio archive, compressed or not, or another squashfs image.
    Several SOURCEs, and files that are not archives, are added under their own names.

    \b
    Examples:
      purekernel tool mksquashfs root/ my.tcz -all-root
      purekernel tool mksquashfs data.tar.xz my.tcz -noappend --effort max
      purekernel tool mksquashfs root/ my.tcz -noappend -e usr/share/doc usr/share/man
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.encode.encoders import Effort  # noqa: PLC0415
    from purekernel.encode.squashfs import Compression, make_codec  # noqa: PLC0415
    from purekernel.formats.squashfs import Options, write_squashfs  # noqa: PLC0415
    from purekernel.host.write import publish  # noqa: PLC0415
    from purekernel.input import limits_of  # noqa: PLC0415
    from purekernel.recipe.encoding import Encoding  # noqa: PLC0415
    from purekernel.tools.mksquashfs import Changes  # noqa: PLC0415
    from purekernel.tree import clamp_times  # noqa: PLC0415

    if len(places) < 2:
        raise UsageError("SOURCE or OUT is missing", hint="see 'purekernel tool mksquashfs --help'")
    *sources, out = places
    if out.exists() and not replace:
        raise UsageError(
            f"{out} exists already, and appending to images is not supported",
            hint="add -noappend to replace it, or use another name",
        )
    limits = limits_of(max_unpacked)
    uid = 0 if all_root else None if force_uid is None else _number(force_uid, "user")
    gid = 0 if all_root else None if force_gid is None else _number(force_gid, "group")
    tree = _gather(sources, excluded, exclude_file, limits, xattrs=xattrs)
    tree = Changes(uid=uid, gid=gid, mtime=all_time).apply(tree)
    if timestamp is not None:
        tree = clamp_times(tree, timestamp)
    options = Options(
        block_bytes=block_bytes,
        tails=not no_fragments,
        duplicates=not no_duplicates,
        exports=not no_exports,
        xattrs=xattrs,
        padding=not nopad,
        mkfs_time=timestamp if mkfs_time is None else mkfs_time,
        priorities={} if sort_file is None else _priorities(tree, sort_file, sources),
    )
    codec = make_codec(Compression(compression), Effort(effort), block_bytes)
    target = out.resolve()
    with Encoding(jobs=processors).running() as executor:

        def write(stream: BinaryIO) -> None:
            write_squashfs(tree, stream, codec=codec, executor=executor, options=options)

        (done,) = publish(target.parent, {target.name: write}, option="another OUT")
    if not quiet:
        say(f"{out}: {done.size_bytes} bytes, {len(tree)} names, {compression}, {block_bytes}")


def _gather(
    sources: list[Path],
    excluded: tuple[str, ...],
    exclude_file: Path | None,
    limits: Limits,
    *,
    xattrs: bool,
) -> Tree:
    from purekernel.cli.terminal import say_warning  # noqa: PLC0415
    from purekernel.tools.mksquashfs import gather, inside_image, leave_out  # noqa: PLC0415
    from purekernel.tree import display  # noqa: PLC0415

    names = list(excluded)
    if exclude_file is not None:
        names += filter(None, map(str.strip, _text(exclude_file).splitlines()))
    tree = gather(sources, xattrs=xattrs, limits=limits)
    tree, missing = leave_out(tree, [inside_image(name, sources) for name in names])
    for path in missing:
        say_warning(f"{display(path)} is excluded, and is not in the sources")
    return tree


def _priorities(tree: Tree, path: Path, sources: list[Path]) -> dict[bytes, int]:
    from purekernel.tools.mksquashfs import (  # noqa: PLC0415
        inside_image,
        parse_priorities,
        spread_priorities,
    )

    resolve = partial(inside_image, sources=sources)
    return spread_priorities(tree, parse_priorities(_text(path), source=str(path), resolve=resolve))


def _text(path: Path) -> str:
    from purekernel.host.read import load_file  # noqa: PLC0415

    return os.fsdecode(load_file(path))


def _number(text: str, what: str) -> int:
    """Return the number of a user or group, given as a number or as a name on this host."""
    if text.isascii() and text.isdigit() and int(text) <= 0xFFFFFFFF:
        return int(text)
    look_up: Callable[[str], int]
    try:
        if what == "user":
            import pwd  # noqa: PLC0415  # not on Windows

            look_up = lambda name: pwd.getpwnam(name).pw_uid  # noqa: E731
        else:
            import grp  # noqa: PLC0415

            look_up = lambda name: grp.getgrnam(name).gr_gid  # noqa: E731
        return look_up(text)
    except (ImportError, KeyError):
        raise UsageError(
            f"the {what} {text} does not exist here", hint="use a number from 0 to 4294967295"
        ) from None
