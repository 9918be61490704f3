"""Define the kinds of node: files, folders, symbolic links, devices, fifos, sockets."""

from __future__ import annotations

import stat
import weakref
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import ClassVar

from attrs import evolve, field

from purekernel.errors import PurekernelError
from purekernel.input import Buffer
from purekernel.records import frozen

PERMISSIONS = 0o7777
"""Mask for the mode bits other than the file type: setuid, setgid, sticky, rwxrwxrwx."""

Xattrs = tuple[tuple[bytes, bytes], ...]
"""Extended attributes as (full name, value), such as ``user.comment``; sorted by name."""


@frozen(kw_only=True)
class Metadata:
    """Owner, permissions, time and extended attributes of a node.

    Attributes:
        mode: permission bits with setuid, setgid and sticky; no file type (0 to 0o7777).
        uid: numeric owner in the image.
        gid: numeric group in the image.
        mtime: modification time in seconds since 1970, UTC; may be negative.
        xattrs: extended attributes. Squashfs stores them; cpio cannot.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: Xattrs = ()


@lru_cache(maxsize=1 << 12)
def plain_metadata(mode: int, uid: int, gid: int, mtime: int) -> Metadata:
    """Return metadata without extended attributes.

    Many nodes have the same. They share one object, which saves memory, and the time to change
    each (:meth:`~purekernel.tree.tree.Tree.map_metadata`).
    """
    return Metadata(mode=mode, uid=uid, gid=gid, mtime=mtime)


@frozen(eq=False)
class LazyContent:
    """The content of a file, which is loaded on access.

    Only the content that was loaded last is kept, because it is usually accessed several times in
    a row. So a tree can have more content than fits in memory. Any thread may load content.

    Attributes:
        size_bytes: the size, as the archive or the host stated it when the name was read.
    """

    size_bytes: int
    _load: Callable[[], Buffer] = field(repr=False)
    # Loads a part, given its start and size; without it, a part needs the whole content.
    _load_part: Callable[[int, int], Buffer] | None = field(default=None, repr=False)

    # Refers to the owner weakly: its loader usually holds a whole archive.
    _last: ClassVar[tuple[Callable[[], LazyContent | None], Buffer]] = (lambda: None, b"")

    def __len__(self) -> int:
        return self.size_bytes

    def load(self) -> Buffer:
        """Return the content; errors of the loader propagate."""
        owner, content = LazyContent._last
        if owner() is not self:
            content = self._load()
            LazyContent._last = (weakref.ref(self), content)
        return content

    def part(self, start: int, size_bytes: int) -> Buffer:
        """Return bytes from ``start``, fewer at the end; load no more than needed if possible."""
        if self._load_part is None or LazyContent._last[0]() is self:
            return memoryview(self.load())[start : start + size_bytes]
        return self._load_part(start, size_bytes)

    def __eq__(self, other: object) -> bool:
        """Compare contents; they are loaded, unless both are the same object."""
        if self is other:
            return True
        if isinstance(other, LazyContent):
            return self.load() == other.load()
        return self.load() == other if isinstance(other, Buffer) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a hash would load the content


def damaged_content(size_bytes: int, error: PurekernelError) -> LazyContent:
    """Return the content of a file that cannot be read, which raises ``error`` on access."""

    def load() -> Buffer:
        raise error

    return LazyContent(size_bytes, load=load)


class _LazySlice(LazyContent):
    """A part of a content, which keeps nothing of its own, so that the whole is kept."""

    def load(self) -> Buffer:
        return self._load()


def slice_content(content: Buffer | LazyContent, start: int, end: int) -> Buffer | LazyContent:
    """Return the bytes from ``start`` to ``end`` of a content, without a copy.

    The slices of a content that is loaded on access load the whole again, unless they are used one
    after the other.
    """
    if not isinstance(content, LazyContent):
        return memoryview(content)[start:end]
    size_bytes = min(end, content.size_bytes) - start
    return _LazySlice(size_bytes, load=lambda: memoryview(content.load())[start:end])


def loaded(content: Buffer | LazyContent) -> Buffer:
    """Return a content that may have to be loaded."""
    return content.load() if isinstance(content, LazyContent) else content


@frozen(kw_only=True)
class File:
    """A regular file; ``content`` is an argument, too: bytes, or a :class:`LazyContent`."""

    metadata: Metadata
    _content: Buffer | LazyContent = b""

    @property
    def content(self) -> Buffer:
        """The content, often a view into an archive; do not modify it.

        Raises:
            PurekernelError: content that is loaded on access is damaged or unreadable.
        """
        return loaded(self._content)

    @property
    def source(self) -> Buffer | LazyContent:
        """The content, not loaded if it is a :class:`LazyContent`."""
        return self._content

    def part(self, start: int, size_bytes: int) -> Buffer:
        """Return ``size_bytes`` bytes of the content from ``start``, or fewer at its end.

        Content that is loaded on access is not loaded as a whole where the archive allows that.

        Raises:
            PurekernelError: that part is damaged or unreadable.
        """
        held = self._content
        if isinstance(held, LazyContent):
            return held.part(start, size_bytes)
        return memoryview(held)[start : start + size_bytes]

    @property
    def size_bytes(self) -> int:
        """The size of the content, which is not loaded for it."""
        return len(self._content)

    def __repr__(self) -> str:
        return f"File(metadata={self.metadata!r}, content=<{self.size_bytes} bytes>)"


@frozen(kw_only=True)
class Directory:
    """A folder. :class:`~purekernel.tree.tree.Tree` stores its entries."""

    metadata: Metadata


@frozen(kw_only=True)
class Symlink:
    """A symbolic link. ``target`` is stored unchanged."""

    metadata: Metadata
    target: bytes


class DeviceKind(Enum):
    """Whether a device is a character device or a block device."""

    CHARACTER = "character"
    BLOCK = "block"


@frozen(kw_only=True)
class Device:
    """A device node, with the major and minor number of its ``st_rdev``."""

    metadata: Metadata
    kind: DeviceKind
    major: int
    minor: int


@frozen(kw_only=True)
class Fifo:
    """A named pipe."""

    metadata: Metadata


@frozen(kw_only=True)
class Socket:
    """The name of a Unix-domain socket. Some archives contain one; nothing reads it."""

    metadata: Metadata


Node = File | Directory | Symlink | Device | Fifo | Socket


def with_metadata(node: Node, metadata: Metadata) -> Node:
    """Return ``node`` with other metadata; for files, much faster than ``evolve``."""
    if isinstance(node, File):
        return File(metadata=metadata, content=node.source)
    return evolve(node, metadata=metadata)


def file_type(node: Node) -> int:
    """Return the ``S_IFMT`` bits of ``node``'s ``st_mode`` (Source: inode(7))."""
    if isinstance(node, Device):
        return stat.S_IFCHR if node.kind is DeviceKind.CHARACTER else stat.S_IFBLK
    return _FILE_TYPES[type(node)]


def describe(node: Node) -> str:
    """Return the name of ``node``'s type with its article, for messages: ``"a folder"``."""
    if isinstance(node, Device):
        return f"a {node.kind.value} device"
    return _WORDS[type(node)]


_FILE_TYPES: dict[type[Node], int] = {
    File: stat.S_IFREG,
    Directory: stat.S_IFDIR,
    Symlink: stat.S_IFLNK,
    Fifo: stat.S_IFIFO,
    Socket: stat.S_IFSOCK,
}
_WORDS: dict[type[Node], str] = {
    File: "a file",
    Directory: "a folder",
    Symlink: "a symbolic link",
    Fifo: "a fifo",
    Socket: "a socket",
}
