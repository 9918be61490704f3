"""Core loads its kernel modules however they are packed, at every effort."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fixtures.bundle import make_bundle
from purekernel import Emit, make_image, write_image
from purekernel.build.encoding import Encoding, Modules
from purekernel.deflate.efforts import Effort
from purekernel.formats.tar import build_tar
from purekernel.tree import Tree
from tests.boot.cores import put
from tests.boot.machine import boot
from tests.shared import core_iso

pytestmark = pytest.mark.boot

# Runs before anything else. Everything it says stands between the two marks.
FIRST = b"""#!/bin/sh
mount -t proc proc /proc
exec >/dev/ttyS0 2>&1
echo "=== begin"
modprobe garp
echo "modprobe $?"
cut -d' ' -f1 /proc/modules | sort | sed 's/^/loaded /'
echo "=== end"
poweroff -f
"""


@pytest.mark.parametrize(
    ("effort", "modules"),
    [
        (Effort.FAST, Modules.KEEP),
        (Effort.BALANCED, Modules.REDO),
        (Effort.BALANCED, Modules.RAW),
    ],
    ids=["fast and kept", "balanced and redone", "balanced and raw"],
)
def test_core_loads_them(effort: Effort, modules: Modules, tmp_path: Path) -> None:
    bundle, overlay, site = tmp_path / "bundle.tar.gz", tmp_path / "overlay.tar", Tree()
    put(site, b"opt/first.sh", FIRST, mode=0o755)
    overlay.write_bytes(build_tar(site))
    bundle.write_bytes(make_bundle(iso=core_iso().read_bytes(), pack=gzip.compress))
    encoding = Encoding(effort=effort, modules=modules)
    image = make_image(bundle, overlays=overlay, iso_version="1", encoding=encoding)
    assert (image.unpacked_modules_bytes > 4_000_000) is (modules is Modules.RAW)
    suffix = b".ko" if modules is Modules.RAW else b".ko.gz"
    assert b"lib/modules/3.0.3-tinycore/kernel/net/802/garp" + suffix in image.root
    write_image(image, tmp_path, emit=[Emit.CORE])
    heard = boot(
        "-kernel", tmp_path / "vmlinuz", "-initrd", tmp_path / "core.gz",
        "-append", "console=ttyS0 loglevel=3 rdinit=/opt/first.sh",
        log=tmp_path / "serial", until=b"=== end",
    )  # fmt: skip
    said = heard.decode("latin-1").replace("\r", "").partition("=== begin\n")[2].splitlines()
    assert "modprobe 0" in said
    assert [line for line in said if line.startswith("loaded ")] == [
        "loaded garp", "loaded llc", "loaded stp",
    ]  # fmt: skip
