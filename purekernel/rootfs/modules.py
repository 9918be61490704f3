"""Find, link and unpack the kernel modules of a root file system."""

from __future__ import annotations

from attrs import evolve

from purekernel.errors import MissingPathError
from purekernel.formats.gzip import parse_gzip
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.tree import Directory, File, Metadata, Symlink, Tree, display, look_up
from purekernel.tree.path import join

MODULES = b"lib/modules"
LOCAL_MODULES = b"usr/local/lib/modules"
LOCAL_LINK = b"kernel.tclocal"

# Names that cannot be those of a release's folder.
_NO_RELEASES = (b"", b".", b"..")

PACKED, PLAIN = b".ko.gz", b".ko"

# If /lib is a link, the modules are in the second folder.
_FOLDERS = (MODULES + b"/", b"usr/" + MODULES + b"/", LOCAL_MODULES + b"/")


def kernel_releases(tree: Tree) -> list[bytes]:
    """Return the releases with a folder in ``lib/modules``, sorted as bytes."""
    found = look_up(tree, MODULES)
    if found is None or not isinstance(found.node, Directory):
        return []
    return [
        entry
        for entry in tree.entries(found.path)
        if isinstance(tree.get(join(found.path, entry)), Directory)
    ]


def release_folder(tree: Tree, release: bytes) -> bytes:
    """Return the path of a release's folder, links resolved.

    Raises:
        MissingPathError: the folder is missing, or the name is not that of a release.
    """
    folder = join(MODULES, release)
    found = None if release in _NO_RELEASES or b"/" in release else look_up(tree, folder)
    if found is None or not isinstance(found.node, Directory):
        raise MissingPathError(
            f"{display(folder)}: folder not found in the image",
            hint="give a release with a folder in lib/modules",
        )
    return found.path


def link_local_modules(tree: Tree, *, mtime: int) -> Tree:
    """Return ``tree`` with each release's ``kernel.tclocal`` as a relative link.

    Core's link is absolute, ``/usr/local/lib/modules/RELEASE/kernel``: the modules of extensions.
    A relative link has the same target in the booted image, and also works for a depmod that reads
    the tree from outside.
    """
    changed = tree.copy()
    for release in kernel_releases(tree):
        target = b"../../../" + LOCAL_MODULES + b"/" + release + b"/kernel"
        link = join(release_folder(tree, release), LOCAL_LINK)
        if link in changed:
            changed.remove(link)
        changed.add(link, Symlink(metadata=Metadata(mode=0o777, mtime=mtime), target=target))
    return changed


# Kernel modules packed with gzip, as in Tiny Core.


def is_packed_module(path: bytes) -> bool:
    """Say whether ``path`` is that of a kernel module packed with gzip."""
    return path.endswith(PACKED) and path.startswith(_FOLDERS)


def packed_name(path: bytes) -> bytes:
    """Return the path that :func:`unpack_modules` unpacks to ``path``."""
    return path.removesuffix(PLAIN) + PACKED


def unpack_modules(tree: Tree, *, limits: Limits = DEFAULT_LIMITS) -> Tree:
    """Return ``tree`` with all ``.ko.gz`` kernel modules unpacked to ``.ko``.

    A module stays packed if its plain name exists already. Links between packed modules are changed
    to the plain names. Build the indexes after this.

    Raises:
        FormatError: a module is damaged.
        LimitError: a module unpacks to more than ``limits`` allow.
    """
    changed = tree.copy()
    unpacked: set[int] = set()
    for path, node in tree.walk():
        plain = path.removesuffix(PACKED) + PLAIN
        if not is_packed_module(path) or plain in tree:
            continue
        if isinstance(node, File):
            if tree.inode(path) not in unpacked:
                content = parse_gzip(Input(node.content, name=display(path), limits=limits))
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
