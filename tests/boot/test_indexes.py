"""Test that the booted Core finds libraries and modules of an overlay through the built indexes."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from fixtures.bundle import make_bundle
from fixtures.program import make_library
from purekernel import Image, write_image
from purekernel.formats.tar import build_tar
from purekernel.tree import File, Tree
from tests.boot.cores import core_root, put
from tests.boot.machine import boot
from tests.builds import make_image
from tests.shared import core_iso

pytestmark = pytest.mark.boot

KERNEL = b"lib/modules/3.0.3-tinycore/"
# Modules of Core that are not loaded at boot: one with dependencies, one without.
NEEDS_OTHERS = KERNEL + b"kernel/net/802/garp.ko.gz"
NEEDS_NONE = KERNEL + b"kernel/lib/ts_kmp.ko.gz"
LIKEWISE = KERNEL + b"kernel/lib/ts_bm.ko.gz"

# Runs before anything else, while all indexes are those of the build. Prints everything between two
# marks.
FIRST = b"""#!/bin/sh
mount -t proc proc /proc
exec >/dev/ttyS0 2>&1
echo "=== begin"
/sbin/ldconfig -p | grep libmine | sed 's/^/cached /'
LD_PRELOAD=libmine.so.1 /bin/busybox echo "loader happy"
LD_PRELOAD=libnobodys.so.1 /bin/busybox echo "loader unhappy"
for module in garp mine local; do
  modprobe $module
  echo "modprobe $module $?"
done
cut -d' ' -f1 /proc/modules | sed 's/^/loaded /'
echo "=== end"
umount /proc
exec /init
"""

# Runs as root after Core has started, and runs Core's own depmod.
BOOTSYNC = b"""#!/bin/sh
exec >/dev/ttyS0 2>&1
cd /lib/modules/*
rm modules.dep modules.alias modules.symbols
depmod -a
for name in dep alias symbols; do
  echo "sum $name $(sort modules.$name | md5sum)"
done
echo "=== up"
poweroff -f
"""


def make_overlay() -> Tree:
    """Make libraries in a folder that only the loader's cache lists, and modules in both."""
    core, overlay = core_root(), Tree()
    put(overlay, b"etc/ld.so.conf", b"/usr/local/lib\n/opt/mine/lib\n")
    library = make_library("libmine.so.1", needed=["libc.so.6"], functions={"mine": 42})
    put(overlay, b"opt/mine/lib/libmine.so.1.0", library, mode=0o755)
    put(overlay, b"opt/bootsync.sh", BOOTSYNC, mode=0o755)
    for path, source in (
        (KERNEL + b"kernel/lib/mine.ko.gz", NEEDS_NONE),
        (b"usr/local/" + KERNEL + b"kernel/lib/local.ko.gz", LIKEWISE),
    ):
        module = core[source]
        assert isinstance(module, File)
        put(overlay, path, bytes(module.content))
    assert NEEDS_OTHERS in core
    put(overlay, b"opt/first.sh", FIRST, mode=0o755)
    return overlay


def make(folder: Path) -> Image:
    bundle, overlay = folder / "bundle.tar.gz", folder / "overlay.tar"
    bundle.write_bytes(make_bundle(iso=core_iso().read_bytes(), pack=gzip.compress))
    overlay.write_bytes(build_tar(make_overlay()))
    return make_image(
        bundle,
        overlays=overlay,
        iso_version="1",
        boot_append="console=ttyS0 loglevel=3 nodhcp rdinit=/opt/first.sh",
        boot_timeout=1,
    )


@pytest.mark.nightly
def test_libraries_and_modules_of_an_overlay_are_found(tmp_path: Path) -> None:
    image = make(tmp_path)
    assert not image.notes
    (output,) = write_image(image, tmp_path)
    heard = boot("-cdrom", output.path, log=tmp_path / "serial", until=b"=== up")
    text = heard.decode("latin-1").replace("\r", "")
    said = text.partition("=== begin\n")[2].partition("=== end")[0].splitlines()

    assert "cached \tlibmine.so.1 (libc6) => /opt/mine/lib/libmine.so.1" in said
    assert "loader happy" in said
    # The loader reports a missing library.
    assert not any("libmine" in line and "cannot be preloaded" in line for line in said)
    assert any("libnobodys" in line and "cannot be preloaded" in line for line in said)
    assert [line for line in said if line.startswith("modprobe ")] == [
        "modprobe garp 0", "modprobe mine 0", "modprobe local 0",
    ]  # fmt: skip
    loaded = [line.partition(" ")[2] for line in said if line.startswith("loaded ")]
    assert sorted(loaded) == ["garp", "llc", "stp", "ts_bm", "ts_kmp"]

    # Core's own depmod writes the same lines, in the order of its file system.
    sums = {
        words[1]: words[2] for line in text.splitlines() if (words := line.split())[:1] == ["sum"]
    }
    assert sums == {name: sorted_digest(image, name) for name in ("dep", "alias", "symbols")}


def sorted_digest(image: Image, name: str) -> str:
    node = image.root[KERNEL + b"modules." + name.encode()]
    assert isinstance(node, File)
    lines = sorted(bytes(node.content).splitlines(keepends=True))
    assert len(lines) > 100
    return hashlib.md5(b"".join(lines)).hexdigest()
