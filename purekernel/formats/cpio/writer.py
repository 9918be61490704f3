"""Write a tree as one cpio "newc" archive that the kernel unpacks.

Members are in walking order, so that parents precede children. Inode numbers identify only hard
links: a file with one name gets 0, which compresses well. The content of hard-linked files is with
their last name, as the kernel requires. The kernel does not support hard links of symbolic links:
each name becomes a separate link.

Source: init/initramfs.c of Linux.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from purekernel.errors import UnrepresentableError
from purekernel.formats.cpio.layout import (
    BLOCK_BYTES,
    MAX_NAME_BYTES,
    MAX_NUMBER,
    TRAILER_NAME,
    Header,
    padding,
)
from purekernel.records import frozen
from purekernel.tree import (
    ROOT,
    Buffer,
    Device,
    Directory,
    File,
    LazyContent,
    Node,
    Symlink,
    Tree,
    display,
    file_type,
    loaded,
)

_TRAILER = Header(
    ino=0, mode=0, uid=0, gid=0, nlink=1, mtime=0, filesize=0, namesize=len(TRAILER_NAME) + 1
)


@frozen(kw_only=True)
class CpioMember:
    """A member of an archive to write.

    Attributes:
        path: the path in the tree; for the trailer, its name.
        head: the header and the name with their padding.
        content: the content of a file, perhaps not loaded, or the target of a link; empty for
            other types, and for all names but the last of hard links.
        padding_bytes: the number of zeros after the content.
    """

    path: bytes
    head: bytes
    content: Buffer | LazyContent
    padding_bytes: int

    @property
    def size_bytes(self) -> int:
        """The size of the member in the archive."""
        return len(self.head) + len(self.content) + self.padding_bytes

    @property
    def pieces(self) -> tuple[Buffer | LazyContent, ...]:
        """The bytes of the member in the archive, to be loaded and joined."""
        return self.head, self.content, bytes(self.padding_bytes)


def build_cpio(tree: Tree) -> bytes:
    """Return ``tree`` as one archive with a trailer, padded to a multiple of 512 bytes.

    Raises:
        UnrepresentableError: a file has 4 GiB or more, a name or target is longer than the kernel
            supports, or a number does not fit in 32 bits.
    """
    *members, _trailer = iter_members(tree)
    return join_members(members)


def join_members(members: Sequence[CpioMember]) -> bytes:
    """Return ``members`` as one archive with a trailer, padded to a multiple of 512 bytes."""
    trailer = build_trailer(sum(member.size_bytes for member in members))
    pieces = chain.from_iterable(member.pieces for member in members)
    return b"".join((*map(loaded, pieces), trailer))


def build_trailer(size_bytes: int) -> bytes:
    """Return the trailer and padding of an archive whose members have ``size_bytes``."""
    head = _head(_TRAILER, TRAILER_NAME)
    return head + bytes(padding(size_bytes + len(head), BLOCK_BYTES))


def iter_members(tree: Tree) -> Iterator[CpioMember]:
    """Yield the members of the archive for ``tree``, with the trailer last.

    Raises:
        UnrepresentableError: as :func:`build_cpio`.
    """
    links = {
        inode: names
        for inode, names in tree.hard_links().items()
        if not isinstance(tree[names[0]], Symlink)
    }
    numbers = {inode: number for number, inode in enumerate(links, start=1)}
    for path, node in tree.walk():
        inode = tree.inode(path)
        names = links.get(inode)
        if names is None:
            yield _member(path, node, _content(node), ino=0, nlink=1)
        else:
            content = _content(node) if path == names[-1] else b""
            yield _member(path, node, content, ino=numbers[inode], nlink=len(names))
    yield CpioMember(
        path=TRAILER_NAME, head=_head(_TRAILER, TRAILER_NAME), content=b"", padding_bytes=0
    )


def _content(node: Node) -> Buffer | LazyContent:
    if isinstance(node, File):
        return node.source
    if isinstance(node, Symlink):
        return node.target
    return b""


def _member(
    path: bytes, node: Node, content: Buffer | LazyContent, *, ino: int, nlink: int
) -> CpioMember:
    _check(path, node)
    metadata = node.metadata
    # The root is named ".", as find(1) prints it. The kernel sets its owner and mode from this.
    name = path if path != ROOT else b"."
    header = Header(
        ino=ino,
        mode=file_type(node) | metadata.mode,
        uid=metadata.uid,
        gid=metadata.gid,
        # Readers take a link count above 1 and equal inode numbers for a hard link, so that of a
        # folder must be 1.
        nlink=1 if isinstance(node, Directory) else nlink,
        # The field is unsigned: times before 1970 become 1970.
        mtime=max(0, metadata.mtime),
        filesize=len(content),
        rdevmajor=node.major if isinstance(node, Device) else 0,
        rdevminor=node.minor if isinstance(node, Device) else 0,
        namesize=len(name) + 1,
    )
    return CpioMember(
        path=path,
        head=_head(header, name),
        content=content,
        padding_bytes=padding(len(content)),
    )


def _head(header: Header, name: bytes) -> bytes:
    head = header.pack() + name + b"\0"
    return head + bytes(padding(len(head)))


def _check(path: bytes, node: Node) -> None:
    """Check that the format and the kernel can represent a node."""
    if isinstance(node, File) and node.size_bytes > MAX_NUMBER:
        raise UnrepresentableError(
            f"{display(path)}: a file in a cpio archive must be smaller than 4 GiB, "
            f"got {node.size_bytes} bytes",
            hint="split the file, or leave it out",
        )
    if len(path) >= MAX_NAME_BYTES:
        raise UnrepresentableError(
            f"{display(path[:40])}…: the path must be at most {MAX_NAME_BYTES - 1} bytes for the "
            f"kernel, got {len(path)}",
            hint="shorten the path",
        )
    if path == TRAILER_NAME:
        raise UnrepresentableError(
            f"{display(path)}: a file must not have the name of the cpio trailer",
            hint="rename the file",
        )
    if isinstance(node, Symlink) and len(node.target) >= MAX_NAME_BYTES:
        raise UnrepresentableError(
            f"{display(path)}: the target of the symbolic link must be at most "
            f"{MAX_NAME_BYTES - 1} bytes for the kernel, got {len(node.target)}",
            hint="shorten the target",
        )
    metadata = node.metadata
    numbers: tuple[int, ...] = (metadata.uid, metadata.gid, max(0, metadata.mtime))
    if isinstance(node, Device):
        numbers += (node.major, node.minor)
    for number in numbers:
        if not 0 <= number <= MAX_NUMBER:
            raise UnrepresentableError(
                f"{display(path)}: owner, group, time and device numbers must be from 0 to "
                f"{MAX_NUMBER}, got {number}",
                hint="change the owner, the time or the device numbers of the file",
            )
