"""Unpack the parts of a Core's root file system that an ordinary user can create."""

from __future__ import annotations

import os
from pathlib import Path

from fixtures.core import make_core_tree
from purekernel.tree import File, Symlink, Tree


def lay_down(tree: Tree, folder: Path) -> None:
    """Unpack the parts of a tree that an ordinary user can create."""
    folder.mkdir()
    for path, node in tree.walk():
        place = folder / os.fsdecode(path)
        if isinstance(node, File):
            place.write_bytes(node.content)
            place.chmod(node.metadata.mode)
        elif isinstance(node, Symlink):
            place.symlink_to(os.fsdecode(node.target))
        elif path:
            place.mkdir()


def plain_tree() -> Tree:
    """Return a Core without the nodes that an ordinary user cannot create."""
    tree = make_core_tree()
    for path in (b"dev", b"usr/share/sample"):
        tree.remove(path)
    return tree
