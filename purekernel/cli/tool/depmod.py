"""Run ``purekernel tool depmod``: index the modules of a kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from purekernel.cli.parameters import Place
from purekernel.cli.tool.roots import change_options, open_place, refuse_output, save
from purekernel.errors import UsageError

if TYPE_CHECKING:
    from purekernel.rootfs.depmod import Dialect, KernelSymbols
    from purekernel.tree import Tree

_DIALECT = re.compile(
    r"kmod(?::(?P<kmod>[0-9]{1,4}))?|busybox(?::(?P<major>\d{1,3})\.(?P<minor>\d{1,3}))?"
)


@click.command("depmod", short_help="Index the modules of a kernel.")
@click.argument("release", metavar="[KVER]", required=False)
@click.option("-b", "--basedir", "root_place", metavar="ROOT", help="The root file system.")
@click.option("-a", "--all", "everything", is_flag=True, help="Index all modules; always the case.")
@click.option(
    "-A", "--quick", is_flag=True, help="Index only if a module is newer than modules.dep."
)
@click.option("-n", "--show", is_flag=True, help="Print the text files, and write nothing.")
@click.option("-e", "--errsyms", is_flag=True, help="Report unresolved symbols; requires -E or -F.")
@click.option(
    "-F", "--filesyms", "system_map", metavar="FILE", type=Place(), help="The kernel's System.map."
)
@click.option(
    "-E", "--symvers", metavar="FILE", type=Place(),
    help="The kernel's Module.symvers, whose checksums modules must match.",
)  # fmt: skip
@click.option("-w", "--warn", is_flag=True, help="Report duplicate aliases and symbols.")
@click.option(
    "--dialect", metavar="WHOSE",
    help="The format of the files: kmod, kmod:34, busybox or busybox:1.20.  [default: ROOT's]",
)  # fmt: skip
@change_options
def depmod_command(
    *,
    release: str | None,
    root_place: str | None,
    everything: bool,  # noqa: ARG001  # always the case
    quick: bool,
    show: bool,
    errsyms: bool,
    system_map: Path | None,
    symvers: Path | None,
    warn: bool,
    dialect: str | None,
    output: Path | None,
    timestamp: int | None,
    drop_boot: bool,
    max_unpacked: int | None,
) -> None:
    """Write the modules.* files in ROOT, which modprobe reads to find modules and dependencies.

    KVER is the kernel's release, the name of a folder in lib/modules. Without KVER, index the
    modules of all kernels.

    \b
    Examples:
      purekernel tool depmod -b root/ 6.1.0-50-amd64
      purekernel tool depmod -b Core-current.iso -n
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.cli.terminal import say_bytes, say_warning  # noqa: PLC0415
    from purekernel.rootfs.depmod import depmod  # noqa: PLC0415

    if root_place is None:
        raise UsageError(
            "the root file system is missing",
            hint="set it with -b; for this system, use its own depmod",
        )
    kernel = _kernel_symbols(system_map, symvers, errsyms=errsyms)
    chosen = _parse_dialect(dialect) if dialect is not None else None
    if show:
        refuse_output(output, "-n")
    root = open_place(
        root_place, timestamp=timestamp, drop_boot=drop_boot, max_unpacked=max_unpacked
    )
    tree = root.tree
    for kernel_release in _releases(tree, release, root_place):
        if quick and _is_up_to_date(tree, kernel_release):
            continue
        done = depmod(
            tree,
            kernel_release,
            mtime=root.mtime,
            dialect=_of_tree(chosen, tree),
            kernel=kernel,
            report_unknown=errsyms,
            report_duplicates=warn,
        )
        for warning in done.warnings:
            say_warning(warning)
        if show:
            say_bytes(
                b"".join(
                    content for name, content in done.files.items() if not name.endswith(b".bin")
                )
            )
            continue
        tree = done.tree
    save(root, tree, output)


def _kernel_symbols(
    system_map: Path | None, symvers: Path | None, *, errsyms: bool
) -> KernelSymbols | None:
    from purekernel.host.read import load_file  # noqa: PLC0415
    from purekernel.rootfs.depmod import parse_symvers, parse_system_map  # noqa: PLC0415

    if symvers is not None:
        return parse_symvers(load_file(symvers, streams=True))
    if system_map is not None:
        return parse_system_map(load_file(system_map, streams=True))
    if errsyms:
        raise UsageError(
            "-e requires the kernel's symbols",
            hint="set its Module.symvers with -E, or its System.map with -F",
        )
    return None


def _parse_dialect(text: str) -> Dialect:
    from purekernel.rootfs.depmod import Busybox, Kmod  # noqa: PLC0415

    match = _DIALECT.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--dialect: must be kmod or busybox, got {text!r}",
            hint="use kmod or busybox, optionally with a version: busybox:1.20",
        )
    if text.startswith("kmod"):
        return Kmod(version=int(match["kmod"])) if match["kmod"] else Kmod()
    return (
        Busybox(version=(int(match["major"]), int(match["minor"]))) if match["major"] else Busybox()
    )


def _of_tree(chosen: Dialect | None, tree: Tree) -> Dialect | None:
    """Return the dialect for ``tree``: Tiny Core's busybox searches folders of its own."""
    from purekernel.rootfs.depmod import Busybox, tree_busybox  # noqa: PLC0415

    return tree_busybox(tree, chosen.version) if isinstance(chosen, Busybox) else chosen


def _releases(tree: Tree, release: str | None, place: str) -> list[bytes]:
    from purekernel.errors import InputError  # noqa: PLC0415
    from purekernel.rootfs.modules import kernel_releases  # noqa: PLC0415

    if release is not None:
        return [os.fsencode(release)]
    found = kernel_releases(tree)
    if not found:
        raise InputError(
            f"{place}: no kernel's folder in lib/modules",
            hint="use the folder that contains lib/modules, not lib/modules itself",
        )
    return found


def _is_up_to_date(tree: Tree, release: bytes) -> bool:
    from purekernel.rootfs.depmod import is_up_to_date  # noqa: PLC0415

    return is_up_to_date(tree, release)
