"""The row of passes that a merged root file system goes through before it is packed.

These are what the original scripts ran on the unpacked image: a pass is a function from tree
to tree, and :func:`finishing_passes` says which run, and in which order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from purekernel.rootfs.indexing import cache_libraries, index_modules
from purekernel.rootfs.modules import link_local_modules
from purekernel.rootfs.ownership import protect_shadow
from purekernel.tree import Tree

Pass = Callable[[Tree], Tree]


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
