"""Run commands in turn and take the operating system's own account of each."""

from __future__ import annotations

import atexit
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from purekernel.records import frozen

CHECKOUT = Path(__file__).parents[1]


@frozen(kw_only=True)
class Run:
    """One finished process with all its children.

    Attributes:
        seconds: from start to end.
        cpu_seconds: of user and system, children included.
        peak_bytes: the largest resident set of any one process among them.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@frozen(kw_only=True)
class Median:
    """The median of several runs, figure by figure."""

    seconds: float
    cpu_seconds: float
    peak_bytes: float


def run(command: Sequence[str], *, cwd: Path, log: Path) -> Run:
    """Run ``command`` once.

    Raises:
        SystemExit: it fails; what it said is shown.
    """
    start = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
        _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()}")
    # Linux counts ru_maxrss in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * unit,
    )


@cache
def _environment() -> dict[str, str]:
    """Return one in which our modules are compiled already, as pip leaves them."""
    compiled = tempfile.mkdtemp(prefix="purekernel-benchmark-")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    made = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONPYCACHEPREFIX": compiled}
    made.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "compileall", "-q", str(CHECKOUT / "purekernel")]
    subprocess.run(command, env=made, check=True)
    return made


def take_turns(
    contestants: Sequence[tuple[str, Callable[[], Run]]], *, runs: int
) -> dict[str, Median]:
    """Run each contestant ``runs`` times, in turn so that a drifting machine is fair."""
    taken: dict[str, list[Run]] = {name: [] for name, _contestant in contestants}
    for _ in range(runs):
        for name, contestant in contestants:
            taken[name].append(contestant())
    return {
        name: Median(
            seconds=statistics.median(one.seconds for one in done),
            cpu_seconds=statistics.median(one.cpu_seconds for one in done),
            peak_bytes=statistics.median(one.peak_bytes for one in done),
        )
        for name, done in taken.items()
    }
