"""Kernel modules that are packed with gzip, as Tiny Core's are, and how to unpack them."""

from __future__ import annotations

from attrs import evolve

from purekernel.formats.gzip import parse_gzip
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.rootfs.modules import LOCAL_MODULES, MODULES
from purekernel.tree import File, Symlink, Tree, display

PACKED, PLAIN = b".ko.gz", b".ko"

# Where /lib is a link, they lie in the second.
_FOLDERS = (MODULES + b"/", b"usr/" + MODULES + b"/", LOCAL_MODULES + b"/")


def is_packed_module(path: bytes) -> bool:
    """Say whether ``path`` is that of a kernel module that is packed with gzip."""
    return path.endswith(PACKED) and path.startswith(_FOLDERS)


def unpack_modules(tree: Tree, *, limits: Limits = DEFAULT_LIMITS) -> Tree:
    """Return ``tree`` with all kernel modules that are packed with gzip unpacked: ``.ko``.

    One whose plain name is taken already stays as it is. Links from one packed module to another
    lead to the plain ones. The indexes have to be made after this.

    Raises:
        FormatError: a module is damaged.
        LimitError: one unpacks to more than ``limits`` allow.
    """
    changed = tree.copy()
    unpacked: set[int] = set()
    for path, node in tree.walk():
        plain = path.removesuffix(PACKED) + PLAIN
        if not is_packed_module(path) or plain in tree:
            continue
        if isinstance(node, File):
            if tree.inode(path) not in unpacked:
                content = parse_gzip(node.content, source=display(path), limits=limits)
                changed.replace(path, evolve(node, content=content))
                unpacked.add(tree.inode(path))
        elif isinstance(node, Symlink) and node.target.endswith(PACKED):
            target = node.target.removesuffix(PACKED) + PLAIN
            changed.replace(path, evolve(node, target=target))
        else:
            continue
        changed.link(plain, path)
        changed.remove(path)
    return changed
