"""The row of passes that a merged root file system goes through before it is packed.

This is the seam for what the original scripts ran in a chroot: a pass is a function from
tree to tree, and :func:`finishing_passes` says which run, and in which order. ``depmod``
and ``ldconfig`` have their places here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from purekernel.rootfs.modules import link_local_modules
from purekernel.rootfs.ownership import protect_shadow
from purekernel.tree import Tree

Pass = Callable[[Tree], Tree]


def finishing_passes(*, mtime: int) -> list[tuple[str, Pass]]:
    """Return the passes in order, each with what it does in the user's words.

    Args:
        mtime: of what the passes make, in seconds since 1970, UTC.
    """
    return [
        ("link kernel.tclocal", partial(link_local_modules, mtime=mtime)),
        ("protect etc/shadow", protect_shadow),
    ]
