"""Tell whose depmod a tree has."""

from __future__ import annotations

import re

from attrs import frozen

from purekernel.rootfs.depmod.busybox import Busybox
from purekernel.tree import File, Tree, look_up
from purekernel.tree.path import name

# Where programs of that name are, by the order of the PATH of root.
_DEPMODS = (
    b"sbin/depmod",
    b"usr/sbin/depmod",
    b"usr/local/sbin/depmod",
    b"bin/depmod",
    b"usr/bin/depmod",
    b"bin/busybox",
)

# Tiny Core's own shell functions.
_TINY_CORE = b"etc/init.d/tc-functions"

_BUSYBOX = re.compile(rb"BusyBox v([0-9]{1,3})\.([0-9]{1,3})")
_KMOD = re.compile(rb"kmod version ([0-9]{1,4})")


@frozen(kw_only=True)
class Kmod:
    """A kmod, as far as what its depmod writes differs from others.

    Attributes:
        version: 30 is Debian 12's, 34 Debian 13's. Broken modules are taken as 30 takes them;
            later ones refuse some of these.
    """

    version: int = 30


Dialect = Busybox | Kmod


def detect_dialect(tree: Tree) -> Dialect:
    """Return whose depmod would run in ``tree``; kmod's where there is none."""
    for path in _DEPMODS:
        found = look_up(tree, path)
        if found is None or not isinstance(found.node, File):
            continue
        content = found.node.content
        version = _BUSYBOX.search(content)
        if version is not None or name(found.path) == b"busybox":
            return tree_busybox(
                tree, (int(version[1]), int(version[2])) if version is not None else None
            )
        version = _KMOD.search(content)
        return Kmod(version=int(version[1])) if version is not None else Kmod()
    return Kmod()


def tree_busybox(tree: Tree, version: tuple[int, int] | None = None) -> Busybox:
    """Return the busybox of ``tree``, of the version that Debian 12 has unless told."""
    return Busybox(
        version=version or Busybox().version, follows_links=look_up(tree, _TINY_CORE) is not None
    )
