"""A root file system in an archive: changed, it is packed as it was packed before."""

from __future__ import annotations

import bz2
import io
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from purekernel.encode.encoders import Effort, Libdeflate, compress
from purekernel.encode.squashfs import rebuild_image
from purekernel.errors import UnrepresentableError
from purekernel.formats.boot_losses import BootLoss, find_early_archive, refuse_losses
from purekernel.formats.compress import build_xz, build_zstd
from purekernel.formats.compression import (
    BZIP2_MAGIC,
    XZ_MAGIC,
    ZSTD_MAGIC,
    is_compressed,
    unpack,
)
from purekernel.formats.cpio import build_cpio, count_archives
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.limits import Limits
from purekernel.formats.lz4 import MAGIC as LZ4_MAGIC
from purekernel.formats.lz4 import build_lz4
from purekernel.formats.squashfs import MAGIC as SQUASHFS_MAGIC
from purekernel.formats.tar import build_tar, is_tar
from purekernel.host.write import write_whole
from purekernel.recipe.encoding import Encoding
from purekernel.tree import Buffer, Tree

# What tar calls the folder that it was told to pack.
TOP_NAME = "."

_BUILDERS: dict[bytes, Callable[[bytes], bytes]] = {
    BZIP2_MAGIC: bz2.compress,
    XZ_MAGIC: build_xz,
    ZSTD_MAGIC: build_zstd,
    LZ4_MAGIC: build_lz4,
}


class Container(Protocol):
    """What an archive lies in: the host, or an ISO there."""

    def write(self, content: bytes, output: Path | None) -> tuple[str, ...]:
        """Put ``content`` in the archive's place, or in that place of a copy in ``output``.

        Returns:
            What was dropped, one line each.
        """
        ...


@frozen(kw_only=True)
class HostFile:
    """An archive that is a file of the host."""

    path: Path

    def write(self, content: bytes, output: Path | None) -> tuple[str, ...]:
        """Write the file, whole or not at all."""
        write_whole(output or self.path, content)
        return ()


@frozen(kw_only=True)
class ArchiveRoot:
    """A root file system in an archive; see :class:`purekernel.build.roots.root.Root`.

    Attributes:
        source: its name, for messages.
        data: the archive, packed.
        drop_boot: whether what the kernel reads first is dropped where it cannot be written.
    """

    source: str
    data: Buffer = field(repr=False)
    tree: Tree
    mtime: int
    limits: Limits
    container: Container
    notes: tuple[str, ...] = ()
    is_whole: bool = True
    drop_boot: bool = False

    def save(self, changed: Tree, output: Path | None = None) -> tuple[str, ...]:
        """Pack ``changed`` as the archive was, and put it in the archive's place.

        Returns:
            What was dropped, one line each.

        Raises:
            OutputError: it cannot be written.
            UnrepresentableError: it is of a kind that is not written.
            BootLossError: the kernel reads something in it first, which would be lost.
        """
        early = self._early_archive()
        if early and not self.drop_boot:
            refuse_losses(early, source=self.source)
        content = self._pack_merged(changed) if early else self._pack(changed)
        dropped = self.container.write(content, output)
        return (*(f"{self.source}: {loss.note}" for loss in early), *dropped)

    def _early_archive(self) -> tuple[BootLoss, ...]:
        """Return what stands uncompressed in front of other archives, for the kernel to read."""
        early = find_early_archive(self.data, source=self.source, limits=self.limits)
        if not early or count_archives(self.data, source=self.source, limits=self.limits) == 1:
            return ()
        return early

    @staticmethod
    def _pack_merged(changed: Tree) -> bytes:
        """Return one gzip member, which every kernel with an initramfs can unpack."""
        return compress(build_cpio(changed), encoder=Libdeflate())

    def _pack(self, changed: Tree) -> bytes:
        if is_tar(self.data):
            return _build_tar_like(self.data, changed)
        # Told before all is unpacked again.
        pack = _packer(self.data, self.source)
        plain = unpack(self.data, source=self.source, limits=self.limits)
        if is_tar(plain):
            return pack(_build_tar_like(plain, changed))
        if bytes(plain[:4]) == SQUASHFS_MAGIC:
            with Encoding().running() as executor:
                image = rebuild_image(
                    plain,
                    changed,
                    source=self.source,
                    effort=Effort.FAST,
                    executor=executor,
                    limits=self.limits,
                )
            return pack(image)
        if count_archives(self.data, source=self.source, limits=self.limits) > 1:
            raise UnrepresentableError(
                f"{self.source} is several archives in a row, such as microcode before a root "
                "file system, and would become one",
                hint="part them, and change the one that holds the root file system",
            )
        return pack(build_cpio(changed))


def _build_tar_like(old: Buffer, changed: Tree) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(old), ignore_zeros=True) as archive:
        first = archive.next()
    return build_tar(changed, top=first is not None and first.name == TOP_NAME)


def _packer(data: Buffer, source: str) -> Callable[[bytes], bytes]:
    """Return what packs as ``data`` is packed, and as small as builds pack a core.

    What is a root file system's archive may be a kernel's initramfs, whatever its name: so all but
    bzip2 is written as Linux is sure to unpack it.
    """
    head = bytes(data[:6])
    if head.startswith(GZIP_MAGIC):
        return partial(compress, encoder=Libdeflate())
    for magic, build in _BUILDERS.items():
        if head.startswith(magic):
            return build
    if is_compressed(data):
        raise UnrepresentableError(
            f"{source} is compressed in a way that is read and not written",
            hint="compress it with gzip, bzip2, xz, zstd or lz4, or give it plain",
        )
    return bytes
