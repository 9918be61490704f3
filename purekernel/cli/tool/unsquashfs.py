"""Run ``purekernel tool unsquashfs``: list or unpack an extension, or any squashfs image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from purekernel.cli.parameters import Place, Size
from purekernel.cli.tool.single_dash import SingleDashCommand
from purekernel.errors import InputError, UsageError

if TYPE_CHECKING:
    from purekernel.input import Limits


@click.command(
    "unsquashfs", cls=SingleDashCommand, short_help="List or unpack an extension, or any image."
)
@click.argument("image", metavar="IMAGE", type=Place())
@click.argument("wanted", metavar="[PATH]...", nargs=-1)
@click.option("-l", "-ls", "short", is_flag=True, help="List names only.")
@click.option(
    "-ll", "-lls", "long", is_flag=True, help="List names, modes, owners, sizes and times."
)
@click.option("-lln", "-llnumeric", "numeric", is_flag=True, help="As -ll, with owners as numbers.")
@click.option("-s", "-stat", "facts", is_flag=True, help="Print the superblock of the image.")
@click.option("-cat", "cat", is_flag=True, help="Print the contents of the files at PATHs.")
@click.option(
    "-d", "-dest", "folder", type=Place(), metavar="FOLDER", default="squashfs-root",
    show_default=True, help="Where to unpack.",
)  # fmt: skip
@click.option("-f", "-force", "replace", is_flag=True, help="Replace existing files.")
@click.option("-no-xattrs", is_flag=True, help="Set no extended attributes.")
@click.option("-q", "-quiet", "quiet", is_flag=True, help="Print no count.")
@click.option(
    "-n", "-no-progress", "-UTC", "-strict-errors", "ignored", is_flag=True,
    help="Ignored: this is always the case.",
)  # fmt: skip
@click.option(
    "--max-unpacked", type=Size(), help="The maximum unpacked size of IMAGE.  [default: 1G]"
)
def unsquashfs_command(
    *,
    image: Path,
    wanted: tuple[str, ...],
    short: bool,
    long: bool,
    numeric: bool,
    facts: bool,
    cat: bool,
    folder: Path,
    replace: bool,
    no_xattrs: bool,
    quiet: bool,
    ignored: bool,  # noqa: ARG001  # as its help says
    max_unpacked: int | None,
) -> None:
    """List or unpack the squashfs image IMAGE, as unsquashfs does.

    With PATHs, list or unpack only these and everything below them; PATHs may contain *, ? and
    [...]. An ordinary user owns all unpacked files, and cannot make devices. Times are in UTC.

    \b
    Examples:
      purekernel tool unsquashfs -ll bash.tcz
      purekernel tool unsquashfs -d root/ bash.tcz usr/local/bin
      purekernel tool unsquashfs -cat bash.tcz usr/local/tce.installed/bash
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.input import limits_of  # noqa: PLC0415

    limits = limits_of(max_unpacked)
    paths = [os.fsencode(text) for text in wanted]
    if sum((short, long or numeric, facts, cat)) > 1:
        raise UsageError("-l, -ll, -s and -cat exclude each other", hint="use one of them")
    if facts:
        _describe(image, limits)
    elif short or long or numeric:
        _list(image, paths, folder, limits, is_long=not short, is_numeric=numeric)
    elif cat:
        _print_files(image, paths, limits)
    else:
        _unpack(image, paths, folder, limits, replace=replace, xattrs=not no_xattrs, quiet=quiet)


def _describe(image: Path, limits: Limits) -> None:
    from purekernel.cli.terminal import say  # noqa: PLC0415
    from purekernel.formats.squashfs import describe_image, open_squashfs  # noqa: PLC0415
    from purekernel.host.read import load_file  # noqa: PLC0415

    opened = open_squashfs(load_file(image, limits=limits), source=str(image), limits=limits)
    say(describe_image(opened, name=str(image)))


def _list(
    image: Path,
    paths: list[bytes],
    folder: Path,
    limits: Limits,
    *,
    is_long: bool,
    is_numeric: bool,
) -> None:
    from purekernel.cli.terminal import say_bytes  # noqa: PLC0415
    from purekernel.formats.squashfs import (  # noqa: PLC0415
        list_details,
        list_names,
        open_squashfs,
    )
    from purekernel.host.read import load_file  # noqa: PLC0415
    from purekernel.host.unpack import select  # noqa: PLC0415

    opened = open_squashfs(load_file(image, limits=limits), source=str(image), limits=limits)
    tree = select(opened.tree, paths, source=str(image))
    top = os.fsencode(folder)
    if not is_long:
        lines = list_names(tree, top=top)
    elif is_numeric:
        lines = list_details(opened, tree, top=top)
    else:
        lines = list_details(opened, tree, top=top, user=_user, group=_group)
    say_bytes(b"".join(lines))


def _print_files(image: Path, paths: list[bytes], limits: Limits) -> None:
    from purekernel.cli.terminal import say_bytes  # noqa: PLC0415
    from purekernel.formats.squashfs import open_squashfs  # noqa: PLC0415
    from purekernel.host.read import load_file  # noqa: PLC0415
    from purekernel.tree import File, display, look_up  # noqa: PLC0415

    if not paths:
        raise UsageError("PATH is missing", hint="add the paths of files in the image")
    opened = open_squashfs(load_file(image, limits=limits), source=str(image), limits=limits)
    contents = []
    for path in paths:
        found = look_up(opened.tree, path.strip(b"/"))
        if found is None or not isinstance(found.node, File):
            raise InputError(f"{image}: no file {display(path)}", hint="list its files with -l")
        contents.append(bytes(found.node.content))
    for content in contents:
        say_bytes(content)


def _unpack(
    image: Path,
    paths: list[bytes],
    folder: Path,
    limits: Limits,
    *,
    replace: bool,
    xattrs: bool,
    quiet: bool,
) -> None:
    from purekernel.cli.terminal import say, say_warning  # noqa: PLC0415
    from purekernel.formats.squashfs import parse_squashfs  # noqa: PLC0415
    from purekernel.host.read import load_file  # noqa: PLC0415
    from purekernel.host.unpack import select, unpack_tree  # noqa: PLC0415

    # Parse the whole image first, so that a damaged one is reported before anything is written.
    tree = parse_squashfs(load_file(image, limits=limits), source=str(image), limits=limits)
    tree = select(tree, paths, source=str(image))
    for note in unpack_tree(tree, folder, replace=replace, xattrs=xattrs):
        say_warning(note)
    if not quiet:
        say(f"{folder}: {len(tree) - 1} names")


def _user(number: int) -> str:
    try:
        import pwd  # noqa: PLC0415  # not on Windows

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError, OverflowError):
        return str(number)


def _group(number: int) -> str:
    try:
        import grp  # noqa: PLC0415

        return grp.getgrgid(number).gr_name
    except (ImportError, KeyError, OverflowError):
        return str(number)
