"""Where a root file system keeps its kernel modules."""

from __future__ import annotations

from purekernel.errors import MissingPathError
from purekernel.tree import Directory, Metadata, Symlink, Tree, display, look_up
from purekernel.tree.path import join

MODULES = b"lib/modules"
LOCAL_MODULES = b"usr/local/lib/modules"
LOCAL_LINK = b"kernel.tclocal"

# What names no folder of its own.
_NO_RELEASES = (b"", b".", b"..")


def kernel_releases(tree: Tree) -> list[bytes]:
    """Return the releases that have a folder in ``lib/modules``, sorted as bytes."""
    found = look_up(tree, MODULES)
    if found is None or not isinstance(found.node, Directory):
        return []
    return [
        entry
        for entry in tree.entries(found.path)
        if isinstance(tree.get(join(found.path, entry)), Directory)
    ]


def release_folder(tree: Tree, release: bytes) -> bytes:
    """Return where the folder of a release lies, links on the way followed.

    Raises:
        MissingPathError: there is none, or it is no name that a release can have.
    """
    folder = join(MODULES, release)
    found = None if release in _NO_RELEASES or b"/" in release else look_up(tree, folder)
    if found is None or not isinstance(found.node, Directory):
        raise MissingPathError(
            f"there is no folder {display(folder)} in the image",
            hint="give a release whose folder is in lib/modules",
        )
    return found.path


def link_local_modules(tree: Tree, *, mtime: int) -> Tree:
    """Return ``tree`` with each release's ``kernel.tclocal`` a relative link.

    Core's own is absolute, ``/usr/local/lib/modules/RELEASE/kernel``: the modules that
    extensions bring. A relative one means the same in the booted image and leads to the
    same place for a depmod that looks at the tree from outside.
    """
    changed = tree.copy()
    for release in kernel_releases(tree):
        target = b"../../../" + LOCAL_MODULES + b"/" + release + b"/kernel"
        link = join(release_folder(tree, release), LOCAL_LINK)
        if link in changed:
            changed.remove(link)
        changed.add(link, Symlink(metadata=Metadata(mode=0o777, mtime=mtime), target=target))
    return changed
