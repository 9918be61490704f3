"""Open a root file system: a folder, an archive, or an archive in an ISO."""

from __future__ import annotations

import bz2
import io
import os
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from attrs import evolve, field

from purekernel.encode.encoders import Effort, Libdeflate, compress
from purekernel.encode.squashfs import rebuild_image
from purekernel.errors import InputError, UnrepresentableError
from purekernel.formats.address import Item
from purekernel.formats.archive import open_archive
from purekernel.formats.boot_losses import (
    BootLoss,
    find_early_archive,
    find_lost_ways,
    refuse_losses,
)
from purekernel.formats.booted import CORES
from purekernel.formats.compress import build_xz, build_zstd
from purekernel.formats.compression import COMPRESSED, unpack_streams
from purekernel.formats.cpio import build_cpio, count_archives
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.iso import IsoImage, build_iso, parse_iso
from purekernel.formats.lz4 import build_frame, build_lz4
from purekernel.formats.tar import build_tar
from purekernel.host.addresses import find_on_host
from purekernel.host.edit import FolderRoot
from purekernel.host.overlay_reader import parse_layer
from purekernel.host.read import is_folder, load_file
from purekernel.host.rootfs_folder import load_root_folder
from purekernel.host.write import write_whole
from purekernel.input import DEFAULT_LIMITS, Input, Limits, limits_of
from purekernel.records import frozen
from purekernel.threads import running_executor
from purekernel.tree import ROOT, Buffer, File, Metadata, Tree, display, look_up, newest_time

# The name of the top folder in an archive of "tar -c .".
TOP_NAME = "."


# What else may hold a root file system in an archive.
_UNWRITABLE = (FileKind.AR, FileKind.FAT, FileKind.ISO)

_BUILDERS: dict[FileKind, Callable[[bytes], bytes]] = {
    FileKind.BZIP2: bz2.compress,
    FileKind.XZ: build_xz,
    FileKind.ZSTD: build_zstd,
    FileKind.LZ4: build_lz4,
    FileKind.LZ4_FRAME: build_frame,
}


