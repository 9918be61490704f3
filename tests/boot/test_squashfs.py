"""Test that kernels mount the squashfs images written by purekernel."""

from __future__ import annotations

import hashlib
import random
import struct
from pathlib import Path

import pytest

from purekernel.encode.blocks import DEFLATERS
from purekernel.encode.encoders import Effort
from purekernel.formats.cpio import build_cpio
from purekernel.formats.squashfs.codecs import GZIP, Codec, lz4_codec, xz_codec, zstd_codec
from purekernel.tree import Device, DeviceKind, Directory, File, Metadata, Symlink, Tree
from tests import debian
from tests.boot.cores import build as build_core
from tests.boot.cores import core_root, put
from tests.boot.machine import boot
from tests.boot.test_merged import MODULE, OTHER_MODULE, START
from tests.formats.test_squashfs_writer import build

pytestmark = pytest.mark.boot

# A folder with this many names has an index.
MANY = 20_000

# One capability, cap_sys_rawio (17), which the program has for any user.
# Source: struct vfs_cap_data of Linux, include/uapi/linux/capability.h.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 17, 0, 0, 0)

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
  mount -t squashfs -o loop,ro $image /mnt/$name && echo "$name mounted"
  cd /mnt/$name
  echo "$name many $(ls many | wc -l)"
  for number in 000001 007999 019999 020000; do
    [ -L many/name$number ] && echo "$name found $number"
  done
  echo "$name links $(ls -l files/small | awk '{ print $2 }') $(cat soft)"
  ls -ln node | sed "s/^/$name node /"
  md5sum files/* | sed "s/^/$name sum /"
  su -s /bin/sh tc -c "/mnt/$name/busybox grep CapEff /proc/self/status" | sed "s/^/$name /"
  cd /
done
echo "=== end"
poweroff -f
"""

# Runs as root after Core has started. Prints everything between the two marks.
BOOTSYNC = b"""#!/bin/sh
exec >/dev/ttyS0 2>&1
echo "=== begin"
cat /var/log/order
grep -o 'tcloop/[^ ]* squashfs' /proc/mounts
ours
modprobe searching && grep -q ^ts_kmp /proc/modules && echo "module loaded"
md5sum /usr/local/share/ours/* | sed 's/^/sum /'
ls /tmp/tcloop/ours/usr/local/many | wc -l
[ -L /tmp/tcloop/ours/usr/local/many/name019999 ] && echo "last found"
echo "=== end"
poweroff -f
"""


def contents() -> dict[bytes, bytes]:
    """Return files of about one block, with random bytes, text and holes."""
    chance = random.Random(3)
    text = b"".join(b"%d lines of text\n" % (number * 7 % 997) for number in range(40_000))
    found = {b"small": b"small", b"hole": bytes(300_000) + b"x" + bytes(70_000)}
    for size in (4095, 4096, 4097, 131_072, 300_001):
        found[b"noise%d" % size] = chance.randbytes(size)
        found[b"text%d" % size] = text[:size]
    return found


def fill(tree: Tree, folder: bytes) -> None:
    for name, content in contents().items():
        put(tree, folder + b"/" + name, content)


def many_names(tree: Tree, folder: bytes) -> None:
    tree.add_parents(folder + b"/x")
    for number in range(MANY):
        metadata = Metadata(mode=0o777)
        path = folder + b"/name%06d" % number
        if number % 5000 == 0:
            tree.add(path, Directory(metadata=Metadata(mode=0o755)))
        else:
            tree.add(path, Symlink(metadata=metadata, target=b"%d" % number))


def sums(said: list[str], start: str) -> dict[str, str]:
    found = (line.removeprefix(start).split() for line in said if line.startswith(start))
    return {path.rpartition("/")[2]: digest for digest, path in found}


def right_sums() -> dict[str, str]:
    return {
        name.decode(): hashlib.md5(content, usedforsecurity=False).hexdigest()
        for name, content in contents().items()
    }


def said_in(heard: bytes) -> list[str]:
    text = heard.decode("latin-1").replace("\r", "")
    return text.partition("=== begin\n")[2].partition("=== end")[0].splitlines()


@pytest.mark.nightly
@pytest.mark.parametrize("effort", [Effort.FAST, Effort.MAX])
def test_core_loads_a_written_extension(effort: Effort, tmp_path: Path) -> None:
    root = core_root()
    extension = Tree()
    put(extension, b"usr/local/bin/ours", b"#!/bin/sh\necho program ours\n", mode=0o755)
    start = START.format(name="ours").encode()
    put(extension, b"usr/local/tce.installed/ours", start, mode=0o755)
    extension.add_parents(OTHER_MODULE)
    extension.add(OTHER_MODULE, root[MODULE])
    fill(extension, b"usr/local/share/ours")
    extension.link(b"usr/local/share/ours/hard", b"usr/local/share/ours/small")
    many_names(extension, b"usr/local/many")
    image = build(extension, Codec(compression=GZIP, pack=DEFLATERS[effort]))
    put(root, b"tmp/builtin/onboot.lst", b"ours.tcz\n")
    put(root, b"tmp/builtin/optional/ours.tcz", image)
    put(root, b"opt/bootsync.sh", BOOTSYNC, mode=0o755)
    arguments = build_core(root, tmp_path, kernel_line="console=ttyS0 loglevel=3 nodhcp")
    said = said_in(boot(*arguments, log=tmp_path / "serial", until=b"=== end"))
    assert "ours as 0" in said
    assert "tcloop/ours squashfs" in said
    assert "program ours" in said
    assert "module loaded" in said
    small = right_sums()["small"]
    assert sums(said, "sum ") == {**right_sums(), "hard": small}
    assert str(MANY) in said
    assert "last found" in said


@pytest.mark.nightly
def test_debian_kernel_mounts_every_compression(tmp_path: Path) -> None:
    kernel, release = debian.kernel("i386")
    root = core_root()
    busybox = root[b"bin/busybox"]
    assert isinstance(busybox, File)
    tree = Tree()
    fill(tree, b"files")
    tree.link(b"hard", b"files/small")
    tree.add(b"soft", Symlink(metadata=Metadata(mode=0o777), target=b"hard"))
    metadata = Metadata(mode=0o640, uid=1001, gid=50, mtime=1_400_000_000)
    tree.add(b"node", Device(metadata=metadata, kind=DeviceKind.BLOCK, major=259, minor=70_000))
    many_names(tree, b"many")
    able = Metadata(
        mode=0o755, xattrs=((b"security.capability", CAPABILITY), (b"user.note", b"n" * 300))
    )
    tree.add(b"busybox", File(metadata=able, content=busybox.content))
    images = {
        "gzip4k": build(tree),
        "gzip128k": build(tree, block_bytes=131_072, tails=False, exports=False),
        "xz1m": build(tree, xz_codec(1 << 20), block_bytes=1 << 20),
        "lz4of4k": build(tree, lz4_codec()),
        "zstd64k": build(tree, zstd_codec(), block_bytes=65_536),
    }
    for name, image in images.items():
        put(root, b"images/" + name.encode(), image)
    put(root, b"modules", b"".join(b"/%s\n" % path for path in needed(root, kernel, release)))
    put(root, b"opt/first.sh", FIRST, mode=0o755)
    (tmp_path / "core").write_bytes(build_cpio(root))
    heard = boot(
        "-kernel", kernel / "boot" / f"vmlinuz-{release}", "-initrd", tmp_path / "core",
        "-append", "console=ttyS0 loglevel=3 no_timer_check rdinit=/opt/first.sh",
        log=tmp_path / "serial", until=b"=== end", memory_mb=512,
    )  # fmt: skip
    said = said_in(heard)
    for name in images:
        assert f"{name} mounted" in said
        assert f"{name} many {MANY}" in said
        found = [line.split()[-1] for line in said if line.startswith(f"{name} found")]
        assert found == ["000001", "007999", "019999"]
        assert f"{name} links 2 small" in said
        (node,) = (line.split() for line in said if line.startswith(f"{name} node "))
        assert node[2][:10] == "brw-r-----"
        assert node[4:8] == ["1001", "50", "259,", "70000"]
        assert sums(said, f"{name} sum ") == right_sums()
        (capabilities,) = (line for line in said if line.startswith(f"{name} CapEff"))
        assert int(capabilities.split()[-1], 16) == 1 << 17


def needed(root: Tree, kernel: Path, release: str) -> list[bytes]:
    """Put the modules for loop devices and squashfs into ``root``; return their paths."""
    top = kernel / "lib" / "modules" / release / "kernel"
    paths = []
    for place in (top / "drivers" / "block" / "loop.ko", top / "fs" / "squashfs" / "squashfs.ko"):
        path = place.relative_to(kernel).as_posix().encode()
        put(root, path, place.read_bytes())
        paths.append(path)
    return paths
