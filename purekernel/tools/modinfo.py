"""Find kernel modules, and print the information in them as modinfo does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from purekernel.errors import InputError, UsageError
from purekernel.formats.kernel_module import LIMITS, describe_module, list_field, list_module
from purekernel.host.addresses import load_address
from purekernel.host.read import exists
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.rootfs.depmod import find_modules as find_in_tree
from purekernel.rootfs.modules import kernel_releases
from purekernel.tools.roots import open_noted_root
from purekernel.tree import Buffer

SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")


@frozen(kw_only=True)
class ModuleInformation:
    """The information in a kernel module.

    Attributes:
        path: the path of the module, on the host or in the root file system.
        information: keys and values in order, those of the signature last.
    """

    path: str
    information: list[tuple[bytes, bytes]]


def find_modules(
    modules: Sequence[str],
    root_place: str | None,
    release: str | None,
    *,
    note: Callable[[str], None],
) -> Iterator[ModuleInformation]:
    """Yield the information in each module.

    Args:
        modules: addresses of modules, or names of modules in a root file system.
        root_place: the root file system; ``None`` for the host.
        release: the kernel's release; ``None`` for the only one in the root file system.
        note: called with a line for each part of the root file system that cannot be read.

    Raises:
        UsageError: a module of the host does not exist.
        InputError: a module is not in the root file system, or the release is not clear.
        FormatError: a file is not a module, or is damaged.
    """
    if root_place is None:
        for module in modules:
            yield _describe(module, load_address(_address(module)).data)
        return
    root = open_noted_root(root_place, note=note)
    if release is None:
        releases = kernel_releases(root.tree)
        if len(releases) != 1:
            raise InputError(
                f"{root_place} has modules of {len(releases)} kernels",
                hint="select one with -k: " + ", ".join(map(os.fsdecode, releases))
                if releases
                else "use the folder that contains lib/modules",
            )
        release = os.fsdecode(releases[0])
    known = find_in_tree(root.tree, os.fsencode(release))
    for module in modules:
        found = known.get(os.fsencode(module).replace(b"-", b"_"))
        if found is None:
            raise InputError(
                f"{root_place}: no module {module} for {release}",
                hint="use the module's own name; aliases are not supported",
            )
        yield _describe(f"/lib/modules/{release}/{os.fsdecode(found.path)}", found.content)


def render_module(module: ModuleInformation, *, field: str | None, end: bytes) -> list[bytes]:
    """Return the entries that modinfo prints about a module, without their ends.

    Args:
        module: the module.
        field: the only field to print; ``None`` for all.
        end: what will end each entry: a newline or NUL.
    """
    file_name = os.fsencode(module.path)
    if field is None:
        return list_module(module.information, file_name=file_name, separator=end)
    return list_field(module.information, os.fsencode(field), file_name=file_name)


def _describe(path: str, data: Buffer) -> ModuleInformation:
    information = describe_module(Input(data, name=path, limits=LIMITS))
    return ModuleInformation(path=path, information=information)


def _address(module: str) -> str:
    if not exists(Path(module)) and ":" not in module and not module.endswith(SUFFIXES):
        raise UsageError(
            f"{module}: no such file",
            hint="use the path of a module, or set its root file system with -b",
        )
    return module
