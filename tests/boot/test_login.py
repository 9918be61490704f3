"""Passwords that we hashed let people in, in either form, and no others do."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.rootfs.accounts import AccountChange, change_accounts
from purekernel.rootfs.inittab import add_getty
from purekernel.rootfs.passwords import (
    MAX_PASSWORD_BYTES,
    Scheme,
    accepted_scheme,
    derive_salt,
    hash_password,
)
from purekernel.tree import File, Tree
from tests.boot.cores import build, core_root, put
from tests.boot.machine import Machine, talk

pytestmark = pytest.mark.boot

NOW = 1_500_000_000

# By user: the scheme, and the password.
USERS = {
    "tc": (Scheme.SHA512, "test: 1234"),
    "old": (Scheme.MD5, "test1234"),
    "utf": (Scheme.MD5, "pässwörd ☃"),
    "long": (Scheme.SHA512, "x" * (MAX_PASSWORD_BYTES - 1) + "y"),
}


def make_root() -> Tree:
    root = core_root()
    assert accepted_scheme(root) is Scheme.SHA512
    changes = []
    for number, (user, (scheme, password)) in enumerate(USERS.items()):
        salt = derive_salt(password, scheme=scheme, user=user, image="test")
        stored = hash_password(password, scheme=scheme, salt=salt)
        uid = None if user == "tc" else 1001 + number
        changes.append(AccountChange(name=user, password_hash=stored, uid=uid))
    changes.append(AccountChange(name="locked", uid=1100, locked=True))
    root = change_accounts(root, changes, mtime=NOW)
    inittab = root[b"etc/inittab"]
    assert isinstance(inittab, File)
    put(root, b"etc/inittab", add_getty(bytes(inittab.content), "ttyS0", 115_200))
    put(root, b"opt/bootsync.sh", b"#!/bin/sh\n", mode=0o755)
    return root


def log_in(machine: Machine, user: str, password: str) -> bytes:
    """Return what log-in says to it: the end is a prompt or a refusal."""
    machine.expect(b"login: ")
    machine.send(user.encode())
    machine.expect(b"Password: ")
    machine.send(password.encode())
    return machine.expect(b"Login incorrect", b"$ ")


def test_people_log_in_with_their_passwords_and_with_no_others(tmp_path: Path) -> None:
    line = "console=ttyS0 loglevel=3 nodhcp"
    with talk(*build(make_root(), tmp_path, kernel_line=line)) as machine:
        for number, (user, (_scheme, password)) in enumerate(USERS.items()):
            assert log_in(machine, user, password[:-1]).endswith(b"Login incorrect")
            assert log_in(machine, user, password).endswith(b"$ ")
            # The line's echo has the command, and only its answer the numbers.
            machine.send(b'echo "now $(id -un) $(id -u):$(id -g) $(pwd)"')
            machine.expect(f"now {user} {1001 + number}:50 /home/{user}".encode())
            machine.send(b"exit")
        assert log_in(machine, "locked", "*").endswith(b"Login incorrect")
