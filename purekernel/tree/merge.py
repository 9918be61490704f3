"""The one rule by which a tree is laid over another.

* What is not a folder replaces what is not a folder, hard links and all: other names of
  the replaced inode keep it.
* Folders merge. A folder that the base has keeps the base's owner, mode and time, unless
  the overlay states otherwise: archives made in passing carry whatever their builder's
  folders had, and that is how ``/tmp`` once lost its sticky bit. Where only some of what is
  merged already is to be kept so, ``kept`` says what.
* A folder that an archive implies, holding something below it and not naming it, has no
  metadata to speak of: what another says of it counts, earlier or later.
* A symbolic link that stands in the base where the overlay has a folder is followed,
  inside the tree, when it leads to a folder.
* A folder never replaces what is no folder, nor the other way round, save that a link
  may take the place of an empty folder.
"""

from __future__ import annotations

from collections.abc import Collection

from attrs import asdict, evolve

from purekernel.errors import ConflictError, TreeError
from purekernel.tree.layer import NOTHING_STATED, Stated
from purekernel.tree.node import Directory, Node, Symlink, with_metadata
from purekernel.tree.path import ROOT, display, join, name, parent
from purekernel.tree.resolve import resolve
from purekernel.tree.tree import Tree


def merge(
    base: Tree,
    overlay: Tree,
    *,
    stated: Stated = NOTHING_STATED,
    kept: Tree | None = None,
) -> Tree:
    """Return ``base`` with ``overlay`` laid over it.

    Args:
        base: left as it is.
        overlay: what replaces and adds.
        stated: the fields of the overlay's folders that are meant, and so replace the
            base's.
        kept: the tree whose folders keep their metadata; ``None`` means all of the base's.

    Raises:
        ConflictError: a folder meets something that is no folder.
        TreeError: a link in the base that an overlay path passes through leads nowhere.
    """
    merged = base.copy()
    # Where each of the overlay's folders came to stand: links in the base lead elsewhere.
    places: dict[bytes, bytes] = {ROOT: ROOT}
    # Where the first name of each of the overlay's inodes came to stand, and as which inode:
    # another of its paths may lead to the same place and have replaced it since.
    firsts: dict[int, tuple[bytes, int]] = {}
    for path, node in overlay.walk():
        if path == ROOT:
            _state(merged, ROOT, node, stated.get(ROOT, frozenset()))
            continue
        target = join(places[parent(path)], name(path))
        if isinstance(node, Directory):
            places[path] = _find_folder(merged, path, target)
            _merge_folder(
                merged,
                places[path],
                node,
                implied=overlay.is_implied(path),
                fields=stated.get(path, frozenset()),
                keep=kept is None or places[path] in kept,
            )
            continue
        if isinstance(node, Symlink) and _is_empty_folder(merged, target):
            merged.remove(target)
        first, inode = firsts.get(overlay.inode(path), (b"", -1))
        if first in merged and merged.inode(first) == inode:
            merged.link(target, first)
        else:
            merged.add(target, node)
            firsts[overlay.inode(path)] = (target, merged.inode(target))
    return merged


def _find_folder(merged: Tree, path: bytes, target: bytes) -> bytes:
    """Return where a folder that is to be at ``target`` really stands, a link there followed."""
    if not isinstance(merged.get(target), Symlink):
        return target
    try:
        found = resolve(merged, target)
    except TreeError as error:
        raise error.within(f"folder {display(path)} of the overlay") from None
    if not isinstance(merged.get(found), Directory):
        raise ConflictError(
            f"{display(path)} is a folder in the overlay; in the base it is a symbolic link "
            f"to {display(found)}, which is no folder"
        )
    return found


def _merge_folder(
    merged: Tree,
    target: bytes,
    node: Directory,
    *,
    implied: bool,
    fields: Collection[str],
    keep: bool,
) -> None:
    """Make the folder at ``target``, or give the one there what is said of it."""
    found = merged.get(target)
    if implied and not fields:
        if found is None:
            merged.imply(target, node.metadata)
        elif not isinstance(found, Directory):
            merged.add(target, node)  # which refuses it
    elif isinstance(found, Directory) and keep and not merged.is_implied(target):
        _state(merged, target, node, fields)
    else:
        merged.add(target, node)


def _state(merged: Tree, target: bytes, node: Node, fields: Collection[str]) -> None:
    """Give the folder at ``target`` those ``fields`` of ``node``'s metadata."""
    if not fields:
        return
    meant = {key: value for key, value in asdict(node.metadata).items() if key in fields}
    kept = merged[target]
    merged.replace(target, with_metadata(kept, evolve(kept.metadata, **meant)))


def _is_empty_folder(tree: Tree, path: bytes) -> bool:
    return isinstance(tree.get(path), Directory) and not tree.entries(path)
