"""Test changing a root file system in place, in a folder or in a file of any format."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel.cli import main
from purekernel.errors import (
    BootLossError,
    FormatError,
    OutputError,
    PurekernelError,
    UnrepresentableError,
    UsageError,
)
from purekernel.formats.compress import build_xz
from purekernel.formats.compression import unpack
from purekernel.formats.cpio import build_cpio, parse_cpio
from purekernel.formats.iso import parse_iso
from purekernel.formats.lz4 import build_lz4
from purekernel.formats.tar import build_tar, parse_tar
from purekernel.host import below
from purekernel.host.edit import FolderRoot
from purekernel.input import Input
from purekernel.tools.roots import Root, open_root
from purekernel.tree import Directory, File, LazyContent, Metadata, Symlink, Tree, put_file
from tests import debs
from tests.formats.test_address import tree_of
from tests.formats.test_squashfs_writer import build as build_image
from tests.host.folding import fold_names, ignore_case
from tests.kernel_modules import make_module
from tests.oracles import require, run
from tests.ordinary import ordinary_user
from tests.roots import lay_down, plain_tree

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes and fifos")

LIBRARY = b"usr/lib/libsample.so.1"


def open_all(place: Path | str) -> Root:
    return open_root(str(place))


def change(tree: Tree) -> Tree:
    """Add, change and delete files, links and folders."""
    changed = tree.copy()
    put_file(changed, b"etc/new/file", b"new", metadata=Metadata(mode=0o644, mtime=5))
    put_file(changed, b"etc/motd", b"changed", metadata=Metadata(mode=0o644, mtime=5))
    changed.add(LIBRARY, Symlink(metadata=Metadata(mode=0o777), target=b"libsample.so.1.0.2"))
    for path in (b"lib/libc.so.6", b"bin/su"):
        if path in changed:
            changed.remove(path)
    changed.add(b"bin/su", Symlink(metadata=Metadata(mode=0o777), target=b"busybox"))
    return changed


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    found = {}
    for place in sorted(folder.rglob("*")):
        status = place.lstat()
        content: object = None
        if place.is_symlink():
            content = place.readlink()
        elif place.is_file():
            content = place.read_bytes()
        found[str(place.relative_to(folder))] = (status.st_ino, status.st_mtime_ns, content)
    return found


@posix
def test_only_changed_files_of_a_folder_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    lay_down(plain_tree(), folder)
    os.mkfifo(folder / "fifo")
    before = snapshot(folder)
    root = open_all(folder)
    root.save(change(root.tree))
    after = snapshot(folder)
    touched = {name for name in after if after[name] != before.get(name)}
    assert {name for name in before if name not in after} == {"lib/libc.so.6"}
    assert touched == {
        "etc", "etc/new", "etc/new/file", "etc/motd", "usr/lib", LIBRARY.decode(), "lib", "bin",
        "bin/su",
    }  # fmt: skip
    assert (folder / "etc/motd").read_text() == "changed"
    assert (folder / "bin/su").readlink() == Path("busybox")
    assert (folder / "etc/new/file").stat().st_mode & 0o777 == 0o644


@posix
def test_files_of_a_folder_are_read_on_access(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    (folder / "proc").mkdir(parents=True)
    (folder / "proc/x").write_bytes(b"x")
    (folder / "a").write_bytes(b"before")
    os.link(folder / "a", folder / "b")
    root = open_all(folder)
    assert {path for path, _node in root.tree.walk()} == {b"", b"proc", b"proc/x", b"a", b"b"}
    assert root.is_whole
    assert root.tree.inode(b"a") == root.tree.inode(b"b")
    (folder / "a").write_bytes(b"after")
    node = root.tree[b"b"]
    assert isinstance(node, File)
    assert node.content == b"after"
    (folder / "a").unlink()
    (folder / "b").unlink()
    other = root.tree[b"proc/x"]
    assert isinstance(other, File)
    assert other.content == b"x"
    with pytest.raises(FormatError, match=r"'a': .* got No such file"):
        assert node.content


@posix
def test_unchanged_folder_is_not_written(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    lay_down(plain_tree(), folder)
    root = open_all(folder)
    root.save(change(root.tree))
    before = snapshot(folder)
    again = open_all(folder)
    again.save(change(again.tree))
    assert snapshot(folder) == before


@posix
@pytest.mark.parametrize("top", ["sys", "proc", "opt"])
def test_writes_do_not_follow_links_out_of_the_folder(top: str, tmp_path: Path) -> None:
    folder, outside = tmp_path / "root", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "file").write_text("mine")
    (folder / top).symlink_to("../outside")
    (folder / "etc").symlink_to(top)
    root = open_all(folder)
    changed = root.tree.copy()
    # In the tree, such a link leads to a path inside the root, as after chroot.
    put_file(changed, b"etc/file", b"theirs", metadata=Metadata(mode=0o644))
    root.save(changed)
    assert (folder / "outside/file").read_text() == "theirs"
    assert (outside / "file").read_text() == "mine"


@posix
def test_writes_do_not_follow_links_created_later(tmp_path: Path) -> None:
    folder, outside = tmp_path / "root", tmp_path / "outside"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/file").write_text("theirs")
    outside.mkdir()
    (outside / "file").write_text("mine")
    root = open_all(folder)
    changed = root.tree.copy()
    put_file(changed, b"etc/file", b"new", metadata=Metadata(mode=0o644))
    (folder / "etc").rename(folder / "old")
    (folder / "etc").symlink_to("../outside")
    node = root.tree[b"etc/file"]
    assert isinstance(node, File)
    with pytest.raises(FormatError, match="expected a readable file"):
        assert node.content
    with pytest.raises((OutputError, FormatError)):
        root.save(changed)
    assert (outside / "file").read_text() == "mine"


@posix
def test_unreadable_files_are_noted(open_folder: Path) -> None:
    (open_folder / "secret").mkdir()
    (open_folder / "file").write_text("x")
    for name in ("secret", "file"):
        (open_folder / name).chmod(0)
    with ordinary_user():
        root = open_all(open_folder)
    (open_folder / "secret").chmod(0o700)
    assert root.notes == (f"{open_folder}: 'secret' cannot be read: Permission denied",)
    assert not root.is_whole
    node = root.tree[b"file"]
    assert isinstance(node, File)
    with ordinary_user(), pytest.raises(FormatError, match="got Permission denied"):
        assert node.content


@posix
def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "root"
    lay_down(plain_tree(), folder)
    root = open_all(folder)

    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="No space left on device"):
        root.save(change(root.tree))
    monkeypatch.undo()
    assert not list(folder.rglob("*.part"))
    assert (folder / "bin/su").readlink() == Path("busybox.suid")


def test_saving_a_folder_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    root = open_all(tmp_path / "root")
    with pytest.raises(UsageError, match="is a folder, which can only be changed in place"):
        root.save(root.tree, tmp_path / "x")


PACKERS: list[tuple[str, Callable[[bytes], bytes], bytes]] = [
    ("plain", bytes, b""),
    ("gzip", gzip.compress, b"\x1f\x8b"),
    ("xz", lzma.compress, b"\xfd7zXZ"),
    ("bzip2", bz2.compress, b"BZh"),
    ("zstd", zstd.compress, b"\x28\xb5\x2f\xfd"),
    ("lz4", build_lz4, b"\x02\x21\x4c\x18"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "pack", "magic"), PACKERS, ids=[kind for kind, *_ in PACKERS])
@pytest.mark.parametrize("form", ["cpio", "tar", "tar with a top"])
def test_saved_archive_keeps_its_format_and_compression(
    form: str, kind: str, pack: Callable[[bytes], bytes], magic: bytes, tmp_path: Path
) -> None:
    tree = plain_tree()
    path = tmp_path / "archive"
    made = build_cpio(tree) if form == "cpio" else build_tar(tree, top=form != "tar")
    path.write_bytes(pack(made))
    path.chmod(0o640)
    root = open_all(path)
    assert root.mtime == max(node.metadata.mtime for _path, node in tree.walk())
    changed = change(root.tree)
    root.save(changed)
    assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o640
    data = path.read_bytes()
    assert data.startswith(magic)
    plain = bytes(unpack(Input(data, name="x")))
    parsed = (parse_cpio if form == "cpio" else parse_tar)(Input(plain, name="x"))
    assert parsed == changed
    if form != "cpio":
        assert plain.startswith(b"./\0") is (form != "tar")
    # Save elsewhere; the old archive stays.
    open_all(path).save(tree, tmp_path / "other")
    assert path.read_bytes() == data
    assert bytes(unpack(Input((tmp_path / "other").read_bytes(), name="x"))) == made


@posix
def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    path, fifo = tmp_path / "core.cpio", tmp_path / "fifo"
    path.write_bytes(build_cpio(plain_tree()))
    os.mkfifo(fifo)
    root = open_all(path)
    with pytest.raises(
        OutputError, match="fifo must be a regular file, got a device, fifo or socket"
    ):
        root.save(root.tree, fifo)
    (tmp_path / "link").symlink_to("other")
    root.save(root.tree, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "other").read_bytes() == path.read_bytes()


def test_saved_xz_archive_has_the_checksum_that_linux_supports(tmp_path: Path) -> None:
    path = tmp_path / "core.xz"
    path.write_bytes(lzma.compress(build_cpio(plain_tree())))
    root = open_all(path)
    root.save(change(root.tree))
    # Stream flags: the check is CRC32. Source: the .xz file format, 2.1.1.2.
    assert path.read_bytes()[6:8] == b"\0\x01"
    # Saving writes the same bytes as a build.
    assert path.read_bytes() == build_xz(build_cpio(open_all(path).tree))


@posix
def test_link_to_an_archive_is_kept(tmp_path: Path) -> None:
    (tmp_path / "real.cpio").write_bytes(build_cpio(plain_tree()))
    (tmp_path / "link.cpio").symlink_to("real.cpio")
    root = open_all(tmp_path / "link.cpio")
    root.save(change(root.tree))
    assert (tmp_path / "link.cpio").is_symlink()
    assert b"changed" in (tmp_path / "real.cpio").read_bytes()


def test_unwritable_formats_are_refused(tmp_path: Path) -> None:
    cpio = build_cpio(plain_tree())
    cases = {
        "two.img": (cpio + gzip.compress(cpio), "has several archives"),
        "core.lzma": (
            lzma.compress(cpio, format=lzma.FORMAT_ALONE),
            "its compression can be read but not written",
        ),
    }
    for name, (data, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        root = open_all(path)
        with pytest.raises(UnrepresentableError, match=message):
            root.save(change(root.tree))
        assert path.read_bytes() == data


@pytest.mark.oracle
@pytest.mark.parametrize("options", ["-b 4096", "-b 128K -comp xz -no-fragments -no-exports"])
def test_saved_squashfs_keeps_its_options(options: str, tmp_path: Path) -> None:
    lay_down(plain_tree(), tmp_path / "root")
    path = tmp_path / "x.tcz"
    run(
        require("mksquashfs"), tmp_path / "root", path, "-quiet", "-no-progress", *options.split()
    )  # fmt: skip
    before = run(require("unsquashfs"), "-s", path).splitlines()
    root = open_all(path)
    changed = change(root.tree)
    root.save(changed)
    assert open_all(path).tree == changed
    after = run(require("unsquashfs"), "-s", path).splitlines()
    told = (b"Creation", b"Compression", b"Block size", b"Filesystem is", b"Fragments are not")
    assert [line for line in after if line.startswith(told)] == [
        line for line in before if line.startswith(told)
    ]


@pytest.mark.slow
def test_saved_iso_differs_only_in_its_core(tmp_path: Path) -> None:
    path = tmp_path / "core.iso"
    path.write_bytes(make_core_iso(beside_boot={b"cde/onboot.lst": b"x.tcz\n"}))
    before = parse_iso(Input(path.read_bytes(), name="x"))
    root = open_all(path)
    assert root.tree == open_all(f"{path}:boot/core.gz").tree
    changed = change(root.tree)
    root.save(changed)
    after = parse_iso(Input(path.read_bytes(), name="x"))
    assert (after.boot, after.fields) == (before.boot, before.fields)
    assert open_all(path).tree == changed
    for name, node in before.tree.walk():
        if name not in (b"boot/core.gz", b"boot/isolinux/isolinux.bin"):  # with its location
            assert after.tree[name] == node
    # Saving the same tree again gives the same bytes.
    data = path.read_bytes()
    open_all(path).save(changed)
    assert path.read_bytes() == data


@pytest.mark.oracle
def test_saving_an_iso_keeps_its_second_boot_entry(tmp_path: Path) -> None:
    (tmp_path / "core.iso").write_bytes(make_core_iso())
    files = tmp_path / "files"
    run("xorriso", "-osirrox", "on", "-indev", tmp_path / "core.iso", "-extract", "/", files)
    (files / "efi.img").write_bytes(bytes(4096))
    made = tmp_path / "two.iso"
    run(
        require("xorriso"), "-as", "mkisofs", "-J", "-R", "-b", "boot/isolinux/isolinux.bin", "-c",
        "boot/isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
        "-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot", "-o", made, files,
    )  # fmt: skip
    before = parse_iso(Input(made.read_bytes(), name="x")).boot
    root = open_all(made)
    assert root.save(change(root.tree)) == ()
    assert parse_iso(Input(made.read_bytes(), name="x")).boot == before
    report = run(require("xorriso"), "-indev", made, "-report_el_torito", "plain")
    assert b"/efi.img" in report


def test_saving_a_hybrid_iso_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hybrid.iso"
    path.write_bytes(b"\xfa" + make_core_iso()[1:])
    root = open_all(path)
    with pytest.raises(BootLossError, match="the output would lose"):
        root.save(change(root.tree))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere", "nowhere does not exist"),
        ("text", "text is not a known kind of root file system: it starts with 74 65 78 74"),
        ("text:boot/core.gz", "text is not a known kind of archive: it starts with 74 65 78 74"),
        ("core.iso:boot/nosuch", "core.iso:boot has no nosuch"),
        ("core.iso:boot", "core.iso:boot is a folder, not a file"),
        ("core.iso:boot/vmlinuz:x", "core.iso:boot/vmlinuz is a Linux kernel for x86"),
        ("folder:etc", "folder:etc is in the folder folder"),
        ("", "the address is empty"),
        (
            "core.iso:boot/isolinux/isolinux.cfg",
            "core.iso:boot/isolinux/isolinux.cfg is not a known kind of root file system",
        ),
    ],
)
def test_files_without_a_root_file_system_are_refused(
    place: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("text")
    (tmp_path / "folder/etc").mkdir(parents=True)
    (tmp_path / "core.iso").write_bytes(make_core_iso())
    with pytest.raises(PurekernelError) as caught:
        open_all(place)
    assert str(caught.value).startswith(message)


@posix
def test_existing_file_with_a_colon_in_its_name_is_opened(tmp_path: Path) -> None:
    (tmp_path / "core.iso").write_bytes(make_core_iso())
    (tmp_path / "core.iso:x").write_bytes(build_cpio(plain_tree()))
    assert open_all(f"{tmp_path / 'core.iso'}:x").tree == plain_tree()


def test_archive_in_archives_is_changed_in_all_of_them(tmp_path: Path) -> None:
    inner, core = plain_tree(), plain_tree()
    core.add(b"image", File(metadata=Metadata(mode=0o600), content=build_cpio(inner)))
    core.link(b"other", b"image")
    core.add(b"link", Symlink(metadata=Metadata(mode=0o777), target=b"/image"))
    path = tmp_path / "core.iso"
    path.write_bytes(make_core_iso(core=gzip.compress(build_cpio(core))))
    place = f"{path}:boot/core.gz:link"
    root = open_all(place)
    assert root.tree == inner
    changed = change(root.tree)
    root.save(changed, tmp_path / "new.iso")
    assert open_all(place).tree == inner
    root.save(changed)
    assert open_all(place).tree == changed
    after = open_all(path).tree
    assert after[b"image"].metadata.mode == 0o600
    assert bytes(after.read(b"other")) == build_cpio(inner)
    assert path.read_bytes() == (tmp_path / "new.iso").read_bytes()


def test_tools_that_read_one_file_accept_its_address(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = tmp_path / "image.tcz"
    image.write_bytes(build_image(tree_of(etc__motd=b"welcome")))
    module = make_module(["license=GPL"])
    tree = Tree()
    for name, content in {b"image.tcz": image.read_bytes(), b"a.ko": module}.items():
        tree.add(name, File(metadata=Metadata(mode=0o644), content=content))
    (tmp_path / "x.tar").write_bytes(build_tar(tree))
    assert main(["tool", "unsquashfs", "-l", "image.tcz"]) == 0
    expected = capfdbinary.readouterr().out
    assert main(["tool", "unsquashfs", "-l", "x.tar:image.tcz"]) == 0
    assert capfdbinary.readouterr().out == expected
    assert main(["tool", "unsquashfs", "-q", "-d", "out", "x.tar:image.tcz", "etc/motd"]) == 0
    assert (tmp_path / "out/etc/motd").read_bytes() == b"welcome"
    assert main(["tool", "modinfo", "-F", "license", "x.tar:a.ko"]) == 0
    assert capfdbinary.readouterr().out == b"GPL\n"
    assert main(["tool", "modinfo", "x.tar:b.ko"]) == 1
    assert b"x.tar has no b.ko" in capfdbinary.readouterr().err


def test_archive_in_a_package_is_read_but_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(debs.deb())
    root = open_all(f"{path}:data.tar.xz")
    changed = root.tree.copy()
    put_file(changed, b"usr/new", b"new", metadata=Metadata(mode=0o644))
    with pytest.raises(UnrepresentableError, match=r"x\.deb is an ar archive, which can be read"):
        root.save(changed)
    assert path.read_bytes() == debs.deb()


@posix
@pytest.mark.parametrize("planted", ["link", "file"])
def test_mode_of_a_link_created_in_place_of_a_new_folder_is_kept(
    planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, secret = tmp_path / "root", tmp_path / "secret"
    folder.mkdir()
    secret.mkdir(mode=0o700)
    root = open_all(folder)
    changed = root.tree.copy()
    changed.add(b"new", Directory(metadata=Metadata(mode=0o755)))
    real = os.mkdir

    def swap(name: Path | str, *, dir_fd: int | None = None) -> None:
        real(name, dir_fd=dir_fd)
        os.rmdir(name, dir_fd=dir_fd)
        if planted == "link":
            os.symlink(secret, name, dir_fd=dir_fd)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=dir_fd))

    monkeypatch.setattr(os, "mkdir", swap)
    root.save(changed)
    assert secret.stat().st_mode & 0o7777 == 0o700
    assert (folder / "new").stat().st_mode & 0o7777 == (0o700 if planted == "link" else 0o600)


@posix
def test_mode_of_a_new_folder_does_not_depend_on_umask(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    root = open_all(tmp_path / "root")
    changed = root.tree.copy()
    changed.add(b"new", Directory(metadata=Metadata(mode=0o755)))
    before = os.umask(0o077)
    try:
        root.save(changed)
    finally:
        os.umask(before)
    assert (tmp_path / "root/new").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("name", [b"lib/a\\..\\..\\evil", b"lib/C:evil", b"lib/nul.so", b"lib/a."])
def test_name_invalid_on_windows_changes_nothing(name: bytes, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    root = open_all(tmp_path / "root")
    assert isinstance(root, FolderRoot)
    changed = root.tree.copy()
    put_file(changed, b"a", b"a", metadata=Metadata(mode=0o644))
    put_file(changed, name, b"evil", metadata=Metadata(mode=0o644))
    with pytest.raises(OutputError, match="the changed tree has names that are invalid on Windows"):
        root.save(changed, windows=True)
    assert list(tmp_path.rglob("*")) == [tmp_path / "root"]


@posix
def test_links_on_the_path_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(below, "_BY_DESCRIPTOR", False)
    folder, outside = tmp_path / "root", tmp_path / "outside"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/file").write_text("theirs")
    outside.mkdir()
    (outside / "file").write_text("mine")
    root = open_all(folder)
    changed = root.tree.copy()
    put_file(changed, b"etc/file", b"new", metadata=Metadata(mode=0o644))
    node = root.tree[b"etc/file"]
    assert isinstance(node, File)
    assert node.content == b"theirs"
    (folder / "etc").rename(folder / "old")
    (folder / "etc").symlink_to("../outside")
    with pytest.raises(OutputError, match="symbolic links"):
        root.save(changed)
    (folder / "etc").unlink()
    (folder / "etc").mkdir()
    (folder / "etc/file").symlink_to("../../outside/file")
    LazyContent(0, load=bytes).load()  # only the most recently loaded content is cached
    with pytest.raises(FormatError, match="symbolic links"):
        assert node.content
    assert (outside / "file").read_text() == "mine"


# Names that the file system takes for one


@posix
@pytest.mark.parametrize("removes", [True, False])
@pytest.mark.parametrize("node", ["file", "link", "folder"])
def test_new_name_that_the_file_system_takes_for_another_is_refused(
    node: str, removes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "root"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib/liba.so").write_bytes(b"old")
    root = open_all(folder)
    changed = root.tree.copy()
    if removes:
        changed.remove(b"lib/liba.so")
    if node == "link":
        changed.add(b"lib/libA.so", Symlink(metadata=Metadata(mode=0o777), target=b"x"))
    elif node == "folder":
        changed.add(b"lib/libA.so", Directory(metadata=Metadata(mode=0o755)))
    else:
        changed.add(b"lib/libA.so", File(metadata=Metadata(mode=0o644), content=b"new"))
    before = snapshot(folder)
    with monkeypatch.context() as patch:
        fold_names(patch, tmp_path, ignore_case)
        with pytest.raises(OutputError) as caught:
            root.save(changed)
    assert str(caught.value).endswith(
        "libA.so cannot be written: the file system takes 'libA.so' for 'liba.so'"
    )
    assert snapshot(folder) == before
    root.save(changed)  # where the names differ
    assert (folder / "lib/libA.so").is_symlink() is (node == "link")
    assert (folder / "lib/liba.so").exists() is not removes


@posix
@pytest.mark.parametrize("mode", [0o755, 0o700, 0o2775])
def test_new_folder_gets_the_mode_of_the_tree(mode: int, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    root = open_all(tmp_path / "root")
    changed = root.tree.copy()
    changed.add(b"new", Directory(metadata=Metadata(mode=mode)))
    umask = os.umask(0o077)
    try:
        root.save(changed)
    finally:
        os.umask(umask)
    assert (tmp_path / "root/new").stat().st_mode & 0o7777 == mode
