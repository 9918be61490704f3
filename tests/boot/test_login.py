"""Test that users log in with the passwords hashed by either scheme, and with no others."""

from __future__ import annotations

from collections.abc import Callable
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
from tests.boot.cores import build, core_4_4, core_6_4_1, core_root, put
from tests.boot.machine import Machine, Processor, talk

pytestmark = pytest.mark.boot

NOW = 1_500_000_000

# The scheme and the password of each user.
USERS = {
    "tc": (Scheme.SHA512, "test: 1234"),
    "old": (Scheme.MD5, "test1234"),
    "utf": (Scheme.MD5, "pässwörd ☃"),
    "long": (Scheme.SHA512, "x" * (MAX_PASSWORD_BYTES - 1) + "y"),
}


def make_root(iso: bytes) -> Tree:
    root = core_root(iso)
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
    """Log in; return the answer, which ends with a prompt or with "Login incorrect"."""
    machine.expect(b"login: ")
    machine.send(user.encode())
    machine.expect(b"Password: ")
    machine.send(password.encode())
    return machine.expect(b"Login incorrect", b"$ ")


@pytest.mark.parametrize(
    ("make_iso", "processor", "release"),
    [
        pytest.param(core_4_4, "i386", "3.0.3-tinycore i686", id="Core 4.4 for x86"),
        pytest.param(core_6_4_1, "x86_64", "3.16.6-tinycore64 x86_64", id="Core 6.4.1 for x86_64"),
    ],
)
def test_users_log_in_with_their_own_passwords_only(
    make_iso: Callable[[], bytes], processor: Processor, release: str, tmp_path: Path
) -> None:
    line, iso = "console=ttyS0 loglevel=3 nodhcp", make_iso()
    arguments = build(make_root(iso), tmp_path, kernel_line=line, iso=iso)
    with talk(*arguments, processor=processor) as machine:
        for number, (user, (_scheme, password)) in enumerate(USERS.items()):
            assert log_in(machine, user, password[:-1]).endswith(b"Login incorrect")
            assert log_in(machine, user, password).endswith(b"$ ")
            # The echo of the command does not contain the numbers; its output does.
            machine.send(b'echo "now $(id -un) $(id -u):$(id -g) $(pwd)"')
            machine.expect(f"now {user} {1001 + number}:50 /home/{user}".encode())
            if user == "tc":
                machine.send(b'echo "kernel $(uname -rm)"')
                machine.expect(f"kernel {release}".encode())
            machine.send(b"exit")
        assert log_in(machine, "locked", "*").endswith(b"Login incorrect")
