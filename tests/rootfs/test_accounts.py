from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import (
    CombinedError,
    ConflictError,
    FormatError,
    LinkLoopError,
    MissingPathError,
    PurekernelError,
    UsageError,
)
from purekernel.rootfs.accounts import AccountChange, change_accounts
from purekernel.rootfs.ownership import protect_shadow
from purekernel.tree import Directory, File, Metadata, Symlink, Tree
from tests.oracles import require, run

# The files of Core 4.4.
PASSWD = b"""root:x:0:0:root:/root:/bin/sh
lp:x:7:7:lp:/var/spool/lpd:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
tc:x:1001:50:Linux User,,,:/home/tc:/bin/sh
"""
SHADOW = b"""root:*:13525:0:99999:7:::
lp:*:13510:0:99999:7:::
nobody:*:13509:0:99999:7:::
tc::13646:0:99999:7:::
"""
GROUP = b"""root:x:0:
lp:x:7:lp
nogroup:x:65534:
staff:x:50:
"""
HASH = "$1$xxxxxxxx$UYCIxa628.9qXjpQCjM4a."
NOW = 1_500_000_000
OLD = 1_400_000_000


def make_tree(
    passwd: bytes | None = PASSWD, shadow: bytes | None = SHADOW, group: bytes | None = GROUP
) -> Tree:
    tree = Tree()
    for folder, uid, gid in ((b"etc", 0, 0), (b"home", 0, 0), (b"home/tc", 1001, 50)):
        metadata = Metadata(mode=0o755, uid=uid, gid=gid, mtime=OLD)
        tree.add(folder, Directory(metadata=metadata))
    for path, content, mode in (
        (b"etc/passwd", passwd, 0o644),
        (b"etc/shadow", shadow, 0o640),
        (b"etc/group", group, 0o644),
    ):
        if content is not None:
            tree.add(path, File(metadata=Metadata(mode=mode, mtime=OLD), content=content))
    return tree


def change(tree: Tree | None = None, /, **said: object) -> Tree:
    one = AccountChange(**{"name": "tc", **said})  # type: ignore[arg-type]
    return change_accounts(make_tree() if tree is None else tree, [one], mtime=NOW)


def content(tree: Tree, path: bytes) -> bytes:
    node = tree[path]
    assert isinstance(node, File)
    return bytes(node.content)


def owner(tree: Tree, path: bytes) -> tuple[int, int, int]:
    metadata = tree[path].metadata
    return metadata.uid, metadata.gid, metadata.mode


def test_no_changes_keep_the_tree() -> None:
    tree = make_tree()
    assert change_accounts(tree, [], mtime=NOW) == tree
    assert change(tree) == tree
    assert change_accounts(Tree(), [], mtime=NOW) == Tree()


# Passwords


def test_password_changes_only_its_field() -> None:
    tree = make_tree()
    changed = change(tree, password_hash=HASH)
    assert content(changed, b"etc/shadow") == SHADOW.replace(b"tc:", b"tc:" + HASH.encode())
    expected = tree.copy()
    expected.replace(b"etc/shadow", changed[b"etc/shadow"])
    assert changed == expected
    assert changed[b"etc/shadow"].metadata == Metadata(mode=0o640, mtime=NOW)
    assert content(tree, b"etc/shadow") == SHADOW


def test_locked_account_has_star_as_hash() -> None:
    assert content(change(locked=True), b"etc/shadow") == SHADOW.replace(b"tc:", b"tc:*")


def test_user_missing_in_shadow_is_added() -> None:
    without = SHADOW.replace(b"tc::13646:0:99999:7:::\n", b"")
    changed = change(make_tree(shadow=without), password_hash=HASH)
    assert content(changed, b"etc/shadow") == without + f"tc:{HASH}:::::::\n".encode()
    changed = change(make_tree(shadow=without[:-1]), locked=True)
    assert content(changed, b"etc/shadow") == without + b"tc:*:::::::\n"


def test_missing_shadow_is_created() -> None:
    passwd = PASSWD.replace(b"tc:x:", b"tc:secret:")
    changed = change(make_tree(passwd=passwd, shadow=None), password_hash=HASH)
    assert content(changed, b"etc/shadow") == f"tc:{HASH}:::::::\n".encode()
    assert changed[b"etc/shadow"].metadata == Metadata(mode=0o640, mtime=NOW)
    assert content(changed, b"etc/passwd") == PASSWD


