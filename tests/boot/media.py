"""Return the QEMU arguments that boot an output from a medium."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.oracles import skip_or_fail

# The boot loader and the module that it needs, as installed by Debian.
PXELINUX = (
    Path("/usr/lib/PXELINUX/pxelinux.0"),
    Path("/usr/lib/syslinux/modules/bios/ldlinux.c32"),
)


def from_cd(iso: Path) -> list[str | Path]:
    """Boot an ISO through its isolinux, with a BIOS."""
    return ["-cdrom", iso, "-boot", "d"]


def from_disk(image: Path) -> list[str | Path]:
    """Boot an image as a hard disk, with a BIOS."""
    return ["-drive", f"file={image},format=raw", "-boot", "c"]


def from_floppy(image: Path) -> list[str | Path]:
    """Boot an image of 2.88 MB as a floppy disk, which a BIOS does not read by sector number."""
    return ["-drive", f"file={image},format=raw,if=floppy", "-boot", "a"]


def from_ipxe(folder: Path) -> list[str | Path]:
    """Boot the iPXE script of a PXE folder, with the iPXE of QEMU's network card."""
    return _from_network(folder, "boot.ipxe")


def from_pxelinux(folder: Path, copy: Path) -> list[str | Path]:
    """Boot a copy of a PXE folder to which pxelinux is added, as an administrator would do."""
    shutil.copytree(folder, copy)
    for source in PXELINUX:
        if not source.is_file():
            skip_or_fail(f"{source} is not installed")
        shutil.copy(source, copy)
    return _from_network(copy, "pxelinux.0")


def _from_network(folder: Path, file: str) -> list[str | Path]:
    netdev = f"user,id=net,restrict=on,tftp={folder},bootfile={file}"
    return ["-netdev", netdev, "-device", "e1000,netdev=net", "-boot", "n"]
