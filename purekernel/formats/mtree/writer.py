r"""Write a manifest of a tree.

Names have octal escapes only, which all readers know. The names of a hard link are listed each.

Source: mtree(5) of libarchive and of NetBSD; vis(3).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from purekernel.errors import PurekernelError
from purekernel.formats.mtree.entry import SIGNATURE
from purekernel.input import Salvage
from purekernel.tree import Device, DeviceKind, Directory, Fifo, File, Node, Socket, Symlink, Tree

# What begins a comment or an escape, ends a word, or is a wildcard; and all that is not printable.
_ESCAPED = re.compile(rb"[^!-~]|[\\#*?\[\]=]")

_TYPES: dict[type[Node], bytes] = {
    Directory: b"dir",
    Fifo: b"fifo",
    File: b"file",
    Socket: b"socket",
    Symlink: b"link",
}


def build_mtree(tree: Tree, *, salvage: Salvage | None = None) -> Iterator[bytes]:
    """Yield the lines of a manifest: types, modes, owners, times, sizes, SHA-256, links, devices.

    Args:
        tree: the files.
        salvage: called with the fault of a file that cannot be read, which then has no digest;
            ``None`` to raise it.

    Raises:
        PurekernelError: a file cannot be read.
    """
    yield SIGNATURE
    for path, node in tree.walk():
        metadata = node.metadata
        words = [
            b"./" + escape_name(path) if path else b".",
            b"type=" + _type(node),
            b"mode=%04o uid=%d gid=%d time=%d.0"
            % (metadata.mode, metadata.uid, metadata.gid, metadata.mtime),
        ]
        if isinstance(node, File):
            words.append(b"size=%d" % node.size_bytes)
            try:
                words.append(b"sha256=" + hashlib.sha256(node.content).hexdigest().encode())
            except PurekernelError as error:
                if salvage is None:
                    raise
                salvage(error)
        elif isinstance(node, Symlink):
            words.append(b"link=" + escape_name(node.target))
        elif isinstance(node, Device):
            words.append(b"device=native,%d,%d" % (node.major, node.minor))
        yield b" ".join(words)


def escape_name(raw: bytes) -> bytes:
    r"""Return a name as a manifest has it, such as ``a\040b`` for ``a b``."""
    return _ESCAPED.sub(lambda match: b"\\%03o" % match[0][0], raw)


def _type(node: Node) -> bytes:
    if isinstance(node, Device):
        return b"block" if node.kind is DeviceKind.BLOCK else b"char"
    return _TYPES[type(node)]
