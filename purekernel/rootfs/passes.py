"""Run the passes that finish a merged root file system before it is packed.

The original scripts ran the same steps on the unpacked image. A pass is a function from tree to
tree. :func:`finishing_passes` returns them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
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
from purekernel.rootfs.ownership import SHADOW_FILES, protect_shadow
from purekernel.tree import Pass, Tree, display
from purekernel.tree.path import join, name, parent

# The index that each depmod writes.
DEPENDENCIES = b"modules.dep"
Note = Callable[[str], None]


# Run depmod and ldconfig on an image that has modules or libraries.


def index_modules(tree: Tree, *, mtime: int, note: Note) -> Tree:
    """Return ``tree`` with the module indexes of all its kernels.

    They are the same as those of the tree's own depmod. A kernel without modules gets no indexes,
    unless it already has some.

    Args:
        tree: a root file system; it is not changed.
        mtime: the time of the indexes, in seconds since 1970, UTC.
        note: called with a line for each module that is skipped.

    Raises:
        ModuleLoopError: modules depend on one another in a cycle.
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
    """Return ``tree`` with links to its libraries and the loader's cache.

    They are the same as those of the tree's own ldconfig. A tree without libraries gets no cache,
    unless it already has one.

    Args:
        tree: a root file system; it is not changed.
        mtime: the time of links and cache, in seconds since 1970, UTC.
        note: called with a line for each file that is skipped.
    """
    configured = ldconfig(tree, mtime=mtime)
    for warning in configured.warnings:
        note(warning)
    if not configured.entries and CACHE not in tree:
        return tree
    return configured.tree


def finishing_passes(
    *, mtime: int, note: Callable[[str], None], changed: Collection[bytes] | None = None
) -> list[tuple[str, Pass]]:
    """Return the passes in order, each with a description for the user.

    Args:
        mtime: the time of new files, in seconds since 1970, UTC.
        note: called with a line for each file that a pass skips.
        changed: the paths that differ from a finished tree; passes that none of them concerns are
            left out. ``None`` for all passes.
    """
    modules, libraries, shadow = (
        changed is None or any(map(concerns, changed))
        for concerns in (_concerns_modules, _concerns_libraries, SHADOW_FILES.__contains__)
    )
    passes: list[tuple[str, Pass]] = []
    if modules:
        passes += [
            ("link kernel.tclocal", partial(link_local_modules, mtime=mtime)),
            # depmod finds the modules of extensions through that link.
            ("index kernel modules", partial(index_modules, mtime=mtime, note=note)),
        ]
    if libraries:
        passes.append(("cache libraries", partial(cache_libraries, mtime=mtime, note=note)))
    if shadow:
        passes.append(("protect etc/shadow", protect_shadow))
    return passes


def _concerns_modules(path: bytes) -> bool:
    """Return whether the module indexes may depend on ``path``."""
    return b".ko" in path or b"depmod" in path or b"modules" in path


def _concerns_libraries(path: bytes) -> bool:
    """Return whether the loader's cache may depend on ``path``."""
    folder = name(parent(path))
    return b".so" in path or folder.startswith(b"lib") or path.startswith(b"etc/ld.so")