class Root(Protocol):
    """A root file system that can be changed and written.

    Attributes:
        tree: the tree that was read; do not modify it.
        notes: unreadable parts, one line each.
        is_whole: whether all names could be read.
        mtime: the time for new files, in seconds since 1970, UTC.
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
        """Return whether all names could be read."""
        ...

    @property
    def mtime(self) -> int:
        """Return the time for new files."""
        ...

    def save(self, changed: Tree, output: Path | None = None) -> tuple[str, ...]:
        """Write ``changed``, a changed copy of :attr:`tree`, in place or to ``output``.

        Returns:
            The dropped boot methods, one line each.

        Raises:
            UsageError: this kind of root cannot be written to ``output``.
            OutputError: a file cannot be written.
            BootLossError: a boot method would be lost.
            UnrepresentableError: the format cannot represent something in the tree, or cannot be
                written.
        """
        ...


@frozen(kw_only=True)
class IsoMember:
    """An archive in an ISO; writing it rewrites the ISO.

    Attributes:
        path: the path of the ISO on the host.
        image: the parsed ISO.
        member: the path of the archive in the ISO.
        drop_boot: whether to drop boot methods that cannot be written.
    """

    path: Path
    image: IsoImage = field(repr=False)
    member: bytes
    drop_boot: bool = False

    def write(self, content: bytes, output: Path | None) -> tuple[str, ...]:
        """Write the ISO with ``content`` in place of the archive.

        Returns:
            The dropped boot methods, one line each.

        Raises:
            OutputError: the ISO cannot be written.
            BootLossError: a boot method would be lost, and ``drop_boot`` is not set.
            CombinedError: several boot methods would be lost.
        """
        losses = find_lost_ways(self.image)
        if not self.drop_boot:
            refuse_losses(losses, source=str(self.path))
        tree = _with_member(self.image.tree, self.member, content)
        made = build_iso(
            tree, fields=self.image.fields, boot=self.image.boot, timestamp=newest_time(tree)
        )
        write_whole(output or self.path, made)
        return tuple(f"{self.path}: {loss.note}" for loss in losses)


class Container(Protocol):
    """The container of an archive: the host, an ISO, or another archive."""

    def write(self, content: bytes, output: Path | None) -> tuple[str, ...]:
        """Replace the archive by ``content``, in place or in a copy at ``output``.

        Returns:
            The dropped boot methods, one line each.
        """
        ...


@frozen(kw_only=True)
class HostFile:
    """An archive that is a file on the host."""

    path: Path

    def write(self, content: bytes, output: Path | None) -> tuple[str, ...]:
        """Write the file, completely or not at all."""
        write_whole(output or self.path, content)
        return ()


@frozen(kw_only=True)
class ArchiveMember:
    """An archive in another archive; writing it rewrites that one, and all around it.

    Attributes:
        outer: the other archive.
        member: the path of the archive in it.
    """

    outer: ArchiveRoot
    member: bytes

    def write(self, content: bytes, output: Path | None) -> tuple[str, ...]:
        """Write the other archive with ``content`` in place of the archive."""
        return self.outer.save(_with_member(self.outer.tree, self.member, content), output)


@frozen(kw_only=True)
class UnwritableMember:
    """An archive in a file of a kind that can be read, but not written.

    Attributes:
        address: the address of that file.
        kind: its kind.
    """

    address: str
    kind: FileKind

    def write(self, _content: bytes, _output: Path | None) -> tuple[str, ...]:
        """Refuse to write the file."""
        raise UnrepresentableError(
            f"{self.address} is {self.kind.description}, which can be read but not written",
            hint="copy the archive out of it with 'purekernel cat', and change the copy",
        )


def _with_member(tree: Tree, member: bytes, content: bytes) -> Tree:
    """Return a copy of ``tree`` in which only the name ``member`` has ``content``."""
    changed = tree.copy()
    old = changed[member]
    # Remove the name first: if it is a hard link, the other names must keep the old content.
    changed.remove(member)
    changed.add(member, File(metadata=old.metadata, content=content))
    return changed


@frozen(kw_only=True)
class ArchiveRoot:
    """A root file system in an archive; see :class:`purekernel.tools.roots.opening.Root`.

    Attributes:
        file: the archive, compressed as it was read.
        drop_boot: whether to drop an early archive (microcode) that cannot be written.
    """

    file: Input
    tree: Tree
    mtime: int
    container: Container
    notes: tuple[str, ...] = ()
    is_whole: bool = True
    drop_boot: bool = False

    def save(self, changed: Tree, output: Path | None = None) -> tuple[str, ...]:
        """Write ``changed`` in the format and compression of the old archive.

        Returns:
            The dropped boot methods, one line each.

        Raises:
            OutputError: the archive cannot be written.
            UnrepresentableError: the format or compression cannot be written.
            BootLossError: an early archive would be lost, and ``drop_boot`` is not set.
        """
        early = self._early_archive()
        if early and not self.drop_boot:
            refuse_losses(early, source=self.file.name)
        content = self._pack_merged(changed) if early else self._pack(changed)
        dropped = self.container.write(content, output)
        return (*(f"{self.file.name}: {loss.note}" for loss in early), *dropped)

    def _early_archive(self) -> tuple[BootLoss, ...]:
        """Return the uncompressed archive in front of others, which the kernel reads early."""
        early = find_early_archive(self.file)
        if not early or count_archives(self.file) == 1:
            return ()
        return early

    @staticmethod
    def _pack_merged(changed: Tree) -> bytes:
        """Return a cpio archive in gzip, which every kernel with an initramfs can unpack."""
        return compress(build_cpio(changed), encoder=Libdeflate())

    def _pack(self, changed: Tree) -> bytes:
        kind = detect(self.file.data)
        if kind is FileKind.TAR:
            return _build_tar_like(self.file.data, changed)
        # Raise before the slow unpacking.
        pack = _packer(self.file)
        plain = self.file.data
        if kind in COMPRESSED:
            plain = unpack_streams(self.file).content
        if detect(plain) is FileKind.TAR:
            return pack(_build_tar_like(plain, changed))
        if detect(plain) is FileKind.SQUASHFS:
            with running_executor() as executor:
                image = rebuild_image(
                    plain,
                    changed,
                    source=self.file.name,
                    effort=Effort.FAST,
                    executor=executor,
                    limits=self.file.limits,
                )
            return pack(image)
        if count_archives(self.file) > 1:
            raise UnrepresentableError(
                f"{self.file.name} has several archives, such as microcode before a root file "
                "system, and would become one",
                hint="split it, and change the archive of the root file system",
            )
        return pack(build_cpio(changed))


def _build_tar_like(old: Buffer, changed: Tree) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(old), ignore_zeros=True) as archive:
        first = archive.next()
    return build_tar(changed, top=first is not None and first.name == TOP_NAME)


def _packer(file: Input) -> Callable[[bytes], bytes]:
    """Return a function that compresses as ``file`` is compressed.

    Gzip is as small as in builds. The archive may be a kernel's initramfs, so all compressions
    except bzip2 use settings that Linux can unpack.
    """
    kind = detect(file.data)
    if kind is FileKind.GZIP:
        return partial(compress, encoder=Libdeflate())
    if kind in _BUILDERS:
        return _BUILDERS[kind]
    if kind in COMPRESSED:
        raise UnrepresentableError(
            f"{file.name}: its compression can be read but not written",
            hint="compress it with gzip, bzip2, xz, zstd or lz4, or decompress it",
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
        place: the address of a folder; a cpio or tar archive, compressed or not; a squashfs image;
            or an ISO, which stands for its core.gz.
        timestamp: the time for new files, in seconds since 1970, UTC; ``None`` for the newest
            time in an archive. Files in a folder get the host's time.
        drop_boot: whether to drop boot methods that cannot be written.
        limits: the readers' limits.

    Raises:
        UsageError: ``place`` is empty.
        MissingPathError: an archive in the address does not have what it should.
        InputError: the file is missing, unreadable or of another kind.
        FormatError: the file is damaged.
        LimitError: the file exceeds ``limits``.
        TreeError: the content is contradictory.
    """
    address = find_on_host(place)
    path = address.host
    if is_folder(path) and not address.inner:
        loaded = load_root_folder(path, limits=limits)
        return FolderRoot(
            folder=path,
            tree=loaded.tree,
            notes=loaded.notes,
            is_whole=loaded.is_whole,
            mtime=timestamp or 0,
        )
    if is_folder(path):
        raise InputError(
            f"{place} is in the folder {path}",
            hint=f"give its path on this host: {path / os.fsdecode(address.inner or b'')}",
        )
    file = Input(load_file(path, limits=limits), name=str(path), limits=limits)
    return _open_in(
        file, address.inner, HostFile(path=path), timestamp=timestamp, drop_boot=drop_boot
    )


