from __future__ import annotations

import pytest

from purekernel.errors import MissingPathError
from purekernel.rootfs.serial import add_serial_login
from purekernel.tree import Metadata, Tree, put_file
from tests.oracles import require, run
from tests.rootfs.test_inittab import CORE
from tests.rootfs.test_system import NOW, text

SECURETTY = "console\n# ttyS0\n\ntty1\n"
GETTY = "ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100"
TTY1 = "tty1::respawn:/sbin/getty -nl /sbin/autologin 38400 tty1"


def make_tree(inittab: bytes = CORE, securetty: str | None = SECURETTY) -> Tree:
    tree = Tree()
    put_file(tree, b"etc/inittab", inittab, metadata=Metadata(mode=0o644))
    if securetty is not None:
        put_file(tree, b"etc/securetty", securetty.encode(), metadata=Metadata(mode=0o644))
    return tree


def add(tree: Tree, *, autologin: bool | None = None) -> Tree:
    return add_serial_login(tree, "ttyS0", 115_200, autologin=autologin, mtime=NOW)


def gettys(tree: Tree) -> list[str]:
    lines = text(tree, "etc/inittab").splitlines()
    return [line for line in lines if "getty" in line and not line.startswith("#")]


def test_new_getty_asks_and_root_may_log_in() -> None:
    for autologin in (None, False):
        changed = add(make_tree(), autologin=autologin)
        assert gettys(changed) == [TTY1, GETTY]
        assert text(changed, "etc/securetty") == SECURETTY + "ttyS0\n"
        assert b"sbin/autologin-ttyS0" not in changed
        assert add(changed, autologin=autologin) == changed


def test_automatic_login_has_a_program_of_its_own() -> None:
    changed = add(make_tree(), autologin=True)
    line = "ttyS0::respawn:/sbin/getty -L -nl /sbin/autologin-ttyS0 115200 ttyS0 vt100"
    assert gettys(changed) == [TTY1, line]
    assert changed[b"sbin/autologin-ttyS0"].metadata.mode == 0o755
    assert "exec /sbin/getty -L 115200 ttyS0 vt100\n" in text(changed, "sbin/autologin-ttyS0")
    assert add(changed, autologin=True) == changed


@pytest.mark.parametrize(
    ("autologin", "options"),
    [(None, "-nl /sbin/autologin "), (True, "-nl /sbin/autologin-ttyS0 "), (False, "")],
)
def test_getty_that_is_there_is_changed_as_wanted(autologin: bool | None, options: str) -> None:
    # As in a remaster of Tiny Core 17.
    line = b"ttyS0::respawn:/sbin/getty -nl /sbin/autologin 9600 ttyS0\n"
    changed = add(make_tree(CORE + line), autologin=autologin)
    assert gettys(changed)[1:] == [f"ttyS0::respawn:/sbin/getty {options}115200 ttyS0"]


def test_image_without_securetty_gets_none() -> None:
    assert b"etc/securetty" not in add(make_tree(securetty=None))


def test_image_without_inittab_is_an_error() -> None:
    with pytest.raises(MissingPathError, match="so no program asks for a login on ttyS0"):
        add(Tree())


@pytest.mark.oracle
def test_shells_accept_the_program() -> None:
    script = add(make_tree(), autologin=True).read("sbin/autologin-ttyS0")
    run(require("busybox"), "ash", "-n", stdin=script)
