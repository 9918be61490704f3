"""Test that an image boots from each medium to an init that prints a line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from attrs import evolve

from fixtures.bundle import make_bundle
from fixtures.core import make_core_tree
from fixtures.program import make_executable
from purekernel import Emit, write_image
from purekernel.formats.cpio import build_cpio
from purekernel.formats.iso import build_iso, parse_iso
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.recipe.request import Request
from purekernel.tree import File, Tree, newest_time
from tests.boot.cores import put
from tests.boot.machine import boot
from tests.boot.media import from_cd, from_disk, from_ipxe, from_pxelinux
from tests.builds import make_image
from tests.shared import core_iso

pytestmark = pytest.mark.boot

LINE = "the program of the overlay runs"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an ISO and a PXE folder with Core's kernel and isolinux and a minimal root."""
    folder = tmp_path_factory.mktemp("media")
    base = parse_iso(Input(core_iso().read_bytes(), name="Core-current.iso"))
    tree = base.tree.copy()
    node = tree[b"boot/core.gz"]
    assert isinstance(node, File)
    small = gzip.compress(build_cpio(make_core_tree()), mtime=0)
    tree.replace(b"boot/core.gz", evolve(node, content=small))
    iso = build_iso(tree, fields=base.fields, boot=base.boot, timestamp=newest_time(tree))
    bundle, overlay, site = folder / "bundle.tar.gz", folder / "overlay.tar", Tree()
    bundle.write_bytes(make_bundle(iso=iso, pack=gzip.compress))
    put(site, b"opt/marker", make_executable(LINE), mode=0o755)
    overlay.write_bytes(build_tar(site))
    image = make_image(
        bundle,
        overlays=overlay,
        iso_version="1",
        request=Request(hybrid=True),
        boot_append="console=ttyS0 rdinit=/opt/marker",
        boot_timeout=1,
    )
    write_image(image, folder, kinds=[Emit.ISO, Emit.PXE])
    return folder


@pytest.mark.parametrize("medium", ["cd", "disk", "ipxe", "pxelinux"])
def test_bios_boots_from_medium_to_init(medium: str, outputs: Path, tmp_path: Path) -> None:
    iso, pxe = outputs / "rz_mk_dev-image.1.iso", outputs / "rz_mk_dev-image.1.pxe"
    arguments = {
        "cd": lambda: from_cd(iso),
        "disk": lambda: from_disk(iso),
        "ipxe": lambda: from_ipxe(pxe),
        "pxelinux": lambda: from_pxelinux(pxe, tmp_path / "tftp"),
    }[medium]()
    heard = boot(*arguments, log=tmp_path / "serial", until=LINE.encode())
    assert heard.count(LINE.encode()) == 1
