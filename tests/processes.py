"""Run purekernel in a separate process, in the environment that a test needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Run a build as the user of the tests first, and then the command as an ordinary user. The ordinary
# user may have no permission to read the interpreter's modules, so the first build imports them.
UNPRIVILEGED = """
import contextlib, io, os, sys, tempfile
from purekernel.cli import main
with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stderr(io.StringIO()):
    sample = ["build", "--sample", "--cache-dir", scratch]
    assert main([*sample, "--quiet", "--output-dir", scratch]) == 0
    assert main(["build", "/no/such", "--quiet", "--output-dir", scratch]) == 1
if hasattr(os, "geteuid") and os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.environ["PATH"] = ""
sys.exit(main(sys.argv[1:]))
"""


# For scripts: a child process inherits the ignored signals of the test process.
DEFAULT_SIGNALS = (
    "import signal\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
    "getattr(signal, 'SIGHUP', None) and signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
)


def environment(**changes: str | None) -> dict[str, str]:
    """Return the environment of this process with ``changes``; ``None`` deletes a variable."""
    made = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, value in changes.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = value
    return made


def purekernel(
    *arguments: str | Path,
    cwd: Path,
    script: str | None = None,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run ``purekernel`` with ``arguments``, or ``script`` with them."""
    program = ["-c", script] if script is not None else ["-m", "purekernel"]
    return subprocess.run(
        [*prefix, sys.executable, *program, *map(str, arguments)],
        cwd=cwd,
        env=dict(env if env is not None else environment()),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
