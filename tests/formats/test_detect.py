from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.core_iso import make_core_iso
from fixtures.kernel import make_kernel
from purekernel.formats.compress import build_zstd
from purekernel.formats.cpio import build_cpio
from purekernel.formats.detect import (
    FileKind,
    detect,
    is_archive,
    name_kind,
    should_be_archive,
    should_be_compressed,
)
from purekernel.formats.tar import build_tar
from purekernel.tree import File, Metadata, Tree
from tests.debs import ar


def make_tree(name: bytes = b"etc/passwd", content: bytes = b"root\n") -> Tree:
    tree = Tree()
    tree.add_parents(name)
    tree.add(name, File(metadata=Metadata(mode=0o644), content=content))
    return tree


def make_tar(name: str = "etc/passwd", tar_format: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tar_format) as archive:
        archive.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


def without_magic(archive: bytes) -> bytes:
    """Return a tar archive as programs before POSIX wrote it."""
    block = bytearray(archive[:512])
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + archive[512:]


def make_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", "content")
    return stream.getvalue()


SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0\1\2\3\4"
# The content "content", as purekernel.formats.lz4 writes it. The package lz4 is optional.
LZ4 = bytes.fromhex("02214c18 08000000 70") + b"content"
LZ4_FRAME = bytes.fromhex("04224d18 6c40 0700000000000000 f9 07000080") + b"content" + bytes(8)

CASES = {
    "gzip": (gzip.compress(b"content"), FileKind.GZIP),
    "bzip2": (bz2.compress(b"content"), FileKind.BZIP2),
    "xz": (lzma.compress(b"content"), FileKind.XZ),
    "lzma": (lzma.compress(b"content", format=lzma.FORMAT_ALONE), FileKind.LZMA),
    "zstd": (build_zstd(b"content"), FileKind.ZSTD),
    "zstd after a skippable frame": (SKIPPABLE + build_zstd(b"content"), FileKind.ZSTD),
    "lz4": (LZ4, FileKind.LZ4),
    "lz4 after skippable frames": (SKIPPABLE * 2 + LZ4, FileKind.LZ4),
    "lz4 frame": (LZ4_FRAME, FileKind.LZ4_FRAME),
    "skippable frames": (SKIPPABLE * 2, FileKind.SKIPPABLE),
    "gzip after a skippable frame": (SKIPPABLE + gzip.compress(b"a"), FileKind.SKIPPABLE),
    "text that starts like bzip2": (b"BZh1 is a word\n", FileKind.TEXT),
    "bzip2 of nothing": (bz2.compress(b""), FileKind.BZIP2),
    "zip": (make_zip(), FileKind.ZIP),
    "ar": (ar([(b"debian-binary", b"2.0\n")]), FileKind.AR),
    "cpio": (build_cpio(make_tree()), FileKind.CPIO),
    "cpio with checksums": (b"070702" + bytes(104), FileKind.CPIO),
    "iso": (make_core_iso(), FileKind.ISO),
    "squashfs": (b"hsqs" + bytes(92), FileKind.SQUASHFS),
    "tar": (build_tar(make_tree()), FileKind.TAR),
    "tar by tarfile": (make_tar(), FileKind.TAR),
    "pax": (make_tar("\u00e9", tarfile.PAX_FORMAT), FileKind.TAR),
    "tar without magic": (without_magic(make_tar()), FileKind.TAR),
    "tar of a file that is named like gzip": (make_tar("\x1f\x8b"), FileKind.TAR),
    "tar of nothing": (bytes(10240), FileKind.TAR),
    "kernel": (make_kernel(), FileKind.BZIMAGE),
    "program": (Path(sys.executable).read_bytes()[:64], FileKind.ELF)
    if sys.platform == "linux"
    else (b"\x7fELF", FileKind.ELF),
    "text": (b"# a list\nbash.tcz\n", FileKind.TEXT),
    "nothing": (b"", FileKind.TEXT),
    "other": (b"\1\0\2", FileKind.OTHER),
    "one block of zeros": (bytes(512), FileKind.OTHER),
    "cpio of another format": (b"070707" + b"0" * 70, FileKind.TEXT),
    "part of a magic number": (b"!<arch>", FileKind.TEXT),
    "tar with a wrong checksum": (b"x" + make_tar()[1:], FileKind.OTHER),
}


@pytest.mark.parametrize(
    ("name", "archive", "compressed"),
    [
        ("x.tar", True, False),
        ("core.gz", True, True),
        ("A.TGZ", True, True),
        ("x.tcz", True, False),
        ("notes.txt", False, False),
        ("tar", False, False),
    ],
)
def test_ending_tells_what_a_file_should_be(name: str, archive: bool, compressed: bool) -> None:
    assert should_be_archive(name) is archive
    assert should_be_compressed(name) is compressed


@pytest.mark.parametrize(("data", "kind"), CASES.values(), ids=CASES)
def test_kind_is_detected(data: bytes, kind: FileKind) -> None:
    assert detect(data) is kind
    assert detect(memoryview(data)) is kind


def test_signed_checksum_of_an_old_tar_is_accepted() -> None:
    block = bytearray(make_tar("caf\u00e9")[:512])
    block[148:156] = b" " * 8
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % signed
    assert detect(block) is FileKind.TAR


@pytest.mark.parametrize("kind", [kind for kind in FileKind if kind.magics])
def test_each_magic_number_is_detected(kind: FileKind) -> None:
    for magic in kind.magics:
        data = bytes(kind.offset) + magic + bytes(1024)
        assert (detect(data) is kind) == (kind is not FileKind.TAR)


@given(st.binary(max_size=600))
def test_any_bytes_have_a_kind(data: bytes) -> None:
    assert detect(data) in FileKind


@pytest.mark.parametrize(
    ("data", "name", "archive"),
    [
        (make_zip(), "a zip archive", True),
        (b"LZIP\1" + bytes(20), "an lzip file", True),
        (b"070707" + b"0" * 70, "a cpio archive of the old portable format (odc)", True),
        (bytes(0x438) + b"\x53\xef" + bytes(600), "an ext2, ext3 or ext4 file system", True),
        (bytes(257) + b"ustar", "a tar archive with a damaged header", True),
        (b"sqsh" + bytes(92), "a big-endian squashfs image", True),
        (bytes(510) + b"\x55\xaa", "a disk image with a boot sector", False),
        (b"MZ" + bytes(100), "an EFI or Windows program", False),
        (b"\x7fELF", "an ELF file", False),
        (b"text\n", None, False),
        (b"", None, False),
    ],
)
def test_kind_is_named_also_if_it_is_not_supported(
    data: bytes, name: str | None, archive: bool
) -> None:
    assert name_kind(data) == name
    assert is_archive(data) is archive
