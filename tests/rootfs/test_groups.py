from __future__ import annotations

import pytest

from purekernel.errors import CombinedError, MissingPathError, UsageError
from purekernel.rootfs.groups import GroupChange, Membership, change_groups
from tests.rootfs.test_accounts import GROUP, NOW, content, make_tree, owner


def change(*changes: GroupChange, members: tuple[tuple[str, str], ...] = ()) -> bytes:
    memberships = [Membership(user=user, group=group, place=f"{user}!") for user, group in members]
    tree = make_tree()
    changed = change_groups(tree, changes, memberships, mtime=NOW)
    assert content(tree, b"etc/group") == GROUP
    assert owner(changed, b"etc/group") == (0, 0, 0o644)
    return content(changed, b"etc/group")


def test_groups_are_appended_and_the_first_free_gid_is_from_1000_on() -> None:
    added = change(
        GroupChange(name="one"), GroupChange(name="two", gid=1000), GroupChange(name="three")
    )
    assert added == GROUP + b"two:x:1000:\none:x:1001:\nthree:x:1002:\n"


def test_users_are_added_to_the_end_of_members_once() -> None:
    members = (("tc", "lp"), ("lp", "lp"), ("tc", "lp"), ("tc", "new"))
    assert change(GroupChange(name="new"), members=members) == (
        GROUP.replace(b"lp:x:7:lp\n", b"lp:x:7:lp,tc\n") + b"new:x:1000:tc\n"
    )


def test_existing_group_with_its_own_gid_is_unchanged() -> None:
    assert change(GroupChange(name="staff", gid=50), GroupChange(name="lp")) == GROUP


def test_all_faults_are_reported_together_with_their_places() -> None:
    places = {"": "the table", "gid": "line 3"}
    with pytest.raises(CombinedError) as caught:
        change(
            GroupChange(name="staff", gid=51, places=places),
            GroupChange(name="new", gid=7, places={"": "the table"}),
            members=(("tcc", "lp"), ("tc", "lpp"), ("tc", "new")),
        )
    assert [(str(error), error.hint) for error in caught.value.errors] == [
        (
            "line 3: group 'staff': the image's group has the gid 50, not 51",
            "remove the gid, or give the group another name: files keep their gids",
        ),
        (
            "the table: group 'new': the gid 7 already belongs to 'lp'",
            "give another gid, or none for the first free one",
        ),
        (
            "tcc!: user 'tcc': not found in the image",
            "write 'tc', or give a uid under [accounts] to add the user",
        ),
        (
            "tc!: group 'lpp': not found in the image",
            "write 'lp', or add it with [groups.lpp]",
        ),
    ]


def test_image_without_groups_is_an_error() -> None:
    with pytest.raises(MissingPathError):
        change_groups(make_tree(group=None), [GroupChange(name="a")], [], mtime=NOW)
    with pytest.raises(UsageError):
        change(GroupChange(name="root", gid=1))
