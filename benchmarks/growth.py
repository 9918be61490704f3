"""How time and memory grow with the tree, up to 1 GB in 100,000 files.

Run with ``python -m benchmarks.growth``, with what ``benchmarks.cores`` needs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import CHECKOUT

FILES = (6_250, 12_500, 25_000, 50_000, 100_000)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--effort", default="balanced", help="[balanced]")
    arguments = parser.parse_args()
    print("| files | MB | packed MB | seconds | a GB | peak MB | of it beyond the tree | a GB |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([sys.executable, "-m", "benchmarks.cores", name], cwd=CHECKOUT, check=True)
        for files in FILES:
            done = subprocess.run(
                [
                    sys.executable, "-m", "benchmarks.growing", arguments.effort, str(files),
                    str(Path(name) / "Core 4.4.gz"),
                ],
                cwd=CHECKOUT, check=True, stdout=subprocess.PIPE,
            )  # fmt: skip
            seconds, size, _cpio, packed, before, peak = map(float, done.stdout.split())
            gigabytes = size / 1e9
            print(
                f"| {files:,} | {size / 1e6:.0f} | {packed / 1e6:.0f} | {seconds:.1f} "
                f"| {seconds / gigabytes:.1f} | {peak / 1e6:.0f} "
                f"| {(peak - before) / 1e6:.0f} | {(peak - before) / 1e6 / gigabytes:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
