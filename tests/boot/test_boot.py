"""Test that images boot from CD through isolinux, and over the network with both menus."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from fixtures.bundle import make_bundle
from purekernel import Emit, write_image
from purekernel.tree import Directory, File, Metadata, Tree
from tests.boot.machine import boot
from tests.boot.media import from_cd, from_ipxe, from_pxelinux
from tests.builds import make_image
from tests.shared import core_iso

pytestmark = pytest.mark.boot

VERSION = "0.9.0.1"
PAYLOAD = b"what the overlay brings\n" * 1000

# Runs as root after Core has started. Prints everything between the two marks.
BOOTSYNC = b"""#!/bin/sh
exec >/dev/ttyS0 2>&1
echo "=== begin"
echo "release $(uname -r)"
echo "cmdline $(cat /proc/cmdline)"
echo "version $(tail -n 1 /tmp/mk-version.yaml)"
for path in / /tmp /opt /opt/bootsync.sh /opt/payload /etc/shadow /home/tc \
    /usr/local/tce.installed /home/tc/.note /usr/local/tce.installed/sample \
    /lib/modules/*/kernel.tclocal; do
  echo "listed $(ls -ldn $path)"
done
echo "md5 $(md5sum /opt/payload)"
echo "link $(readlink /lib/modules/*/kernel.tclocal)"
modprobe loop && echo "modprobe loop"
echo "=== end"
poweroff -f
"""


def make_boot_bundle(path: Path) -> Path:
    """Write a bundle with the shared Core 4.4, whose overlays belong to uid 1234."""
    extra = Tree()
    careless = {"uid": 1234, "gid": 1234, "mtime": 1_400_000_000}
    for folder in (b"opt", b"home", b"home/tc", b"usr", b"usr/local", b"usr/local/tce.installed"):
        extra.add(folder, Directory(metadata=Metadata(mode=0o755, **careless)))
    for name, mode, content in (
        (b"opt/bootsync.sh", 0o755, BOOTSYNC),
        (b"opt/payload", 0o640, PAYLOAD),
        (b"home/tc/.note", 0o600, b"for tc\n"),
        (b"usr/local/tce.installed/sample", 0o644, b"#!/bin/sh\n"),
    ):
        extra.add(name, File(metadata=Metadata(mode=mode, **careless), content=content))
    bundle = make_bundle(
        iso=core_iso().read_bytes(), overlay_extra=extra, owner=(1234, 1234), pack=gzip.compress
    )
    path.write_bytes(bundle)
    return path


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boot")
    image = make_image(
        make_boot_bundle(folder / "bundle.tar.gz"),
        iso_version=VERSION,
        boot_append="console=ttyS0",
        boot_timeout=1,
    )
    write_image(image, folder, kinds=[Emit.ISO, Emit.PXE])
    return folder


def check(heard: bytes) -> dict[str, str]:
    text = heard.decode("latin-1").replace("\r", "")
    said = text.partition("=== begin\n")[2].partition("=== end")[0]
    assert f"version mk_version: {VERSION}\n" in said
    assert "release 3.0.3-tinycore\n" in said
    listed = re.findall(
        r"^listed (\S+) +\d+ (\d+) +(\d+) .* (/\S*)(?: -> \S+)?$", said, re.MULTILINE
    )
    stats = {path: f"{mode} {uid}:{gid}" for mode, uid, gid, path in listed}
    assert stats["/"] == "drwxr-xr-x 0:0"
    assert stats["/tmp"] == "drwxrwxrwt 0:0"
    assert stats["/opt"] == "drwxrwsr-x 0:50"
    assert stats["/opt/bootsync.sh"] == "-rwxr-xr-x 0:0"
    assert stats["/opt/payload"] == "-rw-r----- 0:0"
    assert stats["/etc/shadow"] == "-rw-r----- 0:0"
    # Core's own startup sets the setgid bit of its home folder.
    assert stats["/home/tc"] == "drwxr-sr-x 1001:50"
    assert stats["/home/tc/.note"] == "-rw------- 1001:50"
    # Root owns this folder in the image; Core's startup changes its owner.
    assert stats["/usr/local/tce.installed"] == "drwxrwxr-x 1001:50"
    assert stats["/usr/local/tce.installed/sample"] == "-rwxr-xr-x 1001:50"
    assert f"md5 {hashlib.md5(PAYLOAD).hexdigest()}  /opt/payload\n" in said
    assert "link ../../../usr/local/lib/modules/3.0.3-tinycore/kernel\n" in said
    assert "modprobe loop\n" in said
    return dict(line.partition(" ")[::2] for line in said.splitlines())


def test_core_boots_from_cd_through_isolinux(outputs: Path, tmp_path: Path) -> None:
    iso = outputs / f"rz_mk_dev-image.{VERSION}.iso"
    said = check(boot(*from_cd(iso), log=tmp_path / "serial", until=b"=== end"))
    # isolinux adds this argument; our arguments follow those of the menu.
    assert "BOOT_IMAGE=/boot/vmlinuz" in said["cmdline"]
    assert "loglevel=3 console=ttyS0" in said["cmdline"]


@pytest.mark.nightly
def test_core_boots_over_the_network_with_the_ipxe_script(outputs: Path, tmp_path: Path) -> None:
    folder = outputs / f"rz_mk_dev-image.{VERSION}.pxe"
    heard = boot(*from_ipxe(folder), log=tmp_path / "serial", until=b"=== end")
    assert "initrd=core.gz loglevel=3 console=ttyS0" in check(heard)["cmdline"]


@pytest.mark.nightly
def test_core_boots_over_the_network_with_pxelinux(outputs: Path, tmp_path: Path) -> None:
    folder = outputs / f"rz_mk_dev-image.{VERSION}.pxe"
    arguments = from_pxelinux(folder, tmp_path / "tftp")
    heard = boot(*arguments, log=tmp_path / "serial", until=b"=== end")
    assert "BOOT_IMAGE=boot/vmlinuz" in check(heard)["cmdline"]


def test_sample_prints_its_line(tmp_path: Path) -> None:
    write_image(make_image(sample=True, iso_version="1"), tmp_path)
    iso = tmp_path / "rz_mk_dev-image.1.iso"
    heard = boot("-cdrom", iso, "-boot", "d", log=tmp_path / "serial", until=b"\n", memory_mb=32)
    assert heard.startswith(b"purekernel sample image")
