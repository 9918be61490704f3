"""What is to become of an account, and what of it makes no sense in any image.

Source: passwd(5); useradd(8) of the shadow suite for names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from attrs import field, frozen

from purekernel.errors import PathError, UsageError
from purekernel.rootfs.account_files import MAX_ID
from purekernel.rootfs.passwords import valid_hash
from purekernel.tree import parse_path

# As useradd(8) has it by default.
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")

_EXAMPLES = {"home": "/home/tc", "shell": "/bin/sh"}


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
