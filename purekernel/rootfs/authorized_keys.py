"""Add public keys to the ``authorized_keys`` of users in an image.

Source: sshd(8), "FILES"; dropbear(8); setupHome in etc/init.d/tc-functions of Tiny Core.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, field

from purekernel.errors import ConflictError, PurekernelError, UsageError, inside, raise_all
from purekernel.formats.public_key import AuthorizedKey, parse_authorized_key
from purekernel.records import frozen
from purekernel.rootfs.account_files import PASSWD, AccountTable, find_entry, load_table
from purekernel.rootfs.accounts import HOME, NO_HOME, Owner, make_home, owner_of
from purekernel.tree import Directory, File, Metadata, Tree, describe, display, resolve
from purekernel.tree.path import join


@frozen(kw_only=True)
class KeysOfUser:
    """The keys with which a user can log in.

    Attributes:
        user: the login name.
        lines: the lines to add to the user's ``authorized_keys``.
        place: where the recipe gives them, for messages.
    """

    user: str
    lines: tuple[str, ...] = field(repr=False)
    place: str = ""


# Core's setupHome creates these in an empty home, and nothing else makes them.
# (Source: etc/init.d/tc-functions of 6.4.1 to 17.0.)
_HOME_OF_TC = b"home/tc"
_FOLDERS_OF_TC = (b".X.d", b".local", b".local/bin")
_MODE_OF_TC = 0o2750


def add_authorized_keys(tree: Tree, keys: Iterable[KeysOfUser], *, mtime: int) -> Tree:
    """Return ``tree`` with keys added to ``.ssh/authorized_keys`` in homes.

    Lines that are there stay; a key that is there is not added again. OpenSSH and dropbear ignore
    the file unless it and the folders above it belong to the user and no one else can write to
    them, so ``.ssh`` gets the mode 0700 and the file 0600.

    Args:
        tree: a root file system with all its accounts.
        keys: the keys of each user.
        mtime: the time of new and changed files, in seconds since 1970, UTC.

    Raises:
        UsageError: a user is missing in the image, or has no home.
        TreeError: a file is in the place of a folder.
        CombinedError: there are several errors.
    """
    changed = tree.copy()
    passwd = load_table(changed, PASSWD)
    errors: list[PurekernelError] = []
    for wanted in keys:
        try:
            with inside(wanted.place):
                _add(changed, passwd, wanted, mtime)
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    return changed


def _add(tree: Tree, passwd: AccountTable, wanted: KeysOfUser, mtime: int) -> None:
    entry = find_entry(passwd, wanted.user, otherwise="give a uid under [accounts] to add the user")
    home, owner = entry[HOME], owner_of(entry)
    if home.strip(b"/") in (b"", NO_HOME.strip(b"/")) or not home.startswith(b"/"):
        raise UsageError(
            f"user '{wanted.user}' has no home for authorized keys: it is {display(home)}",
            hint="give the user a home under [accounts]",
        )
    is_new = tree.get(home.strip(b"/")) is None
    make_home(tree, home, owner, mtime=mtime)
    real_home = resolve(tree, home)
    if is_new and real_home == _HOME_OF_TC:
        _make_folder(tree, real_home, _MODE_OF_TC, owner, mtime)
        for folder in _FOLDERS_OF_TC:
            _make_folder(tree, join(real_home, folder), _MODE_OF_TC, owner, mtime)
    folder = resolve(tree, join(real_home, b".ssh"))
    _make_folder(tree, folder, 0o700, owner, mtime)
    path = resolve(tree, join(folder, b"authorized_keys"))
    node = tree.get(path)
    if node is not None and not isinstance(node, File):
        raise ConflictError(f"{display(path)} must be a file, got {describe(node)}")
    before = b"" if node is None else bytes(node.content)
    known = set(before.split())
    # The same key with another comment is not added again.
    new: dict[str, AuthorizedKey] = {}
    for key in map(parse_authorized_key, wanted.lines):
        if key.blob.encode() not in known:
            new.setdefault(key.blob, key)
    text = before if before.endswith(b"\n") or not before else before + b"\n"
    text += "".join(f"{key.line}\n" for key in new.values()).encode()
    metadata = Metadata(mode=0o600, uid=owner.uid, gid=owner.gid, mtime=mtime)
    file = File(metadata=metadata, content=text)
    if node is None:
        tree.add(path, file)
    else:
        tree.replace(path, file)


def _make_folder(tree: Tree, path: bytes, mode: int, owner: Owner, mtime: int) -> None:
    node = tree.get(path)
    metadata = Metadata(mode=mode, uid=owner.uid, gid=owner.gid, mtime=mtime)
    if isinstance(node, Directory) and not tree.is_implied(path):
        metadata = evolve(node.metadata, mode=mode, uid=owner.uid, gid=owner.gid)
    tree.add(path, Directory(metadata=metadata))
