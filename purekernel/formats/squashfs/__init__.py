"""Read, write and list squashfs images, the format of Tiny Core's extensions."""

from purekernel.formats.squashfs.listing import describe_image, list_details, list_names
from purekernel.formats.squashfs.reader import OpenImage, open_squashfs, parse_squashfs
from purekernel.formats.squashfs.superblock import Superblock
from purekernel.formats.squashfs.writer import Options, build_squashfs, write_squashfs

__all__ = [
    "OpenImage",
    "Options",
    "Superblock",
    "build_squashfs",
    "describe_image",
    "list_details",
    "list_names",
    "open_squashfs",
    "parse_squashfs",
    "write_squashfs",
]
