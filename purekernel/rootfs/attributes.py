"""Read modes as chmod(1) takes them, and owners as chown(1) does.

Source: chmod(1) and chown(1) of GNU coreutils and of busybox.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable

from purekernel.errors import MissingPathError, TreeError, UsageError
from purekernel.rootfs.account_files import GROUP, MAX_ID, PASSWD, AccountTable, Layout, parse_table
from purekernel.similar import find_similar
from purekernel.tree import File, Tree, display, resolve
from purekernel.tree.node import PERMISSIONS

Mode = Callable[[int, bool], int]
"""Returns the new mode for an old one, and for whether the node is a folder."""

_OCTAL = r"[0-7]{3,4}"
_SYMBOLIC = r"[ugoa]*[+=-][rwxXst]*(,[ugoa]*[+=-][rwxXst]*)*"

_CLAUSE = re.compile(r"([ugoa]*)([+=-])([rwxXst]*)")
# The bits of each class, with setuid, setgid and sticky.
_CLASSES = {"u": 0o4700, "g": 0o2070, "o": 0o1007, "a": PERMISSIONS}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": stat.S_ISUID | stat.S_ISGID, "t": stat.S_ISVTX}
_EXECUTABLE = 0o111


def parse_mode(text: str) -> Mode:
    """Parse a mode: octal digits, which set all bits, or clauses such as ``u=rwX,go=rX``.

    ``X`` is ``x`` for folders, and for files that someone may execute. A clause without a class
    means ``a``. ``=`` keeps the setuid and setgid bits of folders, as GNU chmod does.

    Raises:
        UsageError: ``text`` is no mode.
    """
    if re.fullmatch(_OCTAL, text):
        number = int(text, 8)
        return lambda _old, _is_folder: number
    if not re.fullmatch(_SYMBOLIC, text):
        raise UsageError(
            f"{text!r} is no mode",
            hint='give octal digits such as "0755", or clauses such as "u=rwX,go=rX"',
        )
    clauses = _CLAUSE.findall(text)

    def change(old: int, is_folder: bool) -> int:
        mode = old
        for classes, operator, letters in clauses:
            mode = _with_clause(mode, classes or "a", operator, letters, is_folder)
        return mode

    return change


def _with_clause(mode: int, classes: str, operator: str, letters: str, is_folder: bool) -> int:
    reach = 0
    for letter in classes:
        reach |= _CLASSES[letter]
    bits = 0
    for letter in letters:
        if letter == "X":
            bits |= _EXECUTABLE if is_folder or mode & _EXECUTABLE else 0
        else:
            bits |= _BITS[letter]
    bits &= reach
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    cleared = reach
    if is_folder and "s" not in letters:
        cleared &= ~(stat.S_ISUID | stat.S_ISGID)
    return mode & ~cleared | bits


class Owners:
    """The users and groups of an image, read when the first name is looked up."""

    def __init__(self, tree: Tree) -> None:
        """Look up names in the account files of ``tree``."""
        self._tree = tree
        self._tables: dict[Layout, AccountTable] = {}

    def find(self, text: str) -> tuple[int | None, int | None]:
        """Return the uid and gid of ``USER``, ``USER:GROUP`` or ``:GROUP``; ``None`` if not given.

        Each is a name or a number.

        Raises:
            TreeError: the image has no user or group of that name, or no account files.
            FormatError: the account file is damaged.
            UsageError: ``text`` names no owner.
        """
        user, _colon, group = text.partition(":")
        if not (user or group):
            raise UsageError(
                f"{text!r} names no owner", hint='give "tc", "tc:staff", ":staff" or "1001:50"'
            )
        return (
            self._number(user, PASSWD, "user") if user else None,
            self._number(group, GROUP, "group") if group else None,
        )

    def _number(self, name: str, layout: Layout, noun: str) -> int:
        if name.isascii() and name.isdigit():
            number = int(name)
            if number > MAX_ID:
                raise UsageError(
                    f"the number of a {noun} must be at most {MAX_ID}, got {name}",
                    hint=f"give a number from 0 to {MAX_ID}",
                )
            return number
        table = self._table(layout)
        if name.encode() not in table:
            known = [each.decode("utf-8", "replace") for each in table.names]
            near = find_similar(name, known)
            path = layout.path.decode()
            raise TreeError(
                f"the image has no {noun} {name!r} in {path}",
                hint=f"did you mean {near[0]!r}?" if near else f"give a {noun} that {path} has",
            )
        return int(table.entry(name.encode())[2])

    def _table(self, layout: Layout) -> AccountTable:
        if layout not in self._tables:
            node = self._tree.get(resolve(self._tree, layout.path))
            if not isinstance(node, File):
                raise MissingPathError(
                    f"the image has no file {display(layout.path)} to look up names in",
                    hint="give numbers, such as 1001:50",
                )
            self._tables[layout] = parse_table(node.content, layout)
        return self._tables[layout]
