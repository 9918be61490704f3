"""Write what an ISO boots by: the boot catalog, tables in boot images, what is around the volume.

pycdlib masters the volume. What it cannot hold is written over its output: the bytes of the boot
catalog are ours, and so is all before the volume descriptors and after the volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pycdlib import inode

from purekernel.errors import UsageError
from purekernel.formats.iso.boot import (
    BOOT_INFO_END,
    GRUB_INFO_END,
    MAX_LOAD_SECTORS,
    BootEntry,
    Extent,
    IsoBoot,
    IsoLayout,
)
from purekernel.formats.iso.boot_catalog import build_catalog
from purekernel.formats.iso.layout import SECTOR_BYTES
from purekernel.formats.iso.mastering import Mastering
from purekernel.formats.iso.pieces import Extents
from purekernel.tree import Buffer, File, Tree

# Partitions begin at whole MiB, so that disks read and write them fast.
PARTITION_SECTORS = (1 << 20) // SECTOR_BYTES


def check_entries(tree: Tree, boot: IsoBoot) -> Iterator[UsageError]:
    """Yield an error for each entry whose image is not there or too small for its tables."""
    for entry in boot.entries:
        if entry.path is None and entry.appended is None:
            continue
        image = boot.image_of(entry, tree)
        least_bytes = GRUB_INFO_END if entry.grub_boot_info else BOOT_INFO_END
        if not len(image):
            yield UsageError(
                f"the boot image {entry.location} must be a file that is not empty",
                hint="name a file of the image, such as boot/isolinux/isolinux.bin",
            )
        elif (entry.boot_info_table or entry.grub_boot_info) and len(image) < least_bytes:
            yield UsageError(
                f"the boot image {entry.location} must be at least {least_bytes} bytes for "
                f"a boot info table, got {len(image)}",
                hint="use isolinux.bin as the boot image",
            )
        if not 0 <= entry.load_sectors <= MAX_LOAD_SECTORS:
            yield UsageError(
                f"the number of sectors to load must be from 0 to 65535, got {entry.load_sectors}",
                hint="use 4, as isolinux needs",
            )


def lay_out(
    image: Mastering,
    tree: Tree,
    boot: IsoBoot,
    contents: Mapping[int, inode.Inode],
) -> IsoLayout:
    """Fix all places of ``image``, and return them."""
    volume_sectors = image.settle()
    files = {
        path: Extent(sector=data.extent_location(), size_bytes=data.get_data_length())
        for path, node in tree.walk()
        if isinstance(node, File) and path != boot.catalog
        if (data := contents.get(tree.inode(path))) is not None
    }
    appended: list[Extent] = []
    sector = volume_sectors
    unit = 1 if boot.disk is None else PARTITION_SECTORS
    for content in boot.appended:
        sector = -(-sector // unit) * unit
        appended.append(Extent(sector=sector, size_bytes=len(memoryview(content).cast("B"))))
        sector += -(-appended[-1].size_bytes // SECTOR_BYTES)
    return IsoLayout(volume_sectors=volume_sectors, files=files, appended=tuple(appended))


def settle_boot(
    image: Mastering,
    tree: Tree,
    boot: IsoBoot,
    layout: IsoLayout,
    contents: Mapping[int, inode.Inode],
) -> bytes:
    """Set the tables in boot images that are files, and return the boot catalog."""
    places: list[tuple[int, int]] = []
    patched: dict[bytes, Buffer] = {}
    for entry in boot.entries:
        extent = _extent_of(entry, layout)
        places.append((0, 0) if extent is None else (extent.sector, extent.size_bytes))
        if entry.path is not None and extent is not None:
            content = patched.get(entry.path, boot.image_of(entry, tree))
            patched[entry.path] = entry.patch(content, extent.sector)
    for path, content in patched.items():
        image.replace_content(contents[tree.inode(path)], content)
    return build_catalog(boot.entries, places)


def _extent_of(entry: BootEntry, layout: IsoLayout) -> Extent | None:
    """Return the place of an entry's image; ``None`` if it has none."""
    if entry.appended is not None:
        return layout.appended[entry.appended]
    return None if entry.path is None else layout.files[entry.path]


def write_around(extents: Extents, boot: IsoBoot, layout: IsoLayout) -> None:
    """Write what is before and after the volume."""
    for number, (content, extent) in enumerate(zip(boot.appended, layout.appended, strict=True)):
        patched = content
        for entry in boot.entries:
            if entry.appended == number:
                patched = entry.patch(patched, extent.sector)
        extents.put(extent.sector * SECTOR_BYTES, patched)
    extents.pad_to(-(-layout.end_bytes // SECTOR_BYTES) * SECTOR_BYTES)
    if boot.disk is None:
        return
    parts = boot.disk.lay_out(layout)
    extents.put(0, parts.system_area)
    for offset, content in parts.after:
        extents.put(offset, content)
    extents.pad_to(parts.size_bytes)
