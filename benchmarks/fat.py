"""Write 40 MB of files into a FAT image, beside mkfs.fat and mcopy.

Run with ``python -m benchmarks.fat``, with dosfstools and mtools.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from purekernel.formats.fat import build_fat, replace_files_in_fat
from purekernel.input import Input
from purekernel.tree import File, Metadata, Tree

FILES = 300
TOTAL_BYTES = 40_000_000
CONFIG = b"folder 0/grub.cfg"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=5, help="of each contestant [5]")
    runs = parser.parse_args().runs
    tree = make_tree()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for path, node in tree.walk():
            target = work / "tree" / path.decode()
            if isinstance(node, File):
                target.write_bytes(node.content)
            else:
                target.mkdir()
        image = Input(build_fat(tree, timestamp=0).to_bytes(), name="image")

        def replace() -> None:
            with (work / "replaced").open("wb") as stream:
                replace_files_in_fat(image, {CONFIG: b"menu"}).write(stream)

        def build() -> None:
            with (work / "ours").open("wb") as stream:
                build_fat(tree, timestamp=0).write(stream)

        contestants: dict[str, Callable[[], None]] = {
            "purekernel": build,
            "mkfs.fat and mcopy": lambda: mtools(work),
            "purekernel, one file of the image replaced": replace,
        }
        taken: dict[str, list[float]] = {label: [] for label in contestants}
        for _run in range(runs):
            for label, contestant in contestants.items():
                start = time.perf_counter()
                contestant()
                taken[label].append(time.perf_counter() - start)
    print("| what | seconds |")
    print("|---|---|")
    for label, seconds in taken.items():
        print(f"| {label} | {statistics.median(seconds):.3f} |")
    print(f"\n{FILES} files of {TOTAL_BYTES} bytes in all; median of {runs}")


def make_tree() -> Tree:
    """Return files with long and short names in ten folders."""
    chance = random.Random(1)
    metadata = Metadata(mode=0o644, mtime=1_700_000_000)
    tree = Tree()
    for number in range(FILES):
        path = b"folder %d/a long file name %d.dat" % (number % 10, number)
        tree.add_parents(path, Metadata(mode=0o755, mtime=1_700_000_000))
        content = chance.randbytes(TOTAL_BYTES // FILES)
        tree.add(path, File(metadata=metadata, content=content))
    tree.add(CONFIG, File(metadata=metadata, content=b"menuentry x {}\n"))
    return tree


def mtools(work: Path) -> None:
    """Do the same with mkfs.fat and mcopy."""
    image = work / "theirs"
    image.unlink(missing_ok=True)
    folders = sorted((work / "tree").iterdir())
    subprocess.run(
        ["mkfs.fat", "-C", image, "44000"], check=True, stdout=subprocess.PIPE, text=True
    )
    subprocess.run(["mcopy", "-s", "-i", image, *folders, "::"], check=True)


if __name__ == "__main__":
    main()
