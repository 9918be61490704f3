"""Open a root file system: a folder, an archive, or an archive in an ISO."""

from __future__ import annotations

import bz2
import io
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from attrs import evolve, field

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
from purekernel.formats.compression import COMPRESSED, unpack_streams
from purekernel.formats.core_iso import CORES
from purekernel.formats.cpio import build_cpio, count_archives
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.iso import IsoImage, build_iso, parse_iso
from purekernel.formats.lz4 import build_frame, build_lz4
from purekernel.formats.tar import build_tar
from purekernel.host.edit import FolderRoot
from purekernel.host.overlay_reader import parse_layer
from purekernel.host.read import exists, is_file, is_folder, load_file
from purekernel.host.rootfs_folder import load_root_folder
from purekernel.host.write import write_whole
from purekernel.input import DEFAULT_LIMITS, Input, Limits, limits_of
from purekernel.records import frozen
from purekernel.threads import running_executor
from purekernel.tree import Buffer, File, Tree, display, look_up, newest_time

# The name of the top folder in an archive of "tar -c .".
TOP_NAME = "."


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
        tree = self.image.tree.copy()
        old = tree[self.member]
        # Remove the name first: if it is a hard link, the other names must keep the old content.
        tree.remove(self.member)
        tree.add(self.member, File(metadata=old.metadata, content=content))
        made = build_iso(
            tree, fields=self.image.fields, boot=self.image.boot, timestamp=newest_time(tree)
        )
        write_whole(output or self.path, made)
        return tuple(f"{self.path}: {loss.note}" for loss in losses)


class Container(Protocol):
    """The container of an archive: the host, or an ISO."""

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
        place: a folder; a cpio or tar archive, compressed or not; a squashfs image; an ISO, which
            stands for its core.gz; or ``ISO:PATH``, an archive in an ISO.
        timestamp: the time for new files, in seconds since 1970, UTC; ``None`` for the newest
            time in an archive. Files in a folder get the host's time.
        drop_boot: whether to drop boot methods that cannot be written.
        limits: the readers' limits.

    Raises:
        UsageError: ``place`` is empty.
        InputError: the file is missing, unreadable or of another kind.
        FormatError: the file is damaged.
        LimitError: the file exceeds ``limits``.
        TreeError: the content is contradictory.
    """
    if not place:
        raise UsageError("the name of the root file system is empty", hint="use a folder or a file")
    path, member = _split(place)
    if is_folder(path) and member is None:
        loaded = load_root_folder(path, limits=limits)
        return FolderRoot(
            folder=path,
            tree=loaded.tree,
            notes=loaded.notes,
            is_whole=loaded.is_whole,
            mtime=timestamp or 0,
        )
    file = Input(load_file(path, limits=limits), name=str(path), limits=limits)
    container: Container = HostFile(path=path)
    if detect(file.data) is FileKind.ISO:
        image = parse_iso(file)
        member, node = _find_member(image.tree, member, file.name)
        container = IsoMember(path=path, image=image, member=member, drop_boot=drop_boot)
        name = f"{file.name}: {member.decode('utf-8', 'replace')}"
        file = file.unpacked(node.content, name=name)
    elif member is not None:
        raise InputError(
            f"{path} is not an ISO, so it has no {display(member)}", hint="use the archive itself"
        )
    tree = parse_layer(file, what="root file system").tree
    return ArchiveRoot(
        # What is read again is counted already.
        file=evolve(file, limits=limits.unbudgeted()),
        tree=tree,
        mtime=newest_time(tree) if timestamp is None else timestamp,
        container=container,
        drop_boot=drop_boot,
    )


def _split(place: str) -> tuple[Path, bytes | None]:
    """Split ``ISO:PATH`` into both, unless a file has that whole name."""
    path = Path(place)
    before, colon, after = place.rpartition(":")
    if colon and before and after and not exists(path) and is_file(Path(before)):
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
