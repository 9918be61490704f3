"""Run ``purekernel tool modinfo``: print the information in a kernel module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from purekernel.errors import InputError, UsageError

if TYPE_CHECKING:
    from purekernel.tree import Buffer

SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")


@click.command("modinfo", short_help="Print the information in a kernel module.")
@click.argument("modules", metavar="MODULE...", nargs=-1, required=True)
@click.option("-a", "--author", "name", flag_value="author", help="Print only the authors.")
@click.option(
    "-d", "--description", "name", flag_value="description", help="Print only the description."
)
@click.option("-l", "--license", "name", flag_value="license", help="Print only the licence.")
@click.option("-p", "--parameters", "name", flag_value="parm", help="Print only the parameters.")
@click.option("-n", "--filename", "name", flag_value="filename", help="Print only the file name.")
@click.option("-F", "--field", metavar="FIELD", help="Print only this field.")
@click.option("-0", "--null", "nul", is_flag=True, help="End each entry with NUL, not newline.")
@click.option(
    "-b", "--basedir", "root_place", metavar="ROOT", help="The root file system to search."
)
@click.option(
    "-k", "--set-version", "release", metavar="KVER",
    help="The kernel's release.  [default: the only one in ROOT]",
)  # fmt: skip
def modinfo_command(
    *,
    modules: tuple[str, ...],
    name: str | None,
    field: str | None,
    nul: bool,
    root_place: str | None,
    release: str | None,
) -> None:
    """Print the information in each MODULE, and its signature.

    MODULE is a file, compressed or not; with -b, the name of a module in ROOT.

    \b
    Examples:
      purekernel tool modinfo ext4.ko.xz
      purekernel tool modinfo -b Core-current.iso -F depends garp
    """  # noqa: D301  # click keeps the line breaks after a backspace
    from purekernel.cli.terminal import say_bytes  # noqa: PLC0415
    from purekernel.formats.kernel_module import (  # noqa: PLC0415
        LIMITS,
        describe_module,
        list_field,
        list_module,
    )
    from purekernel.host.read import load_file  # noqa: PLC0415
    from purekernel.input import Input  # noqa: PLC0415

    wanted = field or name
    separator = b"\0" if nul else b"\n"
    found: Iterator[tuple[str, Buffer]]
    if root_place is None:
        found = ((str(_file(module)), load_file(Path(module))) for module in modules)
    else:
        found = _look_up(root_place, release, modules)
    for source, data in found:
        information = describe_module(Input(data, name=source, limits=LIMITS))
        file_name = os.fsencode(source)
        if wanted is None:
            text = list_module(information, file_name=file_name, separator=separator)
        else:
            text = list_field(
                information, os.fsencode(wanted), file_name=file_name, separator=separator
            )
        say_bytes(text)


def _file(module: str) -> Path:
    path = Path(module)
    if not path.exists() and not module.endswith(SUFFIXES):
        raise UsageError(
            f"{module}: no such file",
            hint="use the path of a module, or set its root file system with -b",
        )
    return path


def _look_up(
    root_place: str, release: str | None, modules: tuple[str, ...]
) -> Iterator[tuple[str, Buffer]]:
    from purekernel.cli.tool.roots import open_place  # noqa: PLC0415
    from purekernel.rootfs.depmod import find_modules  # noqa: PLC0415
    from purekernel.rootfs.modules import kernel_releases  # noqa: PLC0415

    tree = open_place(root_place).tree
    if release is None:
        releases = kernel_releases(tree)
        if len(releases) != 1:
            raise InputError(
                f"{root_place} has modules of {len(releases)} kernels",
                hint="select one with -k: " + ", ".join(map(os.fsdecode, releases))
                if releases
                else "use the folder that contains lib/modules",
            )
        release = os.fsdecode(releases[0])
    known = find_modules(tree, os.fsencode(release))
    for module in modules:
        found = known.get(os.fsencode(module).replace(b"-", b"_"))
        if found is None:
            raise InputError(
                f"{root_place}: no module {module} for {release}",
                hint="use the module's own name; aliases are not supported",
            )
        yield f"/lib/modules/{release}/{os.fsdecode(found.path)}", found.content
