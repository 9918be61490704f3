"""Change and add the groups of an image.

Source: group(5); groupadd(8) of the shadow suite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, field

from purekernel.errors import PurekernelError, UsageError, inside, raise_all
from purekernel.records import frozen
from purekernel.rootfs.account_files import GROUP, PASSWD, AccountTable, find_entry, load_table
from purekernel.rootfs.accounts import ELSEWHERE, GROUP_GID
from purekernel.tree import File, Tree, display, resolve

MEMBERS = 3
# As for groupadd(8): lower ones are for the system.
FIRST_GID = 1000


@frozen(kw_only=True)
class GroupChange:
    """A group that an image is to have.

    Attributes:
        name: the group's name.
        gid: its number; ``None`` to keep it, or for the first free one.
        places: where the recipe gives each attribute, for messages. The empty name stands for the
            whole change.
    """

    name: str
    gid: int | None = None
    places: Mapping[str, str] = field(factory=dict, eq=False, repr=False)

    def place(self, attribute: str = "") -> str:
        """Return where the recipe gives ``attribute``, or the change."""
        return self.places.get(attribute) or self.places.get("", "")


@frozen(kw_only=True)
class Membership:
    """A user who is to be in a group.

    Attributes:
        user: the user's name.
        group: the group's name.
        place: where the recipe says so, for messages.
    """

    user: str
    group: str
    place: str = field(default="", eq=False)


def change_groups(
    tree: Tree,
    changes: Sequence[GroupChange],
    memberships: Iterable[Membership],
    *,
    mtime: int,
) -> Tree:
    """Return ``tree`` with groups added, and users added to groups.

    Args:
        tree: a root file system with all its users.
        changes: the groups that it is to have.
        memberships: the users to add to groups.
        mtime: the time of the changed file, in seconds since 1970, UTC.

    Raises:
        UsageError: a gid belongs to another group, or a user or group is missing.
        MissingPathError: the image has no accounts.
        FormatError: a line of an account file is malformed.
        CombinedError: there are several errors.
    """
    groups, users = load_table(tree, GROUP), load_table(tree, PASSWD)
    errors: list[PurekernelError] = []
    # Groups with a number come first, so that no other group takes it.
    for change in sorted(changes, key=lambda change: change.gid is None):
        try:
            with inside(change.place("gid")):
                _add_group(groups, change)
        except PurekernelError as error:
            errors.append(error)
    wanted = {change.name for change in changes}
    for membership in memberships:
        if membership.group in wanted and membership.group.encode() not in groups:
            continue  # an error about the group itself
        try:
            with inside(membership.place):
                _add_member(groups, users, membership)
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    changed = tree.copy()
    path = resolve(changed, GROUP.path)
    node = changed[path]
    content = groups.build()
    if isinstance(node, File) and bytes(node.content) != content:
        metadata = evolve(node.metadata, mtime=mtime)
        changed.replace(path, evolve(node, metadata=metadata, content=content))
    return changed


def _add_group(groups: AccountTable, change: GroupChange) -> None:
    name = change.name.encode()
    if name in groups:
        gid = int(groups.entry(name)[GROUP_GID])
        if change.gid not in (None, gid):
            raise UsageError(
                f"group '{change.name}': the image's group has the gid {gid}, not {change.gid}",
                hint="remove the gid, or give the group another name: files keep their gids",
            )
        return
    gid = change.gid if change.gid is not None else _free_gid(groups)
    holder = groups.named_by(gid, at=GROUP_GID)
    if holder is not None:
        raise UsageError(
            f"group '{change.name}': the gid {gid} already belongs to {display(holder)}",
            hint="give another gid, or none for the first free one",
        )
    groups.append(name, ELSEWHERE, b"%d" % gid, b"")


def _free_gid(groups: AccountTable) -> int:
    used = {int(groups.entry(name)[GROUP_GID]) for name in groups.names}
    # Among one more numbers than there are groups, one is free.
    return next(gid for gid in range(FIRST_GID, FIRST_GID + len(used) + 1) if gid not in used)


def _add_member(groups: AccountTable, users: AccountTable, membership: Membership) -> None:
    errors: list[PurekernelError] = []
    for table, name, kind, otherwise in (
        (users, membership.user, "user", "give a uid under [accounts] to add the user"),
        (groups, membership.group, "group", f"add it with [groups.{membership.group}]"),
    ):
        try:
            find_entry(table, name, kind=kind, otherwise=otherwise)
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    group, user = membership.group.encode(), membership.user.encode()
    members = [member for member in groups.entry(group)[MEMBERS].split(b",") if member]
    if user not in members:
        groups.set(group, MEMBERS, b",".join([*members, user]))
