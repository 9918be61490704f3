"""Where a root file system keeps its kernel modules."""

from __future__ import annotations

from attrs import evolve

from purekernel.errors import MissingPathError
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
from purekernel.tree import Directory, File, Metadata, Symlink, Tree, display, look_up
from purekernel.tree.path import join

MODULES = b"lib/modules"
LOCAL_MODULES = b"usr/local/lib/modules"
LOCAL_LINK = b"kernel.tclocal"


# What names no folder of its own.
_NO_RELEASES = (b"", b".", b"..")


PACKED, PLAIN = b".ko.gz", b".ko"


# Where /lib is a link, they lie in the second.
_FOLDERS = (MODULES + b"/", b"usr/" + MODULES + b"/", LOCAL_MODULES + b"/")


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


# Kernel modules that are packed with gzip, as Tiny Core's are, and how to unpack them.


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
