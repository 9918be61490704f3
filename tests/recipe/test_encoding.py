"""Which compression a core gets, by what its kernel takes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fixtures.bundle import make_bundle
from fixtures.core_iso import make_core_iso
from purekernel import make_image, write_image
from purekernel.cli import main
from purekernel.encode.encoders import Effort
from purekernel.errors import UsageError
from purekernel.formats.cpio import build_cpio, parse_cpio
from purekernel.formats.initramfs import Compression
from purekernel.formats.iso import parse_iso
from purekernel.recipe.encoding import Encoding
from purekernel.tree import File
from tests.bzimages import make_bzimage, make_payload

# What tells that a kernel has a decompressor (docs/kernels.md).
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
    """Write a bundle whose kernel takes just these."""
    kernel = make_bzimage(make_payload(b"".join(TEXTS[one] for one in takes), "gzip"))
    path = folder / "bundle.tar.gz"
    path.write_bytes(make_bundle(iso=make_core_iso(kernel=kernel), pack=gzip.compress))
    return path


@pytest.mark.parametrize("compression", MAGICS)
def test_a_core_holds_the_same_however_it_is_compressed(
    compression: Compression, tmp_path: Path
) -> None:
    bundle = bundle_for(tmp_path, *TEXTS)
    encoding = Encoding(compression=compression, effort=Effort.FAST)
    image = make_image(bundle, iso_version="1", encoding=encoding)
    assert image.core.startswith(MAGICS[compression])
    assert parse_cpio(image.core, source="core") == image.root
    if compression is not Compression.GZIP:
        assert image.cpio_bytes == len(build_cpio(image.root))
    # Nothing chance has a hand in, and the image can be the base of another.
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
        ([], Compression.GZIP),  # nothing can be told
    ],
)
def test_auto_is_the_smallest_that_the_kernel_takes(
    takes: list[Compression], chosen: Compression, tmp_path: Path
) -> None:
    bundle = bundle_for(tmp_path, *takes)
    command = ["build", str(bundle), "-q", "--iso-version", "1", "-o", str(tmp_path / "out")]
    assert main([*command, "--compression", "auto", "--effort", "fast"]) == 0
    (iso,) = (tmp_path / "out").iterdir()
    core = parse_iso(iso.read_bytes(), source="iso").tree[b"boot/core.gz"]
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
def test_what_the_kernel_does_not_take_is_refused(
    asked: str,
    takes: list[Compression],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = bundle_for(tmp_path, *takes)
    command = ["build", str(bundle), "-q", "--iso-version", "1", "-o", str(tmp_path / "out")]
    assert main([*command, "--compression", asked]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"purekernel: {message}"
    assert len(said) == 2
    assert not (tmp_path / "out").exists()


def test_jobs_must_be_some() -> None:
    with pytest.raises(UsageError, match="0 jobs do no work"):
        Encoding(jobs=0)
