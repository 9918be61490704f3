"""Boot an image in QEMU; read its first serial port and write to it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.oracles import require

# Enough for software emulation on a busy machine; on an idle one, Core 4.4 boots in about 20 s.
PATIENCE_SECONDS = 300.0


# Debian's qemu-system-x86 provides both.
Processor = Literal["i386", "x86_64"]


def boot(*arguments: str | Path, log: Path, until: bytes, memory_mb: int = 256) -> bytes:
    """Start a machine with ``arguments`` and return its output, up to ``until``.

    Raises:
        AssertionError: the machine stops or the time runs out first; the message has the
            output.
    """
    return watch(_command(f"file:{log}", memory_mb, "i386", arguments), log=log, until=until)


def watch(command: Sequence[str], *, log: Path, until: bytes) -> bytes:
    """Run QEMU by ``command`` and return what it logs up to ``until``; then it is ended.

    Args:
        command: the program and its arguments. Without ``-serial``, the port is added.
        log: the file with the output of the serial port.
        until: what to wait for.

    Raises:
        AssertionError: the machine stops or the time runs out first; the message has the
            output.
    """
    if "-serial" not in command:
        command = [*command, "-serial", f"file:{log}"]
    log.write_bytes(b"")
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < deadline:
            stopped = machine.poll() is not None
            heard = log.read_bytes()
            if until in heard:
                return heard
            if stopped:
                break
            time.sleep(0.2)
    finally:
        machine.kill()
        words = machine.communicate()[1]
    heard = log.read_bytes().decode("latin-1")
    raise AssertionError(f"never heard {until!r}\nQEMU: {words!r}\nserial line:\n{heard[-4000:]}")


class Machine:
    """Hold a running machine, and the output of its serial port so far."""

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self._process = process
        self._line = line
        self.heard = b""
        self._read_to = 0

    def expect(self, *texts: bytes) -> bytes:
        """Return the output from here on, up to the end of the first of ``texts``.

        Raises:
            AssertionError: the machine stops or the time runs out first; the message has the
                output.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            said = self.heard[self._read_to :]
            ends = [said.find(text) + len(text) for text in texts if text in said]
            if ends:
                self._read_to += min(ends)
                return said[: min(ends)]
            self._line.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                more = self._line.recv(4096)
            except TimeoutError:
                more = b""
            if not more:
                raise AssertionError(
                    f"never heard {' or '.join(map(repr, texts))}\n"
                    f"QEMU: {'runs' if self._process.poll() is None else 'has stopped'}\n"
                    f"serial line:\n{self.heard[-4000:].decode('latin-1')}"
                )
            self.heard += more

    def send(self, line: bytes) -> None:
        """Send ``line`` and a line feed."""
        self._line.sendall(line + b"\n")


@contextmanager
def talk(
    *arguments: str | Path, memory_mb: int = 256, processor: Processor = "i386"
) -> Iterator[Machine]:
    """Start a machine with ``arguments``, and stop it at the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        chardev = f"socket,id=line,host=127.0.0.1,port={port}"
        options = ("-chardev", chardev, *arguments)
        command = _command("chardev:line", memory_mb, processor, options)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            with _accept(server, process) as line:
                yield Machine(process, line)
        finally:
            process.kill()
            process.communicate()


def _accept(server: socket.socket, process: subprocess.Popen[bytes]) -> socket.socket:
    """Wait for QEMU to connect to ``server``, and return the connection to its serial port."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    server.settimeout(0.5)
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return server.accept()[0]
        except TimeoutError:
            continue
    process.kill()
    raise AssertionError(f"QEMU never opened the serial line: {process.communicate()[1]!r}")


def _command(
    serial: str, memory_mb: int, processor: Processor, arguments: tuple[str | Path, ...]
) -> list[str]:
    return [
        require(f"qemu-system-{processor}"),
        "-m", str(memory_mb),
        "-display", "none",
        "-monitor", "none",
        "-serial", serial,
        "-no-reboot",
        *map(str, arguments),
    ]  # fmt: skip
