"""Check for passwords that all know, and for keys that should be one machine's alone.

Source: shadow(5), passwd(5) and crypt(5); sshd(8), "Host keys"; dropbear(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from purekernel.analysis.findings import Finding, shown
from purekernel.analysis.system import OwnedFiles, System, View
from purekernel.errors import FormatError
from purekernel.rootfs.ownership import MOST_ACCOUNTS_BYTES, PASSWD
from purekernel.rootfs.passwords import is_hash_of
from purekernel.tree import Tree, display
from purekernel.tree.path import escape, name

SHADOW = b"etc/shadow"

# What people try first, besides the name of the account. "tcuser" and "piCore" are Tiny Core's own.
WELL_KNOWN = (
    "tcuser", "piCore", "tinycore", "microcore", "tc", "password", "passw0rd", "123456",
    "12345678", "admin", "root", "toor", "changeme", "default", "secret", "test", "guest",
)  # fmt: skip

# Guessing takes up to a quarter of a second for each.
MOST_GUESSED_ACCOUNTS = 4

_LOCKED = (b"*", b"!")
_NO_SHELLS = (b"false", b"nologin", b"sync", b"shutdown", b"halt")

_HOST_KEY = re.compile(rb"ssh_host_(?:[a-z0-9]+_)?key|dropbear_[a-z0-9]+_host_key")


class _Account(NamedTuple):
    name: bytes
    password: bytes
    path: bytes


def check_passwords(system: System) -> Iterator[Finding]:
    """Yield a finding for each account that any user can log in to.

    Accounts without a shell are ignored, and those that have the same password in the base. Of the
    accounts with a password, the first :data:`MOST_GUESSED_ACCOUNTS` are tried.
    """
    stock = {(each.name, each.password) for each in _accounts(system.subject.stock_root)}
    guessed = 0
    for account in _accounts(system.subject.root):
        if (account.name, account.password) in stock:
            continue
        who = display(account.name)
        if not account.password:
            yield _finding(
                system, account, "PK701", f"{who} in {shown(account.path)} needs no password"
            )
        elif not account.password.startswith(_LOCKED) and guessed < MOST_GUESSED_ACCOUNTS:
            guessed += 1
            text = account.password.decode("ascii", "replace")
            own = account.name.decode("utf-8", "replace")
            if is_hash_of(text, dict.fromkeys((own, *WELL_KNOWN))):
                message = f"{who} in {shown(account.path)} has a well-known password"
                yield _finding(system, account, "PK702", message)


def check_keys(part: OwnedFiles) -> Iterator[Finding]:
    """Yield a finding for each host key of SSH: all who have the image have its private half."""
    for path, node in part.files.items():
        if _HOST_KEY.fullmatch(name(path)) and node.size_bytes:
            yield Finding(
                code="PK703",
                owner=part.owner,
                path=path,
                message=f"{shown(path)} is a private host key, the same on all machines that boot "
                "the image",
                remedy="delete it, so that each machine makes its own at its first start",
            )


def _finding(system: System, account: _Account, code: str, message: str) -> Finding:
    return Finding(
        code=code,
        owner=system.owner(account.path),
        path=account.path,
        message=message,
        remedy="set a password, lock the account by '*', or let no one reach its log-in",
        subject=escape(account.name),
    )


def _accounts(root: Tree) -> Iterator[_Account]:
    """Yield the accounts that can log in, each with the field of its password."""
    shadow = {fields[0]: fields[1] for fields in _lines(root, SHADOW) if len(fields) > 1}
    for fields in _lines(root, PASSWD):
        if len(fields) != 7 or not fields[0] or name(fields[6]) in _NO_SHELLS:
            continue
        user, password = fields[0], fields[1]
        if password != b"x":
            yield _Account(user, password, PASSWD)
        elif user in shadow:
            yield _Account(user, shadow[user], SHADOW)


def _lines(root: Tree, path: bytes) -> Iterator[list[bytes]]:
    node = View([root]).file(path)
    if node is None or node.size_bytes > MOST_ACCOUNTS_BYTES:
        return
    try:
        content = bytes(node.content)
    except FormatError:  # check_programs() reports it
        return
    for line in content.split(b"\n"):
        yield line.split(b":")