@pytest.mark.parametrize(
    ("before", "group", "after"),
    [
        (Metadata(mode=0o644, uid=1234, gid=1234), GROUP, Metadata(mode=0o640)),
        (Metadata(mode=0o640, gid=42), GROUP, Metadata(mode=0o640)),
        (Metadata(mode=0o640, gid=42), GROUP + b"shadow:x:42:\n", Metadata(mode=0o640, gid=42)),
        (Metadata(mode=0o600, gid=43), GROUP + b"shadow:x:42:\n", Metadata(mode=0o600)),
    ],
)
def test_shadow_is_owned_by_root_and_readable_by_root_only(
    before: Metadata, group: bytes, after: Metadata
) -> None:
    tree = make_tree(group=group)
    tree.add(b"etc/shadow", File(metadata=before, content=SHADOW))
    changed = change(tree, locked=True)
    assert changed[b"etc/shadow"].metadata == evolve(after, mtime=NOW)
    assert protect_shadow(changed) == changed


def test_links_to_account_files_are_followed() -> None:
    tree = make_tree()
    tree.add(b"var", Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"var/shadow", tree[b"etc/shadow"])
    tree.remove(b"etc/shadow")
    link = Symlink(metadata=Metadata(mode=0o777), target=b"/var/shadow")
    tree.add(b"etc/shadow", link)
    changed = change(tree, locked=True)
    assert changed[b"etc/shadow"] == link
    assert content(changed, b"var/shadow") == SHADOW.replace(b"tc:", b"tc:*")
    # A write through a broken link creates its target, as for a process.
    tree.remove(b"var/shadow")
    assert content(change(tree, locked=True), b"var/shadow") == b"tc:*:::::::\n"


def test_repr_hides_hash() -> None:
    assert HASH not in repr(AccountChange(name="tc", password_hash=HASH))


# Fields


def test_all_fields_of_a_user_change() -> None:
    changed = change(uid=1500, gid=7, home="/home/other", shell="/bin/ash", comment="Jørn, x")
    assert content(changed, b"etc/passwd") == PASSWD.replace(
        b"tc:x:1001:50:Linux User,,,:/home/tc:/bin/sh",
        "tc:x:1500:7:Jørn, x:/home/other:/bin/ash".encode(),
    )
    assert content(changed, b"etc/shadow") == SHADOW
    assert content(changed, b"etc/group") == GROUP
    # Files in the old home folder get the new owner; the new home folder is created.
    assert owner(changed, b"home/tc") == (1500, 7, 0o755)
    assert owner(changed, b"home/other") == (1500, 7, 0o755)
    assert changed[b"home/other"].metadata.mtime == NOW


def test_only_the_users_own_files_in_home_change_owner() -> None:
    tree = make_tree()
    for path, uid, gid in ((b"a", 1001, 50), (b"b", 0, 50), (b"c", 1001, 0), (b"d", 0, 0)):
        metadata = Metadata(mode=0o4755, uid=uid, gid=gid, mtime=OLD)
        tree.add(b"home/tc/" + path, File(metadata=metadata))
    tree.link(b"home/tc/e", b"home/tc/a")
    changed = change(tree, uid=1500)
    assert {path: owner(changed, b"home/tc/" + path)[:2] for path in (b"a", b"b", b"c", b"d")} == {
        b"a": (1500, 50),
        b"b": (0, 50),
        b"c": (1500, 0),
        b"d": (0, 0),
    }
    assert changed[b"home/tc/a"].metadata.mtime == OLD
    assert changed.inode(b"home/tc/a") == changed.inode(b"home/tc/e")


@pytest.mark.parametrize("home", [b"/", b"", b"home", b"/nowhere/at/all", b"/etc/passwd"])
def test_unusual_home_keeps_its_owner(home: bytes) -> None:
    tree = make_tree(passwd=PASSWD.replace(b":/home/tc:", b":" + home + b":"))
    changed = change(tree, uid=1500)
    assert owner(changed, b"home/tc") == (1001, 50, 0o755)
    assert b":1500:50:" in content(changed, b"etc/passwd")


# New users


def test_new_user_is_added() -> None:
    changed = change(name="op", uid=1002, password_hash=HASH)
    assert content(changed, b"etc/passwd") == PASSWD + b"op:x:1002:50::/home/op:/bin/sh\n"
    assert content(changed, b"etc/shadow") == SHADOW + f"op:{HASH}:::::::\n".encode()
    assert content(changed, b"etc/group") == GROUP
    assert changed[b"home/op"] == Directory(
        metadata=Metadata(mode=0o755, uid=1002, gid=50, mtime=NOW)
    )


