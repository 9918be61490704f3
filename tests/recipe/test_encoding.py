"""Test that a core gets a compression that its kernel supports."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fixtures.bundle import make_bundle
from fixtures.core_iso import make_core_iso
from purekernel import Context, write_image
from purekernel.cli import main
from purekernel.encode.encoders import Effort
from purekernel.errors import UsageError
from purekernel.formats.cpio import build_cpio, parse_cpio
from purekernel.formats.initramfs import Compression
from purekernel.formats.iso import parse_iso
from purekernel.formats.lz4 import require_lz4
from purekernel.input import Input
from purekernel.tree import File
from tests.builds import Encoding, make_image
from tests.bzimages import make_bzimage, make_payload

# The messages that identify a kernel's decompressors (docs/kernels.md).
TEXTS = {
    Compression.GZIP: b"Out of memory while allocating z_stream\0",
    Compression.XZ: b"XZ-compressed data is corrupt\0",
    Compression.LZO: b"dest len longer than block size\0",
    Compression.LZ4: b"chunk length is longer than allocated\0",
    Compression.ZSTD: b"ZSTD-compressed data is corrupt\0",
}
MAGICS = {
    Compression.GZIP: b"\x1f\x8b\x08",
    Compression.XZ: b"\xfd7zXZ\0",
    Compression.ZSTD: b"\x28\xb5\x2f\xfd",
    Compression.LZ4: b"\x02\x21\x4c\x18",
}


def bundle_for(folder: Path, *takes: Compression) -> Path:
    """Write a bundle whose kernel supports only these compressions."""
    kernel = make_bzimage(
        make_payload(b"".join(TEXTS[compression] for compression in takes), "gzip")
    )
    path = folder / "bundle.tar.gz"
    path.write_bytes(make_bundle(iso=make_core_iso(kernel=kernel), pack=gzip.compress))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("compression", MAGICS)
def test_core_has_the_same_content_with_every_compression(
    compression: Compression, tmp_path: Path
) -> None:
    bundle = bundle_for(tmp_path, *TEXTS)
    encoding = Encoding(compression=compression, effort=Effort.FAST)
    image = make_image(bundle, iso_version="1", encoding=encoding)
    assert image.core.startswith(MAGICS[compression])
    assert parse_cpio(Input(image.core, name="core")) == image.root
    if compression is not Compression.GZIP:
        assert image.cpio_bytes == len(build_cpio(image.root))
    # The result is reproducible, and the image can be the base of another.
    assert make_image(bundle, iso_version="1", encoding=encoding).core == image.core
    (output,) = write_image(image, tmp_path)
    bundle.write_bytes(make_bundle(iso=output.path.read_bytes(), pack=gzip.compress))
    again = make_image(bundle, iso_version="1", encoding=encoding)
    assert again.root == image.root
    assert again.core == image.core


@pytest.mark.parametrize(
    ("takes", "chosen"),
    [
        ([*TEXTS], Compression.XZ),
        ([Compression.LZ4, Compression.ZSTD, Compression.GZIP], Compression.ZSTD),
        ([Compression.LZ4, Compression.GZIP], Compression.GZIP),
        ([Compression.LZ4], Compression.LZ4),
        ([], Compression.GZIP),  # no decompressor is recognized
    ],
)
def test_auto_selects_the_smallest_supported_compression(
    takes: list[Compression], chosen: Compression, tmp_path: Path
) -> None:
    if chosen is Compression.LZ4:
        require_lz4()
    bundle = bundle_for(tmp_path, *takes)
    command = ["build", str(bundle), "-q", "--iso-version", "1", "-o", str(tmp_path / "out")]
    assert main([*command, "--compression", "auto", "--effort", "fast"]) == 0
    (iso,) = (tmp_path / "out").glob("*.iso")
    core = parse_iso(Input(iso.read_bytes(), name="iso")).tree[b"boot/core.gz"]
    assert isinstance(core, File)
    assert bytes(core.content).startswith(MAGICS[chosen])


@pytest.mark.parametrize(
    ("asked", "takes", "message"),
    [
        (
            "lz4",
            [Compression.GZIP, Compression.XZ],
            "the kernel cannot unpack a core compressed with lz4: it supports gzip, xz",
        ),
        (
            "auto",
            [Compression.LZO],
            (
                "the kernel must support a compression that purekernel writes "
                "(gzip, xz, zstd or lz4), got lzo"
            ),
        ),
    ],
)
def test_unsupported_compression_is_an_error(
    asked: str,
    takes: list[Compression],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = bundle_for(tmp_path, *takes)
    command = ["build", str(bundle), "-q", "--iso-version", "1", "-o", str(tmp_path / "out")]
    assert main([*command, "--compression", asked]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"purekernel: {message}"
    assert len(lines) == 2
    assert not (tmp_path / "out").exists()


def test_zero_jobs_are_an_error() -> None:
    with pytest.raises(UsageError, match="jobs must be 1 or more, got 0"):
        Context(jobs=0)
