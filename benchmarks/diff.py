"""Comparing two images, beside diffoscope.

Run with ``python -m benchmarks.diff``; with diffoscope-minimal, genisoimage (isoinfo), cpio and
squashfs-tools installed, diffoscope is measured, too. The shared mirror is looked for where
PUREKERNEL_SHARED says, by default in ``../shared/mirror``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import zlib
from functools import partial
from pathlib import Path

from attrs import evolve

from benchmarks.measure import CHECKOUT, run, take_turns
from purekernel.encode.libraries import load_deflate
from purekernel.formats.core_iso import Base, parse_base
from purekernel.formats.cpio import build_cpio
from purekernel.formats.gzip import build_gzip
from purekernel.formats.iso import VolumeFields, build_iso
from purekernel.input import Input
from purekernel.tree import File, Metadata, put_file

# A change in so many files: one in ten of a root file system, as an update makes.
EVERY = 10
PLAIN = Metadata(mode=0o644)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=5, help="of each contestant [5]")
    runs = parser.parse_args().runs
    shared = Path(os.environ.get("PUREKERNEL_SHARED", CHECKOUT.parent / "shared" / "mirror"))
    top = shared / "tinycorelinux" / "4.x" / "x86"
    iso = top / "release" / "Core-current.iso"
    extensions = sorted((top / "tcz").glob("*.tcz"))
    if not extensions:
        sys.exit(f"no extensions in {top}")
    base = parse_base(Input(iso.read_bytes(), name=iso.name))
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for file, is_new in (("old.iso", False), ("new.iso", True)):
            (work / file).write_bytes(make_image(base, extensions, is_new=is_new))
        # Both end with 1 if images differ.
        ours = [sys.executable, "-m", "purekernel", "diff", "old.iso", "new.iso"]
        commands = {"purekernel diff": ours, "purekernel diff --stat": [*ours, "--stat"]}
        if shutil.which("diffoscope"):
            commands["diffoscope --text"] = ["diffoscope", "--text", "shown", "old.iso", "new.iso"]
        tasks = [
            (
                what,
                partial(
                    run,
                    ["sh", "-c", '"$@"; [ $? = 1 ]', "sh", *command],
                    cwd=work,
                    log=work / "log",
                ),
            )
            for what, command in commands.items()
        ]
        medians = take_turns(tasks, runs=runs)
        megabytes = (work / "old.iso").stat().st_size / 1e6
    first = medians["purekernel diff"]
    print(f"two images of {megabytes:.1f} MB\n")
    print("| how | seconds | CPU s | peak MB | CPU time, ours/its |")
    print("|---|---|---|---|---|")
    for what, each in medians.items():
        print(
            f"| {what} | {each.seconds:.2f} | {each.cpu_seconds:.2f} | {each.peak_bytes / 1e6:.0f} "
            f"| {first.cpu_seconds / each.cpu_seconds:.3f} |"
        )


def make_image(base: Base, extensions: list[Path], *, is_new: bool) -> bytes:
    """Return a Core with all extensions on its disc; in the new one, files of the core changed."""
    root = base.root.copy()
    files = [
        (path, node)
        for path, node in base.root.walk()
        if isinstance(node, File) and not path.endswith(b".gz")
    ]
    for path, node in files[::EVERY] if is_new else ():
        root.replace(path, evolve(node, content=bytes(node.content) + b"\nnew\n"))
    disc = base.iso.copy()
    cpio = build_cpio(root)
    disc.replace(b"boot/core.gz", File(metadata=PLAIN, content=pack(cpio)))
    for number, extension in enumerate(extensions):
        name = f"cde/optional/{extension.name}".encode()
        content = extension.read_bytes()
        if is_new and number % EVERY == 0:
            content = extensions[number - 1].read_bytes()
        put_file(disc, name, content, metadata=PLAIN)
    return build_iso(disc, fields=VolumeFields(volume_id="BENCH"), boot=base.boot, timestamp=0)


def pack(content: bytes) -> bytes:
    """Return ``content`` as a gzip file."""
    stream = load_deflate().compress(content, 6)
    return build_gzip(stream, crc32=zlib.crc32(content), size_bytes=len(content))


if __name__ == "__main__":
    main()