def test_new_user_without_password_is_locked() -> None:
    assert content(change(name="op", uid=9), b"etc/shadow") == SHADOW + b"op:*:::::::\n"
    stale = SHADOW + f"op:{HASH}:1:2:3:4:::\n".encode()
    changed = change(make_tree(shadow=stale), name="op", uid=9)
    assert content(changed, b"etc/shadow") == SHADOW + b"op:*:1:2:3:4:::\n"


def test_missing_group_is_added() -> None:
    changed = change(
        name="op", uid=1002, gid=1002, home="/srv/op/data", shell="/bin/false", comment="Op"
    )
    assert content(changed, b"etc/passwd") == (
        PASSWD + b"op:x:1002:1002:Op:/srv/op/data:/bin/false\n"
    )
    assert content(changed, b"etc/group") == GROUP + b"op:x:1002:\n"
    assert changed[b"etc/group"].metadata == Metadata(mode=0o644, mtime=NOW)
    assert owner(changed, b"srv") == (0, 0, 0o755)
    assert owner(changed, b"srv/op/data") == (1002, 1002, 0o755)


def test_missing_group_file_is_created() -> None:
    changed = change(make_tree(group=None), name="op", uid=1002)
    assert content(changed, b"etc/group") == b"op:x:50:\n"
    assert changed[b"etc/group"].metadata == Metadata(mode=0o644, mtime=NOW)


def test_existing_home_is_kept() -> None:
    tree = make_tree()
    tree.add(b"home/op", Directory(metadata=Metadata(mode=0o700, uid=5, gid=50, mtime=OLD)))
    changed = change(tree, name="op", uid=1002, gid=7)
    assert owner(changed, b"home/op") == (5, 50, 0o700)
    for home in ("/", "/nonexistent"):
        assert len(change(name="op", uid=1002, home=home)) == len(make_tree())


def test_implied_home_gets_the_owner() -> None:
    tree = make_tree()
    tree.add_parents(b"home/op/.profile")
    tree.add(b"home/op/.profile", File(metadata=Metadata(mode=0o600), content=b"x"))
    changed = change(tree, name="op", uid=1002)
    assert owner(changed, b"home/op") == (1002, 50, 0o755)
    assert not changed.is_implied(b"home/op")
    assert owner(changed, b"home/op/.profile") == (1002, 50, 0o600)


def test_home_is_created_through_links() -> None:
    tree = make_tree()
    tree.add(b"mnt", Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"homes", Symlink(metadata=Metadata(mode=0o777), target=b"mnt"))
    changed = change(tree, name="op", uid=1002, home="/homes/op/")
    assert owner(changed, b"mnt/op") == (1002, 50, 0o755)
    tree.add(b"homes", Symlink(metadata=Metadata(mode=0o777), target=b"homes"))
    with pytest.raises(LinkLoopError):
        change(tree, name="op", uid=1002, home="/homes/op")


