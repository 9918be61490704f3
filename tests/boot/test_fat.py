"""Test that Linux mounts the FAT file systems written by purekernel."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from purekernel.formats.cpio import build_cpio
from purekernel.formats.fat import FatImage, FatOptions, build_fat, replace_files_in_fat
from purekernel.formats.fat.sizing import geometry_for_clusters
from purekernel.input import Input
from purekernel.tree import File, Metadata, Tree
from tests import debian
from tests.boot.cores import core_root, put
from tests.boot.machine import boot
from tests.boot.test_squashfs import said_in
from tests.formats.fat.test_checkers import TIME, many_names

pytestmark = [pytest.mark.boot, pytest.mark.nightly]

FIRST = b"""#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
echo "=== begin"
for module in $(cat /modules); do insmod $module; done
mkdir -p /mnt
for image in /images/*; do
  name=${image##*/}
  mkdir /mnt/$name
  mount -t vfat -o loop,ro,utf8=1,tz=UTC $image /mnt/$name && echo "$name mounted"
  cd /mnt/$name
  # Emulated serial lines are slow, so one digest stands for all names and contents.
  (find . -type f -exec md5sum {} +; find . -type d) | sort | md5sum | sed "s/^/$name sum /"
  echo "$name time $(date -r first.txt +%s)"
  cd /
  umount /mnt/$name
done
dmesg | grep -i fat-fs | sed "s/^/dmesg /"
echo "=== end"
poweroff -f
"""

MODULES = (
    "fs/nls/nls_cp437",
    "fs/nls/nls_ascii",
    "fs/fat/fat",
    "fs/fat/vfat",
    "drivers/block/loop",
)

# One for each limit of the types, by the number of clusters.
COUNTS = ((12, 4084), (16, 4085), (16, 65524), (32, 65525))


def images() -> dict[str, tuple[FatImage, Tree]]:
    """Return file systems with what they hold, by name."""
    tree = many_names(200)
    metadata = Metadata(mode=0o644, mtime=TIME)
    tree.add(b"first.txt", File(metadata=metadata, content=b"first"))
    tree.add("😀 outside the BMP".encode(), File(metadata=metadata, content=b"smile"))
    found: dict[str, tuple[FatImage, Tree]] = {}
    for bits, clusters in COUNTS:
        size = geometry_for_clusters(clusters, bits, 512, root_entries=512).size_bytes
        options = FatOptions(cluster_bytes=512)
        image = build_fat(tree, timestamp=TIME, size_bytes=size, options=options)
        found[f"of{clusters}"] = image, tree
    smallest = build_fat(tree, timestamp=TIME)
    content = bytes(range(250)) * 20_000
    grown = replace_files_in_fat(Input(smallest.to_bytes(), name="x"), {b"first.txt": content})
    changed = tree.copy()
    changed.replace(b"first.txt", File(metadata=metadata, content=content))
    found["grown"] = grown, changed
    return found


def test_linux_finds_the_same_names_contents_and_times(tmp_path: Path) -> None:
    kernel, release = debian.kernel("i386")
    root = core_root()
    made = images()
    for name, (image, _tree) in made.items():
        put(root, b"images/" + name.encode(), image.to_bytes())
    paths = [f"lib/modules/{release}/kernel/{module}.ko" for module in MODULES]
    for path in paths:
        put(root, path.encode(), (kernel / path).read_bytes())
    put(root, b"modules", "".join(f"/{path}\n" for path in paths).encode())
    put(root, b"opt/first.sh", FIRST, mode=0o755)
    (tmp_path / "core").write_bytes(build_cpio(root))
    heard = boot(
        "-kernel", kernel / "boot" / f"vmlinuz-{release}", "-initrd", tmp_path / "core",
        "-append", "console=ttyS0 loglevel=3 no_timer_check rdinit=/opt/first.sh",
        log=tmp_path / "serial", until=b"=== end", memory_mb=512,
    )  # fmt: skip
    said = [line.encode("latin-1").decode() for line in said_in(heard)]
    assert not [line for line in said if line.startswith("dmesg ")]
    for name, (_image, tree) in made.items():
        assert f"{name} mounted" in said
        assert f"{name} time {TIME}" in said
        assert f"{name} sum {listing(tree)}  -" in said


def listing(tree: Tree) -> str:
    """Return the digest that the script prints of a tree."""
    lines = []
    for path, node in tree.walk():
        shown = b"./" + path if path else b"."
        if isinstance(node, File):
            digest = hashlib.md5(node.content, usedforsecurity=False).hexdigest()
            shown = digest.encode() + b"  " + shown
        lines.append(shown + b"\n")
    return hashlib.md5(b"".join(sorted(lines)), usedforsecurity=False).hexdigest()
