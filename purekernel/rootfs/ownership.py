"""Set the owners of an overlay's files.

The uids and gids in an overlay are those of the machine where it was packed, and mean nothing in
the image. So root owns the files of an overlay, with the exceptions that Tiny Core needs. (Source:
tce-load and tce-setup of Tiny Core 4: /home/tc belongs to the login user; start scripts in
/usr/local/tce.installed run only if they are executable and owned by that user; tce-load appends to
/tmp/setup.lst as that user.) Homes of other users belong to them if the overlay has their accounts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import evolve

from purekernel.tree import (
    Directory,
    File,
    Layer,
    Metadata,
    Node,
    Tree,
    plain_metadata,
    with_metadata,
)
from purekernel.tree.path import is_below, parent

ROOT_ID = 0
STAFF_GROUP = 50
TC_USER = 1001

HOME = b"home/tc"
START_SCRIPTS = b"usr/local/tce.installed"
SETUP_LIST = b"tmp/setup.lst"

PASSWD = b"etc/passwd"
HOMES = b"home"
# The largest account file to read: a hundred times that of a usual image.
MOST_ACCOUNTS_BYTES = 1 << 20

_EXECUTABLE = 0o111

# Files with the hashes of passwords.
SHADOW_FILES = (b"etc/shadow", b"etc/gshadow")

_ID = re.compile(rb"[0-9]{1,9}")


def own_as_root(layer: Layer) -> Layer:
    """Return ``layer`` with the owners that Tiny Core expects.

    Owners and modes in the layer's manifest are kept.
    """
    tree = layer.tree.copy()
    homes = {HOME: (TC_USER, STAFF_GROUP), **_homes(layer.tree)}
    for path, node in layer.tree.walk():
        metadata = node.metadata
        uid, gid, mode = _owned(path, node, homes)
        if fields := layer.stated.get(path):
            uid = metadata.uid if "uid" in fields else uid
            gid = metadata.gid if "gid" in fields else gid
            mode = metadata.mode if "mode" in fields else mode
        if (uid, gid, mode) != (metadata.uid, metadata.gid, metadata.mode):
            owned = plain_metadata(mode, uid, gid, metadata.mtime)
            if metadata.xattrs:
                owned = evolve(owned, xattrs=metadata.xattrs)
            tree.replace(path, with_metadata(node, owned))
    return evolve(layer, tree=tree)


def owners_of(tree: Tree) -> Callable[[bytes, Node], Metadata]:
    """Return a function from a path and its node to the metadata that Tiny Core expects there.

    The owners of homes are those of the accounts in ``tree``.
    """
    homes = {HOME: (TC_USER, STAFF_GROUP), **_homes(tree)}

    def owned(path: bytes, node: Node) -> Metadata:
        uid, gid, mode = _owned(path, node, homes)
        return evolve(node.metadata, uid=uid, gid=gid, mode=mode)

    return owned


def protect_shadow(tree: Tree) -> Tree:
    """Return ``tree`` with ``etc/shadow`` and ``etc/gshadow`` readable by root alone (0640)."""
    changed = tree.copy()
    for path in SHADOW_FILES:
        node = tree.get(path)
        if isinstance(node, File) and node.metadata.mode & 0o137:
            metadata = evolve(node.metadata, mode=node.metadata.mode & 0o640)
            changed.replace(path, with_metadata(node, metadata))
    return changed


def _owned(path: bytes, node: Node, homes: Mapping[bytes, tuple[int, int]]) -> tuple[int, int, int]:
    """Return the owner, group and mode of a node of an overlay."""
    mode = node.metadata.mode
    if is_below(path, HOMES):
        home = b"/".join(path.split(b"/", 2)[:2])
        if home in homes:
            return (*homes[home], mode)
    if path == START_SCRIPTS and isinstance(node, Directory):
        return ROOT_ID, STAFF_GROUP, 0o775
    if parent(path) == START_SCRIPTS and isinstance(node, File):
        return TC_USER, STAFF_GROUP, mode | _EXECUTABLE
    if path == SETUP_LIST and isinstance(node, File):
        return TC_USER, STAFF_GROUP, mode
    return ROOT_ID, ROOT_ID, mode


def _homes(tree: Tree) -> dict[bytes, tuple[int, int]]:
    """Return the owners of folders in ``home``, according to the tree's own accounts."""
    node = tree.get(PASSWD)
    if not isinstance(node, File) or len(node.content) > MOST_ACCOUNTS_BYTES:
        return {}
    found: dict[bytes, tuple[int, int]] = {}
    for line in bytes(node.content).split(b"\n"):
        fields = line.rstrip(b"\r").split(b":")
        if len(fields) == 7 and _ID.fullmatch(fields[2]) and _ID.fullmatch(fields[3]):
            home = fields[5].strip(b"/")
            if parent(home) == HOMES:
                found.setdefault(home, (int(fields[2]), int(fields[3])))
    return found
