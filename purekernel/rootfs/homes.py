"""The folders that users call home.

Source: passwd(5); usermod(8) of the shadow suite.
"""

from __future__ import annotations

from attrs import evolve, frozen

from purekernel.errors import ConflictError, TreeError
from purekernel.tree import (
    ROOT,
    Directory,
    Metadata,
    Tree,
    describe,
    display,
    parse_path,
    resolve,
    with_metadata,
)
from purekernel.tree.path import ancestors, join, name

# By convention the home of accounts that have none.
NO_HOME = b"/nonexistent"


@frozen(kw_only=True)
class Owner:
    """A user and its group, by their numbers."""

    uid: int
    gid: int


ROOT_OWNER = Owner(uid=0, gid=0)


def give_home(tree: Tree, home: bytes, old: Owner, new: Owner) -> None:
    """Give what ``old`` has at ``home``, an absolute path, to ``new``, as usermod(8) does."""
    if old == new or not home.startswith(b"/"):
        return
    try:
        place = resolve(tree, home)
    except TreeError:
        return
    if place == ROOT or not isinstance(tree.get(place), Directory):
        return
    for path, node in list(tree.walk(place)):
        uid, gid = node.metadata.uid, node.metadata.gid
        metadata = evolve(
            node.metadata,
            uid=new.uid if uid == old.uid else uid,
            gid=new.gid if gid == old.gid else gid,
        )
        if metadata != node.metadata:
            tree.replace(path, with_metadata(node, metadata))


def make_home(tree: Tree, home: bytes, owner: Owner, *, mtime: int) -> None:
    """Make the folder ``home``, an absolute path, and root's above it, where they are missing.

    Raises:
        ConflictError: something on the way is no folder.
        LinkLoopError: links on the way lead nowhere.
    """
    if home == NO_HOME:
        return
    whole = parse_path(b"." + home)
    folder = ROOT
    for step in [*ancestors(whole), whole] if whole else []:
        folder = resolve(tree, join(folder, name(step)))
        found = tree.get(folder)
        # A home that only what it holds speaks of has no owner to speak of.
        if found is None or (step == whole and tree.is_implied(folder)):
            its = owner if step == whole else ROOT_OWNER
            metadata = Metadata(mode=0o755, uid=its.uid, gid=its.gid, mtime=mtime)
            tree.add(folder, Directory(metadata=metadata))
        elif not isinstance(found, Directory):
            raise ConflictError(
                f"{display(home)} cannot be a home: {display(folder)} is {describe(found)}",
                hint="give another home, or take that out of the overlay",
            )