# Invalid changes


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            {"name": "root2", "uid": 0},
            "user 'root2': the uid 0 already belongs to 'root'",
            "give another uid: users with the same uid have the same rights",
        ),
        (
            {"uid": 7},
            "user 'tc': the uid 7 already belongs to 'lp'",
            "give another uid: users with the same uid have the same rights",
        ),
        (
            {"name": "root", "uid": 1},
            "user 'root': the uid of root must be 0, got 1",
            "remove the uid",
        ),
        (
            {"name": "tcc", "locked": True},
            "user 'tcc': not found in the image",
            "write 'tc', or give a uid to add the user",
        ),
        (
            {"name": "zzz"},
            "user 'zzz': not found in the image",
            "give a uid to add the user",
        ),
        (
            {"locked": True, "password_hash": HASH},
            "user 'tc': a locked account cannot have a password",
            "remove one of the two",
        ),
        (
            {"password_hash": "secret"},
            "user 'tc': not a valid password hash",
            "create one with 'openssl passwd -6', or give the password itself",
        ),
        (
            {"password_hash": ""},
            "user 'tc': not a valid password hash",
            "create one with 'openssl passwd -6', or give the password itself",
        ),
        (
            {"uid": -1},
            "user 'tc': the uid must be from 0 to 4294967294, got -1",
            "give another uid",
        ),
        (
            {"gid": 1 << 32},
            "user 'tc': the gid must be from 0 to 4294967294, got 4294967296",
            "give another gid",
        ),
        (
            {"home": "home/tc"},
            "user 'tc': the home must be an absolute path, got 'home/tc'",
            "give an absolute path without '..' and ':', such as /home/tc",
        ),
        (
            {"home": "/home/../tc"},
            "user 'tc': the home must be an absolute path, got '/home/../tc'",
            "give an absolute path without '..' and ':', such as /home/tc",
        ),
        (
            {"shell": "/bin/sh\n"},
            "user 'tc': the shell must be an absolute path, got '/bin/sh\\n'",
            "give an absolute path without '..' and ':', such as /bin/sh",
        ),
        (
            {"shell": "/"},
            "user 'tc': the shell must be an absolute path, got '/'",
            "give an absolute path without '..' and ':', such as /bin/sh",
        ),
        (
            {"comment": "a:b"},
            "user 'tc': the comment must be printable, without colons, got 'a:b'",
            "remove colons and unprintable characters",
        ),
        (
            {"comment": "\ud800"},
            "user 'tc': the comment must be printable, without colons, got '\\ud800'",
            "remove colons and unprintable characters",
        ),
        (
            {"name": "staff", "uid": 99, "gid": 99},
            "user 'staff': no group has gid 99, and the group 'staff' has gid 50",
            "give the gid of an existing group, such as 50",
        ),
    ],
)
def test_invalid_change_is_refused(said: dict[str, object], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        change(**said)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("name", ["", "TC", "1a", "a.b", "a b", "a:b", "a\n", "é", "-a", "a" * 33])
def test_invalid_user_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        change(name=name, uid=5)
    assert caught.value.message == f"{name!r}: not a valid user name"


def test_all_invalid_changes_are_reported() -> None:
    changes = [
        AccountChange(name="a b"),
        AccountChange(name="tc", uid=-1, comment=":"),
        AccountChange(name="tc"),
    ]
    with pytest.raises(CombinedError) as caught:
        change_accounts(make_tree(), changes, mtime=NOW)
    assert [error.message for error in caught.value.errors] == [
        "'a b': not a valid user name",
        "user 'tc': the uid must be from 0 to 4294967294, got -1",
        "user 'tc': the comment must be printable, without colons, got ':'",
        "user 'tc': changed twice",
    ]
    changes = [AccountChange(name="a"), AccountChange(name="b"), AccountChange(name="tc", uid=0)]
    with pytest.raises(CombinedError) as caught:
        change_accounts(make_tree(), changes, mtime=NOW)
    assert [error.message for error in caught.value.errors] == [
        "user 'a': not found in the image",
        "user 'b': not found in the image",
        "user 'tc': the uid 0 already belongs to 'root'",
    ]


def test_new_users_with_same_uid_are_refused() -> None:
    changes = [AccountChange(name="a", uid=2000), AccountChange(name="b", uid=2000)]
    with pytest.raises(UsageError) as caught:
        change_accounts(make_tree(), changes, mtime=NOW)
    assert caught.value.message == "user 'b': the uid 2000 already belongs to 'a'"


def test_existing_second_user_with_uid_0_is_allowed() -> None:
    passwd = PASSWD + b"toor:x:0:0::/root:/bin/sh\n"
    changed = change(make_tree(passwd=passwd), name="toor", uid=0, shell="/bin/ash")
    assert content(changed, b"etc/passwd") == PASSWD + b"toor:x:0:0::/root:/bin/ash\n"


# Broken images


def test_missing_passwd_is_refused() -> None:
    with pytest.raises(MissingPathError) as caught:
        change(make_tree(passwd=None), locked=True)
    assert caught.value.message == "'etc/passwd': not found in the image"
    assert caught.value.hint == "change accounts only in an image whose base has accounts"


def test_malformed_lines_of_all_files_are_reported() -> None:
    tree = make_tree(passwd=PASSWD + b"x\n", shadow=b"tc\n", group=b"staff:x:y:\n")
    with pytest.raises(CombinedError) as caught:
        change(tree, locked=True)
    assert all(isinstance(error, FormatError) for error in caught.value.errors)
    assert [error.message for error in caught.value.errors] == [
        "etc/passwd, line 5: expected 7 fields separated by colons, got 1",
        "etc/shadow, line 1: expected 9 fields separated by colons, got 1",
        "etc/group, line 1: expected a number from 0 to 4294967294, got 'y'",
    ]


def test_folder_instead_of_file_is_refused() -> None:
    tree = make_tree(shadow=None)
    tree.add(b"etc/shadow", Directory(metadata=Metadata(mode=0o755)))
    with pytest.raises(ConflictError) as conflict:
        change(tree, locked=True)
    assert conflict.value.message == "'etc/shadow': must be a file, got a folder"
    with pytest.raises(ConflictError) as conflict:
        change(home="/etc/passwd/x")
    assert conflict.value.message == (
        "'/etc/passwd/x': cannot create the home: 'etc/passwd' must be a folder, got a file"
    )


# Random changes


NAMES = st.sampled_from(["root", "lp", "tc", "op", "new-1"])
PASSWORDS: list[dict[str, object]] = [{}, {"locked": True}, {"password_hash": HASH}]
CHANGES = st.builds(
    lambda password, **said: AccountChange(**password, **said),
    password=st.sampled_from(PASSWORDS),
    name=NAMES,
    uid=st.none() | st.integers(0, 70_000) | st.sampled_from([0, 7, 1001, 65534]),
    gid=st.none() | st.integers(0, 100),
    home=st.none() | st.sampled_from(["/root", "/home/tc", "/srv/a", "/"]),
    shell=st.none() | st.just("/bin/ash"),
    comment=st.none() | st.sampled_from(["", "Jørn, x"]),
)


@pytest.mark.slow
@given(st.lists(CHANGES, max_size=4, unique_by=lambda change: change.name))
def test_random_changes_keep_files_valid(changes: list[AccountChange]) -> None:
    tree = make_tree()
    try:
        changed = change_accounts(tree, changes, mtime=NOW)
    except PurekernelError:
        assert tree == make_tree()
        return
    assert change_accounts(changed, changes, mtime=NOW) == changed
    entries = [line.split(b":") for line in content(changed, b"etc/passwd").splitlines()]
    assert len({entry[2] for entry in entries}) == len(entries)
    groups = {line.split(b":")[2] for line in content(changed, b"etc/group").splitlines()}
    touched = {change.name.encode() for change in changes if change.gid is not None}
    assert {entry[3] for entry in entries if entry[0] in touched} <= groups
    assert protect_shadow(changed) == changed


@pytest.mark.oracle
def test_pwck_and_grpck_accept_files(tmp_path: Path) -> None:
    changes = [
        AccountChange(name="tc", password_hash=HASH, comment="Jørn", gid=7),
        AccountChange(name="op", uid=1002, gid=1002),
        AccountChange(name="lp", locked=True, shell="/bin/false"),
    ]
    changed = change_accounts(make_tree(), changes, mtime=NOW)
    for name in ("passwd", "shadow", "group", "gshadow"):
        (tmp_path / name).write_bytes(
            content(changed, f"etc/{name}".encode()) if name != "gshadow" else b""
        )
    run(require("pwck"), "-q", "-r", tmp_path / "passwd", tmp_path / "shadow")
    run(require("grpck"), "-r", tmp_path / "group")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (AccountChange(name="new"), "r, line 1: user 'new': not found in the image"),
        (
            AccountChange(name="new", uid=1001),
            "r, line 2, uid: user 'new': the uid 1001 already belongs to 'tc'",
        ),
        (
            AccountChange(name="tc", gid=8),
            "r, line 3, gid: user 'tc': no group has gid 8, and the group 'tc' has gid 5",
        ),
        (
            AccountChange(name="tc", home="/etc/passwd"),
            (
                "r, line 4, home: '/etc/passwd': cannot create the home: 'etc/passwd' must be a "
                "folder, got a file"
            ),
        ),
        (
            AccountChange(name="tc", password_hash="x"),
            "r, line 5, hash: user 'tc': not a valid password hash",
        ),
    ],
)
def test_errors_name_the_key_of_the_attribute(change: AccountChange, message: str) -> None:
    places = {
        "": "r, line 1",
        "uid": "r, line 2, uid",
        "gid": "r, line 3, gid",
        "home": "r, line 4, home",
        "password_hash": "r, line 5, hash",
    }
    tree = make_tree(group=GROUP + b"tc:x:5:\n")
    with pytest.raises(PurekernelError) as caught:
        change_accounts(tree, [evolve(change, places=places)], mtime=NOW)
    assert str(caught.value) == message
