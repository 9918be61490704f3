"""Look up users and groups of this host; Windows has none."""

from __future__ import annotations

from purekernel.errors import UsageError

try:
    import grp
    import pwd
except ImportError:  # Windows
    HAS_ACCOUNTS = False
else:
    HAS_ACCOUNTS = True


def user_name(number: int) -> str:
    """Return the name of a user, or its number if it has no name here."""
    try:
        return pwd.getpwuid(number).pw_name if HAS_ACCOUNTS else str(number)
    except (KeyError, OverflowError):
        return str(number)


def group_name(number: int) -> str:
    """Return the name of a group, or its number if it has no name here."""
    try:
        return grp.getgrgid(number).gr_name if HAS_ACCOUNTS else str(number)
    except (KeyError, OverflowError):
        return str(number)


def user_number(text: str) -> int:
    """Return the number of a user, given as a number or as a name.

    Raises:
        UsageError: there is no such user.
    """
    if (number := _parse_number(text)) is not None:
        return number
    try:
        if HAS_ACCOUNTS:
            return pwd.getpwnam(text).pw_uid
    except KeyError:
        pass
    raise _unknown("user", text)


def group_number(text: str) -> int:
    """Return the number of a group, given as a number or as a name.

    Raises:
        UsageError: there is no such group.
    """
    if (number := _parse_number(text)) is not None:
        return number
    try:
        if HAS_ACCOUNTS:
            return grp.getgrnam(text).gr_gid
    except KeyError:
        pass
    raise _unknown("group", text)


def _parse_number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and int(text) <= 0xFFFFFFFF
    return int(text) if is_number else None


def _unknown(what: str, text: str) -> UsageError:
    return UsageError(
        f"the {what} {text} does not exist here", hint="use a number from 0 to 4294967295"
    )
