"""Where a root file system keeps its kernel modules."""

from __future__ import annotations

from purekernel.tree import Directory, Metadata, Symlink, Tree
from purekernel.tree.path import join

MODULES = b"lib/modules"
LOCAL_MODULES = b"usr/local/lib/modules"
LOCAL_LINK = b"kernel.tclocal"


def kernel_releases(tree: Tree) -> list[bytes]:
    """Return the releases that have a folder in ``lib/modules``, sorted as bytes."""
    if not isinstance(tree.get(MODULES), Directory):
        return []
    return [
        entry
        for entry in tree.entries(MODULES)
        if isinstance(tree.get(join(MODULES, entry)), Directory)
    ]


def link_local_modules(tree: Tree, *, mtime: int) -> Tree:
    """Return ``tree`` with each release's ``kernel.tclocal`` a relative link.

    Core's own is absolute, ``/usr/local/lib/modules/RELEASE/kernel``: the modules that
    extensions bring. A relative one means the same in the booted image and leads to the
    same place for a depmod that looks at the tree from outside.
    """
    changed = tree.copy()
    for release in kernel_releases(tree):
        target = b"../../../" + LOCAL_MODULES + b"/" + release + b"/kernel"
        link = join(join(MODULES, release), LOCAL_LINK)
        if link in changed:
            changed.remove(link)
        changed.add(link, Symlink(metadata=Metadata(mode=0o777, mtime=mtime), target=target))
    return changed
