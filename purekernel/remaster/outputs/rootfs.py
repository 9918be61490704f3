"""Write the root file system as a tar archive, which container programs and WSL import."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from typing import BinaryIO

from purekernel.encode.archives import ArchiveCompression, compress_archive
from purekernel.formats.tar import iter_tar
from purekernel.remaster.containers import export_root
from purekernel.remaster.image import Image
from purekernel.tree import Buffer, Tree

_ENDINGS = {
    ArchiveCompression.NONE: ".rootfs.tar",
    ArchiveCompression.GZIP: ".rootfs.tar.gz",
    ArchiveCompression.ZSTD: ".rootfs.tar.zst",
}


_COMPRESSIONS = {
    ".tar": ArchiveCompression.NONE,
    ".tar.gz": ArchiveCompression.GZIP,
    ".tgz": ArchiveCompression.GZIP,
    ".tar.zst": ArchiveCompression.ZSTD,
}


def archive_compression(file: str) -> ArchiveCompression | None:
    """Return the compression that the name of an archive asks for, or ``None``."""
    found = [each for end, each in _COMPRESSIONS.items() if file.lower().endswith(end)]
    return found[0] if found else None


def rootfs_name(name: str, compression: ArchiveCompression) -> str:
    """Return the name of the archive of an image called ``name``."""
    return name + _ENDINGS[compression]


def write_rootfs(image: Image, stream: BinaryIO, executor: Executor) -> None:
    """Write the archive of the root file system of ``image``.

    Raises:
        MissingPathError: an excluded path does not exist.
        UnrepresentableError: a tar archive cannot represent an entry of the image.
    """
    root = export_root(image.root, image.rootfs.exclude)
    stream.writelines(
        compress_archive(
            iter_root(root),
            compression=image.rootfs.compression,
            effort=image.effort,
            executor=executor,
        )
    )


def iter_root(root: Tree) -> Iterator[Buffer]:
    """Yield the pieces of a tar archive with the owners, devices and attributes of ``root``."""
    return iter_tar(root, top=True, pax=True)
