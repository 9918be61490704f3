"""Who owns what an overlay brings.

Whoever packed an overlay left their own numbers in it, which mean nothing in the image.
What an overlay brings is root's, save what Tiny Core needs otherwise. (Source: tce-load and
tce-setup of Tiny Core 4: /home/tc is the login user's; start scripts in
/usr/local/tce.installed are run only when owned by that user and executable.)
"""

from __future__ import annotations

from attrs import evolve

from purekernel.tree import (
    Directory,
    File,
    Layer,
    Metadata,
    Node,
    Tree,
    with_metadata,
)
from purekernel.tree.path import is_below, parent

ROOT_ID = 0
STAFF_GROUP = 50
TC_USER = 1001

HOME = b"home/tc"
START_SCRIPTS = b"usr/local/tce.installed"

_EXECUTABLE = 0o111


def own_as_root(layer: Layer) -> Layer:
    """Return ``layer`` with the owners that Tiny Core expects.

    Owners and modes that the layer's manifest states stay as they are.
    """
    tree = layer.tree.copy()
    for path, node in layer.tree.walk():
        owned = _owned(path, node)
        fields = layer.stated.get(path, frozenset())
        kept = {name: getattr(node.metadata, name) for name in fields}
        metadata = evolve(owned, **kept)
        if metadata != node.metadata:
            tree.replace(path, with_metadata(node, metadata))
    return evolve(layer, tree=tree)


def protect_shadow(tree: Tree) -> Tree:
    """Return ``tree`` with ``etc/shadow`` and ``etc/gshadow`` readable by root alone (0640)."""
    changed = tree.copy()
    for path in (b"etc/shadow", b"etc/gshadow"):
        node = tree.get(path)
        if isinstance(node, File) and node.metadata.mode & 0o137:
            metadata = evolve(node.metadata, mode=node.metadata.mode & 0o640)
            changed.replace(path, with_metadata(node, metadata))
    return changed


def _owned(path: bytes, node: Node) -> Metadata:
    metadata = node.metadata
    if path == HOME or is_below(path, HOME):
        return evolve(metadata, uid=TC_USER, gid=STAFF_GROUP)
    if path == START_SCRIPTS and isinstance(node, Directory):
        return evolve(metadata, uid=ROOT_ID, gid=STAFF_GROUP, mode=0o775)
    if parent(path) == START_SCRIPTS and isinstance(node, File):
        mode = metadata.mode | _EXECUTABLE
        return evolve(metadata, uid=TC_USER, gid=STAFF_GROUP, mode=mode)
    return evolve(metadata, uid=ROOT_ID, gid=ROOT_ID)
