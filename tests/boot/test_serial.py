"""Test the example of docs/serial.md: it adds a login on the serial port, which Core lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from purekernel.tree import File
from tests.boot.cores import core_root
from tests.boot.machine import talk
from tests.docs.pages import block, read_page, write_files
from tests.processes import environment
from tests.shared import mirror

pytestmark = pytest.mark.boot

PAGE = read_page("docs/serial.md")
PASSWORD = "choose your own"


def settings(inittab: str) -> list[str]:
    """Return the lines of an inittab that are neither empty nor comments."""
    return [line for line in inittab.splitlines() if line and not line.startswith("#")]


def core_file(path: bytes) -> str:
    file = core_root()[path]
    assert isinstance(file, File)
    return bytes(file.content).decode()


def test_page_describes_the_accounts_and_terminals_of_core() -> None:
    assert "ttyS0" not in core_file(b"etc/inittab")
    assert "ttyS0" not in settings(core_file(b"etc/securetty"))
    shadow = core_file(b"etc/shadow").splitlines()
    assert [line.split(":")[:2] for line in shadow if line.startswith(("root:", "tc:"))] == [
        ["root", "*"],
        ["tc", ""],
    ]


def test_tc_logs_in_on_the_serial_port_with_the_password_of_the_page(tmp_path: Path) -> None:
    assert write_files(PAGE, tmp_path) == ["purekernel.toml"]
    release = mirror() / "4.x" / "x86"
    subprocess.run(
        ["sh", "-e"],
        input=block(PAGE, "not run: a boot test builds it, boots it and logs in"),
        cwd=tmp_path,
        env=environment(
            PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin",
            PUREKERNEL_CACHE=str(tmp_path / "cache"),
            MK_BUNDLE_TCL_MIRROR_URI=str(release / "tcz"),
            MK_BUNDLE_TCL_ISO_URL=str(release / "release" / "Core-current.iso"),
        ),
        text=True,
        check=True,
    )
    with talk("-cdrom", tmp_path / "serial-core.iso", "-boot", "d") as machine:
        started = machine.expect(b"login: ")
        assert b"Booting" in started
        machine.send(b"tc")
        machine.expect(b"Password: ")
        machine.send(b"not this one")
        machine.expect(b"Login incorrect")
        machine.expect(b"login: ")
        machine.send(b"tc")
        machine.expect(b"Password: ")
        machine.send(PASSWORD.encode())
        machine.expect(b"$ ")
        # The echo of the command does not contain the numbers; its output does.
        machine.send(b'echo "user $(id -un) $(tty) sudo $(sudo id -u)"')
        machine.expect(b"user tc /dev/ttyS0 sudo 0")
