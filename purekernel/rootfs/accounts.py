"""Change and add the accounts of an image.

Source: passwd(5), shadow(5), group(5); addUser in Tiny Core's etc/init.d/tc-config for what
an account is there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

from attrs import evolve, field, frozen

from purekernel.errors import (
    ConflictError,
    MissingPathError,
    PathError,
    PurekernelError,
    TreeError,
    UsageError,
    raise_all,
)
from purekernel.rootfs.account_files import (
    GROUP,
    MAX_ID,
    PASSWD,
    SHADOW,
    Layout,
    Table,
    parse_table,
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
    with_metadata,
)
from purekernel.tree.path import ancestors, join, name

__all__ = ["AccountChange", "change_accounts"]


# What no password ever becomes: nobody logs in with one.
LOCKED = b"*"


# In etc/passwd and etc/group: the password is not here.
ELSEWHERE = b"x"


# Fields of etc/passwd, by number; and of etc/group, the gid.
PASSWORD, UID, GID, COMMENT, HOME, SHELL = 1, 2, 3, 4, 5, 6
GROUP_GID = 2
DEFAULT_SHELL = b"/bin/sh"
HOMES = b"/home/"
SHADOW_MODE = 0o640


# Names that a misspelt one is held against.
MOST_COMPARED = 1000


# As useradd(8) has it by default.
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_EXAMPLES = {"home": "/home/tc", "shell": "/bin/sh"}


# By convention the home of accounts that have none.
NO_HOME = b"/nonexistent"


# What is to become of an account, and what of it makes no sense in any image.
#
# Source: passwd(5); useradd(8) of the shadow suite for names.


@frozen(kw_only=True)
class AccountChange:
    """What is to become of a user; ``None`` leaves it as it is.

    A user that the image does not have is added, if ``uid`` says which number it gets: in
    the group that Tiny Core gives its own (staff), with a home in ``/home`` and ``/bin/sh``,
    unless said otherwise; and locked, unless it gets a password.

    Attributes:
        name: the login name.
        password_hash: as ``etc/shadow`` has it.
        locked: nobody logs in with a password.
        uid: its number.
        gid: its group; one that has no line in ``etc/group`` gets one of the user's name.
        home: its folder, an absolute path; made if it is not there.
        shell: its shell, an absolute path.
        comment: its full name.
    """

    name: str
    password_hash: str | None = field(default=None, repr=False)
    locked: bool = False
    uid: int | None = None
    gid: int | None = None
    home: str | None = None
    shell: str | None = None
    comment: str | None = None


def refusals(changes: Iterable[AccountChange]) -> Iterator[UsageError]:
    """Yield what makes no sense whatever the image is."""
    seen: set[str] = set()
    for change in changes:
        if _NAME.fullmatch(change.name) is None:
            yield UsageError(
                f"{change.name!r} is no name for a user",
                hint="it has a small letter or '_', and then up to 31 of these, digits and '-'",
            )
            continue
        if change.name in seen:
            yield UsageError(
                f"the user '{change.name}' is changed twice", hint="say it all in one place"
            )
        seen.add(change.name)
        for message, hint in _contradictions(change):
            yield UsageError(f"user '{change.name}': {message}", hint=hint)


def _contradictions(change: AccountChange) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with one change, and what to do about it."""
    if change.locked and change.password_hash is not None:
        yield "a locked account has no password", "leave out the one or the other"
    elif change.password_hash is not None and not valid_hash(change.password_hash):
        yield (
            "that is no hash of a password",
            "make one with 'openssl passwd -6', or give the password itself",
        )
    for word, number in (("uid", change.uid), ("gid", change.gid)):
        if number is not None and not 0 <= number <= MAX_ID:
            yield f"the {word} {number} is none that there can be", f"it is from 0 to {MAX_ID}"
    if change.name == "root" and change.uid not in (None, 0):
        yield f"root cannot have uid {change.uid}", "leave it out: root is whoever has uid 0"
    for word, path in (("home", change.home), ("shell", change.shell)):
        if path is not None and not (_is_absolute(path) and (word == "home" or path[-1] != "/")):
            yield (
                f"{path!r} is no place for a {word}",
                f"give an absolute path without '..' and ':', such as {_EXAMPLES[word]}",
            )
    if change.comment is not None and not _fits_field(change.comment):
        yield (
            f"the comment {change.comment!r} does not fit in a line",
            "leave out colons and whatever cannot be printed",
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

    Fields that no change names keep their bytes, and so do all other lines. ``etc/shadow``
    stays root's and readable by nobody else, whatever it was.

    Args:
        tree: a root file system.
        changes: in order; each user once.
        mtime: of what is written and made, in seconds since 1970, UTC.

    Raises:
        UsageError: a change makes no sense, or none in this image.
        FormatError: a line of one of the files is malformed.
        MissingPathError: there is no ``etc/passwd``.
        ConflictError: something else stands where a file or folder must be.

    Source: passwd(5), shadow(5), group(5); usermod(8) for what is at home.
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


# The folders that users call home.
#
# Source: passwd(5); usermod(8) of the shadow suite.


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


class _Accounts:
    """The three files, and the homes, of a tree under change."""

    def __init__(self, tree: Tree, mtime: int) -> None:
        self._tree = tree
        self._mtime = mtime
        self._before = {layout: _read(tree, layout) for layout in (PASSWD, SHADOW, GROUP)}
        if self._before[PASSWD] is None:
            raise MissingPathError(
                f"there is no {display(PASSWD.path)} in the image",
                hint="accounts can be changed only where the base has some",
            )
        self._tables: dict[Layout, Table] = {}
        errors: list[PurekernelError] = []
        for layout, content in self._before.items():
            try:
                self._tables[layout] = parse_table(content or b"", layout)
            except PurekernelError as error:
                errors.append(error)
        raise_all(errors)
        self._passwd, self._shadow, self._group = self._tables.values()

    def apply(self, change: AccountChange) -> None:
        """Make one change that is sound in itself."""
        user = change.name.encode()
        is_new = user not in self._passwd
        if is_new and change.uid is None:
            raise self._unknown(change.name)
        if change.uid is not None:
            self._require_free(change.uid, user)
        gid = STAFF_GROUP if is_new and change.gid is None else change.gid
        if gid is not None:
            self._require_group(gid, user)
        if is_new:
            ids = (b"%d" % number for number in (change.uid or 0, gid or 0))
            self._passwd.append(user, ELSEWHERE, *ids, b"", b"/home/" + user, DEFAULT_SHELL)
            self._set_password(user, LOCKED)
        old = self._passwd.entry(user)
        self._set_fields(change, user)
        new = self._passwd.entry(user)
        give_home(self._tree, old[HOME], _owner(old), _owner(new))
        if is_new or change.home is not None:
            make_home(self._tree, new[HOME], _owner(new), mtime=self._mtime)
        if is_new and new[HOME].startswith(HOMES):
            # An overlay may have brought it, as root's: it could not know the user.
            give_home(self._tree, new[HOME], ROOT_OWNER, _owner(new))

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

    def _unknown(self, wanted: str) -> UsageError:
        known = [name.decode("utf-8", "replace") for name in self._passwd.names[:MOST_COMPARED]]
        near = difflib.get_close_matches(wanted, known, n=1)
        instead = f"write '{near[0]}', or say" if near else "say"
        return UsageError(
            f"there is no user '{wanted}' in the image",
            hint=f"{instead} the uid with which it is to be added",
        )

    def _require_free(self, uid: int, user: bytes) -> None:
        """Refuse a uid that another user has, unless it is this user's as well already."""
        holder = self._passwd.named_by(uid, at=UID)
        if holder in (None, user):
            return
        if user not in self._passwd or int(self._passwd.entry(user)[UID]) != uid:
            raise UsageError(
                f"the uid {uid} of {display(user)} is that of {display(holder or b'')} already",
                hint="give another: two users of one number are one user",
            )

    def _require_group(self, gid: int, user: bytes) -> None:
        if self._group.named_by(gid, at=GROUP_GID) is not None:
            return
        if user in self._group:
            other = int(self._group.entry(user)[GROUP_GID])
            raise UsageError(
                f"the gid {gid} of {display(user)} has no group, and the group of that name "
                f"has gid {other}",
                hint=f"give the gid of a group that there is, such as {other}",
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
        place = resolve(tree, layout.path)
        node = tree.get(place)
        mode = SHADOW_MODE if layout is SHADOW else 0o644
        metadata = Metadata(mode=mode) if node is None else node.metadata
        if layout is SHADOW:
            metadata = self._protected(metadata)
        made = File(metadata=evolve(metadata, mtime=self._mtime), content=content)
        if node is None:
            tree.add(place, made)
        else:
            tree.replace(place, made)

    def _protected(self, metadata: Metadata) -> Metadata:
        """Return the metadata of a shadow file, for root and a group ``shadow`` at the most."""
        entry = self._group.entry(b"shadow") if b"shadow" in self._group else None
        in_group = entry is not None and int(entry[GROUP_GID]) == metadata.gid
        return evolve(
            metadata,
            mode=metadata.mode & SHADOW_MODE,
            uid=ROOT_ID,
            gid=metadata.gid if in_group else ROOT_ID,
        )


def _read(tree: Tree, layout: Layout) -> bytes | None:
    """Return the content of one of the files, through links; ``None`` if it is not there."""
    place = resolve(tree, layout.path)
    node = tree.get(place)
    if node is None:
        return None
    if not isinstance(node, File):
        raise ConflictError(f"{display(layout.path)} must be a file and is {describe(node)}")
    return bytes(node.content)


def _owner(entry: list[bytes]) -> Owner:
    return Owner(uid=int(entry[UID]), gid=int(entry[GID]))
