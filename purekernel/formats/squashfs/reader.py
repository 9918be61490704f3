"""Read a squashfs image into a tree."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from purekernel.errors import FormatError, PurekernelError, TreeError
from purekernel.formats.squashfs.image import DirectoryEntry, SquashfsContents, SquashfsPlace
from purekernel.formats.squashfs.layout import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    EXTENDED,
    FIFO,
    FILE,
    MOST_TARGET_BYTES,
    SYMLINK,
)
from purekernel.formats.squashfs.superblock import Superblock
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import (
    ROOT,
    Buffer,
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    LazyContent,
    Metadata,
    Node,
    Socket,
    Symlink,
    Tree,
    display,
    parse_path,
)
from purekernel.tree.node import PERMISSIONS
from purekernel.tree.path import join


def parse_squashfs(file: Input) -> Tree:
    """Return the tree in an image whose blocks are compressed with gzip, xz, lz4 or zstd.

    Small files are views into their fragment blocks. Names of one inode become hard links.

    Raises:
        FormatError: the image is damaged, truncated, of another version, or has an unsupported
            compression.
        LimitError: the unpacked size or the number of names exceeds the limits.
        TreeError: a name is longer than Linux allows.
    """
    with _library_errors(file):
        return _SquashfsReader(SquashfsContents(file)).read()


@frozen(kw_only=True)
class OpenImage:
    """An image whose names are read, but not its contents.

    Attributes:
        tree: the tree; the contents of its files are loaded on access.
        facts: the fields of the superblock.
        sizes: for each path the size that the image states, in bytes: of a file's content, a
            link's target, a folder's listing.
        xattr_sets: the number of sets of extended attributes.
    """

    tree: Tree
    facts: Superblock
    sizes: Mapping[bytes, int]
    xattr_sets: int


def open_squashfs(file: Input) -> OpenImage:
    """Return an image whose contents are unpacked on access.

    Raises:
        FormatError, LimitError, TreeError: as :func:`parse_squashfs`.
    """
    with _library_errors(file):
        image = SquashfsContents(file)
        reader = _SquashfsReader(image, is_lazy=True)
        return OpenImage(
            tree=reader.read(),
            facts=image.facts,
            sizes=reader.sizes,
            xattr_sets=image.xattrs.count,
        )


def measure_packed(file: Input) -> dict[bytes, int]:
    """Return the packed size of each file of an image by its first name, without metadata.

    The end of a file that is in a block with the ends of others has its share of that block.

    Raises:
        FormatError, LimitError, TreeError: as :func:`parse_squashfs`.
    """
    with _library_errors(file):
        image = SquashfsContents(file)
        reader = _SquashfsReader(image, is_lazy=True)
        reader.read()
        return image.packed_sizes(reader.files)


@contextmanager
def _library_errors(file: Input) -> Iterator[None]:
    """Convert exceptions of the library on a damaged image to :class:`FormatError`."""
    try:
        yield
    except TreeError as error:
        raise error.within(file.name) from None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        OSError,
        RuntimeError,
        struct.error,
        TypeError,
        ValueError,
    ) as error:
        if isinstance(error, FormatError):
            raise
        raise file.fail(
            None, "a valid squashfs image", f"a damaged image ({type(error).__name__}: {error})"
        ) from None


class _SquashfsReader:
    """Read one image into a tree."""

    def __init__(self, image: SquashfsContents, *, is_lazy: bool = False) -> None:
        self._image = image
        self._is_lazy = is_lazy
        self.sizes: dict[bytes, int] = {}
        self.files: dict[bytes, Any] = {}
        self._file = image.file
        self._content_bytes = 0
        self._folders: set[SquashfsPlace] = set()
        self._first_names: dict[SquashfsPlace, bytes] = {}

    def read(self) -> Tree:
        """Return the whole tree, folder by folder, without recursion."""
        root_place = self._image.root_place
        root = self._image.read_inode(root_place)
        node = self._node(root, ROOT)
        if not isinstance(node, Directory):
            raise self._file.fail(None, "a folder as the root", "another type of inode")
        tree = Tree(node)
        self._folders.add(root_place)
        pending = [(ROOT, root)]
        while pending:
            folder, inode = pending.pop()
            try:
                for path, subfolder in self._list(tree, folder, inode):
                    pending.append((path, subfolder))
            except PurekernelError as error:
                self._file.stop_at(error)
        return tree

    def _list(self, tree: Tree, folder: bytes, inode: Any) -> Iterator[tuple[bytes, Any]]:
        """Add the entries of a folder to the tree; yield path and inode of each folder in it."""
        with _library_errors(self._file):
            for entry in self._image.entries(inode):
                subfolder = self._add(tree, folder, entry)
                if subfolder is not None:
                    yield join(folder, entry.name), subfolder

    def _add(self, tree: Tree, folder: bytes, entry: DirectoryEntry) -> Any:
        """Add one entry to the tree; return the inode if it is a folder, else ``None``."""
        path = self._path(tree, folder, entry.name)
        if entry.place in self._first_names:
            first = self._first_names[entry.place]
            tree.link(path, first)
            self.sizes[path] = self.sizes[first]
            return None
        inode = self._image.read_inode(entry.place)
        if _basic_type(inode) != entry.type:
            raise self._file.fail(
                None,
                f"{display(path)} of inode type {entry.type}, as its folder states",
                f"{inode.type}",
            )
        node = self._node(inode, path)
        tree.add(path, node)
        if not isinstance(node, Directory):
            self._first_names[entry.place] = path
            return None
        if entry.place in self._folders:
            raise self._file.fail(
                None, "each folder at one path", f"{display(path)}, which is also at another path"
            )
        self._folders.add(entry.place)
        return inode

    def _path(self, tree: Tree, folder: bytes, name: bytes) -> bytes:
        if b"/" in name or name in (b".", b".."):
            raise self._file.fail(None, f"a valid name in {display(folder)}", display(name))
        path = parse_path(join(folder, name))
        self._file.check_members(len(tree) + 1)
        self._file.check_depth(path)
        if path in tree:
            raise self._file.fail(None, "each name once", f"{display(path)} again")
        return path

    def _node(self, inode: Any, path: bytes) -> Node:
        metadata = Metadata(
            mode=inode.header.mode & PERMISSIONS,
            uid=inode.uid,
            gid=inode.gid,
            mtime=inode.time,
            xattrs=self._image.xattrs.find(inode.xattr, path),
        )
        kind = _basic_type(inode)
        self.sizes[path] = inode.data
        if kind == DIRECTORY:
            return Directory(metadata=metadata)
        if kind == FILE:
            self.files[path] = inode
            if self._is_lazy:
                self._content_bytes += inode.data
                self._file.check_unpacked(self._content_bytes)
                content = LazyContent(
                    inode.data,
                    load=partial(self._load, inode, path),
                    load_part=partial(self._load_part, inode, path),
                )
                return File(metadata=metadata, content=content)
            self._content_bytes = self._file.count_unpacked(
                inode.data, already_bytes=self._content_bytes
            )
            return File(metadata=metadata, content=self._image.content(inode, path))
        if kind == SYMLINK:
            return Symlink(metadata=metadata, target=self._target(inode, path))
        if kind in (BLOCK, CHARACTER):
            # new_encode_dev of Linux (include/linux/kdev_t.h), as makedev(3) computes it.
            return Device(
                metadata=metadata,
                kind=DeviceKind.BLOCK if kind == BLOCK else DeviceKind.CHARACTER,
                major=(inode.rdev & 0xFFF00) >> 8,
                minor=(inode.rdev & 0xFF) | ((inode.rdev >> 12) & 0xFFF00),
            )
        return Fifo(metadata=metadata) if kind == FIFO else Socket(metadata=metadata)

    def _load(self, inode: Any, path: bytes) -> Buffer:
        with _library_errors(self._file):
            return self._image.content(inode, path)

    def _load_part(self, inode: Any, path: bytes, start: int, size_bytes: int) -> Buffer:
        with _library_errors(self._file):
            return self._image.content_part(inode, path, start, size_bytes)

    def _target(self, inode: Any, path: bytes) -> bytes:
        # inode.symlink would decode the target as UTF-8.
        target: bytes = inode._symlink  # noqa: SLF001
        if not target or b"\0" in target or len(target) >= MOST_TARGET_BYTES:
            raise self._file.fail(
                None,
                f"a target of 1 to {MOST_TARGET_BYTES - 1} bytes without NUL for {display(path)}",
                display(target[:40]),
            )
        return target


def _basic_type(inode: Any) -> int:
    kind: int = inode.type
    return kind - EXTENDED if kind > EXTENDED else kind
