"""Test that Core loads its kernel modules, whatever their compression and the effort."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fixtures.bundle import make_bundle
from purekernel import Emit, write_image
from purekernel.encode.encoders import Effort
from purekernel.formats.core_iso import parse_base
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.recipe.outputs import Modules
from purekernel.remaster.core import pack_core, recompress_nested
from purekernel.threads import running_executor
from purekernel.tree import File, Tree
from tests.boot.cores import put
from tests.boot.machine import boot
from tests.builds import Encoding, make_image
from tests.shared import core_iso

pytestmark = pytest.mark.boot

# Runs before anything else. Prints everything between the two marks.
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


GARP = b"lib/modules/3.0.3-tinycore/kernel/net/802/garp"

# The files of Core that FIRST needs, apart from folders, devices, links and settings.
NEEDED = (
    b"bin/busybox", b"lib/ld-2.13.so", b"lib/libc-2.13.so", b"lib/libcrypt-2.13.so",
    b"lib/libm-2.13.so", b"lib/modules/3.0.3-tinycore/modules.dep", GARP + b".ko.gz",
    b"lib/modules/3.0.3-tinycore/kernel/net/802/stp.ko.gz",
    b"lib/modules/3.0.3-tinycore/kernel/net/llc/llc.ko.gz",
)  # fmt: skip


def check(kernel: Path, core: Path, log: Path) -> None:
    """Boot, and check that the module and its dependencies are loaded."""
    heard = boot(
        "-kernel", kernel, "-initrd", core,
        "-append", "console=ttyS0 loglevel=3 rdinit=/opt/first.sh",
        log=log, until=b"=== end",
    )  # fmt: skip
    said = heard.decode("latin-1").replace("\r", "").partition("=== begin\n")[2].splitlines()
    assert "modprobe 0" in said
    assert [line for line in said if line.startswith("loaded ")] == [
        "loaded garp", "loaded llc", "loaded stp",
    ]  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("effort", "modules"),
    [
        (Effort.FAST, Modules.KEEP),
        (Effort.BALANCED, Modules.REDO),
        (Effort.BALANCED, Modules.RAW),
    ],
    ids=["fast and kept", "balanced and redone", "balanced and raw"],
)
def test_core_loads_recompressed_modules(effort: Effort, modules: Modules, tmp_path: Path) -> None:
    bundle, overlay, site = tmp_path / "bundle.tar.gz", tmp_path / "overlay.tar", Tree()
    put(site, b"opt/first.sh", FIRST, mode=0o755)
    overlay.write_bytes(build_tar(site))
    bundle.write_bytes(make_bundle(iso=core_iso().read_bytes(), pack=gzip.compress))
    encoding = Encoding(effort=effort, modules=modules)
    image = make_image(bundle, overlays=overlay, iso_version="1", encoding=encoding)
    assert (image.unpacked_modules_bytes > 4_000_000) is (modules is Modules.RAW)
    assert GARP + (b".ko" if modules is Modules.RAW else b".ko.gz") in image.root
    write_image(image, tmp_path, kinds=[Emit.CORE])
    check(tmp_path / "vmlinuz", tmp_path / "core.gz", tmp_path / "serial")


def cut_down(root: Tree) -> Tree:
    """Return Core without files that FIRST does not need: zopfli takes minutes to compress all."""
    small = root.copy()
    for path, node in root.walk():
        is_needed = path in NEEDED or path.startswith(b"etc/")
        if isinstance(node, File) and node.content and not is_needed:
            small.remove(path)
    return small


@pytest.mark.nightly
@pytest.mark.parametrize("what", ["what boots", "all of it"])
def test_core_loads_modules_at_max_effort(what: str, tmp_path: Path) -> None:
    base = parse_base(Input(core_iso().read_bytes(), name="Core-current.iso"))
    root = base.root.copy() if what == "all of it" else cut_down(base.root)
    put(root, b"opt/first.sh", FIRST, mode=0o755)
    with running_executor() as executor:
        packed = recompress_nested(root, effort=Effort.MAX, executor=executor)
        core = pack_core(packed, effort=Effort.MAX, executor=executor)
    before, after = root[GARP + b".ko.gz"], packed[GARP + b".ko.gz"]
    assert isinstance(before, File)
    assert isinstance(after, File)
    assert len(after.content) < len(before.content)
    (tmp_path / "core.gz").write_bytes(core.data)
    (tmp_path / "vmlinuz").write_bytes(base.kernel.content)
    check(tmp_path / "vmlinuz", tmp_path / "core.gz", tmp_path / "serial")
