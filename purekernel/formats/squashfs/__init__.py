"""Read, write and list squashfs images, the format of Tiny Core's extensions."""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.formats.squashfs.listing import describe_image, list_details, list_names
    from purekernel.formats.squashfs.reader import (
        OpenImage,
        measure_packed,
        open_squashfs,
        parse_squashfs,
    )
    from purekernel.formats.squashfs.superblock import (
        Superblock,
        parse_superblock,
        read_superblock,
    )
    from purekernel.formats.squashfs.writer import Options, build_squashfs, write_squashfs
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "listing": "describe_image list_details list_names",
            "reader": "OpenImage measure_packed open_squashfs parse_squashfs",
            "superblock": "Superblock parse_superblock read_superblock",
            "writer": "Options build_squashfs write_squashfs",
        },
    )

__all__ = [
    "OpenImage",
    "Options",
    "Superblock",
    "build_squashfs",
    "describe_image",
    "list_details",
    "list_names",
    "measure_packed",
    "open_squashfs",
    "parse_squashfs",
    "parse_superblock",
    "read_superblock",
    "write_squashfs",
]
