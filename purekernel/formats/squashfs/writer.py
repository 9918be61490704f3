"""Write a tree as a squashfs image.

The image consists of the superblock, the data blocks, and the tables of inodes, folders, fragments,
inode references, IDs and extended attributes, in the order that the kernel requires.

Source: fs/squashfs/super.c of Linux, squashfs_fill_super; https://dr-emann.github.io/squashfs/ .
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import BinaryIO

from attrs import field

from purekernel.errors import UsageError
from purekernel.formats.squashfs.codecs import Codec, Pack
from purekernel.formats.squashfs.data import Conveyor, DataWriter
from purekernel.formats.squashfs.inode_table import Inode, survey
from purekernel.formats.squashfs.inodes import (
    Common,
    Entry,
    IdTable,
    basic_type,
    build_directory,
    build_file,
    build_listing,
    build_other,
    write_listing,
)
from purekernel.formats.squashfs.layout import (
    FRAGMENT_ENTRY,
    INODE_REFERENCE,
    LEAST_BLOCK_LOG,
    METADATA_HEADER,
    METADATA_PLAIN,
    MOST_BLOCK_LOG,
    NO_TABLE,
    SUPERBLOCK_BYTES,
    SuperblockFlag,
    reference,
)
from purekernel.formats.squashfs.metadata import MetadataWriter, write_table
from purekernel.formats.squashfs.superblock import Superblock, build_superblock
from purekernel.formats.squashfs.xattrs import XattrWriter
from purekernel.records import frozen
from purekernel.tree import Directory, File, Tree, newest_time
from purekernel.tree.path import parent

# A loop device cannot read a last sector that is incomplete. mksquashfs pads to 4 KiB, which is a
# multiple of the sector size of every device.
PADDING_BYTES = 4096

_MOST_TIME = 0xFFFFFFFF


@frozen(kw_only=True)
class Options:
    """The layout of an image.

    Attributes:
        block_bytes: a power of two from 4 KiB to 1 MiB. Core requires 4 KiB.
        tails: whether the ends of files share fragment blocks.
        duplicates: whether files with equal contents are stored once.
        exports: whether to write the export table, with which NFS finds inodes.
        xattrs: whether to write extended attributes.
        padding: whether to pad the image to a multiple of 4 KiB.
        mkfs_time: the creation time in the superblock, in seconds since 1970, UTC; ``None`` for
            the newest time in the tree.
        priorities: paths of files with their priorities. Files with a higher priority come first;
            the default is 0.
    """

    block_bytes: int = 1 << LEAST_BLOCK_LOG
    tails: bool = True
    duplicates: bool = True
    exports: bool = True
    xattrs: bool = True
    padding: bool = True
    mkfs_time: int | None = None
    priorities: Mapping[bytes, int] = field(factory=dict)


DEFAULT_OPTIONS = Options()


def build_squashfs(
    tree: Tree, *, codec: Codec, executor: Executor, options: Options = DEFAULT_OPTIONS
) -> bytes:
    """Return ``tree`` as an image; see :func:`write_squashfs`."""
    stream = io.BytesIO()
    write_squashfs(tree, stream, codec=codec, executor=executor, options=options)
    return stream.getvalue()


def write_squashfs(
    tree: Tree,
    stream: BinaryIO,
    *,
    codec: Codec,
    executor: Executor,
    options: Options = DEFAULT_OPTIONS,
) -> None:
    """Write ``tree`` as an image of version 4.0. The executor does not affect the bytes.

    Args:
        tree: the tree to write. Each content is read once, and only one at a time.
        stream: an empty, seekable stream.
        codec: compresses the blocks.
        executor: runs the compression.
        options: the layout of the image.

    Raises:
        UnrepresentableError: squashfs cannot represent something in the tree.
        UsageError: an option is invalid.
    """
    _Writer(tree, stream, codec, executor, _checked(options)).write()


def _checked(options: Options) -> Options:
    size = options.block_bytes
    if size.bit_count() != 1 or not LEAST_BLOCK_LOG <= size.bit_length() - 1 <= MOST_BLOCK_LOG:
        raise UsageError(
            f"the squashfs block size must be a power of two from 4096 to 1048576, got {size}",
            hint="use 4096, which Tiny Core requires",
        )
    if options.mkfs_time is not None and not 0 <= options.mkfs_time <= _MOST_TIME:
        raise UsageError(
            f"the squashfs creation time must be from 0 to {_MOST_TIME}, got {options.mkfs_time}",
            hint="give the time in seconds since 1970, UTC",
        )
    return options


class _Writer:
    """Write one tree as an image."""

    def __init__(
        self, tree: Tree, stream: BinaryIO, codec: Codec, executor: Executor, options: Options
    ) -> None:
        self._tree = tree
        self._stream = stream
        self._codec = codec
        self._pack: Pack = codec.pack
        self._executor = executor
        self._options = options
        self._survey = survey(tree)
        self._ids = IdTable()
        self._xattrs = XattrWriter(codec.pack)

    def write(self) -> None:
        """Write the whole image."""
        self._stream.write(bytes(SUPERBLOCK_BYTES))
        position = SUPERBLOCK_BYTES + self._write_compressor_options()
        inode_start, fragments = self._write_data(position)
        inodes, directories = self._build_tables()
        self._stream.write(inodes)
        self._stream.write(directories)
        directory_start = inode_start + len(inodes)
        position = directory_start + len(directories)
        fragment_start = export_start = NO_TABLE
        if fragments:
            content = b"".join(FRAGMENT_ENTRY.pack(start, size, 0) for start, size in fragments)
            fragment_start, position = self._write_table(position, content)
        if self._options.exports:
            export_start, position = self._write_table(position, self._exports())
        id_start, position = self._write_table(position, self._ids.build())
        xattr_start, used_bytes = self._xattrs.write(self._stream, position)
        if self._options.padding:
            self._stream.write(bytes(-used_bytes % PADDING_BYTES))
        mkfs_time = self._options.mkfs_time
        superblock = Superblock(
            compression=self._codec.compression,
            block_bytes=self._options.block_bytes,
            flags=self._flags(),
            mkfs_time=newest_time(self._tree) if mkfs_time is None else mkfs_time,
            inodes=len(self._survey.ordered),
            fragments=len(fragments),
            ids=len(self._ids),
            root=_reference(self._survey.ordered[-1]),
            used_bytes=used_bytes,
            id_start=id_start,
            xattr_start=xattr_start,
            inode_start=inode_start,
            directory_start=directory_start,
            fragment_start=fragment_start,
            export_start=export_start,
        )
        self._stream.seek(0)
        self._stream.write(build_superblock(superblock))

    def _write_compressor_options(self) -> int:
        options = self._codec.options
        if not options:
            return 0
        self._stream.write(METADATA_HEADER.pack(len(options) | METADATA_PLAIN) + options)
        return METADATA_HEADER.size + len(options)

    def _write_data(self, position: int) -> tuple[int, list[tuple[int, int]]]:
        """Write all contents; return where they end, and the fragment entries."""
        conveyor = Conveyor(self._stream, position, self._pack, self._executor)
        data = DataWriter(
            conveyor,
            block_bytes=self._options.block_bytes,
            packs_tails=self._options.tails,
            finds_duplicates=self._options.duplicates,
        )
        files = [(inode, inode.node) for inode in self._survey.walked]
        if self._options.priorities:
            priority = self._options.priorities.get
            files.sort(key=lambda file: -priority(file[0].path, 0))
        try:
            for inode, node in files:
                if isinstance(node, File):
                    inode.extent = data.add(node.content)
            data.finish()
        except BaseException:
            conveyor.cancel()
            raise
        return conveyor.position, data.fragments

    def _build_tables(self) -> tuple[bytes, bytes]:
        """Return the inode table and the directory table."""
        inodes, directories = MetadataWriter(self._pack), MetadataWriter(self._pack)
        numbers = {inode.path: inode.number for inode in self._survey.ordered}
        for inode in self._survey.ordered:
            node = inode.node
            common = self._common(inode)
            if isinstance(node, Directory):
                entries = (
                    Entry(name, basic_type(child.node), child.number, child.place)
                    for name, child in self._survey.entries[inode.path]
                )
                listing = write_listing(build_listing(entries), directories)
                # The parent of the root is an unused number.
                parent_number = numbers[parent(inode.path)] if inode.path else len(numbers) + 1
                data = build_directory(common, node, listing, parent_number)
            elif isinstance(node, File):
                data = build_file(common, node, inode.extent)
            else:
                data = build_other(common, node)
            inode.place = inodes.position
            inodes.write(data)
        return inodes.finish(), directories.finish()

    def _common(self, inode: Inode) -> Common:
        metadata, path = inode.node.metadata, inode.path
        return Common(
            path=path,
            uid=self._ids.add(metadata.uid, path),
            gid=self._ids.add(metadata.gid, path),
            number=inode.number,
            links=inode.links,
            xattrs=self._xattrs.add(metadata.xattrs if self._options.xattrs else (), path),
        )

    def _exports(self) -> bytes:
        return b"".join(INODE_REFERENCE.pack(_reference(inode)) for inode in self._survey.ordered)

    def _write_table(self, start: int, content: bytes) -> tuple[int, int]:
        return write_table(self._stream, start, content, self._pack)

    def _flags(self) -> int:
        options = self._options
        chosen = {
            SuperblockFlag.NO_FRAGMENTS: not options.tails,
            SuperblockFlag.ALWAYS_FRAGMENTS: options.tails,
            SuperblockFlag.DUPLICATES: options.duplicates,
            SuperblockFlag.EXPORTABLE: options.exports,
            SuperblockFlag.NO_XATTRS: not options.xattrs,
            SuperblockFlag.COMPRESSOR_OPTIONS: bool(self._codec.options),
        }
        return sum(flag for flag, is_set in chosen.items() if is_set)


def _reference(inode: Inode) -> int:
    return reference(inode.place.block, inode.place.offset)
