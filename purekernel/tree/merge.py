"""Define overlays, and merge an overlay tree into a base tree.

* A node that is not a folder replaces a node that is not a folder. Other hard links to the
  replaced inode keep the old content.
* Folders merge. A folder of the base keeps the base's owner, mode and time, unless the overlay
  states them explicitly. Archives carry the metadata of the folders on the machine that built
  them; ``/tmp`` once lost its sticky bit that way. ``kept`` limits this rule to some folders of
  the base.
* A folder is implied if an archive has members below it but no member for it. An implied folder
  has no metadata of its own; an explicit entry in the other tree, earlier or later, sets it.
* If the base has a symbolic link where the overlay has a folder, and the link resolves to a
  folder inside the tree, the link is followed.
* A folder never replaces another kind of node, and no other kind replaces a folder, except
  that a symbolic link can replace an empty folder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import asdict, evolve, field

from purekernel.errors import ConflictError, TreeError
from purekernel.records import frozen
from purekernel.tree.node import Directory, Node, Symlink
from purekernel.tree.origin import Origin
from purekernel.tree.path import ROOT, display, join
from purekernel.tree.resolve import resolve
from purekernel.tree.tree import Tree

Stated = Mapping[bytes, frozenset[str]]
"""For a path, the names of the :class:`Metadata` fields that were set explicitly."""

NOTHING_STATED: Stated = {}


@frozen(kw_only=True)
class Layer:
    """An overlay that has been read.

    Attributes:
        source: the name of the overlay, for messages; it may be a path of the host.
        tree: its files and folders.
        stated: the metadata fields that a manifest sets explicitly. All other metadata
            is a by-product of how the layer was made: owners become root, and folders
            that exist in the base keep the base's metadata.
        origin: where its files come from; ``None`` for a layer that a build makes of several
            sources, and until it is known.
    """

    source: str
    tree: Tree
    stated: Stated = field(factory=dict)
    origin: Origin | None = None


def merge(
    base: Tree,
    overlay: Tree,
    *,
    stated: Stated = NOTHING_STATED,
    kept: Tree | None = None,
) -> Tree:
    """Return a copy of ``base`` with ``overlay`` merged into it.

    Args:
        base: the tree to copy; it is not changed.
        overlay: the nodes to add or replace.
        stated: the metadata fields of the overlay's folders that were set explicitly; they
            replace those of the base.
        kept: a tree; folders that exist in it keep their metadata. ``None`` means that all
            folders of the base do.

    Raises:
        ConflictError: a folder and another kind of node have the same path.
        TreeError: an overlay path passes through a link of the base that cannot be resolved.
    """
    merged = base.copy()
    # The merged path of each overlay folder. It differs from the overlay path if the base has
    # a symbolic link on the way.
    merged_folders: dict[bytes, bytes] = {ROOT: ROOT}
    # The merged path and inode of the first name of each hard link of the overlay. The inode is
    # compared later, because another overlay path may resolve to the same merged path and replace
    # it.
    links = overlay.hard_links()
    firsts: dict[int, tuple[bytes, int]] = {}
    for path, node in overlay.walk():
        if path == ROOT:
            _set_fields(merged, ROOT, node, stated.get(ROOT, frozenset()))
            continue
        folder, _slash, entry = path.rpartition(b"/")
        merged_folder = merged_folders[folder]
        target = path if merged_folder == folder else join(merged_folder, entry)
        if isinstance(node, Directory):
            merged_folders[path] = _resolve_folder(merged, path, target)
            _merge_folder(
                merged,
                merged_folders[path],
                node,
                implied=overlay.is_implied(path),
                fields=stated.get(path, frozenset()),
                keep=kept is None or merged_folders[path] in kept,
            )
            continue
        if isinstance(node, Symlink) and _is_empty_folder(merged, target):
            merged.remove(target)
        number = overlay.inode(path)
        first, inode = firsts.get(number, (b"", -1))
        if first in merged and merged.inode(first) == inode:
            merged.link(target, first)
        else:
            merged.add(target, node)
            if number in links:
                firsts[number] = (target, merged.inode(target))
    return merged


def _resolve_folder(merged: Tree, path: bytes, target: bytes) -> bytes:
    """Return the path of the folder at ``target``; follow a symbolic link there."""
    if not isinstance(merged.get(target), Symlink):
        return target
    try:
        resolved = resolve(merged, target)
    except TreeError as error:
        raise error.within(f"folder {display(path)} of the overlay") from None
    if not isinstance(merged.get(resolved), Directory):
        raise ConflictError(
            f"{display(path)} is a folder in the overlay; in the base it is a symbolic link "
            f"to {display(resolved)}, which is not a folder"
        )
    return resolved


def _merge_folder(
    merged: Tree,
    target: bytes,
    node: Directory,
    *,
    implied: bool,
    fields: Collection[str],
    keep: bool,
) -> None:
    """Create the folder at ``target``, or update the metadata of the existing one."""
    existing = merged.get(target)
    if implied and not fields:
        if existing is None:
            merged.imply(target, node.metadata)
        elif not isinstance(existing, Directory):
            merged.add(target, node)  # raises ConflictError
    elif isinstance(existing, Directory) and keep and not merged.is_implied(target):
        _set_fields(merged, target, node, fields)
    else:
        merged.add(target, node)


def _set_fields(merged: Tree, target: bytes, node: Node, fields: Collection[str]) -> None:
    """Copy the metadata ``fields`` of ``node`` to the folder at ``target``."""
    if not fields:
        return
    values = {key: value for key, value in asdict(node.metadata).items() if key in fields}
    folder = merged[target]
    merged.replace(target, evolve(folder, metadata=evolve(folder.metadata, **values)))


def _is_empty_folder(tree: Tree, path: bytes) -> bool:
    return isinstance(tree.get(path), Directory) and not tree.entries(path)
