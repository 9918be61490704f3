"""Define the kinds of node: files, folders, symbolic links, devices, fifos, sockets."""

from __future__ import annotations

import stat
from enum import Enum

from attrs import evolve, field, frozen

from purekernel.input import Buffer

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


@frozen(kw_only=True)
class File:
    """A regular file. ``content`` is often a view into an archive; do not modify it."""

    metadata: Metadata
    content: Buffer = field(default=b"", repr=lambda content: f"<{len(content)} bytes>")


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
    """Return a copy of ``node`` with ``metadata``."""
    if isinstance(node, File) and type(node) is not File:
        return _LazyFile(metadata=metadata, node=node)
    return evolve(node, metadata=metadata)


class _LazyFile(File):
    """A file that takes its content from another file, which loads it on access."""

    __slots__ = ("_node",)

    _node: File

    def __init__(self, *, metadata: Metadata, node: File) -> None:
        super().__init__(metadata=metadata)
        object.__setattr__(self, "_node", node)

    @property
    def content(self) -> Buffer:
        """Return the content of the other file; errors of that file propagate."""
        return self._node.content

    @content.setter
    def content(self, _content: Buffer) -> None:
        """Ignore the assignment that attrs makes; the content is read from the other file."""

    def __eq__(self, other: object) -> bool:
        """Compare by identity; comparing the contents would load them."""
        return self is other

    __hash__ = object.__hash__


def file_type(node: Node) -> int:
    """Return the ``S_IFMT`` bits of ``node``'s ``st_mode`` (Source: inode(7))."""
    if isinstance(node, Device):
        return stat.S_IFCHR if node.kind is DeviceKind.CHARACTER else stat.S_IFBLK
    # Files that load their content on access are subclasses of File.
    return _FILE_TYPES.get(type(node), stat.S_IFREG)


def describe(node: Node) -> str:
    """Return the name of ``node``'s type with its article, for messages: ``"a folder"``."""
    if isinstance(node, Device):
        return f"a {node.kind.value} device"
    return _WORDS.get(type(node), "a file")


_FILE_TYPES: dict[type[Node], int] = {
    Directory: stat.S_IFDIR,
    Symlink: stat.S_IFLNK,
    Fifo: stat.S_IFIFO,
    Socket: stat.S_IFSOCK,
}
_WORDS: dict[type[Node], str] = {
    Directory: "a folder",
    Symlink: "a symbolic link",
    Fifo: "a fifo",
    Socket: "a socket",
}
