"""Write a tree as an uncompressed tar archive in GNU's format.

GNU's and not PAX's, because busybox, which Tiny Core unpacks with, reads long names and
large numbers only in GNU's way; GNU tar and bsdtar read both.
"""

from __future__ import annotations

import tarfile

from purekernel.errors import UnrepresentableError
from purekernel.formats.tar.headers import BLOCK_BYTES, END_BLOCK
from purekernel.tree import (
    ROOT,
    Buffer,
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Node,
    Symlink,
    Tree,
    describe,
    display,
)

# Every byte is a character of its own in it, so that any name goes in and out unchanged.
ONE_TO_ONE = "iso-8859-1"

# Archives are whole tape records of twenty blocks; readers of pipes expect as much.
RECORD_BYTES = 20 * BLOCK_BYTES


def build_tar(tree: Tree, *, top: bool = False) -> bytes:
    """Return ``tree`` as one uncompressed archive.

    Members stand in walking order, so parents precede what they hold, under names with
    no leading ``./``. Owners are numbers; the names of users and groups are empty. The
    content of hard-linked files stands with their first name.

    Args:
        tree: what to write.
        top: whether the root itself is written too, as ``./``. Unpacking such an archive
            changes the folder it is unpacked in.

    Raises:
        UnrepresentableError: the tree holds a socket, or a number that has no place.
    """
    pieces: list[Buffer] = []
    size_bytes = 0
    first_names: dict[int, bytes] = {}
    for path, node in tree.walk():
        if path == ROOT and not top:
            continue
        first = first_names.setdefault(tree.inode(path), path)
        content: Buffer = node.content if isinstance(node, File) and first == path else b""
        header = _header(path, node, first)
        padding = bytes(-len(content) % BLOCK_BYTES)
        pieces += (header, content, padding)
        size_bytes += len(header) + len(content) + len(padding)
    pieces.append(END_BLOCK * 2)
    size_bytes += 2 * BLOCK_BYTES
    pieces.append(bytes(-size_bytes % RECORD_BYTES))
    return b"".join(pieces)


def _header(path: bytes, node: Node, first: bytes) -> bytes:
    """Return the header blocks of one member, long names included."""
    info = tarfile.TarInfo((path or b".").decode(ONE_TO_ONE))
    metadata = node.metadata
    info.mode, info.uid, info.gid = metadata.mode, metadata.uid, metadata.gid
    info.mtime = metadata.mtime
    if first != path:
        info.type = tarfile.LNKTYPE
        info.linkname = first.decode(ONE_TO_ONE)
    else:
        _describe(info, path, node)
    try:
        return info.tobuf(tarfile.GNU_FORMAT, ONE_TO_ONE, "strict")
    except ValueError as error:
        raise UnrepresentableError(f"{display(path)}: {error}") from None


def _describe(info: tarfile.TarInfo, path: bytes, node: Node) -> None:
    if isinstance(node, File):
        info.size = len(node.content)
    elif isinstance(node, Directory):
        info.type = tarfile.DIRTYPE
    elif isinstance(node, Symlink):
        info.type = tarfile.SYMTYPE
        info.linkname = node.target.decode(ONE_TO_ONE)
    elif isinstance(node, Device):
        character = node.kind is DeviceKind.CHARACTER
        info.type = tarfile.CHRTYPE if character else tarfile.BLKTYPE
        info.devmajor, info.devminor = node.major, node.minor
    elif isinstance(node, Fifo):
        info.type = tarfile.FIFOTYPE
    else:
        raise UnrepresentableError(f"{display(path)} is {describe(node)}, which tar cannot hold")
