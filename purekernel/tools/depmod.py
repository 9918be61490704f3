"""Index the kernel modules in a root file system."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from purekernel.errors import InputError, UsageError
from purekernel.host.read import load_file
from purekernel.records import frozen
from purekernel.rootfs.depmod import (
    Busybox,
    Dialect,
    KernelSymbols,
    Kmod,
    depmod,
    is_up_to_date,
    parse_symvers,
    parse_system_map,
    tree_busybox,
)
from purekernel.rootfs.modules import kernel_releases
from purekernel.tools.roots import open_noted_root, save_changed
from purekernel.tree import Tree

_DIALECT = re.compile(
    r"kmod(?::(?P<kmod>[0-9]{1,4}))?|busybox(?::(?P<major>[0-9]{1,3})\.(?P<minor>[0-9]{1,3}))?"
)


@frozen(kw_only=True)
class KernelIndex:
    """The index files of one kernel.

    Attributes:
        release: the kernel's release, the name of its folder in ``lib/modules``.
        files: the contents by name, such as ``modules.dep``.
    """

    release: bytes
    files: Mapping[bytes, bytes]


def run_depmod(
    root_place: str,
    *,
    release: str | None,
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
    note: Callable[[str], None],
) -> Iterator[KernelIndex]:
    """Yield the index of each kernel; write all of them after the last, unless ``show`` is set.

    Args:
        root_place: the root file system.
        release: the kernel's release; ``None`` for all kernels.
        quick: skip kernels whose modules are older than ``modules.dep``.
        show: write nothing.
        errsyms: report unresolved symbols.
        system_map: the kernel's System.map.
        symvers: the kernel's Module.symvers.
        warn: report duplicate aliases and symbols.
        dialect: ``kmod`` or ``busybox``, perhaps with a version; ``None`` for the root's.
        output: the archive or ISO to write; ``None`` to replace the old one.
        timestamp: the time of new files, in seconds since 1970, UTC.
        drop_boot: whether to drop boot methods that cannot be written.
        max_unpacked: the maximum unpacked size of the root file system, in bytes.
        note: called with each warning, one line.

    Raises:
        UsageError: the dialect is invalid, or symbols are to be reported without a kernel's.
        PurekernelError: the root file system cannot be read, indexed or written.
    """
    kernel = _kernel_symbols(system_map, symvers, errsyms=errsyms)
    chosen = _parse_dialect(dialect) if dialect is not None else None
    root = open_noted_root(
        root_place, note=note, timestamp=timestamp, drop_boot=drop_boot, max_unpacked=max_unpacked
    )
    tree = root.tree
    for kernel_release in _releases(tree, release, root_place):
        if quick and is_up_to_date(tree, kernel_release):
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
            note(warning)
        if not show:
            tree = done.tree
        yield KernelIndex(release=kernel_release, files=done.files)
    if not show:
        save_changed(root, tree, output, note=note)


def _kernel_symbols(
    system_map: Path | None, symvers: Path | None, *, errsyms: bool
) -> KernelSymbols | None:
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
    return tree_busybox(tree, chosen.version) if isinstance(chosen, Busybox) else chosen


def _releases(tree: Tree, release: str | None, place: str) -> list[bytes]:
    if release is not None:
        return [os.fsencode(release)]
    found = kernel_releases(tree)
    if not found:
        raise InputError(
            f"{place}: no kernel's folder in lib/modules",
            hint="use the folder that contains lib/modules, not lib/modules itself",
        )
    return found
