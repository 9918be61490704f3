"""Define the words of recipes and options that are enumerations: flavours, outputs, layouts."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

SCRIPTS = b"iso-build-files"


class Flavour(Enum):
    """The use that an image is built for."""

    DEV = "dev"
    PROD = "prod"
    DEBUG = "debug"


class Generation(Enum):
    """The generation of scripts that made a bundle, recognised by its volume id."""

    V2012 = "2012"
    V2013 = "2013"


class Emit(Enum):
    """Kinds of output files."""

    ISO = "iso"
    CORE = "core"
    INITRD = "initrd"
    PXE = "pxe"
    TCE = "tce"
    ROOTFS = "rootfs"
    OCI = "oci"
    DISK = "disk"
    SBOM = "sbom"
    PROVENANCE = "provenance"


EMITS = tuple(kind.value for kind in Emit)

FILE_ENDINGS: Mapping[Emit, tuple[str, ...]] = {
    Emit.ISO: (".iso",),
    Emit.INITRD: (".gz", ".img"),
    Emit.TCE: (".tar",),
    Emit.ROOTFS: (".tar", ".tar.gz", ".tgz", ".tar.zst"),
    Emit.OCI: (".tar",),
    Emit.DISK: (".img", ".raw", ".qcow2"),
    Emit.SBOM: (".cdx.json",),
}
"""The endings that a file name may have for an output that is one file, in lower case.

An output that is not here is several files.
"""


class DiskFormat(Enum):
    """Formats of a file that holds a disk."""

    RAW = "raw"
    QCOW2 = "qcow2"


DISK_FORMATS = tuple(each.value for each in DiskFormat)

DISK_ENDINGS = {DiskFormat.RAW: ".img", DiskFormat.QCOW2: ".qcow2"}
"""The endings of the names of disk images."""


class InitrdLayout(Enum):
    """How the root file system is distributed over initrds."""

    AS_BASE = "as-base"
    MERGED = "merged"
    SECOND = "second-initrd"


LAYOUTS = tuple(layout.value for layout in InitrdLayout)
