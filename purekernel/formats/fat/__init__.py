"""Read and write FAT file systems, from which UEFI firmware boots."""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.formats.fat.add import put_files_in_fat
    from purekernel.formats.fat.layout import Extent, Geometry
    from purekernel.formats.fat.reader import find_extents, parse_fat, read_label
    from purekernel.formats.fat.replace import replace_files_in_fat
    from purekernel.formats.fat.sizing import FatOptions
    from purekernel.formats.fat.writer import FatImage, build_fat
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "add": "put_files_in_fat",
            "layout": "Extent Geometry",
            "reader": "find_extents parse_fat read_label",
            "replace": "replace_files_in_fat",
            "sizing": "FatOptions",
            "writer": "FatImage build_fat",
        },
    )

__all__ = [
    "Extent",
    "FatImage",
    "FatOptions",
    "Geometry",
    "build_fat",
    "find_extents",
    "parse_fat",
    "put_files_in_fat",
    "read_label",
    "replace_files_in_fat",
]
