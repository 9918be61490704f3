"""Run ``purekernel tool ldconfig``: make links to libraries, and the loader's cache."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purekernel.cli.tool.roots import change_options, open_place, refuse_output, save
from purekernel.errors import UsageError

if TYPE_CHECKING:
    from purekernel.rootfs.ldconfig import Configured
    from purekernel.tools.roots import Root
    from purekernel.tree import Tree

CACHE = "/etc/ld.so.cache"
CONFIGURATION = "/etc/ld.so.conf"

# As in purekernel.rootfs.ldconfig.ARCHITECTURES, which is too slow to import for --help.
NAMES = ("aarch64", "arm", "armhf", "i386", "ppc64le", "riscv64", "s390x", "x32", "x86_64")


@click.command("ldconfig", short_help="Make links to libraries, and the loader's cache.")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1)
@click.option("-r", "root_place", metavar="ROOT", help="The root file system.")
@click.option("-p", "--print-cache", is_flag=True, help="Print the cache, and write nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Print the searched folders, and all links.")
@click.option("-N", "no_cache", is_flag=True, help="Write no cache.")
@click.option("-X", "no_links", is_flag=True, help="Make no links.")
@click.option("-n", "only", is_flag=True, help="Search only FOLDERs; write no cache.")
@click.option(
    "-f", "configuration", metavar="CONF", default=CONFIGURATION, show_default=True,
    help="The file that lists the folders to search.",
)  # fmt: skip
@click.option(
    "-C", "cache", metavar="CACHE", default=CACHE, show_default=True, help="The path of the cache."
)
@click.option(
    "-c",
    "--format",
    "form",
    type=click.Choice(["new", "compat", "old"]),
    help="The format of the cache.  [default: new from glibc 2.32 on, else compat]",
)
@click.option(
    "-i", "--ignore-aux-cache", is_flag=True, help="Ignored: there is no auxiliary cache."
)
@click.option(
    "--architecture",
    type=click.Choice(NAMES),
    help="The architecture.  [default: that of the loader in ROOT, or of most libraries]",
)
@click.option(
    "--glibc",
    metavar="RELEASE",
    help="The glibc whose rules to follow, such as 2.31.  [default: ROOT's, or 2.36]",
)
@click.option(
    "--generator", metavar="TEXT", help="The generator that the cache names.  "
    "[default: the ldconfig of ROOT's glibc]",
)  # fmt: skip
@change_options
def ldconfig_command(
    *,
    folders: tuple[str, ...],
    root_place: str | None,
    print_cache: bool,
    verbose: bool,
    configuration: str,
    cache: str,
    output: Path | None,
    timestamp: int | None,
    drop_boot: bool,
    max_unpacked: int | None,
    **options: Any,
) -> None:
    """Make the links to libraries and the cache in ROOT, as glibc's ldconfig does.

    Names of folders and files are relative to ROOT; symbolic links are followed inside ROOT.

    \b
    Examples:
      purekernel tool ldconfig -r root/
      purekernel tool ldconfig -r core.gz -o new-core.gz
      purekernel tool ldconfig -r Core-current.iso -p
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.cli.terminal import say_bytes, say_warning  # noqa: PLC0415
    from purekernel.errors import inside  # noqa: PLC0415
    from purekernel.host.read import load_file  # noqa: PLC0415

    if print_cache and root_place is None:
        say_bytes(_listing(load_file(Path(cache)), cache))
        return
    if root_place is None:
        raise UsageError(
            "the root file system is missing",
            hint="set it with -r; for this system, use its own ldconfig",
        )
    if print_cache:
        refuse_output(output, "-p")
    root = open_place(
        root_place, timestamp=timestamp, drop_boot=drop_boot, max_unpacked=max_unpacked
    )
    if print_cache:
        with inside(root_place):
            listing = _listing(_content(root.tree, cache), cache)
        say_bytes(listing)
        return
    done = _configure(root, folders, configuration, cache, **options)
    for warning in done.warnings:
        say_warning(warning)
    save(root, done.tree, output)
    if verbose:
        say_bytes(_report(done))


def _configure(
    root: Root,
    folders: tuple[str, ...],
    configuration: str,
    cache: str,
    *,
    only: bool,
    no_cache: bool,
    no_links: bool,
    form: str | None,
    architecture: str | None,
    glibc: str | None,
    generator: str | None,
    ignore_aux_cache: bool,  # noqa: ARG001  # there is no auxiliary cache
) -> Configured:
    from purekernel.formats.ld_cache import CacheFormat  # noqa: PLC0415
    from purekernel.rootfs.ldconfig import ARCHITECTURES, ldconfig  # noqa: PLC0415

    if only and not folders:
        raise UsageError("-n requires a folder", hint="add the folders to search")
    return ldconfig(
        root.tree,
        mtime=root.mtime,
        architecture=None if architecture is None else ARCHITECTURES[architecture],
        release=None if glibc is None else _release(glibc),
        format=None if form is None else CacheFormat(form),
        generator=None if generator is None else os.fsencode(generator),
        folders=[_absolute(folder) for folder in folders],
        configuration=None if only else _absolute(configuration),
        cache=None if only or no_cache else _absolute(cache).lstrip(b"/"),
        links=not no_links,
        stale=root.is_whole,
    )


def _release(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})(\.[0-9]+)?", text)
    if match is None:
        raise UsageError(
            f"--glibc: must be a release of glibc, got {text!r}",
            hint="use two numbers, such as 2.31",
        )
    return int(match[1]), int(match[2])


def _absolute(path: str) -> bytes:
    return b"/" + os.fsencode(path).lstrip(b"/")


def _content(tree: Tree, path: str) -> bytes:
    from purekernel.errors import InputError  # noqa: PLC0415
    from purekernel.tree import File, resolve  # noqa: PLC0415

    node = tree.get(resolve(tree, os.fsencode(path)))
    if not isinstance(node, File):
        raise InputError(
            f"the cache {path} is missing", hint="write it with ldconfig, or set its path with -C"
        )
    return bytes(node.content)


def _listing(data: bytes, name: str) -> bytes:
    from purekernel.formats.ld_cache import list_ld_cache, parse_ld_cache  # noqa: PLC0415
    from purekernel.input import Input  # noqa: PLC0415

    return list_ld_cache(parse_ld_cache(Input(data, name=name)), name=os.fsencode(name))


def _report(done: Configured) -> bytes:
    """Return the text that ``ldconfig -v`` prints.

    Source: glibc 2.36, elf/ldconfig.c.
    """
    lines = []
    for searched in done.searched:
        folder = searched.folder
        hwcap = b""
        if folder.hwcaps is not None:
            hwcap = b' (hwcap: "' + folder.hwcaps + b'")'
        elif searched.hwcap:
            hwcap = b" (hwcap: 0x%016x)" % searched.hwcap
        lines.append(folder.path + b":" + hwcap + b" (from " + folder.origin + b")\n")
        for link in searched.links:
            state = b" (" + link.state.value.encode() + b")" if link.state.value else b""
            lines.append(b"\t" + link.soname + b" -> " + link.name + state + b"\n")
    return b"".join(lines)
