"""Boot an image in QEMU and listen on its first serial line."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.oracles import require

# Software emulation on a busy machine; Core 4.4 comes up in some 20 s on an idle one.
PATIENCE_SECONDS = 240.0


def boot(*arguments: str | Path, log: Path, until: bytes, memory_mb: int = 256) -> bytes:
    """Start a machine with ``arguments`` and return what it says, up to ``until``.

    Fails with what was heard when the machine stops, or patience ends, before that.
    """
    command = [
        require("qemu-system-i386"),
        "-m", str(memory_mb),
        "-display", "none",
        "-monitor", "none",
        "-serial", f"file:{log}",
        "-no-reboot",
        *map(str, arguments),
    ]  # fmt: skip
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
