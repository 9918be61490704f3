"""Write a tree as an uncompressed tar archive in GNU format.

The format is GNU, not PAX, because busybox, with which Tiny Core unpacks, supports long names and
large numbers only in GNU format. GNU tar and bsdtar support both.
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

# This encoding maps each byte to a character, so that any name round-trips.
ONE_TO_ONE = "iso-8859-1"

# Archives are padded to tape records of 20 blocks, which programs that read from pipes expect.
RECORD_BYTES = 20 * BLOCK_BYTES


def build_tar(tree: Tree, *, top: bool = False) -> bytes:
    """Return ``tree`` as one uncompressed archive.

    Members are in walking order, so that parents precede children. Names have no leading ``./``.
    Owners are numbers; the names of users and groups are empty. The content of hard-linked files
    is with their first name.

    Args:
        tree: the tree to write.
        top: whether to write the root too, as ``./``. Unpacking then changes the metadata of the
            target folder.

    Raises:
        UnrepresentableError: the tree contains a socket, or a number that does not fit its field.
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
    """Return the header blocks of a member, with those of long names."""
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
        raise UnrepresentableError(
            f"{display(path)}: a tar archive cannot contain {describe(node)}",
            hint="leave it out",
        )
