"""Look at a tree as a process chrooted into it does."""

from __future__ import annotations

from attrs import frozen

from purekernel.errors import TreeError
from purekernel.tree import Node, Symlink, Tree, resolve


@frozen(kw_only=True)
class Found:
    """What stands where a path leads, links followed."""

    path: bytes
    inode: int
    node: Node


def look_up(tree: Tree, path: bytes) -> Found | None:
    """Return what stands where ``path`` leads, as stat(2) would; ``None`` for nothing."""
    # Most names are no links, in folders that were reached through none.
    plain = tree.get(path)
    if plain is not None and not isinstance(plain, Symlink):
        return Found(path=path, inode=tree.inode(path), node=plain)
    try:
        place = resolve(tree, path)
    except TreeError:
        return None
    node = tree.get(place)
    return None if node is None else Found(path=place, inode=tree.inode(place), node=node)
