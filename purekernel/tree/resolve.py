"""Resolve symbolic links as a process chrooted into the tree would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from purekernel.errors import ConflictError, LinkLoopError, MissingPathError, TreeError
from purekernel.records import frozen
from purekernel.tree.node import Directory, Node, Symlink, describe
from purekernel.tree.path import ROOT, display, join, parent

if TYPE_CHECKING:
    from purekernel.tree.tree import Tree

# MAXSYMLINKS of Linux (include/linux/namei.h).
MAX_LINKS = 40

# Bounds the work for one path: 40 links can each have thousands of components. No real path
# has as many, links included.
MAX_STEPS = 1000


class NodeLookup(Protocol):
    """Names with their nodes: a tree, or several laid over one another."""

    def get(self, path: bytes) -> Node | None:
        """Return the node at ``path``, or ``None``; do not follow symbolic links."""
        ...


def resolve(tree: NodeLookup, path: bytes, *, follow_last: bool = True) -> bytes:
    """Return ``path`` with all symbolic links resolved.

    Absolute targets start at the root of the tree, and ``..`` at the root stays there, so no
    link leaves the tree. The last component need not exist; all others must.

    Args:
        tree: the tree that contains the links.
        path: an image path; it may be absolute and may contain ``.`` and ``..``.
        follow_last: whether to follow the last component if it is a link.

    Raises:
        MissingPathError: a parent folder does not exist.
        ConflictError: a parent is neither a folder nor a link.
        LinkLoopError: the path needs more than 40 links or more than 1000 steps.

    Source: path_resolution(7).
    """
    # Fast path: in most paths only the last component can be a link.
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
            raise LinkLoopError(f"{display(path)} takes more than {MAX_STEPS} steps to resolve")
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
            raise MissingPathError(f"the image has no folder {display(step)}")
        if pending and node is not None and not isinstance(node, Directory):
            raise ConflictError(
                f"{display(step)} must be a folder to reach {display(path)}, got {describe(node)}"
            )
        here = step
    return here


@frozen(kw_only=True)
class Found:
    """The node that a path resolves to, with its inode number and resolved path."""

    path: bytes
    inode: int
    node: Node


def look_up(tree: Tree, path: bytes) -> Found | None:
    """Return the node that ``path`` resolves to, as stat(2) would, or ``None`` if missing."""
    resolved, node = path, tree.get(path)
    if isinstance(node, Symlink):
        # Fast path: most targets are in the same folder as the link.
        resolved = join(parent(path), node.target)
        node = tree.get(resolved)
    if node is None or isinstance(node, Symlink):
        try:
            resolved = resolve(tree, path)
        except TreeError:
            return None
        node = tree.get(resolved)
    return None if node is None else Found(path=resolved, inode=tree.inode(resolved), node=node)
