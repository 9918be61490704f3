"""Detect which depmod a tree has: busybox or kmod."""

from __future__ import annotations

import re

from purekernel.records import frozen
from purekernel.rootfs.depmod.busybox import Busybox
from purekernel.tree import File, Tree, look_up
from purekernel.tree.path import name

# The paths of depmod, in the order of root's PATH.
_DEPMODS = (
    b"sbin/depmod",
    b"usr/sbin/depmod",
    b"usr/local/sbin/depmod",
    b"bin/depmod",
    b"usr/bin/depmod",
    b"bin/busybox",
)

# Tiny Core's shell functions, by which a Tiny Core is detected.
_TINY_CORE = b"etc/init.d/tc-functions"

_BUSYBOX = re.compile(rb"BusyBox v([0-9]{1,3})\.([0-9]{1,3})")
_KMOD = re.compile(rb"kmod version ([0-9]{1,4})")


@frozen(kw_only=True)
class Kmod:
    """The properties of a kmod that change what its depmod writes.

    Attributes:
        version: 30 in Debian 12, 34 in Debian 13. Broken modules are always handled as 30 does;
            later versions refuse some of them.
    """

    version: int = 30


Dialect = Busybox | Kmod


def detect_dialect(tree: Tree) -> Dialect:
    """Return the depmod that would run in ``tree``; that of kmod 30 if there is none."""
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
    """Return the busybox of ``tree``; the default version is that of Debian 12."""
    return Busybox(
        version=version or Busybox().version, follows_links=look_up(tree, _TINY_CORE) is not None
    )
