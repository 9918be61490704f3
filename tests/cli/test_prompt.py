"""Test passwords typed at a terminal."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import environment
from tests.workshop import Workshop

if sys.platform != "win32":
    import pty

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals"),
]

RECIPE = """\
name = "asked"
[core]
iso = "mirror/4.x/x86/release/Core-current.iso"
"""


class Terminal:
    """Run ``purekernel`` in a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.heard = b""

    def wait_for(self, words: bytes) -> bytes:
        """Return the output up to and including ``words``."""
        end = time.monotonic() + 60
        while words not in self.heard:
            ready, _, _ = select.select([self._descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, self.heard
            piece = self._read()
            assert piece, self.heard
            self.heard += piece
        shown, found, self.heard = self.heard.partition(words)
        return shown + found

    def type(self, words: bytes) -> None:
        os.write(self._descriptor, words)

    def rest(self) -> bytes:
        """Return the output until the program ends."""
        while piece := self._read():
            self.heard += piece
        return self.heard

    def _read(self) -> bytes:
        """Return the next output, or empty bytes after the program has ended."""
        try:
            return os.read(self._descriptor, 4096)
        except OSError:  # Linux reports the end of output as an error
            return b""


@contextmanager
def purekernel(*arguments: str, cwd: Path) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "purekernel", *arguments],
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm", COLUMNS="80"),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(ours), process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path, monkeypatch)
    (made.top / "purekernel.toml").write_text(RECIPE)
    return made


BUILD = ("build", "--emit", "core", "-t", "-")


def test_password_is_read_twice_and_not_shown(workshop: Workshop) -> None:
    with purekernel(*BUILD, cwd=workshop.top) as (terminal, process):
        # The terminal shows only the prompt.
        assert terminal.wait_for(b"password of tc: ") == b"password of tc: "
        terminal.type(b"opensesame\r")
        assert terminal.wait_for(b"repeat the password: ").strip() == b"repeat the password:"
        terminal.type(b"opensesame\r")
        shown = terminal.rest()
        assert process.wait(60) == 0, shown
    assert b"opensesame" not in shown
    assert b"core.gz" in shown


def test_different_passwords_are_refused(workshop: Workshop) -> None:
    with purekernel(*BUILD, cwd=workshop.top) as (terminal, process):
        terminal.wait_for(b"password of tc: ")
        terminal.type(b"opensesame\r")
        terminal.wait_for(b"repeat the password: ")
        terminal.type(b"opensesam\r")
        shown = terminal.rest()
        assert process.wait(60) == 2, shown
    assert shown.split(b"\r\n")[1:] == [
        b"purekernel: the two passwords differ",
        b"  run again, and enter the same password twice",
        b"",
    ]
    assert not (workshop.top / "core.gz").exists()


def test_password_is_not_requested_after_another_error(workshop: Workshop) -> None:
    with purekernel(*BUILD, "-b", "gone.lst", cwd=workshop.top) as (terminal, process):
        shown = terminal.rest()
        assert process.wait(60) == 1
    assert b"password" not in shown
    assert b"gone.lst does not exist" in shown
