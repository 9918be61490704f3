"""Look up users and groups of this host; Windows has none."""

from __future__ import annotations

from collections.abc import Callable

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
    return _name_of(number, lambda: pwd.getpwuid(number).pw_name)


def group_name(number: int) -> str:
    """Return the name of a group, or its number if it has no name here."""
    return _name_of(number, lambda: grp.getgrgid(number).gr_name)


def user_number(text: str) -> int:
    """Return the number of a user, given as a number or as a name.

    Raises:
        UsageError: there is no such user.
    """
    return _number_of("user", text, lambda: pwd.getpwnam(text).pw_uid)


def group_number(text: str) -> int:
    """Return the number of a group, given as a number or as a name.

    Raises:
        UsageError: there is no such group.
    """
    return _number_of("group", text, lambda: grp.getgrnam(text).gr_gid)


def _name_of(number: int, look_up: Callable[[], str]) -> str:
    try:
        return look_up() if HAS_ACCOUNTS else str(number)
    except (KeyError, OverflowError):
        return str(number)


def _number_of(what: str, text: str, look_up: Callable[[], int]) -> int:
    if (number := _parse_number(text)) is not None:
        return number
    try:
        if HAS_ACCOUNTS:
            return look_up()
    except KeyError:
        pass
    raise UsageError(
        f"the {what} {text} does not exist here", hint="use a number from 0 to 4294967295"
    )


def _parse_number(text: str) -> int | None:
    # Python refuses to convert very long numbers.
    digits = text.lstrip("0")[:11] if text.isascii() and text.isdigit() else None
    if digits is None or int(digits or "0") > 0xFFFFFFFF:
        return None
    return int(digits or "0")
