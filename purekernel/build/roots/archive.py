"""A root file system in an archive: changed, it is packed as it was packed before."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from purekernel.build.encoding import Encoding
from purekernel.build.publish import write_whole
from purekernel.build.squashing import rebuild_image
from purekernel.deflate.efforts import Effort
from purekernel.deflate.encoders import Libdeflate
from purekernel.deflate.member import compress
from purekernel.errors import UnrepresentableError
from purekernel.formats.compression import BZIP2_MAGIC, XZ_MAGIC, is_compressed, unpack
from purekernel.formats.cpio import build_cpio, count_archives
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.limits import Limits
from purekernel.formats.squashfs import MAGIC as SQUASHFS_MAGIC
from purekernel.formats.tar import build_tar, is_tar
from purekernel.tree import Buffer, Tree

# What tar calls the folder that it was told to pack.
TOP_NAME = "."


class Container(Protocol):
    """What an archive lies in: the host, or an ISO there."""

    def write(self, content: bytes, output: Path | None) -> None:
        """Put ``content`` in the archive's place, or in that place of a copy in ``output``."""
        ...


@frozen(kw_only=True)
class HostFile:
    """An archive that is a file of the host."""

    path: Path

    def write(self, content: bytes, output: Path | None) -> None:
        """Write the file, whole or not at all."""
        write_whole(output or self.path, content)


@frozen(kw_only=True)
class ArchiveRoot:
    """A root file system in an archive; see :class:`purekernel.build.roots.root.Root`.

    Attributes:
        source: its name, for messages.
        data: the archive, packed.
    """

    source: str
    data: Buffer = field(repr=False)
    tree: Tree
    mtime: int
    limits: Limits
    container: Container
    notes: tuple[str, ...] = ()
    is_whole: bool = True

    def save(self, changed: Tree, output: Path | None = None) -> None:
        """Pack ``changed`` as the archive was, and put it in the archive's place.

        Raises:
            OutputError: it cannot be written.
            UnrepresentableError: it is of a kind that is not written.
        """
        self.container.write(self._pack(changed), output)

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
    head = bytes(data[:6])
    if head.startswith(GZIP_MAGIC):
        return partial(compress, encoder=Libdeflate())
    if head.startswith(XZ_MAGIC):
        # Linux unpacks no other check. (Source: Documentation/staging/xz.rst.)
        return partial(lzma.compress, check=lzma.CHECK_CRC32)
    if head.startswith(BZIP2_MAGIC):
        return bz2.compress
    if is_compressed(data):
        raise UnrepresentableError(
            f"{source} is compressed in a way that is read and not written",
            hint="compress it with gzip, xz or bzip2, or give it plain",
        )
    return bytes
