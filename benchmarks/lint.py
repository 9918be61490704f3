"""Checking whole images beside unpacking them and searching them with find and modinfo.

Run with ``python -m benchmarks.lint``, with genisoimage, cpio, gzip, findutils and kmod installed.
The shared mirror is looked for where PUREKERNEL_SHARED says, by default in ``../shared/mirror``.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import CHECKOUT, run, take_turns
from fixtures.compress import gzip
from purekernel.formats.core_iso import parse_base
from purekernel.formats.cpio import build_cpio
from purekernel.input import Input
from purekernel.tree import Metadata, put_file

LARGE_BYTES = 36_000_000

# What a user would do by hand: a part of what we check, and without a verdict.
PEER = """\
set -e
mkdir root modules
if [ "${1%.iso}" = "$1" ]; then cat "$1" >core; else
    isoinfo -R -i "$1" -x /boot/core.gz >core
fi
(cd root && gzip -dc ../core | cpio -idmu --quiet --no-absolute-filenames 2>/dev/null || true)
find root -xtype l >links
find root -type f -perm -4000 >setuid
find root -not -type l -perm -2 >writable
find root -type f -perm /111 -exec head -c 2 -q {} + >scripts
find root -name '*.ko*' -exec modinfo -F firmware {} + | sort -u >firmware
rm -rf root modules core
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=7, help="of each contestant [7]")
    runs = parser.parse_args().runs
    shared = Path(os.environ.get("PUREKERNEL_SHARED", CHECKOUT.parent / "shared" / "mirror"))
    top = shared / "tinycorelinux" / "4.x" / "x86"
    iso = top / "release" / "Core-current.iso"
    if not iso.is_file():
        sys.exit(f"no Core in {top}")
    print("| what | MB | purekernel, s | CPU s | by hand, s | CPU s |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        large = work / "large.gz"
        large.write_bytes(make_large(iso, sorted((top / "tcz").glob("*.tcz"))))
        for what, image in (("Core 4.4", iso), ("core with 29 extensions", large)):
            measure(what, image, work, runs=runs)


def make_large(iso: Path, extensions: list[Path]) -> bytes:
    """Return a core that loads all extensions at boot, and has random data up to 36 MB."""
    root = parse_base(Input(iso.read_bytes(), name=iso.name)).root.copy()
    metadata = Metadata(mode=0o644)
    for file in extensions:
        path = f"tmp/builtin/optional/{file.name}".encode()
        put_file(root, path, file.read_bytes(), metadata=metadata)
    listed = "".join(f"{file.name}\n" for file in extensions).encode()
    put_file(root, b"tmp/builtin/onboot.lst", listed, metadata=metadata)
    rest = LARGE_BYTES - iso.stat().st_size - sum(file.stat().st_size for file in extensions)
    put_file(root, b"opt/data", random.Random(0).randbytes(rest), metadata=metadata)
    return gzip(build_cpio(root))


def measure(what: str, image: Path, work: Path, *, runs: int) -> None:
    """Print the row of an image."""
    log = work / "log"
    ours = [sys.executable, "-m", "purekernel", "lint", str(image)]
    peer = ["sh", "-c", PEER, "sh", str(image)]
    found = take_turns(
        [("ours", partial(run, ours, cwd=work, log=log)),
         ("peer", partial(run, peer, cwd=work, log=log))],
        runs=runs,
    )  # fmt: skip
    us, them = found["ours"], found["peer"]
    size = image.stat().st_size / 1e6
    print(
        f"| {what} | {size:.1f} | {us.seconds:.2f} | {us.cpu_seconds:.2f} | "
        f"{them.seconds:.2f} | {them.cpu_seconds:.2f} |"
    )


if __name__ == "__main__":
    main()
