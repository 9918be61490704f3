"""Test that a kernel unpacks the compressions detected in it, as purekernel writes them."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

import pytest
from attrs import evolve

from fixtures.bundle import make_bundle
from fixtures.program import make_executable
from purekernel import write_image
from purekernel.cli import main
from purekernel.encode.encoders import Effort
from purekernel.formats.compress import WINDOW_BYTES, compress
from purekernel.formats.cpio import build_cpio
from purekernel.formats.initramfs import Compression, read_compressions
from purekernel.formats.iso import build_iso, parse_iso
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.tree import Device, DeviceKind, Directory, File, Metadata, Tree, newest_time
from tests import debian
from tests.boot.cores import core_root, put
from tests.boot.machine import boot
from tests.builds import Encoding, make_image
from tests.shared import core_iso

pytestmark = pytest.mark.boot

LINE = "the init of this initramfs runs"

# The first bytes of a file in each compression. The data that tests append is invalid.
BEGINNINGS = {
    Compression.GZIP: b"\x1f\x8b\x08",
    Compression.BZIP2: b"BZh",
    Compression.LZMA: b"\x5d\0\0",
    Compression.XZ: b"\xfd7zXZ\0",
    Compression.LZO: b"\x89LZO\0",
    Compression.LZ4: b"\x02\x21\x4c\x18",
    Compression.ZSTD: b"\x28\xb5\x2f\xfd",
}


def make_initramfs() -> Tree:
    """Return a tree with an init that prints a line, after more than a decompressor's window."""
    chance = random.Random(1)
    words = [chance.randbytes(chance.randrange(100, 4000)) for _turn in range(100)]
    content = b"".join(chance.choices(words, k=WINDOW_BYTES // 1500))
    assert len(content) > WINDOW_BYTES
    tree = Tree()
    tree.add(b"ballast", File(metadata=Metadata(mode=0o644), content=content))
    tree.add(b"dev", Directory(metadata=Metadata(mode=0o755)))
    console = Device(metadata=Metadata(mode=0o600), kind=DeviceKind.CHARACTER, major=5, minor=1)
    tree.add(b"dev/console", console)
    tree.add(b"init", File(metadata=Metadata(mode=0o755), content=make_executable(LINE)))
    return tree


def start(kernel: Path, initramfs: bytes, folder: Path, *, until: bytes) -> bytes:
    (folder / "core").write_bytes(initramfs)
    return boot(
        "-kernel", kernel, "-initrd", folder / "core", "-append", "console=ttyS0",
        log=folder / "serial", until=until,
    )  # fmt: skip


@pytest.fixture
def core_kernel(tmp_path: Path) -> Path:
    node = parse_iso(Input(core_iso().read_bytes(), name="iso")).tree[b"boot/vmlinuz"]
    assert isinstance(node, File)
    (tmp_path / "vmlinuz").write_bytes(node.content)
    return tmp_path / "vmlinuz"


@pytest.fixture
def debian_kernel() -> Path:
    root, release = debian.kernel("i386")
    return root / "boot" / f"vmlinuz-{release}"


@pytest.mark.parametrize(
    "compression",
    [
        pytest.param(Compression.XZ, marks=pytest.mark.nightly),
        Compression.ZSTD,
        pytest.param(Compression.LZ4, marks=pytest.mark.nightly),
    ],
)
def test_debian_kernel_unpacks_each_compression(
    debian_kernel: Path, tmp_path: Path, compression: Compression
) -> None:
    packed = compress(build_cpio(make_initramfs()), compression)
    start(debian_kernel, packed, tmp_path, until=LINE.encode())


@pytest.mark.nightly
@pytest.mark.parametrize("compression", [Compression.XZ, Compression.ZSTD])
def test_debian_kernel_refuses_a_wrong_checksum(
    debian_kernel: Path, tmp_path: Path, compression: Compression
) -> None:
    packed = bytearray(compress(build_cpio(make_initramfs()), compression))
    check_at = len(packed) - 4
    if compression is Compression.XZ:  # the index and the footer follow it
        (index_words,) = struct.unpack_from("<I", packed, len(packed) - 8)
        check_at -= 4 * (index_words + 1) + 12
    packed[check_at] ^= 1
    failure = f"Initramfs unpacking failed: {compression.name}-compressed data is"
    start(debian_kernel, bytes(packed), tmp_path, until=failure.encode())


@pytest.mark.nightly
def test_archive_after_lz4_and_zeros_is_unpacked(debian_kernel: Path, tmp_path: Path) -> None:
    """Boot loaders concatenate archives in this way; only zeros mark the end of the LZ4 frame."""
    ballast = make_initramfs()
    ballast.remove(b"init")
    packed = compress(build_cpio(ballast), Compression.LZ4)
    row = packed + bytes(4 + -len(packed) % 4) + build_cpio(make_initramfs())
    start(debian_kernel, row, tmp_path, until=LINE.encode())


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("compression", "words"),
    [
        (Compression.XZ, "compression method xz not configured"),
        (Compression.LZ4, "junk in compressed archive"),  # unknown to this kernel
    ],
)
def test_core_kernel_refuses_a_core_in_an_unsupported_compression(
    core_kernel: Path, tmp_path: Path, compression: Compression, words: str
) -> None:
    packed = compress(build_cpio(core_root()), compression)
    heard = start(core_kernel, packed, tmp_path, until=b"looks like an initrd")
    assert f"({words})".encode() in heard


@pytest.mark.nightly
@pytest.mark.parametrize("compression", Compression)
def test_core_kernel_supports_the_compressions_detected_in_it(
    core_kernel: Path, tmp_path: Path, compression: Compression
) -> None:
    beginning = BEGINNINGS[compression].ljust(4096, b"\x11")
    heard = start(core_kernel, beginning, tmp_path, until=b"looks like an initrd")
    # The kernel reports compressions newer than itself as junk.
    lacking = (f"compression method {compression.value} not configured", "junk in compressed")
    can = read_compressions(Input(core_kernel.read_bytes(), name="the kernel"))
    assert can is not None
    assert any(text.encode() in heard for text in lacking) == (compression not in can)


@pytest.mark.nightly
@pytest.mark.parametrize("compression", [Compression.XZ, Compression.LZ4, Compression.ZSTD])
def test_debian_kernel_supports_the_compressions_detected_in_it(
    debian_kernel: Path, tmp_path: Path, compression: Compression
) -> None:
    beginning = BEGINNINGS[compression].ljust(4096, b"\x11")
    heard = start(debian_kernel, beginning, tmp_path, until=b"Kernel panic")
    assert b"Initramfs unpacking failed: " in heard
    assert b"not configured" not in heard
    assert b"junk in compressed" not in heard
    can = read_compressions(Input(debian_kernel.read_bytes(), name="the kernel"))
    assert can is not None
    assert compression in can


@pytest.mark.parametrize("asked", ["xz", "zstd", "lz4"])
def test_build_refuses_a_compression_that_the_kernel_lacks(
    asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle.tar.gz"
    bundle.write_bytes(make_bundle(iso=core_iso().read_bytes(), pack=gzip.compress))
    command = ["build", str(bundle), "-q", "--iso-version", "1", "-o", str(tmp_path / "out")]
    assert main([*command, "--compression", asked]) == 2
    said = capsys.readouterr().err
    assert f"compressed with {asked}: it supports gzip, lzo" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.nightly
def test_image_with_an_lz4_core_boots_from_cd(debian_kernel: Path, tmp_path: Path) -> None:
    """Boot Core's whole root file system through isolinux."""
    bundle, overlay, site = tmp_path / "bundle.tar.gz", tmp_path / "overlay.tar", Tree()
    core = parse_iso(Input(core_iso().read_bytes(), name="iso"))
    node = core.tree[b"boot/vmlinuz"]
    assert isinstance(node, File)
    tree = core.tree.copy()
    tree.replace(b"boot/vmlinuz", evolve(node, content=debian_kernel.read_bytes()))
    iso = build_iso(tree, fields=core.fields, boot=core.boot, timestamp=newest_time(tree))
    bundle.write_bytes(make_bundle(iso=iso, pack=gzip.compress))
    put(site, b"opt/first.sh", b"#!/bin/sh\necho Core $(version) runs\n", mode=0o755)
    overlay.write_bytes(build_tar(site))
    image = make_image(
        bundle,
        overlays=overlay,
        iso_version="1",
        boot_append="console=ttyS0 rdinit=/opt/first.sh",
        boot_timeout=1,
        encoding=Encoding(compression=Compression.LZ4),
    )
    assert image.core.startswith(BEGINNINGS[Compression.LZ4])
    (output,) = write_image(image, tmp_path)
    boot(
        "-cdrom", output.path, "-boot", "d",
        log=tmp_path / "serial", until=b"Core 4.4 runs",
    )  # fmt: skip


def test_smallest_compression_supported_by_core_is_gzip(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.tar.gz"
    bundle.write_bytes(make_bundle(iso=core_iso().read_bytes(), pack=gzip.compress))
    encoding = Encoding(compression=None, effort=Effort.FAST)
    assert make_image(bundle, iso_version="1", encoding=encoding).core.startswith(b"\x1f\x8b")