def _open_in(
    file: Input,
    inner: bytes | None,
    container: Container,
    *,
    timestamp: int | None,
    drop_boot: bool,
) -> ArchiveRoot:
    """Return the root file system that ``inner`` names in ``file``; ``None`` for ``file`` itself.

    An ISO on the host stands for its core.gz.
    """
    kind = detect(file.data)
    tree: Tree | None = None
    root: ArchiveRoot | None = None
    image: IsoImage | None = None
    if kind is FileKind.ISO and isinstance(container, HostFile):
        image = parse_iso(file)
        tree = image.tree
    elif kind in _UNWRITABLE and inner:
        archive = open_archive(file, name=b"", metadata=Metadata(mode=0o644))
        tree = None if archive is None else archive.tree
    if tree is None:
        tree = parse_layer(file, what="archive" if inner else "root file system").tree
        root = ArchiveRoot(
            # What is read again is counted already.
            file=evolve(file, limits=file.limits.unbudgeted()),
            tree=tree,
            mtime=newest_time(tree) if timestamp is None else timestamp,
            container=container,
            drop_boot=drop_boot,
        )
        if not inner:
            return root
    top = Item(address=file.name, tree=tree, path=ROOT, limits=file.limits)
    item, rest = top.step(inner) if inner else (_find_core(top), None)
    item = item.follow()
    within: Container = UnwritableMember(address=file.name, kind=kind)
    if root is not None:
        within = ArchiveMember(outer=root, member=item.path)
    elif image is not None and isinstance(container, HostFile):
        within = IsoMember(path=container.path, image=image, member=item.path, drop_boot=drop_boot)
    return _open_in(item.load(), rest, within, timestamp=timestamp, drop_boot=drop_boot)


def _find_core(iso: Item) -> Item:
    """Return the root file system of a Core ISO."""
    for candidate in CORES:
        found = look_up(iso.tree, candidate)
        if found is not None and isinstance(found.node, File):
            return iso.step(candidate)[0]
    names = " or ".join(display(path) for path in CORES)
    raise InputError(
        f"{iso.address} has no file {names}",
        hint="add the path of the archive after a colon, such as image.iso:boot/core.gz",
    )


def open_noted_root(
    place: str,
    *,
    note: Callable[[str], None],
    timestamp: int | None = None,
    drop_boot: bool = False,
    max_unpacked: int | None = None,
) -> Root:
    """Return the root file system at ``place``; call ``note`` with a line for each unreadable part.

    ``note`` is also called with what the reader of an archive drops or replaces.

    The other arguments, and the errors, are those of :func:`open_root`.
    """
    limits = limits_of(max_unpacked, report=note).budgeted()
    root = open_root(place, timestamp=timestamp, drop_boot=drop_boot, limits=limits)
    for text in root.notes:
        note(text)
    return root


def save_changed(
    root: Root, changed: Tree, output: Path | None, *, note: Callable[[str], None]
) -> bool:
    """Write ``changed`` to ``output``, or in place of ``root`` if it differs; return whether.

    ``note`` is called with a line for each dropped boot method.

    Raises:
        PurekernelError: as :meth:`Root.save`.
    """
    if changed == root.tree and output is None:
        return False
    for text in root.save(changed, output):
        note(text)
    return True
