"""The cores that :mod:`benchmarks.compression` compresses.

    python -m benchmarks.cores FOLDER

Writes there Core 4.4's own, and that of a tree of 36 MB; each a second time with one file changed.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import CHECKOUT
from purekernel.encode.encoders import Effort
from purekernel.formats.cpio import build_cpio, parse_cpio
from purekernel.formats.iso import parse_iso
from purekernel.input import Input
from purekernel.recipe.outputs import Modules
from purekernel.tree import File, put_file
from tests.builds import Encoding, make_image

CORE_ISO = "tinycorelinux/4.x/x86/release/Core-current.iso"

PLAIN = Encoding(effort=Effort.FAST, modules=Modules.KEEP, nested=False)


def main() -> None:
    """Write them."""
    work = Path(sys.argv[1])
    _core(work)
    _fat_core(work)


def _core(work: Path) -> None:
    """Write Core's own core.gz."""
    iso = Path(os.environ.get("PUREKERNEL_SHARED", "../shared/mirror")) / CORE_ISO
    core = parse_iso(Input(iso.read_bytes(), name=iso.name)).tree[b"boot/core.gz"]
    assert isinstance(core, File)
    _write(work, "Core 4.4", bytes(core.content))


def _fat_core(work: Path) -> None:
    """Write the core of a bundle with 25 MB of extensions."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.bundle", work / "bundle.tar.gz"],
        cwd=CHECKOUT, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    image = make_image(work / "bundle.tar.gz", iso_version="1", encoding=PLAIN)
    tree = parse_cpio(Input(image.core, name="core.gz"))
    _write(work, "36 MB tree", gzip.compress(build_cpio(tree), mtime=0))


def _write(work: Path, title: str, core: bytes) -> None:
    """Write ``core``, and again with other words in one small file of it."""
    (work / f"{title}.gz").write_bytes(core)
    tree = parse_cpio(Input(core, name=title))
    path, node = next(
        (path, node)
        for path, node in tree.walk()
        if isinstance(node, File) and path.startswith(b"etc/") and 200 < len(node.content) < 4000
    )
    put_file(tree, path, bytes(node.content).swapcase(), metadata=node.metadata)
    changed = gzip.compress(build_cpio(tree), mtime=0)
    (work / f"{title} changed.gz").write_bytes(changed)


if __name__ == "__main__":
    main()
