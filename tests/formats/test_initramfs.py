from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.formats.bzimage import kernel_release
from purekernel.formats.initramfs import Compression, read_compressions
from purekernel.formats.iso import parse_iso
from purekernel.input import Input
from purekernel.tree import File
from tests import debian
from tests.bzimages import make_bzimage, make_payload
from tests.shared import core_iso

# This table is in every kernel, regardless of its configuration.
NAMES = b"gzip\0bzip2\0lzma\0xz\0lzo\0lz4\0zstd\0compression method %s not configured\0"

TEXTS = {
    b"Out of memory while allocating z_stream": Compression.GZIP,
    b"bad gzip magic numbers": Compression.GZIP,
    b"Data integrity error when decompressing.": Compression.BZIP2,
    b"LZMA data is corrupt": Compression.LZMA,
    b"Could not allocate input bufer": Compression.LZMA,
    b"XZ-compressed data is corrupt": Compression.XZ,
    b"dest len longer than block size": Compression.LZO,
    b"chunk length is longer than allocated": Compression.LZ4,
    b"ZSTD-compressed data is corrupt": Compression.ZSTD,
}


def make_kernel(*texts: bytes, packer: str = "gzip") -> bytes:
    vmlinux = b"\x7fELF" + NAMES + b"".join(text + b"\0" for text in texts)
    return make_bzimage(make_payload(vmlinux, packer))


@pytest.mark.parametrize("text", TEXTS)
def test_error_message_of_a_decompressor_shows_its_compression(text: bytes) -> None:
    assert read_compressions(Input(make_kernel(text, packer="xz"), name="the kernel")) == {
        TEXTS[text]
    }


def test_kernel_with_all_decompressors_supports_all_compressions() -> None:
    assert read_compressions(Input(make_kernel(*TEXTS), name="the kernel")) == set(Compression)


def test_table_of_names_alone_shows_no_compression() -> None:
    assert read_compressions(Input(make_kernel(), name="the kernel")) is None


def test_compressions_of_a_kernel_that_cannot_be_unpacked_are_unknown() -> None:
    assert read_compressions(Input(b"", name="the kernel")) is None
    assert (
        read_compressions(
            Input(make_bzimage(b"\x89LZO\0\r\n\x1a\n" + bytes(50)), name="the kernel")
        )
        is None
    )


@pytest.mark.oracle
def test_kernel_of_core_supports_gzip_and_lzo() -> None:
    node = parse_iso(Input(core_iso().read_bytes(), name="iso")).tree[b"boot/vmlinuz"]
    assert isinstance(node, File)
    assert read_compressions(Input(node.content, name="the kernel")) == {
        Compression.GZIP,
        Compression.LZO,
    }


@pytest.mark.oracle
@pytest.mark.parametrize("architecture", ["amd64", "i386"])
def test_debian_kernel_supports_the_configured_compressions(architecture: str) -> None:
    root, release = debian.kernel(architecture)
    check_configured(root / "boot", release)


def check_configured(boot: Path, release: str) -> None:
    image = (boot / f"vmlinuz-{release}").read_bytes()
    assert kernel_release(image) == release
    lines = (boot / f"config-{release}").read_text().splitlines()
    configured = {
        compression
        for compression in Compression
        if f"CONFIG_DECOMPRESS_{compression.name}=y" in lines
    }
    assert Compression.GZIP in configured
    assert read_compressions(Input(image, name="the kernel")) == configured
