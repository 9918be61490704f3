"""List Core's ISO with its core.gz, and an extension, beside isoinfo, cpio and unsquashfs.

Run with ``python -m benchmarks.inspect``, with genisoimage, cpio and squashfs-tools.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.measure import Run, run, take_turns
from tests.shared import core_iso, extension

MEGABYTE = 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=5, help="of each contestant [5]")
    runs = parser.parse_args().runs
    iso, tcz = str(core_iso()), str(extension("bash"))
    core = f"isoinfo -i {iso} -R -x /boot/core.gz | zcat"
    ours = [sys.executable, "-m", "purekernel", "inspect"]
    pairs = {
        "Core's ISO with core.gz": (
            [*ours, iso],
            ["sh", "-ec", f"isoinfo -R -l -i {iso}; {core} | cpio -itv --quiet"],
            "isoinfo, zcat and cpio",
        ),
        "bash.tcz": ([*ours, tcz], ["unsquashfs", "-ll", tcz], "unsquashfs -ll"),
    }
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)

        def start(command: Sequence[str]) -> Run:
            return run(command, cwd=work, log=work / "log")

        print("| input | ours, s | CPU, s | peak, MB | theirs, s | CPU, s | ratio | with |")
        print("|---|---|---|---|---|---|---|---|")
        for label, (one, other, what) in pairs.items():
            contestants = [("ours", partial(start, one)), ("theirs", partial(start, other))]
            taken = take_turns(contestants, runs=runs)
            mine, native = taken["ours"], taken["theirs"]
            print(
                f"| {label} | {mine.seconds:.2f} | {mine.cpu_seconds:.2f} "
                f"| {mine.peak_bytes / MEGABYTE:.0f} | {native.seconds:.3f} "
                f"| {native.cpu_seconds:.3f} | {mine.seconds / native.seconds:.1f} | {what} |"
            )


if __name__ == "__main__":
    main()
