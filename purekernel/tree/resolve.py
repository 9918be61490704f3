"""Follow symbolic links as a process chrooted into the tree would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from purekernel.errors import ConflictError, LinkLoopError, MissingPathError, TreeError
from purekernel.tree.node import Directory, Node, Symlink, describe
from purekernel.tree.path import ROOT, display, join, parent

if TYPE_CHECKING:
    from purekernel.tree.tree import Tree

# MAXSYMLINKS of Linux (include/linux/namei.h).
MAX_LINKS = 40

# Forty links of thousands of steps each would make one path a long way; no honest path,
# links and all, has as many.
MAX_STEPS = 1000


def resolve(tree: Tree, path: bytes, *, follow_last: bool = True) -> bytes:
    """Return where ``path`` leads, with no symbolic link left on the way.

    Absolute targets start at the tree's root, and ``..`` at the root stays there, so no
    link leads out. The last component need not exist; every one before it must.

    Args:
        tree: where the links stand.
        path: may be absolute and may hold ``.`` and ``..``.
        follow_last: whether a link at the very end is followed too.

    Raises:
        MissingPathError: a folder on the way is not there.
        ConflictError: something on the way is neither folder nor link.
        LinkLoopError: more than 40 links were followed, or more than 1000 steps taken.

    Source: path_resolution(7).
    """
    # In most paths nothing before the last name is a link.
    here = parent(path)
    left = path[len(here) :]
    if not isinstance(tree.get(here), Directory):
        here, left = ROOT, path
    pending = [part for part in reversed(left.split(b"/")) if part not in (b"", b".")]
    links = 0
    steps = 0
    while pending:
        steps += 1
        if steps > MAX_STEPS:
            raise LinkLoopError(f"{display(path)} leads over more than {MAX_STEPS} steps")
        part = pending.pop()
        if part == b"..":
            here = parent(here)
            continue
        step = join(here, part)
        node = tree.get(step)
        if isinstance(node, Symlink) and (pending or follow_last):
            links += 1
            if links > MAX_LINKS:
                raise LinkLoopError(
                    f"{display(path)} passes through more than {MAX_LINKS} symbolic links"
                )
            if node.target.startswith(b"/"):
                here = ROOT
            pending.extend(
                part for part in reversed(node.target.split(b"/")) if part not in (b"", b".")
            )
            continue
        if pending and node is None:
            raise MissingPathError(f"there is no folder {display(step)} in the image")
        if pending and node is not None and not isinstance(node, Directory):
            raise ConflictError(
                f"{display(step)} must be a folder to reach {display(path)} and is {describe(node)}"
            )
        here = step
    return here


@frozen(kw_only=True)
class Found:
    """What stands where a path leads, links followed."""

    path: bytes
    inode: int
    node: Node


def look_up(tree: Tree, path: bytes) -> Found | None:
    """Return what stands where ``path`` leads, as stat(2) would; ``None`` for nothing."""
    place, node = path, tree.get(path)
    if isinstance(node, Symlink):
        # Most lead to what stands beside them.
        place = join(parent(path), node.target)
        node = tree.get(place)
    if node is None or isinstance(node, Symlink):
        try:
            place = resolve(tree, path)
        except TreeError:
            return None
        node = tree.get(place)
    return None if node is None else Found(path=place, inode=tree.inode(place), node=node)
