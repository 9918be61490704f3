"""Squashfs images: ours beside those of mksquashfs, of the same folders.

Run with ``python -m benchmarks.squashfs``, with squashfs-tools installed. With ``--quick``, ``max``
is left out, which takes minutes. The shared mirror is looked for where PUREKERNEL_SHARED says, by
default in ``../shared/mirror``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from attrs import evolve

from benchmarks.measure import CHECKOUT, Run, run, take_turns
from purekernel.formats.squashfs import parse_squashfs
from purekernel.host.unpack import unpack_tree
from purekernel.input import Input

EXTENSIONS = "tinycorelinux/4.x/x86/tcz"
SMALL_FILES = 20_000
BLOCKS = (4096, 131_072)
EFFORTS = ("fast", "balanced", "max")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=3, help="of each contestant but max [3]")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    arguments = parser.parse_args()
    if shutil.which("mksquashfs") is None:
        sys.exit("not installed: squashfs-tools")
    shared = Path(os.environ.get("PUREKERNEL_SHARED", "../shared/mirror")) / EXTENSIONS
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        _lay_down_extensions(shared, work / "extensions")
        _lay_down_small_files(work / "small")
        efforts = EFFORTS[:2] if arguments.quick else EFFORTS
        for title, folder in (
            ("The contents of 29 extensions", work / "extensions"),
            (f"{SMALL_FILES:,} small files", work / "small"),
        ):
            print(f"\n{title}\n")
            print(
                "| how | blocks | bytes | size, of its | seconds | CPU s | time, of its "
                "| MB beyond the tree |"
            )
            print("|---|---|---|---|---|---|---|---|")
            for block_bytes in BLOCKS:
                _compare(work, folder, block_bytes, efforts, arguments.runs)
        _read(work, shared, arguments.runs)


def _lay_down_extensions(shared: Path, folder: Path) -> None:
    for path in sorted(shared.glob("*.tcz")):
        tree = parse_squashfs(Input(path.read_bytes(), name=path.name))
        unpack_tree(tree, folder / path.stem)


def _lay_down_small_files(folder: Path) -> None:
    """Write files of some hundreds of bytes to a few KiB of words, in folders of a hundred."""
    chance = random.Random(1)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randrange(2, 9))) for _ in range(3000)]
    for number in range(SMALL_FILES):
        place = folder / f"{number // 100:03}" / f"file{number:05}.txt"
        if number % 100 == 0:
            place.parent.mkdir(parents=True)
        place.write_text(" ".join(chance.choices(words, k=chance.randrange(20, 600))))


def _compare(
    work: Path, folder: Path, block_bytes: int, efforts: tuple[str, ...], runs: int
) -> None:
    output = work / "image"
    told: dict[str, list[dict[str, float]]] = {}
    sizes: dict[str, int] = {}

    def theirs() -> Run:
        command = [
            "mksquashfs", str(folder), str(output), "-noappend", "-quiet", "-no-progress",
            "-processors", "2", "-b", str(block_bytes),
        ]  # fmt: skip
        done = run(command, cwd=CHECKOUT, log=work / "log")
        sizes["mksquashfs"] = output.stat().st_size
        return done

    def ours(effort: str) -> Run:
        command = [
            sys.executable, "-m", "benchmarks.squashing", "make", str(folder), str(block_bytes),
            effort, str(output),
        ]  # fmt: skip
        whole = run(command, cwd=CHECKOUT, log=work / "log")
        took = json.loads((work / "log").read_text())
        told.setdefault(effort, []).append(took)
        sizes[effort] = output.stat().st_size
        subprocess.run(["unsquashfs", "-l", output], check=True, stdout=subprocess.DEVNULL)
        # The function alone: reading the folder into memory is not what is measured.
        return evolve(whole, seconds=took["seconds"], cpu_seconds=took["cpu_seconds"])

    quick = [("mksquashfs", theirs)]
    quick += [(effort, partial(ours, effort)) for effort in efforts if effort != "max"]
    medians = take_turns(quick, runs=runs)
    if "max" in efforts:
        medians |= take_turns([("max", partial(ours, "max"))], runs=1)
    base = medians["mksquashfs"]
    for name, median in medians.items():
        beyond = max((took["beyond_bytes"] for took in told.get(name, [])), default=0)
        print(
            f"| {name} | {block_bytes} | {sizes[name]:,} "
            f"| {sizes[name] / sizes['mksquashfs']:.4f} | {median.seconds:.2f} "
            f"| {median.cpu_seconds:.2f} | {median.seconds / base.seconds:.2f} "
            f"| {f'{beyond / 1e6:.0f}' if beyond else '-'} |",
            flush=True,
        )


def _read(work: Path, shared: Path, runs: int) -> None:
    """Print how long listing and unpacking take."""
    listings = []
    for path in sorted(shared.glob("*.tcz")):
        took = _ask(work, "list", str(path))
        listings.append((took["seconds"], path.name))
    seconds, name = max(listings)
    print(
        f"\nListing an extension, the first of a process: at most {seconds * 1e3:.0f} ms ({name})"
    )
    for block_bytes in BLOCKS:
        command = [
            "mksquashfs", str(work / "extensions"), str(work / "image"), "-noappend", "-quiet",
            "-no-progress", "-b", str(block_bytes),
        ]  # fmt: skip
        run(command, cwd=CHECKOUT, log=work / "log")
        rates = []
        for number in range(runs):
            took = _ask(work, "unpack", str(work / "image"), str(work / f"u{block_bytes}{number}"))
            whole = took["read_seconds"] + took["write_seconds"]
            megabytes = took["tree_bytes"] / 1e6
            rates.append((megabytes / whole, megabytes / took["read_seconds"]))
        rate, reading = (statistics.median(column) for column in zip(*rates, strict=True))
        print(
            f"Unpacking an image of mksquashfs of {block_bytes} bytes a block: {rate:.0f} MB/s to "
            f"the disk, {reading:.0f} MB/s into memory"
        )


def _ask(work: Path, *words: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.squashing", *words]
    run(command, cwd=CHECKOUT, log=work / "log")
    told: dict[str, float] = json.loads((work / "log").read_text())
    return told


if __name__ == "__main__":
    main()
