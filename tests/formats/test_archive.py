"""Test that an archive of any kind is told by its content and opened as a tree."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable

import pytest

from purekernel.errors import FormatError, LimitError, PathError
from purekernel.formats.archive import Archive, open_archive
from purekernel.formats.compress import build_xz, build_zstd
from purekernel.formats.cpio import build_cpio
from purekernel.formats.detect import FileKind
from purekernel.formats.iso import VolumeFields, build_iso
from purekernel.formats.tar import build_tar
from purekernel.input import Budget, Input, Limits
from purekernel.tree import Directory, File, LazyContent, Metadata, Symlink, Tree, put_file
from tests import debs
from tests.bzimages import make_bzimage
from tests.formats.fats import make_fat12
from tests.formats.test_squashfs_writer import build

OWN = Metadata(mode=0o640, uid=7, mtime=9)


def small_tree(**contents: bytes) -> Tree:
    tree = Tree()
    for name, content in contents.items():
        put_file(tree, b"etc/" + name.encode(), content, metadata=Metadata(mode=0o644, mtime=5))
    return tree


TREE = small_tree(motd=b"welcome", passwd=b"root")
CPIO = build_cpio(TREE)


def opened(data: bytes, *, name: str = "x", limits: Limits | None = None) -> Archive | None:
    file = Input(data, name=name, limits=limits or Limits())
    return open_archive(file, name=name.encode(), metadata=OWN)


def squashfs() -> bytes:
    return build(TREE)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: CPIO, FileKind.CPIO),
        (lambda: bytes(512) + CPIO, FileKind.CPIO),
        (lambda: build_tar(TREE), FileKind.TAR),
        (lambda: build_iso(TREE, fields=VolumeFields(), boot=None, timestamp=0), FileKind.ISO),
        (squashfs, FileKind.SQUASHFS),
    ],
)
@pytest.mark.parametrize(
    ("compress", "compression"),
    [
        (bytes, None),
        (lambda data: gzip.compress(data, 1), FileKind.GZIP),
        (lambda data: bz2.compress(data, 1), FileKind.BZIP2),
        (build_xz, FileKind.XZ),
        (build_zstd, FileKind.ZSTD),
    ],
)
def test_archive_of_each_kind_in_each_compression_is_opened(
    make: Callable[[], bytes],
    kind: FileKind,
    compress: Callable[[bytes], bytes],
    compression: FileKind | None,
) -> None:
    archive = opened(compress(make()))
    assert archive is not None
    assert (archive.kind, archive.compression) == (kind, compression)
    assert archive.tree.read("etc/motd") == b"welcome"


def test_contents_of_a_squashfs_image_are_loaded_on_access() -> None:
    archive = opened(squashfs())
    assert archive is not None
    assert not archive.is_counted
    node = archive.tree[b"etc/motd"]
    assert isinstance(node, File)
    assert isinstance(node._content, LazyContent)


def test_archives_in_a_row_are_one_tree() -> None:
    early = build_cpio(small_tree(early=b"microcode"))
    data = (
        early
        + bytes(-len(early) % 512)
        + gzip.compress(CPIO)
        + lzma.compress(build_cpio(small_tree(motd=b"later")))
    )
    archive = opened(data)
    assert archive is not None
    assert archive.kind is FileKind.CPIO
    assert archive.compression is None
    assert archive.tree.entries(b"etc") == [b"early", b"motd", b"passwd"]
    assert archive.tree.read("etc/motd") == b"later"


def test_fat_file_system_without_a_label_is_opened() -> None:
    archive = opened(bytes(make_fat12({"EFI/BOOT/A.TXT": b"a"})))
    assert archive is not None
    assert archive.kind is FileKind.FAT
    assert archive.tree.read("EFI/BOOT/A.TXT") == b"a"


def test_debian_package_has_its_members() -> None:
    archive = opened(debs.deb())
    assert archive is not None
    assert archive.kind is FileKind.AR
    assert archive.tree.entries(b"") == [b"control.tar.gz", b"data.tar.xz", b"debian-binary"]
    assert archive.tree.read("debian-binary") == b"2.0\n"


def test_repeated_member_of_a_library_is_reported() -> None:
    notes: list[str] = []
    data = debs.ar([(b"a.o", b"first"), (b"b.o", b"b"), (b"a.o", b"last")])
    archive = opened(data, name="libx.a", limits=Limits(report=notes.append))
    assert archive is not None
    assert archive.tree.read("a.o") == b"last"
    (note,) = notes
    assert note.startswith("libx.a: ")
    assert "'a.o'" in note


@pytest.mark.parametrize("name", [b"../x", b"a/../../x"])
def test_member_that_leads_outside_is_refused(name: bytes) -> None:
    with pytest.raises(PathError, match=r"x\.a, byte 8: .* contains '\.\.'"):
        opened(debs.ar([(name, b"a")]), name="x.a")


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("config.gz", b"config"),
        ("a.tgz", b"a.tar"),
        ("UPPER.GZ", b"UPPER"),
        (".gz", b".gz"),
        ("initrd", b"initrd"),
    ],
)
def test_compressed_file_is_an_archive_of_one_file(name: str, inner: bytes) -> None:
    archive = opened(gzip.compress(b"text"), name=name)
    assert archive is not None
    assert (archive.kind, archive.compression) == (FileKind.GZIP, None)
    assert archive.tree.entries(b"") == [inner]
    node = archive.tree[inner]
    assert isinstance(node, File)
    assert (node.metadata, node.content) == (OWN, b"text")


@pytest.mark.parametrize(
    "data",
    [b"", b"text", b"\x7fELF" + bytes(600), bytes(20480), make_bzimage(b"kernel")],
    ids=["empty", "text", "elf", "zeros", "kernel"],
)
def test_other_files_are_not_opened(data: bytes) -> None:
    assert opened(data) is None


def test_zeros_are_an_archive_if_named_like_one() -> None:
    archive = opened(bytes(20480), name="x.tar")
    assert archive is not None
    assert len(archive.tree) == 1


@pytest.mark.parametrize(
    "data",
    [CPIO[:200], gzip.compress(CPIO)[:-20], gzip.compress(b"text") + b"rest", squashfs()[:200]],
    ids=["cpio", "gzip", "trailing", "squashfs"],
)
def test_damaged_archive_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^x"):
        opened(data)


def test_archive_that_unpacks_without_end_is_refused() -> None:
    bomb = gzip.compress(bytes(1 << 20), 9)
    with pytest.raises(LimitError, match="at most 65536 bytes unpacked"):
        opened(bomb, limits=Limits(unpacked_bytes=1 << 16))
    limits = Limits(budget=Budget(1 << 16))
    with pytest.raises(LimitError, match="from all inputs together"):
        opened(bomb, limits=limits)
    assert limits.budget is not None
    assert limits.budget.used_bytes <= 1 << 16


def test_links_and_folders_of_a_tar_archive_are_kept() -> None:
    tree = small_tree(a=b"a")
    tree.add(b"etc/link", Symlink(metadata=Metadata(mode=0o777), target=b"a"))
    tree.link(b"etc/hard", b"etc/a")
    archive = opened(build_tar(tree))
    assert archive is not None
    assert isinstance(archive.tree[b"etc"], Directory)
    assert archive.tree.inode(b"etc/a") == archive.tree.inode(b"etc/hard")
    assert archive.tree[b"etc/link"] == tree[b"etc/link"]
