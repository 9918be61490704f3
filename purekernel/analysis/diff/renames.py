"""Find files and folders that have another name, and the same content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from purekernel.errors import PurekernelError
from purekernel.tree import Device, Directory, File, Node, Symlink, Tree
from purekernel.tree.path import name, parent


def find_renames(
    old: Tree, removed: Mapping[bytes, Node], new: Tree, added: Mapping[bytes, Node]
) -> dict[bytes, bytes]:
    """Return the new path of each file and folder that was renamed, by its old path.

    A folder counts if all below it has the same names and contents; what is below it is not listed.
    Empty files, links and devices are renamed only as parts of a folder. Of several candidates, the
    first with the same name counts, or else the first.

    Args:
        old: the old tree.
        removed: the paths that only it has, in the order of walk().
        new: the new tree.
        added: the paths that only this one has.
    """
    sizes = _sizes(removed) & _sizes(added)
    if not sizes:
        return {}
    old_digests = _digests(removed, sizes)
    new_digests = _digests(added, sizes)
    candidates: dict[bytes, list[bytes]] = {}
    for path, digest in new_digests.items():
        candidates.setdefault(digest, []).append(path)
    renames: dict[bytes, bytes] = {}
    taken: set[bytes] = set()
    for path, digest in old_digests.items():  # folders come before what is in them
        if path in taken:
            continue
        found = _choose(path, [each for each in candidates.get(digest, ()) if each not in taken])
        if found is None:
            continue
        renames[path] = found
        candidates[digest].remove(found)
        if isinstance(removed[path], Directory):
            taken.update(_below(old, path))
            taken.update(_below(new, found))
            # A folder above is no longer free as a whole.
        _exclude_above(found, candidates, new_digests)
    return renames


def _choose(path: bytes, candidates: list[bytes]) -> bytes | None:
    named = (each for each in candidates if name(each) == name(path))
    return next(named, candidates[0] if candidates else None)


def _exclude_above(
    path: bytes, candidates: dict[bytes, list[bytes]], digests: dict[bytes, bytes]
) -> None:
    """Drop the folders above a path that is taken from the candidates."""
    folder = parent(path)
    while folder:
        digest = digests.get(folder)
        if digest is not None and folder in candidates[digest]:
            candidates[digest].remove(folder)
        folder = parent(folder)


def _below(tree: Tree, path: bytes) -> Iterable[bytes]:
    return (below for below, _node in tree.walk(path) if below != path)


def _sizes(nodes: Mapping[bytes, Node]) -> set[int]:
    return {node.size_bytes for node in nodes.values() if isinstance(node, File)} - {0}


def _digests(nodes: Mapping[bytes, Node], sizes: set[int]) -> dict[bytes, bytes]:
    """Return a digest for each file of one of these sizes, and each folder that has only such.

    Args:
        nodes: files and whole folders, parents first.
        sizes: the sizes to read; 0 is not among them.
    """
    parts: dict[bytes, list[bytes] | None] = {}
    own: dict[bytes, bytes] = {}
    for path in reversed(list(nodes)):  # what is in a folder comes before the folder
        digest = _digest(nodes[path], parts.pop(path, []), sizes)
        folder = parent(path)
        if folder in nodes:
            listed = parts.setdefault(folder, [])
            if digest is None:
                parts[folder] = None
            elif listed is not None:
                listed.append(name(path) + b"\0" + digest)
        if digest is not None and digest.startswith(_COUNTS):
            own[path] = digest
    return dict(reversed(list(own.items())))


# What a digest starts with if the node can be renamed by itself.
_COUNTS = b"1"


def _digest(node: Node, parts: list[bytes] | None, sizes: set[int]) -> bytes | None:
    if isinstance(node, File):
        return _file_digest(node, sizes) if node.size_bytes else b"0empty"
    if isinstance(node, Directory):
        if parts is None:
            return None
        has_content = any(part.partition(b"\0")[2].startswith(_COUNTS) for part in parts)
        text = b"\0\0".join(sorted(parts))
        return (_COUNTS if has_content else b"0") + b"d" + hashlib.sha256(text).digest()
    if isinstance(node, Symlink):
        return b"0l" + hashlib.sha256(node.target).digest()
    if isinstance(node, Device):
        return f"0{node.kind.value} {node.major} {node.minor}".encode()
    return b"0" + type(node).__name__.encode()


def _file_digest(node: File, sizes: set[int]) -> bytes | None:
    if node.size_bytes not in sizes:
        return None
    try:
        return _COUNTS + b"f" + hashlib.sha256(node.content).digest()
    except PurekernelError:  # damaged, which is reported where contents are compared
        return None
