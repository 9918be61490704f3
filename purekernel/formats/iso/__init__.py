"""Read and write ISO 9660 images with Rock Ridge, Joliet and El Torito, with pycdlib."""

from purekernel.formats.iso.layout import (
    EFI,
    BootEntry,
    ElTorito,
    IsoImage,
    VolumeFields,
    check_fields,
)
from purekernel.formats.iso.reader import parse_iso, parse_iso_files
from purekernel.formats.iso.writer import build_iso, write_iso

__all__ = [
    "EFI",
    "BootEntry",
    "ElTorito",
    "IsoImage",
    "VolumeFields",
    "build_iso",
    "check_fields",
    "parse_iso",
    "parse_iso_files",
    "write_iso",
]
