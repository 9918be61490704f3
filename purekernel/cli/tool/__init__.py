"""Run ``purekernel tool``: replacements for the programs that build images."""

from __future__ import annotations

import click

from purekernel.cli.lazy_group import LazyGroup


@click.group(
    "tool",
    cls=LazyGroup,
    package="purekernel.cli.tool",
    names=(
        "advdef",
        "deb2tcz",
        "depmod",
        "gzip",
        "ldconfig",
        "mksquashfs",
        "modinfo",
        "recompress",
        "unsquashfs",
    ),
    short_help="Run replacements for ldconfig, depmod, advdef and others.",
    no_args_is_help=True,
)
def tool_command() -> None:
    """Do the work of the program of the same name, as an ordinary user.

    A root file system is a folder; a cpio or tar archive, compressed or not; a squashfs image
    (.tcz); an ISO, which stands for its core.gz; or FILE:PATH, an archive in one of these.
    """
