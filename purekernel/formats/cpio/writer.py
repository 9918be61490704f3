"""Write a tree as one cpio "newc" archive that the kernel unpacks.

Members stand in walking order, so parents precede children. Inode numbers tell hard links
and nothing else: what has one name gets 0, which compresses. The content of hard-linked
files stands with their last name, as the kernel wants. Symbolic links are never hard links
to the kernel: each name of one becomes a link of its own. (Source: init/initramfs.c.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from attrs import frozen

from purekernel.errors import UnrepresentableError
from purekernel.formats.cpio.layout import (
    BLOCK_BYTES,
    MAX_NAME_BYTES,
    MAX_NUMBER,
    TRAILER_NAME,
    Header,
    padding,
)
from purekernel.tree import (
    ROOT,
    Buffer,
    Device,
    Directory,
    File,
    Node,
    Symlink,
    Tree,
    display,
    file_type,
)

_TRAILER = Header(
    ino=0, mode=0, uid=0, gid=0, nlink=1, mtime=0, filesize=0, namesize=len(TRAILER_NAME) + 1
)


@frozen(kw_only=True)
class Member:
    """One member as it is written.

    Attributes:
        path: where it stands in the tree; the trailer has the trailer's name.
        head: header and name with their padding.
        content: of a file or link; empty for all else, and for hard links but the last.
        padding_bytes: zeros that follow the content.
    """

    path: bytes
    head: bytes
    content: Buffer
    padding_bytes: int

    @property
    def size_bytes(self) -> int:
        """The member's whole length in the archive."""
        return len(self.head) + len(self.content) + self.padding_bytes

    @property
    def pieces(self) -> tuple[Buffer, ...]:
        """What stands in the archive, one behind the other."""
        return self.head, self.content, bytes(self.padding_bytes)


def build_cpio(tree: Tree) -> bytes:
    """Return ``tree`` as one archive, with its trailer and zeros to a block of 512 bytes.

    Raises:
        UnrepresentableError: a file has 4 GiB or more, a name or target is longer than
            the kernel takes, or a number does not fit in 32 bits.
    """
    *members, _trailer = iter_members(tree)
    return join_members(members)


def join_members(members: Sequence[Member]) -> bytes:
    """Return ``members`` as one archive, with a trailer and zeros to a block of 512 bytes."""
    trailer = build_trailer(sum(member.size_bytes for member in members))
    return b"".join((*chain.from_iterable(member.pieces for member in members), trailer))


def build_trailer(size_bytes: int) -> bytes:
    """Return what ends an archive whose members have ``size_bytes``: a record, and zeros."""
    head = _head(_TRAILER, TRAILER_NAME)
    return head + bytes(padding(size_bytes + len(head), BLOCK_BYTES))


def iter_members(tree: Tree) -> Iterator[Member]:
    """Yield the members of the archive that :func:`build_cpio` joins, the trailer last.

    Raises:
        UnrepresentableError: as there.
    """
    links = {
        inode: names
        for inode, names in tree.hard_links().items()
        if not isinstance(tree[names[0]], Symlink)
    }
    numbers = {inode: number for number, inode in enumerate(links, start=1)}
    for path, node in tree.walk():
        names = links.get(tree.inode(path), [path])
        content = _content(node) if path == names[-1] else b""
        yield _member(
            path,
            node,
            content,
            ino=numbers.get(tree.inode(path), 0),
            nlink=len(names),
        )
    yield Member(
        path=TRAILER_NAME, head=_head(_TRAILER, TRAILER_NAME), content=b"", padding_bytes=0
    )


def _content(node: Node) -> Buffer:
    if isinstance(node, File):
        return node.content
    if isinstance(node, Symlink):
        return node.target
    return b""


def _member(path: bytes, node: Node, content: Buffer, *, ino: int, nlink: int) -> Member:
    _check(path, node)
    metadata = node.metadata
    # find(1) names the root "."; the kernel sets the root's owner and mode from it.
    name = path if path != ROOT else b"."
    header = Header(
        ino=ino,
        mode=file_type(node) | metadata.mode,
        uid=metadata.uid,
        gid=metadata.gid,
        # A folder's link count counts its folders on a disk; readers take any number over
        # one, with one inode number, for a hard link.
        nlink=1 if isinstance(node, Directory) else nlink,
        # The field has no sign: what is older than 1970 becomes 1970.
        mtime=max(0, metadata.mtime),
        filesize=len(content),
        rdevmajor=node.major if isinstance(node, Device) else 0,
        rdevminor=node.minor if isinstance(node, Device) else 0,
        namesize=len(name) + 1,
    )
    return Member(
        path=path,
        head=_head(header, name),
        content=content,
        padding_bytes=padding(len(content)),
    )


def _head(header: Header, name: bytes) -> bytes:
    head = header.pack() + name + b"\0"
    return head + bytes(padding(len(head)))


def _check(path: bytes, node: Node) -> None:
    """Refuse what the format, or the kernel, has no room for."""
    if isinstance(node, File) and len(node.content) > MAX_NUMBER:
        raise UnrepresentableError(
            f"{display(path)} has {len(node.content)} bytes; cpio holds files under 4 GiB"
        )
    if len(path) >= MAX_NAME_BYTES:
        raise UnrepresentableError(
            f"the path {display(path[:40])}… has {len(path)} bytes; "
            f"the kernel takes at most {MAX_NAME_BYTES - 1}"
        )
    if path == TRAILER_NAME:
        raise UnrepresentableError(
            f"{display(path)} is the name that ends a cpio archive; no file can have it"
        )
    if isinstance(node, Symlink) and len(node.target) >= MAX_NAME_BYTES:
        raise UnrepresentableError(
            f"the target of {display(path)} has {len(node.target)} bytes; "
            f"the kernel takes at most {MAX_NAME_BYTES - 1}"
        )
    metadata = node.metadata
    numbers = [metadata.uid, metadata.gid, max(0, metadata.mtime)]
    if isinstance(node, Device):
        numbers += [node.major, node.minor]
    for number in numbers:
        if not 0 <= number <= MAX_NUMBER:
            raise UnrepresentableError(
                f"{display(path)}: the number {number} does not fit in 32 bits"
            )
