"""Run ``purekernel tool``: replacements for the programs that build images."""

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
    "tool",
    short_help="Run replacements for ldconfig, depmod, advdef and others.",
    no_args_is_help=True,
)
def tool_command() -> None:
    """Do the work of the program of the same name, as an ordinary user.

    A root file system is a folder; a cpio or tar archive, compressed or not; a squashfs image
    (.tcz); an ISO, which stands for its core.gz; or ISO:PATH, an archive in an ISO.
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
