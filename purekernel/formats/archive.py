"""Open an archive or a file system image of any kind as a tree, told by its content."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field

from purekernel.errors import FormatError, PurekernelError, TreeError
from purekernel.formats.ar import ArMember, iter_ar
from purekernel.formats.compression import COMPRESSED, check_end, unpack_streams
from purekernel.formats.cpio import Segment, read_initramfs
from purekernel.formats.detect import (
    FileKind,
    detect,
    has_tar_magic,
    should_be_archive,
    strip_compression,
)
from purekernel.formats.fat import parse_fat
from purekernel.formats.inflate import Inflated, Stream, skip_zeros
from purekernel.formats.iso import parse_iso_files
from purekernel.formats.member_names import MemberNames
from purekernel.formats.oci import merge_layers, read_images
from purekernel.formats.partitions import (
    EXTENDED,
    SECTOR_BYTES,
    PartitionTable,
    parse_gpt,
    parse_mbr,
)
from purekernel.formats.partitions.layout import show_partition
from purekernel.formats.qcow2 import parse_qcow2
from purekernel.formats.squashfs import open_squashfs
from purekernel.formats.tar import parse_tar
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import ROOT, File, Metadata, Tree, graft
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
        return self.read_initramfs()[0]

    def read_initramfs(self) -> tuple[Tree, tuple[Segment, ...]]:
        """Return the same, and the segments of the file; raise the same errors."""
        if self._first is None:
            self.file.count_data()
        return read_initramfs(self.file, first=self._first)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The compressed streams, such as the members of a gzip file."""
        return () if self._first is None else self._first.streams


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
    plain = file.unpacked(first.content, is_cut=first.is_cut)
    kind = FileKind.CPIO if is_padded_core(plain) else detect(plain.data)
    if kind is not FileKind.CPIO:
        try:
            check_end(file, first)
        except FormatError as error:
            file.stop_at(error)
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
        kind: the kind of the archive: AR, CPIO, DISK, FAT, ISO, QCOW2, SQUASHFS or TAR; or the
            compression of a file that holds no archive, and stands for an archive of one file.
        compression: the compression around the archive, or ``None``.
        is_counted: whether the budget has counted the contents.
        segments: the parts of an initramfs.
        streams: the compressed streams of the file, such as the members of a gzip file.
    """

    tree: Tree = field(repr=False)
    plain: Input
    kind: FileKind
    compression: FileKind | None = None
    is_counted: bool = True
    segments: tuple[Segment, ...] = ()
    streams: tuple[Stream, ...] = ()


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
    segments: tuple[Segment, ...] = ()
    if kind is FileKind.CPIO:
        tree, segments = payload.read_initramfs()
    elif kind in _READERS:
        tree = _READERS[kind](plain)
    elif compression is not None:
        kind, compression = compression, None
        tree = Tree()
        tree.add(_unpacked_name(name), File(metadata=metadata, content=plain.data))
    else:
        return None
    is_counted = kind not in (FileKind.SQUASHFS, FileKind.DISK)
    return Archive(
        tree=tree, plain=plain, kind=kind, compression=compression, is_counted=is_counted,
        segments=segments, streams=payload.streams,
    )  # fmt: skip


def open_container(layout: Tree, file: Input) -> Archive:
    """Open the index of an OCI image layout: the root file system of the image that it lists.

    If it lists several, each is a folder, named by its number from 1 on.

    Args:
        layout: the files of the layout.
        file: its index.

    Raises:
        FormatError: the layout is damaged.
        LimitError: it exceeds the limits.
        TreeError: names in a layer contradict each other.
    """
    roots = [
        merge_layers([_open_layer(layout, layer.path, file) for layer in image.layers])
        for image in read_images(layout, file)
    ]
    if len(roots) == 1:
        return Archive(tree=roots[0], plain=file, kind=FileKind.TAR)
    tree = Tree()
    for number, root in enumerate(roots, start=1):
        top = str(number).encode()
        tree.add(top, root[ROOT])
        graft(tree, top, root)
    return Archive(tree=tree, plain=file, kind=FileKind.TAR)


def _open_layer(layout: Tree, path: bytes, file: Input) -> Tree:
    node = layout[path]
    assert isinstance(node, File)  # noqa: S101  # read_images has compared its digest
    name = f"{file.name}: {path.decode()}"
    layer = Input(node.content, name=name, limits=file.limits, is_counted=file.is_counted)
    archive = open_archive(layer, name=b"layer", metadata=node.metadata)
    if archive is None or archive.kind is not FileKind.TAR:
        raise layer.fail(0, "a layer that is a tar archive", "another kind of file")
    return archive.tree


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
    try:
        for member in iter_ar(file):
            _add_member(tree, member, file, names)
    except PurekernelError as error:
        file.stop_at(error)
    names.report()
    return tree


def _add_member(tree: Tree, member: ArMember, file: Input, names: MemberNames) -> None:
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


def _parse_disk(file: Input) -> Tree:
    """Return the partitions of a disk, each a file that is named by its number.

    Partitions may overlap, as on an ISO that is a disk too. One that ends after the end of the
    disk is cut, with a note.
    """
    mbr = parse_mbr(file)
    table = PartitionTable(mbr=mbr, gpt=parse_gpt(file))
    tree = Tree()
    for partition in table.partitions:
        if partition.number <= 4 and partition.kind in EXTENDED:
            continue  # its logical partitions are in the table
        content = file.view[partition.first * SECTOR_BYTES : partition.end * SECTOR_BYTES]
        if len(content) < partition.sectors * SECTOR_BYTES:
            file.note(f"{show_partition(partition)} is cut: the disk has {len(file)} bytes")
        metadata = Metadata(mode=0o644)
        tree.add(str(partition.number).encode(), File(metadata=metadata, content=content))
    return tree


def _parse_qcow2(file: Input) -> Tree:
    """Return the partitions of the disk in a qcow2 image; or the disk, if it has none."""
    disk = open_qcow2(file)
    if detect(disk.data) is FileKind.DISK:
        return _parse_disk(disk)
    tree = Tree()
    tree.add(b"disk", File(metadata=Metadata(mode=0o644), content=disk.data))
    return tree


def open_qcow2(file: Input) -> Input:
    """Return the disk in a qcow2 image.

    Raises:
        FormatError, LimitError: as :func:`~purekernel.formats.qcow2.parse_qcow2`; or the disk is
            larger than this host can address.
    """
    image = parse_qcow2(file)
    file.count_unpacked(sum(len(part.content) for part in image.parts))
    try:
        return file.unpacked(image.to_view())
    except MemoryError:
        raise file.exceed(24, "a disk that fits in memory", f"{image.size_bytes} bytes") from None


_READERS: dict[FileKind, Callable[[Input], Tree]] = {
    FileKind.AR: _parse_ar,
    FileKind.FAT: parse_fat,
    FileKind.DISK: _parse_disk,
    FileKind.ISO: parse_iso_files,
    FileKind.QCOW2: _parse_qcow2,
    FileKind.SQUASHFS: lambda file: open_squashfs(file).tree,
    FileKind.TAR: parse_tar,
}
