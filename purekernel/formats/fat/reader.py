"""Read the files of a FAT volume."""

from __future__ import annotations

from purekernel.errors import FormatError
from purekernel.formats.fat.layout import Extent
from purekernel.formats.fat.volume import READ_ONLY, FatEntry, Volume
from purekernel.input import Input
from purekernel.tree import (
    Buffer,
    Directory,
    File,
    LazyContent,
    Metadata,
    Tree,
    damaged_content,
    plain_metadata,
)


def parse_fat(file: Input) -> Tree:
    """Return the files of the FAT file system in ``file``.

    Supports FAT12, FAT16 and FAT32 with long names. Names are UTF-8. Files have the mode 0644, or
    0444 if they are read-only, folders 0755, and all the owner 0:0. Times have no zone on FAT, and
    are taken as UTC; the root folder has none, and gets 0. Contents are views into ``file`` where
    they lie in one piece.

    Raises:
        FormatError: ``file`` is not a FAT file system, or is damaged.
        LimitError: it exceeds the limits.
    """
    volume = Volume(file)
    tree = Tree(Directory(metadata=Metadata(mode=0o755)))
    unpacked_bytes = 0
    try:
        for path, entry in volume.walk():
            if entry.is_folder:
                tree.add(path, Directory(metadata=plain_metadata(0o755, 0, 0, entry.mtime)))
                continue
            unpacked_bytes = file.count_unpacked(entry.size_bytes, already_bytes=unpacked_bytes)
            mode = 0o444 if entry.attributes & READ_ONLY else 0o644
            metadata = plain_metadata(mode, 0, 0, entry.mtime)
            tree.add(path, File(metadata=metadata, content=_content(volume, path, entry)))
    except FormatError as error:
        file.stop_at(error)
    return tree


def _content(volume: Volume, path: bytes, entry: FatEntry) -> Buffer | LazyContent:
    try:
        return volume.content(volume.file_extents(entry, path))
    except FormatError as error:
        volume.file.stop_at(error)
        return damaged_content(entry.size_bytes, error)


def find_extents(file: Input) -> dict[bytes, tuple[Extent, ...]]:
    """Return where the content of each file lies in a FAT image; an empty file has no extent.

    Raises:
        FormatError: ``file`` is not a FAT file system, or is damaged.
        LimitError: it exceeds the limits.
    """
    volume = Volume(file)
    return {
        path: tuple(volume.file_extents(entry, path))
        for path, entry in volume.walk()
        if not entry.is_folder
    }


def read_label(file: Input) -> bytes:
    """Return the label of a FAT file system; empty for none.

    Raises:
        FormatError: ``file`` is not a FAT file system, or its root folder is damaged.
    """
    return Volume(file).label
