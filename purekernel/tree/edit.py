"""Make small changes to a tree that several steps of a build need."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from purekernel.errors import ConflictError, MissingPathError
from purekernel.input import Buffer
from purekernel.tree.node import Directory, File, Metadata, describe, with_metadata
from purekernel.tree.path import ROOT, ancestors, display, join, name, parse_path, with_example
from purekernel.tree.resolve import resolve
from purekernel.tree.tree import Tree

_CAPABILITIES = b"security.capability"


def put_file(tree: Tree, path: bytes, content: Buffer, *, metadata: Metadata) -> None:
    """Write a file into ``tree``, following symbolic links among the parent folders.

    Missing parent folders are created with owner root and mode 0755. An existing file or link
    at ``path`` is replaced, not written through.

    Raises:
        PathError: ``path`` contains ``..``, or is not a valid path for an archive member.
        ConflictError: ``path`` is a folder, or one of its parents is not.
    """
    path = parse_path(path)
    folder_metadata = Metadata(mode=0o755, mtime=metadata.mtime)
    folder = make_parents(tree, path, lambda _path: folder_metadata)
    tree.add(join(folder, name(path)), File(metadata=metadata, content=content))


def make_parents(tree: Tree, path: bytes, metadata: Callable[[bytes], Metadata]) -> bytes:
    """Return the folder that is to hold ``path``, with symbolic links among its parents followed.

    Missing folders are created.

    Args:
        tree: the tree, which is changed.
        path: the path of an entry.
        metadata: returns the metadata of a new folder for its path, in which links are followed.

    Raises:
        ConflictError: one of the parents is not a folder.
        LinkLoopError: one of the parents passes through too many links.
    """
    folder = ROOT
    for above in ancestors(path):
        folder = resolve(tree, join(folder, name(above)))
        node = tree.get(folder)
        if node is None:
            tree.add(folder, Directory(metadata=metadata(folder)))
        elif not isinstance(node, Directory):
            raise ConflictError(
                f"{display(above)} must be a folder to hold {display(path)}, got {describe(node)}"
            )
    return folder


def clamp_times(tree: Tree, newest: int) -> Tree:
    """Return ``tree`` with later times lowered to ``newest`` (seconds since 1970, UTC)."""
    return tree.map_metadata(
        lambda metadata: metadata if metadata.mtime <= newest else evolve(metadata, mtime=newest)
    )


def newest_time(tree: Tree) -> int:
    """Return the newest time in ``tree``, in seconds since 1970, UTC."""
    return max(node.metadata.mtime for node in tree.nodes())


def date_implied(tree: Tree, mtime: int) -> Tree:
    """Return ``tree`` with ``mtime`` (seconds since 1970, UTC) set on all implied folders."""
    dated = tree.copy()
    for path in tree.implied():
        node = tree[path]
        dated.replace(path, with_metadata(node, evolve(node.metadata, mtime=mtime)))
    return dated


def date_all(tree: Tree, mtime: int) -> Tree:
    """Return ``tree`` with ``mtime`` (seconds since 1970, UTC) set on every node."""
    return tree.map_metadata(lambda metadata: evolve(metadata, mtime=mtime))


def content_bytes(tree: Tree) -> int:
    """Return the total size of the files in ``tree`` in bytes; count hard links once."""
    return sum(node.size_bytes for node in tree.nodes() if isinstance(node, File))


def files_with_attributes(tree: Tree) -> str:
    """Return how many files have extended attributes, with an example; empty without any.

    Capabilities come before others, because programs do not work without them.
    """
    if not any(node.metadata.xattrs for node in tree.nodes()):
        return ""
    found = [
        (path, dict(node.metadata.xattrs)) for path, node in tree.walk() if node.metadata.xattrs
    ]
    capable = ((path, xattrs) for path, xattrs in found if _CAPABILITIES in xattrs)
    path, xattrs = next(capable, found[0])
    attribute = _CAPABILITIES if _CAPABILITIES in xattrs else next(iter(xattrs))
    example = f"{display(attribute)[1:-1]} of {display(path)}"
    return with_example(len(found), "file", example)


def subtree(tree: Tree, kept: bytes) -> Tree:
    """Return a tree with only ``kept``, everything below it, and its parent folders.

    Raises:
        MissingPathError: ``kept`` does not exist.
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


def branch(tree: Tree, top: bytes) -> Tree:
    """Return a tree of what is below the folder ``top``, which becomes its root.

    Names of one file stay hard links of each other.

    Raises:
        MissingPathError: ``top`` does not exist, or is not a folder.
    """
    root = tree[top]
    if not isinstance(root, Directory):
        raise MissingPathError(f"the image has no folder {display(top)}")
    cut = Tree(root)
    firsts: dict[int, bytes] = {}
    for path, node in tree.walk(top):
        if path == top:
            continue
        target = path.removeprefix(top).lstrip(b"/")
        first = firsts.setdefault(tree.inode(path), target)
        if first == target:
            cut.add(target, node)
        else:
            cut.link(target, first)
    return cut


def graft(tree: Tree, top: bytes, other: Tree) -> None:
    """Add everything in ``other`` below the folder ``top`` of ``tree``.

    Raises:
        ConflictError, MissingPathError: ``top`` is not a folder, or has one of the names.
    """
    firsts: dict[int, bytes] = {}
    for path, node in other.walk():
        if path == ROOT:
            continue
        target = join(top, path)
        first = firsts.setdefault(other.inode(path), target)
        if first == target:
            tree.add(target, node)
        else:
            tree.link(target, first)


def difference(old: Tree, new: Tree) -> Tree:
    """Return the nodes that ``new`` adds or changes, with their parent folders.

    Parent folders have the metadata that they have in ``new``. Hard links among the added or
    changed nodes stay hard links. Removals are not reported.
    """
    changed = [
        path for path, node in new.walk() if path != ROOT and (path not in old or old[path] != node)
    ]
    result = Tree()
    first_paths: dict[int, bytes] = {}
    for path in changed:
        for above in ancestors(path):
            if above not in result:
                result.add(above, new[above])
        first = first_paths.setdefault(new.inode(path), path)
        if first != path:
            result.link(path, first)
        else:
            result.add(path, new[path])
    return result
