"""Read and write ISO 9660 images with Rock Ridge, Joliet and El Torito, with pycdlib."""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.formats.iso.layout import (
        EFI,
        BootEntry,
        ElTorito,
        IsoImage,
        VolumeFields,
        check_fields,
    )
    from purekernel.formats.iso.names import joliet_names
    from purekernel.formats.iso.reader import parse_iso, parse_iso_files
    from purekernel.formats.iso.writer import build_iso, write_iso
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "layout": "EFI BootEntry ElTorito IsoImage VolumeFields check_fields",
            "names": "joliet_names",
            "reader": "parse_iso parse_iso_files",
            "writer": "build_iso write_iso",
        },
    )

__all__ = [
    "EFI",
    "BootEntry",
    "ElTorito",
    "IsoImage",
    "VolumeFields",
    "build_iso",
    "check_fields",
    "joliet_names",
    "parse_iso",
    "parse_iso_files",
    "write_iso",
]
