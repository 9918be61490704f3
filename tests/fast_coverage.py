"""Run the fast tests and require that they execute at least 60 % of the lines of each module.

Run with ``python -m tests.fast_coverage``. More arguments are passed on to pytest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.processes import ROOT

MINIMUM_PERCENT = 60.0

# The number of modules to print, lowest percentage first.
SHOWN = 10


def measure(folder: Path, arguments: list[str]) -> dict[str, float]:
    """Run the tests with data in ``folder``; return the percentage of lines for each module.

    Lines that only child processes execute do not count.

    Raises:
        SystemExit: a test fails.
    """
    report = folder / "coverage.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-m", "fast", "-n", "2", "--dist", "loadfile",
            "--cov=purekernel", f"--cov-report=json:{report}", *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, "COVERAGE_FILE": str(folder / "coverage")},
        check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.returncode)
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    return {
        name: file["summary"]["percent_covered"]
        for name, file in files.items()
        if file["summary"]["num_statements"]
    }


def main() -> None:
    """Print the modules with the lowest percentages; fail if any is below the minimum."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), sys.argv[1:])
    modules = sorted(found.items(), key=lambda module: (module[1], module[0]))
    for name, percent in modules[:SHOWN]:
        sys.stdout.write(f"{percent:5.1f} %  {name}\n")
    below = [name for name, percent in modules if percent < MINIMUM_PERCENT]
    sys.stdout.write(
        f"{len(modules)} modules, the least {modules[0][1]:.1f} % executed by the fast tests; "
        f"{len(below)} below {MINIMUM_PERCENT:.0f} %\n"
    )
    if below:
        sys.exit(f"add fast tests for: {', '.join(below)}")


if __name__ == "__main__":
    main()
