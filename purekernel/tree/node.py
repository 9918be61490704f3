"""What stands at a path: files, folders, symbolic links, devices, fifos, sockets."""

from __future__ import annotations

import stat
from enum import Enum

from attrs import evolve, field, frozen

Buffer = bytes | bytearray | memoryview
"""Bytes that may be a view into the archive they came from."""

PERMISSIONS = 0o7777
"""The bits of a mode that are not the file type: setuid, setgid, sticky, rwxrwxrwx."""

Xattrs = tuple[tuple[bytes, bytes], ...]
"""Extended attributes: whole names, such as ``user.comment``, and values; sorted by name."""


@frozen(kw_only=True)
class Metadata:
    """Who owns a node and what may be done with it.

    Attributes:
        mode: permission bits with setuid, setgid and sticky; no file type (0 to 0o7777).
        uid: owner, as the image knows it.
        gid: group, as the image knows it.
        mtime: seconds since 1970, UTC; may be negative.
        xattrs: extended attributes. Squashfs holds them; cpio has no room for them.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: Xattrs = ()


@frozen(kw_only=True)
class File:
    """A regular file. ``content`` is often a view into an archive: do not write to it."""

    metadata: Metadata
    content: Buffer = field(default=b"", repr=lambda content: f"<{len(content)} bytes>")


@frozen(kw_only=True)
class Directory:
    """A folder. What it holds is the tree's business."""

    metadata: Metadata


@frozen(kw_only=True)
class Symlink:
    """A symbolic link; ``target`` is kept byte for byte."""

    metadata: Metadata
    target: bytes


class DeviceKind(Enum):
    """Which of the two tables a device number indexes."""

    CHARACTER = "character"
    BLOCK = "block"


@frozen(kw_only=True)
class Device:
    """A device node, with the numbers that Linux splits ``st_rdev`` into."""

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
    """A Unix-domain socket's name. Archives hold them now and then; nothing reads them."""

    metadata: Metadata


Node = File | Directory | Symlink | Device | Fifo | Socket


def with_metadata(node: Node, metadata: Metadata) -> Node:
    """Return ``node`` with other metadata."""
    if isinstance(node, File) and type(node) is not File:
        return _Dressed(metadata=metadata, node=node)
    return evolve(node, metadata=metadata)


class _Dressed(File):
    """A file with the content of another, which that loads when it is asked for it."""

    __slots__ = ("_node",)

    _node: File

    def __init__(self, *, metadata: Metadata, node: File) -> None:
        super().__init__(metadata=metadata)
        object.__setattr__(self, "_node", node)

    @property
    def content(self) -> Buffer:
        """Return its bytes, or raise what the other raises."""
        return self._node.content

    @content.setter
    def content(self, _content: Buffer) -> None:
        """Take no other: it is the other's."""

    def __eq__(self, other: object) -> bool:
        """Say whether it is the very same; comparing contents would load them."""
        return self is other

    __hash__ = object.__hash__


def file_type(node: Node) -> int:
    """Return the ``S_IFMT`` bits of ``node``'s ``st_mode`` (Source: inode(7))."""
    if isinstance(node, Device):
        return stat.S_IFCHR if node.kind is DeviceKind.CHARACTER else stat.S_IFBLK
    # What loads its content when that is asked for is a file of a type of its own.
    return _FILE_TYPES.get(type(node), stat.S_IFREG)


def describe(node: Node) -> str:
    """Return the everyday word for ``node``'s type, with its article, for messages."""
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
