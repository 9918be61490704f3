"""``purekernel tool``: programs that images are made with, under the names they are known by."""

from __future__ import annotations

import click

from purekernel.cli.tool.advdef import advdef_command
from purekernel.cli.tool.deb2tcz import deb2tcz_command
from purekernel.cli.tool.depmod import depmod_command
from purekernel.cli.tool.gzip import gzip_command
from purekernel.cli.tool.ldconfig import ldconfig_command
from purekernel.cli.tool.mksquashfs import mksquashfs_command
from purekernel.cli.tool.modinfo import modinfo_command
from purekernel.cli.tool.recompress import recompress_command
from purekernel.cli.tool.unsquashfs import unsquashfs_command


@click.group(
    "tool", short_help="Stand in for ldconfig, depmod, advdef and others.", no_args_is_help=True
)
def tool_command() -> None:
    """Do what the program of that name does, as an ordinary user.

    A root file system is a folder; a cpio or tar archive, packed or not; a squashfs image (.tcz);
    an ISO, whose core.gz is meant; or ISO:PATH, an archive in an ISO.
    """


for command in (
    advdef_command,
    deb2tcz_command,
    depmod_command,
    gzip_command,
    ldconfig_command,
    mksquashfs_command,
    modinfo_command,
    recompress_command,
    unsquashfs_command,
):
    tool_command.add_command(command)
