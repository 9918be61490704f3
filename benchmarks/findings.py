"""Checking extensions beside unpacking them and showing each program with readelf.

Run with ``python -m benchmarks.findings``, with squashfs-tools and binutils installed. The shared
mirror is looked for where PUREKERNEL_SHARED says, by default in ``../shared/mirror``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.measure import CHECKOUT, run, take_turns
from purekernel.analysis.check import check_image
from purekernel.analysis.system import Subject
from purekernel.formats.core_iso import Base, parse_base
from purekernel.input import Input
from purekernel.tree import Metadata, put_file

# Unpack, and show what a user would compare by hand.
PEER = """\
set -e
mkdir unpacked
for extension; do
    unsquashfs -n -q -d "unpacked/$(basename "$extension")" "$extension" >/dev/null
done
find unpacked -type f -perm /111 -exec readelf -W -h -d -V {} + >shown 2>/dev/null || true
rm -rf unpacked
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=7, help="of each contestant [7]")
    runs = parser.parse_args().runs
    shared = Path(os.environ.get("PUREKERNEL_SHARED", CHECKOUT.parent / "shared" / "mirror"))
    top = shared / "tinycorelinux" / "4.x" / "x86"
    files = sorted((top / "tcz").glob("*.tcz"))
    if not files:
        sys.exit(f"no extensions in {top}")
    iso = top / "release" / "Core-current.iso"
    base = parse_base(Input(iso.read_bytes(), name=iso.name))
    print("| what | extensions | MB | findings | CPU s | unsquashfs and readelf, CPU s |")
    print("|---|---|---|---|---|---|")
    chosen = [[file for file in files if file.stem == "htop"], files[:10], files]
    for extensions in chosen:
        seconds, found = measure(base, extensions, runs=runs)
        size = sum(file.stat().st_size for file in extensions) / 1e6
        what = extensions[0].name if len(extensions) == 1 else f"{len(extensions)} extensions"
        peer = measure_peer(extensions, runs=runs)
        print(f"| {what} | {len(extensions)} | {size:.1f} | {found} | {seconds:.3f} | {peer:.2f} |")


def measure(base: Base, extensions: Sequence[Path], *, runs: int) -> tuple[float, int]:
    """Return the median of the CPU time of the checks in a build, and the number of findings."""
    root = base.root.copy()
    metadata = Metadata(mode=0o644)
    for file in extensions:
        path = f"tmp/builtin/optional/{file.name}".encode()
        put_file(root, path, file.read_bytes(), metadata=metadata)
    listed = "".join(f"{file.name}\n" for file in extensions).encode()
    put_file(root, b"tmp/builtin/onboot.lst", listed, metadata=metadata)
    subject = Subject(
        root=root, stock_root=base.root, kernel=Input(base.kernel.content, name="vmlinuz")
    )
    seconds, findings = [], 0
    for _run in range(runs):
        start = time.process_time()
        findings = len(check_image(subject))
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), findings


def measure_peer(extensions: Sequence[Path], *, runs: int) -> float:
    """Return the median of the CPU time of unpacking and showing the same extensions."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        command = ["sh", "-c", PEER, "sh", *map(str, extensions)]
        task = partial(run, command, cwd=work, log=work / "log")
        return take_turns([("peer", task)], runs=runs)["peer"].cpu_seconds


if __name__ == "__main__":
    main()
