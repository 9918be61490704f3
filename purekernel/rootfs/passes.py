"""The row of passes that a merged root file system goes through before it is packed.

These are what the original scripts ran on the unpacked image: a pass is a function from tree
to tree, and :func:`finishing_passes` says which run, and in which order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from purekernel.errors import inside
from purekernel.rootfs.depmod import depmod
from purekernel.rootfs.ldconfig import ldconfig
from purekernel.rootfs.ldconfig.configure import CACHE
from purekernel.rootfs.modules import (
    LOCAL_MODULES,
    kernel_releases,
    link_local_modules,
    release_folder,
)
from purekernel.rootfs.ownership import protect_shadow
from purekernel.tree import Tree, display
from purekernel.tree.path import join

Pass = Callable[[Tree], Tree]


# Whatever an index is, this one is there.
DEPENDENCIES = b"modules.dep"
Note = Callable[[str], None]


# Run depmod and ldconfig over an image, where it has something for them.


def index_modules(tree: Tree, *, mtime: int, note: Note) -> Tree:
    """Return ``tree`` with the indexes of all its kernels' modules.

    They are as the tree's own depmod writes them. A kernel without modules gets none, unless it
    has some already.

    Args:
        tree: is left as it is.
        mtime: of the indexes, in seconds since 1970, UTC.
        note: is told of modules that cannot be read.

    Raises:
        ModuleLoopError: modules need one another in a circle.
    """
    for release in kernel_releases(tree):
        folder = release_folder(tree, release)
        places = (folder, join(LOCAL_MODULES, release))
        if join(folder, DEPENDENCIES) not in tree and not any(
            b".ko" in path for place in places if place in tree for path, _node in tree.walk(place)
        ):
            continue
        with inside(display(folder)):
            indexed = depmod(tree, release, mtime=mtime)
        for warning in indexed.warnings:
            note(f"{display(folder)}: {warning}")
        tree = indexed.tree
    return tree


def cache_libraries(tree: Tree, *, mtime: int, note: Note) -> Tree:
    """Return ``tree`` with links to its libraries, and the cache that the loader finds them by.

    They are as the tree's own ldconfig makes them. A tree without libraries, whose programs need
    none, gets no cache unless it has one already.

    Args:
        tree: is left as it is.
        mtime: of links and cache, in seconds since 1970, UTC.
        note: is told of files that are no libraries and stand where such belong.
    """
    configured = ldconfig(tree, mtime=mtime)
    for warning in configured.warnings:
        note(warning)
    if not configured.entries and CACHE not in tree:
        return tree
    return configured.tree


def finishing_passes(*, mtime: int, note: Callable[[str], None]) -> list[tuple[str, Pass]]:
    """Return the passes in order, each with what it does in the user's words.

    Args:
        mtime: of what the passes make, in seconds since 1970, UTC.
        note: is told what a pass left out and why, one line each.
    """
    return [
        ("link kernel.tclocal", partial(link_local_modules, mtime=mtime)),
        # Extensions' modules are found through that link.
        ("index kernel modules", partial(index_modules, mtime=mtime, note=note)),
        ("cache libraries", partial(cache_libraries, mtime=mtime, note=note)),
        ("protect etc/shadow", protect_shadow),
    ]
