"""Read and write ISO 9660 images with Rock Ridge, Joliet and El Torito, with pycdlib."""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.formats.iso.boot import (
        EFI,
        BootEntry,
        DiskBoot,
        DiskParts,
        Extent,
        IsoBoot,
        IsoLayout,
    )
    from purekernel.formats.iso.hybrid import HybridDisk
    from purekernel.formats.iso.layout import VolumeFields, check_fields
    from purekernel.formats.iso.names import joliet_names
    from purekernel.formats.iso.reader import IsoImage, parse_iso, parse_iso_files
    from purekernel.formats.iso.volume import IsoVolume, read_catalog, read_volume
    from purekernel.formats.iso.writer import build_iso, write_iso
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "boot": "EFI BootEntry DiskBoot DiskParts Extent IsoBoot IsoLayout",
            "hybrid": "HybridDisk",
            "layout": "VolumeFields check_fields",
            "names": "joliet_names",
            "reader": "IsoImage parse_iso parse_iso_files",
            "volume": "IsoVolume read_catalog read_volume",
            "writer": "build_iso write_iso",
        },
    )

__all__ = [
    "EFI",
    "BootEntry",
    "DiskBoot",
    "DiskParts",
    "Extent",
    "HybridDisk",
    "IsoBoot",
    "IsoImage",
    "IsoLayout",
    "IsoVolume",
    "VolumeFields",
    "build_iso",
    "check_fields",
    "joliet_names",
    "parse_iso",
    "parse_iso_files",
    "read_catalog",
    "read_volume",
    "write_iso",
]
