"""Test opening places on this host and inside files, and that only what is needed is read."""

from __future__ import annotations

import errno
import gzip
import os
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel.analysis.listing import list_place
from purekernel.analysis.open import Places
from purekernel.errors import InputError, LimitError
from purekernel.formats import archive
from purekernel.formats.cpio import build_cpio
from purekernel.formats.detect import FileKind
from purekernel.formats.tar import build_tar
from purekernel.host import rootfs_folder
from purekernel.input import Budget, Input, Limits
from purekernel.tree import File, LazyContent, Metadata, Symlink, Tree
from tests.formats.test_address import tree_of
from tests.formats.test_squashfs_writer import build

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no fifos")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(place: str, *, places: Places | None = None, is_recursive: bool = False) -> list[bytes]:
    listing = list_place(places or Places(Limits()), place, is_recursive=is_recursive)
    return [entry.name for entry in listing.entries]


@pytest.fixture(scope="module")
def iso() -> bytes:
    return make_core_iso(
        core=b"\x1f\x8b damaged", beside_boot={b"x.tcz": build(tree_of(a__b=b"c"))}
    )


def test_listing_an_iso_unpacks_nothing_in_it(folder: Path, iso: bytes) -> None:
    """Its core.gz is damaged, which nothing that need not read it notices."""
    (folder / "x.iso").write_bytes(iso)
    assert names("x.iso") == [b"boot", b"x.tcz"]
    assert b"boot/core.gz" in names("x.iso", is_recursive=True)
    assert names("x.iso:boot") == [b"core.gz", b"isolinux", b"vmlinuz"]
    assert names("x.iso:x.tcz:a") == [b"b"]
    with pytest.raises(Exception, match=r"^x\.iso:boot/core\.gz"):
        names("x.iso:boot/core.gz")


def test_boot_catalog_of_an_iso_is_listed(folder: Path, iso: bytes) -> None:
    (folder / "x.iso").write_bytes(iso)
    assert b"boot.cat" in names("x.iso:boot/isolinux")


def test_listing_a_squashfs_image_unpacks_no_content(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "x.tcz").write_bytes(build(tree_of(a=b"a" * 5000)))

    def refuse(self: LazyContent) -> bytes:
        raise AssertionError

    opened = []
    real = archive.open_squashfs

    def opening(file: Input) -> object:
        opened.append(file.name)
        monkeypatch.setattr(LazyContent, "load", refuse)
        return real(file)

    monkeypatch.setattr(archive, "open_squashfs", opening)
    assert names("x.tcz") == [b"a"]
    assert opened == ["x.tcz"]


def test_listing_a_folder_of_the_host_reads_only_this_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "top/below/deep").mkdir(parents=True)
    (folder / "top/file").write_text("x")
    listed = []
    real = rootfs_folder._RootFolderReader._list

    def count(self: rootfs_folder._RootFolderReader, path: bytes) -> object:
        listed.append(path)
        return real(self, path)

    monkeypatch.setattr(rootfs_folder._RootFolderReader, "_list", count)
    assert names("top") == [b"below", b"file"]
    assert listed == [b""]
    assert names("top", is_recursive=True) == [b"below", b"below/deep", b"file"]
    assert names("top:below") == [b"deep"]


def test_places_in_one_file_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "x.tar.gz").write_bytes(gzip.compress(build_tar(tree_of(a=b"a", b=b"b"))))
    opened = []
    real = rootfs_folder.load_file

    def count(path: Path, *, limits: Limits) -> bytes:
        opened.append(path)
        return real(path, limits=limits)

    monkeypatch.setattr(rootfs_folder, "load_file", count)
    places = Places(Limits(budget=Budget(1 << 20)))
    assert bytes(places.load("x.tar.gz:a").data) == b"a"
    assert bytes(places.load("x.tar.gz:b").data) == b"b"
    assert names("x.tar.gz", places=places) == [b"a", b"b"]
    assert opened == [Path("x.tar.gz")]


