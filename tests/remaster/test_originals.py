"""Compare with the original scripts: GNU tar and cpio, as root, on the same bundle.

The only differences allowed here are those listed in docs/differences.md.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
from pathlib import Path

import pytest
from attrs import evolve

from fixtures.bundle import make_bundle_tree, pack_bundle
from fixtures.scripts import Generation
from purekernel.encode.encoders import Effort
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.ld_cache import parse_ld_cache
from purekernel.input import Input
from purekernel.tree import Buffer, Directory, File, Metadata, Node, Symlink, Tree
from tests.builds import Encoding, make_image
from tests.oracles import require, run
from tests.shared import core_iso
from tests.workshop import Workshop

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0,
        reason="the originals need root",
    ),
]

VERSION = "0.9.0.1"

# Compare the content of the image, but not its compression.
PLAIN = Encoding(effort=Effort.FAST)
USER, GROUP = 1234, 1234
# The user who builds the bundle, and the user who packed the original ssh files.
CARELESS = ((USER, GROUP), (1000, 1000))

# The part of build_initial_directories.sh and rebuild_iso.sh that makes the root file system. It
# runs depmod and ldconfig of the build host, so the cache has the host's format.
ORIGINALS = r"""
set -e
umask 022
tar xzf bundle.tar.gz
xorriso -osirrox on -indev Core-current.iso -extract /boot original/boot 2>/dev/null
mkdir extract tmp
cd extract
zcat ../original/boot/core.gz | cpio -i -H newc -d --quiet
cd ../tmp
cp -rp ../extract/* .
for file in mk-open-vm-tools razor-microkernel-overlay mcollective-setup-files ssh-setup-files; do
  if [ -r ../dependencies/$file.tar.gz ]; then tar zxf ../dependencies/$file.tar.gz; fi
done
printf -- '---\nmk_version: {version}\n' > tmp/mk-version.yaml
for release in $(ls ../extract/lib/modules); do
  rm -f lib/modules/$release/kernel.tclocal
  ln -s ../../../usr/local/lib/modules/$release/kernel lib/modules/$release/kernel.tclocal
  busybox depmod -a -b "$PWD" $release
done
ldconfig -r "$PWD" -c compat 2>/dev/null
find . -print0 | cpio -o -0 -H newc --quiet
"""


def overlay() -> Tree:
    """Return an overlay with a build user's owners that exercises every rule of the merge."""
    tree = Tree()
    careless = {"uid": USER, "gid": GROUP, "mtime": 1_380_000_000}
    for folder in (
        b"etc", b"opt", b"tmp", b"home", b"home/tc", b"usr", b"usr/local", b"usr/local/bin",
        b"usr/local/new", b"usr/local/shared", b"usr/local/named-later",
        b"usr/local/tce.installed", b"usr/local/tce.installed/deep",
    ):  # fmt: skip
        tree.add(folder, Directory(metadata=Metadata(mode=0o750, **careless)))
    for path, mode, content in (
        (b"etc/shadow", 0o644, b"root:*:::\n"),
        (b"etc/motd", 0o664, b"replaced\n"),
        (b"opt/bootsync.sh", 0o755, b"#!/bin/sh\n"),
        (b"home/tc/.profile", 0o600, b"x\n"),
        (b"usr/local/new/setuid", 0o4755, b"x\n"),
        (b"usr/local/new/n\xe9ant", 0o644, b"x\n"),
        (b"usr/local/tce.installed/script", 0o644, b"#!/bin/sh\n"),
        (b"usr/local/tce.installed/deep/file", 0o644, b"x\n"),
        # A file where Core has a link: it replaces the link, and is not written through it.
        (b"etc/mtab", 0o644, b"none\n"),
    ):
        tree.add(path, File(metadata=Metadata(mode=mode, **careless), content=content))
    tree.link(b"usr/local/new/linked", b"usr/local/new/setuid")
    link = Metadata(mode=0o777, **careless)
    tree.add(b"usr/local/bin/away", Symlink(metadata=link, target=b"../../../../etc/passwd"))
    return tree


def early_overlay() -> bytes:
    """Return a tarball that shares a folder with the next overlay, and has implied folders."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind, mode in (
            ("usr/local/shared", tarfile.DIRTYPE, 0o700),
            ("usr/local/implied/deep/file", tarfile.REGTYPE, 0o644),
            ("usr/local/named-later/file", tarfile.REGTYPE, 0o644),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime = kind, mode, 1_390_000_000
            member.uid, member.gid = USER, GROUP
            tar.addfile(member)
    return stream.getvalue()


def difference(path: bytes, ours: Node | None, theirs: Node | None, base: Tree) -> str:
    """Return the name of the documented difference between two nodes, or ``""``."""
    if ours is None or theirs is None:
        return "names with a dot" if path.startswith(b".") and theirs is None else ""
    if isinstance(ours, Directory) and path in base:
        return "folders of the base" if ours == base[path] else ""
    mine, others = ours.metadata, theirs.metadata
    reasons = []
    if mine.mode != others.mode:
        reasons.append("shadow" if path == b"etc/shadow" else "start scripts")
        if not path.startswith((b"etc/shadow", b"usr/local/tce.installed/")):
            return ""
    if (mine.uid, mine.gid) != (others.uid, others.gid):
        reasons.append("owners")
        if (others.uid, others.gid) not in CARELESS or (mine.uid, mine.gid) != owner_of(path):
            return ""
    if mine.mtime != others.mtime:
        reasons.append("times")
    # Content, link target and device numbers must be equal.
    return reasons[0] if reasons and evolve(ours, metadata=others) == theirs else ""


def index_difference(path: bytes, ours: Node | None, theirs: Node | None) -> str:
    """Return the name of the difference between two files of depmod or ldconfig."""
    if path.startswith(b"var/cache/ldconfig"):
        return "aux-cache" if ours is None else ""
    if path != b"etc/ld.so.cache" and not re.match(rb"lib/modules/[^/]+/modules\.", path):
        return ""
    if not isinstance(ours, File) or not isinstance(theirs, File):
        return ""
    return "indexes" if says_the_same(path, ours.content, theirs.content) else ""


def says_the_same(path: bytes, ours: Buffer, theirs: Buffer) -> bool:
    """Compare indexes without their order, which depends on the file system."""
    if path == b"etc/ld.so.cache":
        mine, others = (parse_ld_cache(Input(data, name="x")).entries for data in (ours, theirs))
        # Core's ldconfig records the required kernel; today's does not.
        return [evolve(entry, os_version=0) for entry in mine] == list(others)
    lines = [
        # Core's busybox names modules by file name; today's uses the kernel's module names.
        sorted(sorted(line.split()) for line in bytes(data).replace(b"-", b"_").splitlines())
        for data in (ours, theirs)
    ]
    return lines[0] == lines[1] and len(lines[0]) > 1


def owner_of(path: bytes) -> tuple[int, int]:
    """Return the owner that docs/differences.md specifies for entries of an overlay."""
    folder = path.rpartition(b"/")[0]
    is_script = folder == b"usr/local/tce.installed" and path.endswith(b"script")
    return (1001, 50) if is_script or path.startswith(b"home/tc") else (0, 0)


def base_of(folder: Path) -> Tree:
    """Return the root file system that the original scripts unpacked in ``folder``."""
    return parse_cpio(
        Input(run("bash", "-c", "zcat original/boot/core.gz", cwd=folder), name="base")
    )


def explained(ours: Tree, theirs: Tree, base: Tree) -> dict[str, list[bytes]]:
    """Return the paths that differ, grouped by the documented difference that explains each."""
    found: dict[str, list[bytes]] = {}
    for path in sorted({path for tree in (ours, theirs) for path, _node in tree.walk()}):
        mine, others = ours.get(path), theirs.get(path)
        if mine == others:
            continue
        why = index_difference(path, mine, others) or difference(path, mine, others, base)
        assert why, f"{path!r}: ours {mine}, theirs {others}"
        found.setdefault(why, []).append(path)
    return found


@pytest.mark.parametrize("generation", ["2012", "2013"])
def test_tree_differs_from_the_originals_only_as_documented(
    generation: str, tmp_path: Path
) -> None:
    for program in ("tar", "cpio", "xorriso", "bash", "busybox", "ldconfig"):
        require(program)
    tree = make_bundle_tree(
        generation=generation,
        iso=core_iso().read_bytes(),
        overlay_extra=overlay(),
        owner=(USER, GROUP),
        pack=gzip.compress,
    )
    first = b"dependencies/mk-open-vm-tools.tar.gz"
    tree.replace(first, evolve(tree[first], content=gzip.compress(early_overlay())))
    (tmp_path / "bundle.tar.gz").write_bytes(pack_bundle(tree, pack=gzip.compress))
    script = ORIGINALS.replace("{version}", VERSION)
    theirs = parse_cpio(Input(run("bash", "-c", script, cwd=tmp_path), name="theirs"))
    # Use root's usual umask; the originals used the current one.
    image = make_image(tmp_path / "bundle.tar.gz", iso_version=VERSION, encoding=PLAIN)
    ours = parse_cpio(Input(gzip.decompress(image.core), name="ours"))
    assert ours == image.root

    base = base_of(tmp_path)
    found = explained(ours, theirs, base)

    assert found["indexes"]
    # Faults of the originals that purekernel does not reproduce.
    assert theirs[b"tmp"].metadata.mode == 0o755
    assert ours[b"tmp"] == base[b"tmp"]
    assert ours[b"opt"] == base[b"opt"]
    assert theirs[b"etc/shadow"].metadata.mode == 0o644
    assert ours[b"etc/shadow"].metadata.mode == 0o640
    assert found["shadow"] == [b"etc/shadow"]
    assert found["start scripts"] == [b"usr/local/tce.installed/script"]
    for path, node in ours.walk():
        if path in base and isinstance(base[path], Directory):
            assert node == base[path]
        if path not in base:
            assert node.metadata.uid in (0, 1001)
    # The originals' cpio set files of the base to the build time; purekernel keeps their times.
    for path in found["times"]:
        if path in base and path.rpartition(b"/")[2] != b"kernel.tclocal":
            assert ours[path].metadata.mtime == base[path].metadata.mtime
        else:
            made = path in (b"tmp/mk-version.yaml", b"usr/local/implied", b"usr/local/implied/deep")
            assert made or path.endswith(b"/kernel.tclocal")
    assert ours[b"usr/local/shared"].metadata.mode == 0o750
    assert ours[b"usr/local/named-later"].metadata.mode == 0o750
    assert ours[b"usr/local/implied/deep"].metadata.mtime == image.timestamp
    assert b"usr/local/new/n\xe9ant" in ours
    assert [b"usr/local/new/linked", b"usr/local/new/setuid"] in ours.hard_links().values()
    assert isinstance(ours[b"etc/mtab"], File)


@pytest.mark.parametrize("flavour", ["dev", "prod", "debug"])
@pytest.mark.parametrize("generation", ["2012", "2013"])
def test_originals_build_from_our_bundles(
    generation: Generation, flavour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("tar", "cpio", "xorriso", "bash", "busybox", "ldconfig"):
        require(program)
    workshop = Workshop(tmp_path / "workshop", monkeypatch, generation=generation)
    gathered = workshop.bundle(*([] if flavour == "dev" else [f"-{flavour[0]}"]), flavour=flavour)
    bundle = workshop.out / f"razor-microkernel-bundle-{flavour}.tar.gz"
    (tmp_path / "bundle.tar.gz").write_bytes(bundle.read_bytes())
    script = ORIGINALS.replace("{version}", VERSION)
    theirs = parse_cpio(Input(run("bash", "-c", script, cwd=tmp_path), name="theirs"))
    ours = make_image(bundle, iso_version=VERSION, encoding=PLAIN).root

    found = explained(ours, theirs, base_of(tmp_path))
    # In our bundles, root owns all files, and private files are readable by root only.
    assert "shadow" not in found
    assert "owners" not in found
    # Users run these by name, in the folder of the unpacked bundle.
    for name in ("build_initial_directories.sh", "rebuild_iso.sh"):
        script_of_theirs = gathered[name.encode()]
        assert isinstance(script_of_theirs, File)
        assert os.access(tmp_path / name, os.X_OK)
