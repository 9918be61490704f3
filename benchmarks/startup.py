"""Measure start-up: ``purekernel --help``, and importing what a build needs.

An interpreter that does nothing is measured with them.

Run with ``python -m benchmarks.startup``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import run, take_turns


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=15, help="of each contestant [15]")
    runs = parser.parse_args().runs
    contestants = {
        "purekernel --help": [sys.executable, "-m", "purekernel", "--help"],
        "import of purekernel.build": [sys.executable, "-c", "import purekernel; purekernel.build"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        medians = take_turns(
            [
                (label, partial(run, command, cwd=work, log=work / "log"))
                for label, command in contestants.items()
            ],
            runs=runs,
        )
    ours, build, bare = medians.values()
    print("| what | milliseconds | peak MB |")
    print("|---|---|---|")
    for label, median in medians.items():
        print(f"| {label} | {median.seconds * 1000:.0f} | {median.peak_bytes / 1e6:.0f} |")
    print(
        f"\n{ours.seconds / bare.seconds:.1f} and {build.seconds / bare.seconds:.1f} times "
        f"a bare interpreter; median of {runs}"
    )


if __name__ == "__main__":
    main()
