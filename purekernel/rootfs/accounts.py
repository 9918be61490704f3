"""Change and add the accounts of an image.

Source: passwd(5), shadow(5), group(5); addUser in Tiny Core's etc/init.d/tc-config for what
an account is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from attrs import evolve, field

from purekernel.errors import (
    ConflictError,
    MissingPathError,
    PathError,
    PurekernelError,
    TreeError,
    UsageError,
    inside,
    raise_all,
)
from purekernel.records import frozen
from purekernel.rootfs.account_files import (
    GROUP,
    MAX_ID,
    PASSWD,
    SHADOW,
    AccountTable,
    Layout,
    find_entry,
    parse_table,
    read_account_file,
)
from purekernel.rootfs.ownership import ROOT_ID, STAFF_GROUP
from purekernel.rootfs.passwords import valid_hash
from purekernel.tree import (
    ROOT,
    Directory,
    File,
    Metadata,
    Tree,
    describe,
    display,
    parse_path,
    resolve,
)
from purekernel.tree.path import ancestors, join, name

__all__ = ["AccountChange", "change_accounts"]

# Not a valid hash, so no password matches it.
LOCKED = b"*"

# In etc/passwd and etc/group: the password is in a shadow file.
ELSEWHERE = b"x"

# Fields of etc/passwd, by number; and of etc/group, the gid.
PASSWORD, UID, GID, COMMENT, HOME, SHELL = 1, 2, 3, 4, 5, 6
GROUP_GID = 2
DEFAULT_SHELL = b"/bin/sh"
HOMES = b"/home/"
SHADOW_MODE = 0o640

# The default rule of useradd(8).
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_EXAMPLES = {"home": "/home/tc", "shell": "/bin/sh"}

# By convention the home of accounts without a home.
NO_HOME = b"/nonexistent"


# Changes to an account, and checks that do not depend on the image.
#
# Source: passwd(5); useradd(8) of the shadow suite for names.


@frozen(kw_only=True)
class AccountChange:
    """A change to a user; ``None`` leaves a property unchanged.

    A user that is missing in the image is added if ``uid`` is given. The defaults are Tiny Core's
    group staff, a home in ``/home``, the shell ``/bin/sh`` and a locked password.

    Attributes:
        name: the login name.
        password_hash: the hash for ``etc/shadow``.
        locked: disable log-in with a password.
        uid: the user's number.
        gid: the group's number; if it is missing in ``etc/group``, a group of the user's name is
            added.
        home: the home folder, an absolute path; created if missing.
        shell: the shell, an absolute path.
        comment: the full name.
        places: where the user gave each attribute, for messages: file, line and key. The empty name
            stands for the whole change.
    """

    name: str
    password_hash: str | None = field(default=None, repr=False)
    locked: bool = False
    uid: int | None = None
    gid: int | None = None
    home: str | None = None
    shell: str | None = None
    comment: str | None = None
    places: Mapping[str, str] = field(factory=dict, eq=False, repr=False)

    def place(self, attribute: str = "") -> str:
        """Return where the user gave ``attribute``, or the change; empty if that is unknown."""
        return self.places.get(attribute) or self.places.get("", "")


def refusals(changes: Iterable[AccountChange]) -> Iterator[UsageError]:
    """Yield an error for each change that is invalid in any image."""
    seen: set[str] = set()
    for change in changes:
        if _NAME.fullmatch(change.name) is None:
            yield UsageError(
                f"{change.name!r}: not a valid user name",
                hint="give a lowercase letter or '_', then up to 31 of these, digits and '-'",
            ).within(change.place())
            continue
        if change.name in seen:
            yield UsageError(
                f"user '{change.name}': changed twice", hint="combine the changes into one"
            ).within(change.place())
        seen.add(change.name)
        for attribute, message, hint in _contradictions(change):
            error = UsageError(f"user '{change.name}': {message}", hint=hint)
            yield error.within(change.place(attribute))


def _contradictions(change: AccountChange) -> Iterator[tuple[str, str, str]]:
    """Yield the attribute, a message and a hint for each error in one change."""
    if change.locked and change.password_hash is not None:
        yield "locked", "a locked account cannot have a password", "remove one of the two"
    elif change.password_hash is not None and not valid_hash(change.password_hash):
        yield (
            "password_hash",
            "not a valid password hash",
            "create one with 'openssl passwd -6', or give the password itself",
        )
    for word, number in (("uid", change.uid), ("gid", change.gid)):
        if number is not None and not 0 <= number <= MAX_ID:
            yield (
                word,
                f"the {word} must be from 0 to {MAX_ID}, got {number}",
                f"give another {word}",
            )
    if change.name == "root" and change.uid not in (None, 0):
        yield "uid", f"the uid of root must be 0, got {change.uid}", "remove the uid"
    for word, path in (("home", change.home), ("shell", change.shell)):
        if path is not None and not (_is_absolute(path) and (word == "home" or path[-1] != "/")):
            yield (
                word,
                f"the {word} must be an absolute path, got {path!r}",
                f"give an absolute path without '..' and ':', such as {_EXAMPLES[word]}",
            )
    if change.comment is not None and not _fits_field(change.comment):
        yield (
            "comment",
            f"the comment must be printable, without colons, got {change.comment!r}",
            "remove colons and unprintable characters",
        )


def _fits_field(text: str) -> bool:
    return ":" not in text and text.isprintable()


def _is_absolute(path: str) -> bool:
    if not path.startswith("/") or not _fits_field(path):
        return False
    try:
        parse_path(b"." + path.encode())
    except PathError:
        return False
    return True


def change_accounts(tree: Tree, changes: Iterable[AccountChange], *, mtime: int) -> Tree:
    """Return ``tree`` with its accounts changed.

    Fields without a change keep their bytes, and so do all other lines. If ``etc/shadow`` is
    written, root owns it, and no one but root and a group ``shadow`` can read it.

    Args:
        tree: a root file system.
        changes: the changes, in order; each user at most once.
        mtime: the time of new and changed files, in seconds since 1970, UTC.

    Raises:
        UsageError: a change is invalid, in general or in this image.
        FormatError: a line of one of the files is malformed.
        MissingPathError: ``etc/passwd`` is missing.
        ConflictError: a file or folder is needed where another type of node exists.

    Source: passwd(5), shadow(5), group(5); usermod(8) for files in the home.
    """
    changes = tuple(changes)
    raise_all(refusals(changes))
    changed = tree.copy()
    if not changes:
        return changed
    accounts = _Accounts(changed, mtime)
    errors: list[PurekernelError] = []
    for change in changes:
        try:
            accounts.apply(change)
        except PurekernelError as error:
            errors.append(error)
    raise_all(errors)
    accounts.store()
    return changed


# Home folders.
#
# Source: passwd(5); usermod(8) of the shadow suite.


@frozen(kw_only=True)
class Owner:
    """A uid and a gid."""

    uid: int
    gid: int


ROOT_OWNER = Owner(uid=0, gid=0)


def give_home(tree: Tree, home: bytes, old: Owner, new: Owner) -> None:
    """Change owner ``old`` to ``new`` in ``home``, an absolute path, as usermod(8) does."""
    if old == new or not home.startswith(b"/"):
        return
    try:
        real_path = resolve(tree, home)
    except TreeError:
        return
    if real_path == ROOT or not isinstance(tree.get(real_path), Directory):
        return
    for path, node in list(tree.walk(real_path)):
        uid, gid = node.metadata.uid, node.metadata.gid
        metadata = evolve(
            node.metadata,
            uid=new.uid if uid == old.uid else uid,
            gid=new.gid if gid == old.gid else gid,
        )
        if metadata != node.metadata:
            tree.replace(path, evolve(node, metadata=metadata))


def make_home(tree: Tree, home: bytes, owner: Owner, *, mtime: int) -> None:
    """Create the folder ``home``, an absolute path, and missing parents, which root owns.

    Raises:
        ConflictError: part of the path is not a folder.
        LinkLoopError: links in the path form a loop.
    """
    if home == NO_HOME:
        return
    whole = parse_path(b"." + home)
    folder = ROOT
    for step in [*ancestors(whole), whole] if whole else []:
        folder = resolve(tree, join(folder, name(step)))
        found = tree.get(folder)
        # An implied home, which exists only because of its content, has no owner of its own.
        if found is None or (step == whole and tree.is_implied(folder)):
            folder_owner = owner if step == whole else ROOT_OWNER
            metadata = Metadata(mode=0o755, uid=folder_owner.uid, gid=folder_owner.gid, mtime=mtime)
            tree.add(folder, Directory(metadata=metadata))
        elif not isinstance(found, Directory):
            raise ConflictError(
                f"{display(home)}: cannot create the home: {display(folder)} must be a folder, "
                f"got {describe(found)}",
                hint="give another home, or remove that from the overlay",
            )


class _Accounts:
    """The account files and homes of a tree that is changed."""

    def __init__(self, tree: Tree, mtime: int) -> None:
        self._tree = tree
        self._mtime = mtime
        self._before = {
            layout: read_account_file(tree, layout) for layout in (PASSWD, SHADOW, GROUP)
        }
        if self._before[PASSWD] is None:
            raise MissingPathError(
                f"{display(PASSWD.path)}: not found in the image",
                hint="change accounts only in an image whose base has accounts",
            )
        self._tables: dict[Layout, AccountTable] = {}
        errors: list[PurekernelError] = []
        for layout, content in self._before.items():
            try:
                self._tables[layout] = parse_table(content or b"", layout)
            except PurekernelError as error:
                errors.append(error)
        raise_all(errors)
        self._passwd, self._shadow, self._group = self._tables.values()

    def apply(self, change: AccountChange) -> None:
        """Apply one change that has passed :func:`refusals`."""
        user = change.name.encode()
        is_new = user not in self._passwd
        if is_new and change.uid is None:
            with inside(change.place()):
                find_entry(self._passwd, change.name, otherwise="give a uid to add the user")
        if change.uid is not None:
            with inside(change.place("uid")):
                self._require_free(change.uid, user)
        gid = STAFF_GROUP if is_new and change.gid is None else change.gid
        if gid is not None:
            with inside(change.place("gid")):
                self._require_group(gid, user)
        if is_new:
            ids = (b"%d" % number for number in (change.uid or 0, gid or 0))
            self._passwd.append(user, ELSEWHERE, *ids, b"", b"/home/" + user, DEFAULT_SHELL)
            self._set_password(user, LOCKED)
        old = self._passwd.entry(user)
        self._set_fields(change, user)
        new = self._passwd.entry(user)
        give_home(self._tree, old[HOME], owner_of(old), owner_of(new))
        if is_new or change.home is not None:
            with inside(change.place("home")):
                make_home(self._tree, new[HOME], owner_of(new), mtime=self._mtime)
        if is_new and new[HOME].startswith(HOMES):
            # An overlay may have added the home with owner root, because the user did not exist.
            give_home(self._tree, new[HOME], ROOT_OWNER, owner_of(new))

    def store(self) -> None:
        """Write the files that changed."""
        for layout, table in self._tables.items():
            content = table.build()
            if content != (self._before[layout] or b""):
                self._write(layout, content)

    def _set_fields(self, change: AccountChange, user: bytes) -> None:
        for at, value in (
            (UID, change.uid),
            (GID, change.gid),
            (COMMENT, change.comment),
            (HOME, change.home),
            (SHELL, change.shell),
        ):
            if value is not None:
                self._passwd.set(user, at, str(value).encode())
        if change.locked:
            self._set_password(user, LOCKED)
        elif change.password_hash is not None:
            self._set_password(user, change.password_hash.encode())

    def _require_free(self, uid: int, user: bytes) -> None:
        """Refuse a uid of another user, unless this user has it already."""
        holder = self._passwd.named_by(uid, at=UID)
        if holder in (None, user):
            return
        if user not in self._passwd or int(self._passwd.entry(user)[UID]) != uid:
            raise UsageError(
                f"user {display(user)}: the uid {uid} already belongs to {display(holder or b'')}",
                hint="give another uid: users with the same uid have the same rights",
            )

    def _require_group(self, gid: int, user: bytes) -> None:
        if self._group.named_by(gid, at=GROUP_GID) is not None:
            return
        if user in self._group:
            other = int(self._group.entry(user)[GROUP_GID])
            raise UsageError(
                f"user {display(user)}: no group has gid {gid}, and the group {display(user)} "
                f"has gid {other}",
                hint=f"give the gid of an existing group, such as {other}",
            )
        self._group.append(user, ELSEWHERE, b"%d" % gid, b"")

    def _set_password(self, user: bytes, stored: bytes) -> None:
        self._passwd.set(user, PASSWORD, ELSEWHERE)
        if user in self._shadow:
            self._shadow.set(user, PASSWORD, stored)
        else:
            # Empty fields: the password does not age (Source: shadow(5)).
            self._shadow.append(user, stored, *[b""] * (SHADOW.fields - 2))

    def _write(self, layout: Layout, content: bytes) -> None:
        tree = self._tree
        real_path = resolve(tree, layout.path)
        node = tree.get(real_path)
        mode = SHADOW_MODE if layout is SHADOW else 0o644
        metadata = Metadata(mode=mode) if node is None else node.metadata
        if layout is SHADOW:
            metadata = self._protected(metadata)
        file = File(metadata=evolve(metadata, mtime=self._mtime), content=content)
        if node is None:
            tree.add(real_path, file)
        else:
            tree.replace(real_path, file)

    def _protected(self, metadata: Metadata) -> Metadata:
        """Return the metadata of a shadow file, readable by root and a group ``shadow`` at most."""
        entry = self._group.entry(b"shadow") if b"shadow" in self._group else None
        in_group = entry is not None and int(entry[GROUP_GID]) == metadata.gid
        return evolve(
            metadata,
            mode=metadata.mode & SHADOW_MODE,
            uid=ROOT_ID,
            gid=metadata.gid if in_group else ROOT_ID,
        )


def owner_of(entry: list[bytes]) -> Owner:
    """Return the owner that a line of ``etc/passwd`` gives."""
    return Owner(uid=int(entry[UID]), gid=int(entry[GID]))
