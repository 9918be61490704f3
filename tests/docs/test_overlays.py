from __future__ import annotations

import re
from pathlib import Path

import pytest

from purekernel.formats.tar import parse_tar
from purekernel.host.overlay_reader import load_layer
from purekernel.input import Input
from purekernel.tree import Device, File, Symlink, Tree
from tests.oracles import require, run
from tests.processes import ROOT

EXAMPLE = re.search(
    r"```\n(#mtree.*?)```", (ROOT / "docs" / "overlays.md").read_text(encoding="utf-8"), re.DOTALL
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Make a folder with the files that the example names, and its manifest beside them."""
    for name in ("opt/bootsync.sh", "etc/shadow"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(name)
    assert EXAMPLE is not None
    (tmp_path / "site.mtree").write_text(EXAMPLE[1])
    return tmp_path


def check(tree: Tree) -> None:
    assert isinstance(tree[b"opt/bootsync.sh"], File)
    assert tree[b"opt/bootsync.sh"].metadata.mode == 0o755
    assert tree[b"etc/shadow"].metadata.mode == 0o640
    ssh = tree[b"home/tc/.ssh"].metadata
    assert (ssh.mode, ssh.uid, ssh.gid) == (0o700, 1001, 50)
    link = tree[b"usr/bin/dmidecode"]
    assert isinstance(link, Symlink)
    assert link.target == b"/usr/local/sbin/dmidecode"
    tty = tree[b"dev/ttyS0"]
    assert isinstance(tty, Device)
    assert (tty.major, tty.minor) == (4, 64)


def test_example_manifest_applies_with_and_without_a_folder(site: Path) -> None:
    check(load_layer(site / "site.mtree", mtime=0).tree)
    (site / "site.mtree").rename(site / ".mtree")
    layer = load_layer(site, mtime=0)
    check(layer.tree)
    assert layer.stated[b"opt/bootsync.sh"] == {"mode", "uid", "gid"}


@pytest.mark.oracle
def test_bsdtar_reads_the_same_from_the_example(site: Path) -> None:
    archive = run(require("bsdtar"), "-cf", "-", "@site.mtree", cwd=site)
    check(parse_tar(Input(archive, name="bsdtar")))
