"""A Debian package made into an extension: ``deb2tcz`` beside the shell's way.

Run with ``python -m benchmarks.packages``, as root, with binutils, dpkg, squashfs-tools and
xz-utils installed. The package holds what the 29 extensions of the shared mirror and Core 4.4
itself hold; the mirror is looked for where PUREKERNEL_SHARED says, by default in
``../shared/mirror``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import CHECKOUT, Run, run, take_turns
from benchmarks.squashfs import EXTENSIONS
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.iso import parse_iso
from purekernel.formats.squashfs import parse_squashfs
from purekernel.host.unpack import unpack_tree
from purekernel.input import Input
from purekernel.tree import File

CORE_ISO = "tinycorelinux/4.x/x86/release/Core-current.iso"
PROGRAMS = ("ar", "dpkg-deb", "mksquashfs", "xz")
CONTROL = """\
Package: things
Version: 1
Architecture: i386
Maintainer: nobody
Description: what a package holds
"""

# What deb2tcz of Tiny Core and the last of the original scripts did, in folders of their own.
SHELL = """
set -e
rm -rf "$2"; mkdir -p "$2/root"; cd "$2"
ar x "$1"
tar -xf control.tar.xz
tar -C root -xf data.tar.xz
for name in doc man menu lintian; do rm -rf "root/usr/share/$name"; done
find root -depth -type d -empty -delete
mkdir -p root/usr/local/postinst root/usr/local/tce.installed
cp postinst root/usr/local/postinst/things
printf '#!/bin/sh\\n/usr/local/postinst/things configure 2>/dev/null\\n' \
  > root/usr/local/tce.installed/things
chown -R 1001:50 root/usr/local/tce.installed
chown 0:50 root/usr/local/tce.installed
chmod 775 root/usr/local/tce.installed root/usr/local/tce.installed/things
mksquashfs root "$3" -b 4096 -noappend -quiet -no-progress -processors 2
cd root
find . -not -type d > "$3.list"
md5sum "$3" > "$3.md5.txt"
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=3, help="of each contestant [3]")
    arguments = parser.parse_args()
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        sys.exit(f"not installed: {', '.join(missing)}")
    shared = Path(os.environ.get("PUREKERNEL_SHARED", "../shared/mirror"))
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        package = _build_package(shared, work)
        target = work / "things.tcz"
        sizes: dict[str, int] = {}

        def contestant(title: str, command: list[str]) -> Run:
            done = run(command, cwd=CHECKOUT, log=work / "log")
            sizes[title] = target.stat().st_size
            return done

        shell = ["bash", "-c", SHELL, "bash", str(package), str(work / "shell"), str(target)]
        contestants = [("shell", partial(contestant, "shell", shell))]
        for effort in ("fast", "balanced"):
            command = [
                sys.executable, "-m", "purekernel", "tool", "deb2tcz", "--force", "--jobs", "2",
                "--effort", effort, str(package), str(target),
            ]  # fmt: skip
            contestants.append((effort, partial(contestant, effort, command)))
        medians = take_turns(contestants, runs=arguments.runs)
        print(f"\nA package of {package.stat().st_size:,} bytes\n")
        print("| how | bytes | size, of its | seconds | CPU s | peak MB | time, of its |")
        print("|---|---|---|---|---|---|---|")
        base = medians["shell"]
        for title, median in medians.items():
            print(
                f"| {title} | {sizes[title]:,} | {sizes[title] / sizes['shell']:.4f} "
                f"| {median.seconds:.2f} | {median.cpu_seconds:.2f} "
                f"| {median.peak_bytes / 1e6:.0f} | {median.seconds / base.seconds:.2f} |"
            )


def _build_package(shared: Path, work: Path) -> Path:
    """Write a package, compressed as Debian compresses them."""
    root = work / "package"
    for path in sorted((shared / EXTENSIONS).glob("*.tcz")):
        tree = parse_squashfs(Input(path.read_bytes(), name=path.name))
        unpack_tree(tree, root / "usr" / "lib" / "things" / path.stem)
    iso = parse_iso(Input((shared / CORE_ISO).read_bytes(), name="the ISO"))
    core = iso.tree[b"boot/core.gz"]
    assert isinstance(core, File)
    unpack_tree(
        parse_cpio(Input(core.content, name="core.gz")), root / "usr" / "lib" / "things" / "core"
    )
    control = root / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(CONTROL)
    (control / "postinst").write_text("#!/bin/sh\nexit 0\n")
    (control / "postinst").chmod(0o755)
    package = work / "things_1_i386.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "-b", root, package],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return package


if __name__ == "__main__":
    main()
