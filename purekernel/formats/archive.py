"""Open an archive or a file system image of any kind as a tree, told by its content."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field

from purekernel.errors import TreeError
from purekernel.formats.ar import iter_ar
from purekernel.formats.compression import COMPRESSED, check_end, unpack_streams
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.detect import (
    FileKind,
    detect,
    has_tar_magic,
    should_be_archive,
    strip_compression,
)
from purekernel.formats.fat import parse_fat
from purekernel.formats.inflate import Inflated, skip_zeros
from purekernel.formats.iso import parse_iso_files
from purekernel.formats.member_names import MemberNames
from purekernel.formats.squashfs import open_squashfs
from purekernel.formats.tar import parse_tar
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import File, Metadata, Tree
from purekernel.tree.node import PERMISSIONS


@frozen(kw_only=True)
class Payload:
    """What a file holds after its compression is undone.

    Attributes:
        file: the file as it is.
        plain: the unpacked content; ``file`` itself if it is not compressed.
        kind: the kind of ``plain``; CPIO also for an initramfs that starts with zeros.
        compression: the kind of ``file`` if it is compressed.
    """

    file: Input
    plain: Input
    kind: FileKind
    compression: FileKind | None
    _first: Inflated | None = field(repr=False)

    def parse_initramfs(self) -> Tree:
        """Return the tree of all cpio archives in the file, in a row, each perhaps compressed.

        Raises:
            FormatError, LimitError, TreeError: as :func:`~purekernel.formats.cpio.parse_cpio`.
        """
        if self._first is None:
            self.file.count_data()
        return parse_cpio(self.file, first=self._first)


def unpack_payload(file: Input) -> Payload:
    """Undo the compression of ``file``, if it has one, and tell the kind of its content.

    Of an initramfs, only the first part is unpacked; others may have another compression.

    Raises:
        FormatError: the compressed data is damaged, or other data than zeros follows it.
        LimitError: the unpacked size exceeds the limit.
    """
    compression = detect(file.data)
    if compression not in COMPRESSED:
        kind = FileKind.CPIO if is_padded_core(file) else compression
        return Payload(file=file, plain=file, kind=kind, compression=None, first=None)
    first = unpack_streams(file)
    plain = file.unpacked(first.content)
    kind = FileKind.CPIO if is_padded_core(plain) else detect(plain.data)
    if kind is not FileKind.CPIO:
        check_end(file, first)
    return Payload(file=file, plain=plain, kind=kind, compression=compression, first=first)


def is_padded_core(file: Input) -> bool:
    """Return whether ``file`` is an initramfs that starts with zeros, as the kernel permits."""
    start = skip_zeros(file.view, 0)
    return start > 0 and detect(file.view[start:]) in (FileKind.CPIO, *COMPRESSED)


@frozen(kw_only=True)
class Archive:
    """An archive whose names are read.

    Attributes:
        tree: its files. Contents are views, or loaded on access.
        plain: the archive after its compression is undone; the file itself without any.
        kind: the kind of the archive: AR, CPIO, FAT, ISO, SQUASHFS or TAR; or the compression of
            a file that holds no archive, and stands for an archive of one file.
        compression: the compression around the archive, or ``None``.
        is_counted: whether the budget has counted the contents.
    """

    tree: Tree = field(repr=False)
    plain: Input
    kind: FileKind
    compression: FileKind | None = None
    is_counted: bool = True


def open_archive(file: Input, *, name: bytes, metadata: Metadata) -> Archive | None:
    """Open an archive or file system image, compressed or not; unpack only what its names need.

    A compressed file that holds none of these is an archive of one file, which has the name that
    decompression would give it.

    Args:
        file: the archive.
        name: its own name, to name the content of a compressed file after.
        metadata: its own metadata, for the same.

    Returns:
        ``None`` for any other kind of file.

    Raises:
        FormatError: the archive is damaged.
        LimitError: it exceeds the limits.
        TreeError: names in it contradict each other.
    """
    payload = unpack_payload(file)
    plain, compression, kind = payload.plain, payload.compression, payload.kind
    if kind is FileKind.TAR and _is_blank(plain):
        kind = FileKind.OTHER
    elif kind in (FileKind.OTHER, FileKind.TEXT) and has_tar_magic(plain.view):
        kind = FileKind.TAR  # with a damaged header, which its reader reports
    if kind is FileKind.CPIO:
        tree = payload.parse_initramfs()
    elif kind in _READERS:
        tree = _READERS[kind](plain)
    elif compression is not None:
        kind, compression = compression, None
        tree = Tree()
        tree.add(_unpacked_name(name), File(metadata=metadata, content=plain.data))
    else:
        return None
    is_counted = kind is not FileKind.SQUASHFS
    return Archive(
        tree=tree, plain=plain, kind=kind, compression=compression, is_counted=is_counted
    )


def _is_blank(file: Input) -> bool:
    """Return whether ``file`` is zeros, which are an empty tar archive only if named like one."""
    return not should_be_archive(file.name) and skip_zeros(file.view, 0) == len(file)


def _unpacked_name(name: bytes) -> bytes:
    text = name.decode("utf-8", "surrogateescape")
    return strip_compression(text).encode("utf-8", "surrogateescape")


def _parse_ar(file: Input) -> Tree:
    """Return the members of an ar archive, such as a Debian package or a static library."""
    file.count_data()
    tree = Tree()
    names = MemberNames(file)
    for member in iter_ar(file):
        metadata = Metadata(
            mode=member.mode & PERMISSIONS, uid=member.uid, gid=member.gid, mtime=member.mtime
        )
        node = File(metadata=metadata, content=member.content)
        try:
            path = names.parse(member.name)
            file.check_depth(path, member.offset)
            old = tree.get(path)
            names.check_kind(path, old, node, member.offset)
            tree.add_parents(path)
            tree.add(path, node)
            names.place(path, old, node, member.offset)
        except TreeError as error:
            raise names.locate(error, member.offset) from None
    names.report()
    return tree


_READERS: dict[FileKind, Callable[[Input], Tree]] = {
    FileKind.AR: _parse_ar,
    FileKind.FAT: parse_fat,
    FileKind.ISO: parse_iso_files,
    FileKind.SQUASHFS: lambda file: open_squashfs(file).tree,
    FileKind.TAR: parse_tar,
}
