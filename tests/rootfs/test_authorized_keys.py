from __future__ import annotations

import pytest

from purekernel.errors import CombinedError, ConflictError
from purekernel.rootfs.authorized_keys import KeysOfUser, add_authorized_keys
from purekernel.tree import Directory, File, Metadata, Tree
from tests.formats.test_public_key import LINE, RSA
from tests.rootfs.test_accounts import NOW, PASSWD, content, make_tree, owner

OTHER = f"ssh-rsa {RSA} other"
FILE = b"home/tc/.ssh/authorized_keys"


def add(tree: Tree, *lines: str, user: str = "tc") -> Tree:
    keys = [KeysOfUser(user=user, lines=lines, place="line 4")]
    return add_authorized_keys(tree, keys, mtime=NOW)


def test_keys_are_in_the_home_and_no_one_else_can_write_there() -> None:
    tree = make_tree()
    changed = add(tree, LINE, OTHER, f"{LINE} again")
    assert content(changed, FILE) == f"{LINE}\n{OTHER}\n".encode()
    assert owner(changed, FILE) == (1001, 50, 0o600)
    assert owner(changed, b"home/tc/.ssh") == (1001, 50, 0o700)
    assert owner(changed, b"home/tc") == (1001, 50, 0o755)
    assert FILE not in tree
    assert add(changed, OTHER, LINE) == changed


def test_keys_that_are_there_stay() -> None:
    tree = make_tree()
    tree.add(b"home/tc/.ssh", Directory(metadata=Metadata(mode=0o777)))
    before = f"# mine\nno-pty {OTHER}".encode()
    tree.add(FILE, File(metadata=Metadata(mode=0o644), content=before))
    changed = add(tree, OTHER, LINE)
    assert content(changed, FILE) == before + f"\n{LINE}\n".encode()
    assert owner(changed, FILE) == (1001, 50, 0o600)
    assert owner(changed, b"home/tc/.ssh") == (1001, 50, 0o700)


def test_missing_home_of_tc_is_made_as_core_makes_it() -> None:
    tree = make_tree()
    tree.remove(b"home/tc")
    changed = add(tree, LINE)
    for folder in (b"home/tc", b"home/tc/.X.d", b"home/tc/.local", b"home/tc/.local/bin"):
        assert owner(changed, folder) == (1001, 50, 0o2750)


def test_missing_home_of_root_is_made() -> None:
    changed = add(make_tree(), LINE, user="root")
    assert owner(changed, b"root") == (0, 0, 0o755)
    assert owner(changed, b"root/.ssh/authorized_keys") == (0, 0, 0o600)


def test_all_faults_are_reported_together() -> None:
    keys = [KeysOfUser(user=user, lines=(LINE,), place=user) for user in ("anna", "nobody", "tc")]
    tree = make_tree(PASSWD.replace(b"/nonexistent", b"/"))
    tree.add(b"home/tc/.ssh", Directory(metadata=Metadata(mode=0o700)))
    tree.add(FILE, Directory(metadata=Metadata(mode=0o700)))
    with pytest.raises(CombinedError) as caught:
        add_authorized_keys(tree, keys, mtime=NOW)
    assert [str(error) for error in caught.value.errors] == [
        "anna: user 'anna': not found in the image",
        "nobody: user 'nobody' has no home for authorized keys: it is '/'",
        "tc: 'home/tc/.ssh/authorized_keys' must be a file, got a folder",
    ]


def test_file_in_the_place_of_a_home_is_refused() -> None:
    tree = make_tree()
    tree.remove(b"home/tc")
    tree.add(b"home/tc", File(metadata=Metadata(mode=0o644), content=b""))
    with pytest.raises(ConflictError):
        add(tree, LINE)
