"""Small changes to a tree that several steps of a build make."""

from __future__ import annotations

from attrs import evolve

from purekernel.errors import ConflictError
from purekernel.tree.node import Buffer, Directory, File, Metadata, describe, with_metadata
from purekernel.tree.path import ROOT, ancestors, display, join, name, parse_path
from purekernel.tree.resolve import resolve
from purekernel.tree.tree import Tree


def put_file(tree: Tree, path: bytes, content: Buffer, *, metadata: Metadata) -> None:
    """Write a file into ``tree`` as a process in it would, through links on the way.

    Folders that are missing are made, root's and 0755. What stood at ``path`` is replaced,
    not written through.

    Raises:
        PathError: ``path`` climbs with ``..``, or is none that an archive could have.
        ConflictError: a folder stands at ``path``, or something on the way is no folder.
    """
    path = parse_path(path)
    folder = ROOT
    for above in ancestors(path):
        folder = resolve(tree, join(folder, name(above)))
        found = tree.get(folder)
        if found is None:
            made = Metadata(mode=0o755, mtime=metadata.mtime)
            tree.add(folder, Directory(metadata=made))
        elif not isinstance(found, Directory):
            raise ConflictError(
                f"{display(above)} must be a folder to hold {display(path)} "
                f"and is {describe(found)}"
            )
    tree.add(join(folder, name(path)), File(metadata=metadata, content=content))


def clamp_times(tree: Tree, newest: int) -> Tree:
    """Return ``tree`` with no time later than ``newest`` (seconds since 1970, UTC)."""
    clamped = tree.copy()
    for path, node in tree.walk():
        if node.metadata.mtime > newest:
            clamped.replace(path, with_metadata(node, evolve(node.metadata, mtime=newest)))
    return clamped


def newest_time(tree: Tree) -> int:
    """Return the newest time in ``tree``, in seconds since 1970, UTC."""
    return max(node.metadata.mtime for _path, node in tree.walk())


def date_implied(tree: Tree, mtime: int) -> Tree:
    """Return ``tree`` with folders that nobody named dated ``mtime`` (seconds since 1970, UTC)."""
    dated = tree.copy()
    for path in tree.implied():
        node = tree[path]
        dated.replace(path, with_metadata(node, evolve(node.metadata, mtime=mtime)))
    return dated


def date_all(tree: Tree, mtime: int) -> Tree:
    """Return ``tree`` with everything dated ``mtime`` (seconds since 1970, UTC)."""
    dated = tree.copy()
    for path, node in tree.walk():
        dated.replace(path, with_metadata(node, evolve(node.metadata, mtime=mtime)))
    return dated


def content_bytes(tree: Tree) -> int:
    """Return how many bytes the files in ``tree`` hold, hard links counted once."""
    files = {tree.inode(path): node for path, node in tree.walk() if isinstance(node, File)}
    return sum(len(node.content) for node in files.values())


def subtree(tree: Tree, kept: bytes) -> Tree:
    """Return a tree with the root, ``kept`` and all below it, and the folders above it.

    Raises:
        MissingPathError: ``kept`` is not there.
    """
    tree[kept]
    cut = tree.copy()
    above = {ROOT, *ancestors(kept)}
    for folder in sorted(above):
        for entry in tree.entries(folder):
            path = join(folder, entry)
            if path not in above and path != kept:
                cut.remove(path)
    return cut


def difference(old: Tree, new: Tree) -> Tree:
    """Return what ``new`` has that ``old`` has not, or has otherwise, with the folders above it.

    Folders that only hold such things are as they are in ``new``. Hard links among what is new
    stay hard links. What is gone is not told.
    """
    changed = [
        path for path, node in new.walk() if path != ROOT and (path not in old or old[path] != node)
    ]
    found = Tree()
    firsts: dict[int, bytes] = {}
    for path in changed:
        for above in ancestors(path):
            if above not in found:
                found.add(above, new[above])
        first = firsts.setdefault(new.inode(path), path)
        if first != path:
            found.link(path, first)
        else:
            found.add(path, new[path])
    return found
