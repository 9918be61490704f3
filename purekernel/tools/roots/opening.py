"""Open a root file system: a folder, an archive, or an archive in an ISO."""

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
from purekernel.errors import InputError, UnrepresentableError, UsageError
from purekernel.formats.boot_losses import (
    BootLoss,
    find_early_archive,
    find_lost_ways,
    refuse_losses,
)
from purekernel.formats.compress import build_xz, build_zstd
from purekernel.formats.compression import (
    BZIP2_MAGIC,
    XZ_MAGIC,
    ZSTD_MAGIC,
    is_compressed,
    unpack,
)
from purekernel.formats.core_iso import CORES
from purekernel.formats.cpio import build_cpio, count_archives
from purekernel.formats.gzip import MAGIC as GZIP_MAGIC
from purekernel.formats.iso import IsoImage, build_iso, is_iso, parse_iso
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.formats.lz4 import MAGIC as LZ4_MAGIC
from purekernel.formats.lz4 import build_lz4
from purekernel.formats.squashfs import MAGIC as SQUASHFS_MAGIC
from purekernel.formats.tar import build_tar, is_tar
from purekernel.host.edit import FolderRoot
from purekernel.host.overlay_reader import parse_layer
from purekernel.host.read import is_folder, load_file
from purekernel.host.rootfs_folder import load_root_folder
from purekernel.host.write import write_whole
from purekernel.recipe.encoding import Encoding
from purekernel.tree import Buffer, File, Tree, display, look_up, newest_time

# What tar calls the folder that it was told to pack.
TOP_NAME = "."


_BUILDERS: dict[bytes, Callable[[bytes], bytes]] = {
    BZIP2_MAGIC: bz2.compress,
    XZ_MAGIC: build_xz,
    ZSTD_MAGIC: build_zstd,
    LZ4_MAGIC: build_lz4,
}


# What a root file system is to those who change one.


class Root(Protocol):
    """A root file system that was read, and can be written again.

    Attributes:
        tree: as it was read; leave it as it is.
        notes: what could not be read, one line each.
        is_whole: whether all of its names could be read.
        mtime: the time of what is made in it, in seconds since 1970, UTC.
    """

    @property
    def tree(self) -> Tree:
        """Return the tree."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the notes."""
        ...

    @property
    def is_whole(self) -> bool:
        """Return whether it is."""
        ...

    @property
    def mtime(self) -> int:
        """Return the time."""
        ...

    def save(self, changed: Tree, output: Path | None = None) -> tuple[str, ...]:
        """Write ``changed``, which came of :attr:`tree`, to where that lies, or to ``output``.

        Returns:
            What was dropped, one line each.

        Raises:
            UsageError: that kind of root cannot be written elsewhere.
            OutputError: something cannot be written.
            BootLossError: a way to boot would be lost.
            UnrepresentableError: its format has no room for something in the tree, or is one
                that is not written.
        """
        ...


# An archive in an ISO: the ISO is written again around it.


@frozen(kw_only=True)
class IsoMember:
    """The place of an archive in an ISO.

    Attributes:
        path: of the ISO on the host.
        image: what it holds.
        member: the archive's path in it.
        drop_boot: whether ways to boot that cannot be written are dropped.
    """

    path: Path
    image: IsoImage = field(repr=False)
    member: bytes
    drop_boot: bool = False

    def write(self, content: bytes, output: Path | None) -> tuple[str, ...]:
        """Write the ISO with other content in the archive's place.

        Returns:
            What was dropped, one line each.

        Raises:
            OutputError: it cannot be written.
            BootLossError: it boots in a way that would be lost, and ``drop_boot`` is not set.
            CombinedError: it boots in several.
        """
        losses = find_lost_ways(self.image)
        if not self.drop_boot:
            refuse_losses(losses, source=str(self.path))
        tree = self.image.tree.copy()
        old = tree[self.member]
        # A name of its own: were the old one hard-linked, its other names must not change.
        tree.remove(self.member)
        tree.add(self.member, File(metadata=old.metadata, content=content))
        made = build_iso(
            tree, fields=self.image.fields, boot=self.image.boot, timestamp=newest_time(tree)
        )
        write_whole(output or self.path, made)
        return tuple(f"{self.path}: {loss.note}" for loss in losses)


# A root file system in an archive: changed, it is packed as it was packed before.


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
    """A root file system in an archive; see :class:`purekernel.tools.roots.opening.Root`.

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


def open_root(
    place: str,
    *,
    timestamp: int | None = None,
    drop_boot: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Root:
    """Return the root file system at ``place``.

    Args:
        place: a folder; a cpio or tar archive, packed or not; a squashfs image; an ISO, whose
            core.gz it is; or ``ISO:PATH``, an archive in an ISO.
        timestamp: the time of what is made, in seconds since 1970, UTC; ``None`` for the newest
            time in an archive. A folder's host has its own.
        drop_boot: when it is written, drop ways to boot that cannot be written.
        limits: the readers' bounds.

    Raises:
        UsageError: it has no name.
        InputError: it is missing, unreadable, or nothing that can hold a root file system.
        FormatError: it is damaged.
        LimitError: it is larger than ``limits`` allow.
        TreeError: what it holds contradicts itself.
    """
    if not place:
        raise UsageError("the root file system has no name", hint="name a folder or a file")
    path, member = _part(place)
    if is_folder(path) and member is None:
        found = load_root_folder(path, limits=limits)
        return FolderRoot(
            folder=path,
            tree=found.tree,
            notes=found.notes,
            is_whole=found.is_whole,
            mtime=timestamp or 0,
        )
    data: Buffer = load_file(path, limits=limits)
    source = str(path)
    container: Container = HostFile(path=path)
    if is_iso(data):
        image = parse_iso(data, source=source, limits=limits)
        member, file = _find_member(image.tree, member, source)
        container = IsoMember(path=path, image=image, member=member, drop_boot=drop_boot)
        data, source = file.content, f"{source}: {member.decode('utf-8', 'replace')}"
    elif member is not None:
        raise InputError(
            f"{path} is no ISO, so it has no {display(member)}", hint="give the archive itself"
        )
    tree = parse_layer(data, source=source, limits=limits, what="root file system").tree
    return ArchiveRoot(
        source=source,
        data=data,
        tree=tree,
        mtime=newest_time(tree) if timestamp is None else timestamp,
        limits=limits,
        container=container,
        drop_boot=drop_boot,
    )


def _part(place: str) -> tuple[Path, bytes | None]:
    """Part ``ISO:PATH`` in two, unless something has that very name."""
    path = Path(place)
    before, colon, after = place.rpartition(":")
    if colon and before and after and not path.exists() and Path(before).is_file():
        return Path(before), after.encode("utf-8", "surrogateescape")
    return path, None


def _find_member(tree: Tree, wanted: bytes | None, source: str) -> tuple[bytes, File]:
    candidates = CORES if wanted is None else (wanted,)
    for candidate in candidates:
        found = look_up(tree, candidate)
        if found is not None and isinstance(found.node, File):
            return found.path, found.node
    names = " or ".join(display(path) for path in candidates)
    raise InputError(
        f"{source} has no file {names}",
        hint="name the archive in it behind a colon, such as image.iso:boot/core.gz",
    )
