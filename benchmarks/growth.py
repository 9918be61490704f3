"""How time and memory grow with the tree, up to 1 GB in 100,000 files, and with overlays.

Run with ``python -m benchmarks.growth``, with what ``benchmarks.cores`` needs. ``--quick`` has
up to 25,000 files, ``--overlays`` only the whole builds with a large overlay, and ``--gigabyte``
also those of 1 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cores import CORE_ISO
from benchmarks.measure import CHECKOUT, run

FILES = (6_250, 12_500, 25_000, 50_000, 100_000)


# The names of a large overlay, and the bytes of each file.
NAMES, SMALL_BYTES = 150_000, 60
# 1 GB, in files that are read when they are packed.
LARGE, LARGE_BYTES = 255, 4_000_000

RECIPE = """\
name = "large"
timestamp = 1700000000
[core]
iso = "{iso}"
[[overlay]]
path = "{overlay}"
"""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--effort", default="balanced", help="[balanced]")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--overlays", action="store_true", help="only builds with an overlay")
    parser.add_argument("--gigabyte", action="store_true", help="also overlays of 1 GB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if not arguments.overlays:
            _grow(Path(name), arguments.effort, FILES[:3] if arguments.quick else FILES)
        _build(Path(name), f"{NAMES:,} names", NAMES, SMALL_BYTES)
        if arguments.gigabyte:
            _build(Path(name), "1 GB", LARGE, LARGE_BYTES)


def _build(work: Path, title: str, names: int, size: int) -> None:
    """Print whole builds with one overlay, as a folder and as a tar archive, at ``fast``."""
    folder, archive = work / f"overlay{size}", work / f"overlay{size}.tar"
    make = [sys.executable, "-m", "benchmarks.overlaying", str(folder), str(names), str(size)]
    subprocess.run(make, cwd=CHECKOUT, check=True)
    subprocess.run(["tar", "-cf", archive, "-C", folder, "."], check=True)
    iso = Path(os.environ.get("PUREKERNEL_SHARED", "../shared/mirror")).absolute() / CORE_ISO
    content_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"\n| overlay of {title} | seconds | CPU s | peak MB | peak, of its contents |")
    print("|---|---|---|---|---|")
    for overlay in (folder, archive):
        recipe = work / "large.toml"
        recipe.write_text(RECIPE.format(iso=iso, overlay=overlay))
        cache = tempfile.mkdtemp(dir=work)
        done = run(
            [
                sys.executable, "-m", "purekernel", "build", "--recipe", str(recipe), "--quiet",
                "--effort", "fast", "--cache-dir", cache, "-o", cache,
            ],
            cwd=work, log=work / "log",
        )  # fmt: skip
        kind = "tar archive" if overlay == archive else "folder"
        # Beside many small files, what Python keeps for each name counts, not their contents.
        ratio = f"{done.peak_bytes / content_bytes:.2f}" if content_bytes > 1e8 else "-"
        print(
            f"| {kind} | {done.seconds:.1f} | {done.cpu_seconds:.1f} "
            f"| {done.peak_bytes / 1e6:.0f} | {ratio} |",
            flush=True,
        )


def _grow(work: Path, effort: str, counts: Sequence[int]) -> None:
    """Print how packing a made-up tree grows."""
    print("| files | MB | packed MB | seconds | a GB | peak MB | of it beyond the tree | a GB |")
    print("|---|---|---|---|---|---|---|---|")
    subprocess.run([sys.executable, "-m", "benchmarks.cores", work], cwd=CHECKOUT, check=True)
    for files in counts:
        done = subprocess.run(
            [
                sys.executable, "-m", "benchmarks.growing", effort, str(files),
                str(work / "Core 4.4.gz"),
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