def test_links_to_folders_and_archives_are_entered(folder: Path) -> None:
    tree = tree_of(etc__motd=b"text", core=build_cpio(tree_of(init=b"#!")))
    for name, target in {b"folder": b"etc", b"archive": b"core", b"file": b"etc/motd"}.items():
        tree.add(name, Symlink(metadata=Metadata(mode=0o777), target=target))
    tree.add(b"dangling", Symlink(metadata=Metadata(mode=0o777), target=b"nowhere"))
    tree.add(b"loop", Symlink(metadata=Metadata(mode=0o777), target=b"loop"))
    (folder / "x.tar").write_bytes(build_tar(tree))
    places = Places(Limits())
    assert names("x.tar:folder") == [b"motd"]
    assert names("x.tar:archive") == [b"init"]
    # Other links are listed themselves.
    for name in ("file", "dangling", "loop"):
        listing = list_place(places, f"x.tar:{name}")
        assert not listing.is_folder
        (entry,) = listing.entries
        assert isinstance(entry.node, Symlink)
        assert entry.name == f"x.tar:{name}".encode()


def test_kind_and_compression_of_what_is_entered_are_known(folder: Path) -> None:
    (folder / "core.gz").write_bytes(gzip.compress(build_cpio(tree_of(a__b=b"c"))))
    places = Places(Limits())
    listing = list_place(places, "core.gz")
    assert (listing.kind, listing.compression) == (FileKind.CPIO, FileKind.GZIP)
    listing = list_place(places, "core.gz:a")
    assert (listing.kind, listing.is_folder) == (None, True)
    listing = list_place(places, "core.gz", is_itself=True)
    assert (listing.kind, listing.is_folder) == (None, False)
    assert [entry.name for entry in listing.entries] == [b"core.gz"]


def test_contents_of_a_squashfs_image_count_when_they_are_unpacked_further(folder: Path) -> None:
    inner = gzip.compress(build_tar(tree_of(a=bytes(50_000))), 9)
    (folder / "x.tcz").write_bytes(build(tree_of(inner=inner)))
    limits = Limits(budget=Budget(40_000))
    assert names("x.tcz", places=Places(limits)) == [b"inner"]
    with pytest.raises(LimitError, match=r"^x\.tcz:inner"):
        Places(limits).load("x.tcz:inner:a")


@posix
def test_fifo_in_a_folder_is_listed_and_not_read(folder: Path) -> None:
    (folder / "top").mkdir()
    os.mkfifo(folder / "top/fifo")
    assert names("top") == [b"fifo"]
    assert names("top:fifo") == [b"top:fifo"]
    with pytest.raises(InputError, match="top:fifo is a fifo, not a file"):
        Places(Limits()).load("top:fifo")
    with pytest.raises(InputError, match="fifo is neither a file nor a folder"):
        names("top/fifo")


def test_unreadable_folder_is_noted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "top/closed").mkdir(parents=True)
    real = rootfs_folder._RootFolderReader._list

    def refuse(self: rootfs_folder._RootFolderReader, path: bytes) -> object:
        if path == b"closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(self, path)

    monkeypatch.setattr(rootfs_folder._RootFolderReader, "_list", refuse)
    notes: list[str] = []
    places = Places(Limits(report=notes.append))
    assert names("top", places=places, is_recursive=True) == [b"closed"]
    assert notes == ["top: 'closed' cannot be read: Permission denied"]


def test_file_of_the_host_is_read_when_it_is_needed(folder: Path) -> None:
    (folder / "x").write_bytes(b"text")
    item = Places(Limits()).find("x")
    assert isinstance(item.node, File)
    (folder / "x").write_bytes(b"TEXT")
    assert bytes(item.load().data) == b"TEXT"


def test_tree_without_names_lists_nothing(folder: Path) -> None:
    (folder / "x.tar").write_bytes(build_tar(Tree()))
    assert names("x.tar") == []
