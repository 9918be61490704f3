"""Test ``purekernel tool mksquashfs``, ``unsquashfs`` and ``recompress``."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import stat
import tarfile
import zlib
from functools import cache
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

from purekernel.cli import main
from purekernel.formats.cpio import build_cpio, parse_cpio
from purekernel.formats.squashfs import open_squashfs, parse_squashfs
from purekernel.formats.squashfs.codecs import Codec
from purekernel.formats.squashfs.layout import SuperblockFlag
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.tools.mksquashfs import below, is_host_path
from purekernel.tree import Device, DeviceKind, Directory, Fifo, File, Metadata, Symlink, Tree
from tests.formats.test_squashfs import check_against_disk, plant
from tests.formats.test_squashfs_writer import build, varied_tree, with_files
from tests.oracles import require, run
from tests.ordinary import ordinary_user
from tests.shared import extension, mirror, modern_extension

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no owners and links for everybody")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a small root file system, and change to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    root = tmp_path / "root"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "tool").write_bytes(b"#!/bin/sh\necho tool\n" * 500)
    (root / "usr" / "share").mkdir()
    (root / "usr" / "share" / "text").write_bytes(b"some text\n" * 2000)
    (root / "note").write_bytes(b"note\n")
    for place in (root, *root.rglob("*")):
        os.utime(place, (1_400_000_000, 1_400_000_000))
    return tmp_path


def read(path: Path | str) -> Tree:
    return parse_squashfs(Input(Path(path).read_bytes(), name=str(path)))


def facts(path: str) -> int:
    return open_squashfs(Input(Path(path).read_bytes(), name=path)).facts.flags


def names(tree: Tree) -> set[bytes]:
    return {path for path, _node in tree.walk()}


def tool(*words: str | Path) -> int:
    return main(["tool", *map(str, words)])


# mksquashfs


def test_folder_is_packed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool("mksquashfs", "root", "x.tcz", "-all-root") == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("x.tcz: 4096 bytes, 7 names, gzip, 4096\n", "")
    tree = read("x.tcz")
    assert names(tree) == {
        b"", b"note", b"usr", b"usr/bin", b"usr/bin/tool", b"usr/share", b"usr/share/text",
    }  # fmt: skip
    assert {(node.metadata.uid, node.metadata.gid) for _path, node in tree.walk()} == {(0, 0)}
    assert {node.metadata.mtime for _path, node in tree.walk()} == {1_400_000_000}
    node = tree[b"usr/bin/tool"]
    assert isinstance(node, File)
    assert node.content == b"#!/bin/sh\necho tool\n" * 500


@posix
def test_owner_time_and_block_options(folder: Path) -> None:
    command = [
        "mksquashfs", "root", "x.tcz", "-b", "128K", "-comp", "zstd", "-force-uid", "1001",
        "-force-gid", "50", "-all-time", "77", "-mkfs-time", "99", "-no-exports", "-no-xattrs",
        "-no-fragments", "-no-duplicates", "-quiet", "-processors", "1", "-nopad",
    ]  # fmt: skip
    assert tool(*command) == 0
    opened = open_squashfs(Input(Path("x.tcz").read_bytes(), name="x"))
    assert opened.facts.block_bytes == 128 << 10
    assert opened.facts.compression == 6
    assert opened.facts.mkfs_time == 99
    assert opened.facts.flags == SuperblockFlag.NO_FRAGMENTS | SuperblockFlag.NO_XATTRS
    assert opened.facts.used_bytes == Path("x.tcz").stat().st_size
    assert {
        (node.metadata.uid, node.metadata.gid, node.metadata.mtime)
        for _path, node in opened.tree.walk()
    } == {(1001, 50, 77)}


def test_times_are_limited_by_source_date_epoch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(folder / "root" / "note", (500, 500))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "12345")
    assert tool("mksquashfs", "root", "x.tcz") == 0
    opened = open_squashfs(Input(Path("x.tcz").read_bytes(), name="x"))
    assert opened.facts.mkfs_time == 12345
    times = {path: node.metadata.mtime for path, node in opened.tree.walk()}
    assert times.pop(b"note") == 500
    assert set(times.values()) == {12345}


@posix
@pytest.mark.slow
def test_archives_and_images_are_packed(folder: Path) -> None:
    archive = build_cpio(varied_tree())
    Path("in.cpio").write_bytes(archive)
    assert tool("mksquashfs", "in.cpio", "from-cpio.tcz", "-quiet") == 0
    assert read("from-cpio.tcz") == parse_cpio(Input(archive, name="in.cpio"))
    with tarfile.open("in.tar.gz", "w:gz") as tarball:
        tarball.add("root", ".")
    assert tool("mksquashfs", "in.tar.gz", "from-tar.tcz", "-quiet") == 0
    assert tool("mksquashfs", "root", "from-folder.tcz", "-quiet", "-no-xattrs") == 0
    assert read("from-tar.tcz") == read("from-folder.tcz")
    assert tool("mksquashfs", "from-cpio.tcz", "again.tcz", "-quiet") == 0
    assert Path("again.tcz").read_bytes() == Path("from-cpio.tcz").read_bytes()


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("etc", {b"conf"}),
        ("inner.tar", {b"program"}),
        ("etc/conf", {b"conf"}),
    ],
)
def test_place_inside_an_archive_is_packed(folder: Path, inner: str, expected: set[bytes]) -> None:
    tree = Tree(Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"etc", Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"etc/conf", File(metadata=Metadata(mode=0o600), content=b"text"))
    inner_tree = Tree(Directory(metadata=Metadata(mode=0o755)))
    inner_tree.add(b"program", File(metadata=Metadata(mode=0o755), content=b"x"))
    content = build_tar(inner_tree)
    tree.add(b"inner.tar", File(metadata=Metadata(mode=0o644), content=content))
    Path("outer.tar").write_bytes(build_tar(tree))
    assert tool("mksquashfs", f"outer.tar:{inner}", "x.tcz", "-quiet") == 0
    assert names(read("x.tcz")) - {b""} == expected


def small_tree() -> Tree:
    tree = Tree()
    content = random.Random(1).randbytes(2000)
    tree.add(b"f", File(metadata=Metadata(mode=0o644), content=content))
    return tree


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tar", b"", "x.tar is not a known kind of source: it starts with nothing"),
        ("x.tar.gz", b"text", "x.tar.gz is not a known kind of source: it starts with 74 65 78 74"),
        (
            "core.gz",
            bytes(20_000),
            "core.gz is not a known kind of source: it starts with 00 00 00 00 00 00",
        ),
        ("x.tcz", b"hsqs", "x.tcz, byte 0: expected a squashfs image (68 73 71 73), got"),
        ("short.tar", build_tar(small_tree())[:300], "short.tar, byte 0: expected a tar header"),
        (
            "damaged",
            b"\1" + build_tar(small_tree())[1:],
            "damaged, byte 0: expected a valid tar header, got bad checksum",
        ),
        (
            "cut",
            gzip.compress(build_tar(small_tree()))[:200],
            "cut, byte 200: expected the rest of a deflate stream, got the end of the file",
        ),
        ("half", build_cpio(small_tree())[:200], "half, byte 200: expected "),
        ("lz", b"LZIP\1" + bytes(40), "lz is an lzip file, which is not supported as a source"),
    ],
)
def test_file_that_should_be_an_archive_is_no_file_of_an_image(
    folder: Path, name: str, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(content)
    assert tool("mksquashfs", name, "out.tcz") == 1
    first, _hint = capsys.readouterr().err.splitlines()
    assert first.startswith(f"purekernel: {message}")
    assert not Path("out.tcz").exists()
    Path("as-it-is").mkdir()
    Path(name).rename(Path("as-it-is") / name)
    assert tool("mksquashfs", "as-it-is", "out.tcz", "-quiet") == 0
    assert read("out.tcz").read(name) == content


def test_archive_of_an_unsupported_kind_is_no_file_of_an_image(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.zip").write_bytes(b"PK\3\4" + bytes(60))
    assert tool("mksquashfs", "a.zip", "x.tcz") == 1
    message, hint = capsys.readouterr().err.splitlines()
    assert message == "purekernel: a.zip is a zip archive, which is not supported as a source"
    assert hint.strip().startswith("unpack it and give the folder; to add the file as it is, ")
    assert not Path("x.tcz").exists()


def test_sources_are_packed_side_by_side(folder: Path) -> None:
    (folder / "more.tar").write_bytes(b"no archive, by the way")
    assert tool("mksquashfs", "root/usr", "more.tar", "x.tcz") == 0
    assert {b"usr/bin/tool", b"more.tar"} < names(read("x.tcz"))
    (folder / "more").write_bytes(b"no archive")
    assert tool("mksquashfs", "more", "y.tcz") == 0
    assert names(read("y.tcz")) == {b"", b"more"}
    assert tool("mksquashfs", "root", str(folder / "root"), "z.tcz") == 1


def test_excluded_paths_are_omitted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["mksquashfs", "root", "x.tcz", "-quiet", "-e", "usr/share", "./root/note", "-gone"]
    assert tool(*command) == 0
    assert names(read("x.tcz")) == {b"", b"usr", b"usr/bin", b"usr/bin/tool"}
    assert "'-gone' is excluded, and is not in the sources" in capsys.readouterr().err
    (folder / "list").write_text("usr/bin\n\nnote\n")
    assert tool("mksquashfs", "root", "y.tcz", "-quiet", "-ef", "list") == 0
    assert names(read("y.tcz")) == {b"", b"usr", b"usr/share", b"usr/share/text"}
    assert tool("mksquashfs", "root", "z.tcz", "-quiet", "-e", "../elsewhere") == 2
    assert "../elsewhere is outside all sources" in capsys.readouterr().err


@pytest.mark.oracle
@posix
def test_excluded_link_on_the_host_is_excluded_itself(folder: Path) -> None:
    (folder / "root/link").symlink_to("usr/share")
    (folder / "outside").symlink_to(folder / "root")
    assert tool("mksquashfs", "root", "x.tcz", "-quiet", "-e", "./root/link") == 0
    assert b"link" not in names(read("x.tcz"))
    assert b"usr/share/text" in names(read("x.tcz"))
    # Folders on the way to it are followed.
    assert tool("mksquashfs", "root", "y.tcz", "-quiet", "-e", "./outside/usr/bin/../share") == 0
    assert b"usr/share" not in names(read("y.tcz"))
    assert b"link" in names(read("y.tcz"))
    run(require("mksquashfs"), "root", "judge", "-quiet", "-e", "./root/link", cwd=folder)
    assert names(read("judge")) == names(read("x.tcz"))


@pytest.mark.parametrize(
    ("path", "top", "expected"),
    [
        ("C:\\root\\usr\\share", "C:\\root", "usr/share"),
        ("c:/ROOT/usr", "C:\\root", "usr"),
        ("C:\\root", "C:\\root", "."),
        ("D:\\root\\usr", "C:\\root", None),
        ("\\\\server\\share\\root\\usr", "C:\\root", None),
        ("C:\\rooted\\usr", "C:\\root", None),
        ("C:\\", "C:\\root", None),
    ],
)
def test_path_on_another_drive_is_outside(path: str, top: str, expected: str | None) -> None:
    assert below(PureWindowsPath(path), PureWindowsPath(top)) == expected


@pytest.mark.parametrize(
    ("text", "on_windows", "elsewhere"),
    [
        ("usr/share", False, False),
        ("./usr", True, True),
        ("../usr", True, True),
        ("/usr", True, True),
        (".usr", False, False),
        ("..\\usr", True, False),
        (".\\usr", True, False),
        ("D:\\usr", True, False),
        ("D:usr", True, False),
        ("\\usr", True, False),
        ("usr\\share", False, False),
    ],
)
def test_host_path_is_told_from_path_in_the_image(
    text: str, on_windows: bool, elsewhere: bool
) -> None:
    assert is_host_path(text, windows=True) is on_windows
    assert is_host_path(text, windows=False) is elsewhere


def test_sort_file_orders_the_contents(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        (folder / "root" / name).write_bytes(hashlib.shake_128(name.encode()).digest(4096))
    (folder / "order").write_text("# first\nusr -5\nb 7\n./root/c 20000\n")
    assert tool("mksquashfs", "root", "x.tcz", "-quiet", "-sort", "order") == 0
    image = Path("x.tcz").read_bytes()
    places = [image.index((folder / "root" / name).read_bytes()) for name in "cba"]
    assert places == [96, 96 + 4096, 96 + 8192]
    for line in ("a", "a b", "a 40000", "a 1_0", "a \u0661"):
        (folder / "order").write_text(line + "\n", encoding="utf-8")
        assert tool("mksquashfs", "root", "y.tcz", "-sort", "order") == 1
        message = f"order, line 1: must be a path and a priority, got {line!r}"
        assert message in capsys.readouterr().err


@posix
def test_extended_attributes_are_kept(folder: Path) -> None:
    if not hasattr(os, "setxattr"):
        pytest.skip("this system has no extended attributes")
    try:
        os.setxattr("root/note", "user.note", b"value")
        os.setxattr("root", "user.top", b"")
    except OSError as error:
        pytest.skip(f"this disk has no extended attributes: {error}")
    assert tool("mksquashfs", "root", "x.tcz", "-quiet") == 0
    tree = read("x.tcz")
    assert tree[b"note"].metadata.xattrs == ((b"user.note", b"value"),)
    assert tree[b""].metadata.xattrs == ((b"user.top", b""),)
    assert tool("mksquashfs", "root", "y.tcz", "-quiet", "-no-xattrs") == 0
    assert read("y.tcz")[b"note"].metadata.xattrs == ()
    assert tool("mksquashfs", "root/note", "z.tcz", "-quiet") == 0
    assert read("z.tcz")[b"note"].metadata.xattrs == ((b"user.note", b"value"),)
    assert tool("unsquashfs", "-q", "x.tcz") == 0
    assert os.getxattr("squashfs-root/note", "user.note") == b"value"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["root"], 2, "SOURCE or OUT is missing"),
        (["root", "there"], 2, "there exists already, and appending to images is not supported"),
        (["root", "x", "-b", "5000"], 2, "must be a power of two from 4096 to 1048576, got 5000"),
        (["root", "x", "-comp", "lzo"], 2, "'lzo' is not one of 'gzip', 'xz', 'lz4', 'zstd'"),
        (["root", "x", "-Xbcj", "x86"], 2, "No such option"),
        (["root", "x", "-nofragments"], 2, "-no-fragments"),
        (["root", "x", "-ef"], 2, "-ef"),
        (["root", "x", "-force-uid", "no-one"], 2, "the user no-one does not exist here"),
        (["root", "x", "-force-uid", "9" * 5000], 2, "use a number from 0 to 4294967295"),
        (["root", "x", "-force-gid", "4294967296"], 2, "4294967296 does not exist here"),
        (["gone", "x"], 1, "gone does not exist"),
    ],
)
def test_options_refused_by_mksquashfs_are_refused(
    words: list[str], status: int, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "there").write_bytes(b"old")
    assert tool("mksquashfs", *words) == status
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 2
    assert (folder / "there").read_bytes() == b"old"
    assert sorted(path.name for path in folder.iterdir()) == ["root", "there"]


@posix
def test_unreadable_file_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.chmod(0o777)
    (folder / "root" / "usr" / "bin").chmod(0)
    with ordinary_user():
        assert tool("mksquashfs", "root", "x.tcz") == 1
    assert "'usr/bin' cannot be read: Permission denied" in capsys.readouterr().err
    (folder / "root" / "usr" / "bin").chmod(0o755)
    (folder / "root" / "note").chmod(0)
    with ordinary_user():
        assert tool("mksquashfs", "root", "x.tcz") == 1
    assert not (folder / "x.tcz").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["root"]


def test_image_is_replaced_on_success_and_kept_on_failure(folder: Path) -> None:
    (folder / "x.tcz").write_bytes(b"old")
    (folder / "bad").mkdir()
    (folder / "bad" / "early").write_bytes(b"x")
    os.utime(folder / "bad" / "early", (-5, -5))
    assert tool("mksquashfs", "bad", "x.tcz", "-noappend") == 1
    assert (folder / "x.tcz").read_bytes() == b"old"
    assert sorted(path.name for path in folder.iterdir()) == ["bad", "root", "x.tcz"]
    assert tool("mksquashfs", "root", "x.tcz", "-noappend", "-quiet") == 0
    assert len(read("x.tcz")) == 7


@pytest.mark.oracle
@posix
def test_image_of_a_folder_equals_that_of_mksquashfs(folder: Path) -> None:
    source = folder / "planted"
    plant(source)
    (source / "soft2").unlink()  # mksquashfs stores hard-linked symlinks separately
    options = ["-noappend", "-quiet", "-no-progress", "-b", "4096"]
    run(require("mksquashfs"), source, "theirs.tcz", *options)
    assert tool("mksquashfs", source, "ours.tcz", *options) == 0
    assert read("ours.tcz") == read("theirs.tcz")
    # The size of a folder depends on the order of its names.
    told = [
        [line for line in run(require("unsquashfs"), "-ll", name).splitlines() if line[:1] != b"d"]
        for name in ("ours.tcz", "theirs.tcz")
    ]
    assert told[0] == told[1]


# unsquashfs


@cache
def varied_image() -> bytes:
    tree = varied_tree()
    tree.replace(b"pipe", Fifo(metadata=Metadata(mode=0o600, mtime=0x7FFFFFFF)))
    return build(tree)


@pytest.fixture
def image(folder: Path) -> Path:
    """Write an image with one node of each kind."""
    path = folder / "x.tcz"
    path.write_bytes(varied_image())
    return path


@pytest.mark.slow
@posix
def test_every_kind_of_node_is_unpacked(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = read(image)
    assert tool("unsquashfs", "-d", "out", image) == 0
    out, err = capsys.readouterr()
    if os.geteuid() != 0:
        assert "devices are skipped: only root may create them" in err
        return
    assert (out, err) == (f"out: {len(tree) - 1} names\n", "")
    check_against_disk(tree, Path("out"), root=True)
    # Unpack a second time, over the first.
    assert tool("unsquashfs", "-q", "-d", "out", image) == 1
    assert "out cannot be written: File exists\n  add -f to replace" in capsys.readouterr().err
    (Path("out") / "soft").unlink()
    (Path("out") / "again").write_bytes(b"changed")
    assert tool("unsquashfs", "-f", "-q", "-d", "out", image) == 0
    check_against_disk(tree, Path("out"), root=True)


@posix
def test_unprivileged_user_unpacks_all_but_owners_and_devices(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = read(image)
    image.parent.chmod(0o777)
    with ordinary_user():
        assert tool("unsquashfs", "-d", "out", image.name) == 0
    err = capsys.readouterr().err
    assert "devices are skipped: only root may create them: 2" in err
    assert "owners are not set: the files belong to you: " in err
    assert "setuid and setgid are not set: 1" in err
    mine = (image.parent / "out").stat().st_uid
    assert mine != 0
    odd = os.lstat(b"out/\xff\xfe \n")
    assert (stat.S_IMODE(odd.st_mode), odd.st_uid) == (0o755, mine)
    tree.remove(b"disk")
    tree.remove(b"disk2")
    check_against_disk(tree, Path("out"), root=False)


def test_only_given_paths_are_unpacked(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image.write_bytes(build(with_files(abc=b"1", abd=b"2", xyz=b"3")))
    assert tool("unsquashfs", "-l", image, "/abc", "x?z") == 0
    assert capsys.readouterr().out.splitlines() == [
        "squashfs-root", "squashfs-root/abc", "squashfs-root/xyz",
    ]  # fmt: skip
    assert tool("unsquashfs", "-d", "out", image, "ab*") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["abc", "abd"]
    assert tool("unsquashfs", "-d", "out2", image, "ab") == 1
    assert "contains no 'ab'" in capsys.readouterr().err
    assert not Path("out2").exists()


def test_cat_prints_contents(image: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    tree = with_files(a=b"one\n", b=b"\xff two\n")
    tree.add(b"soft", Symlink(metadata=Metadata(mode=0o777), target=b"b"))
    image.write_bytes(build(tree))
    assert tool("unsquashfs", "-cat", image, "soft", "a") == 0
    assert capfdbinary.readouterr().out == b"\xff two\none\n"
    assert tool("unsquashfs", "-cat", image, "a", "gone") == 1
    out, err = capfdbinary.readouterr()
    assert out == b""
    assert b": no file 'gone'" in err
    assert tool("unsquashfs", "-cat", image) == 2
    assert tool("unsquashfs", "-l", "-s", image) == 2


@posix
def test_links_to_outside_the_output_folder_are_not_followed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = folder / "outside"
    outside.mkdir()
    tree = with_files(a=b"a")
    tree.add(b"d", Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"d/file", File(metadata=Metadata(mode=0o644), content=b"new"))
    (folder / "x.tcz").write_bytes(build(tree))
    (folder / "out").mkdir()
    # A link is in place of a folder.
    (folder / "out" / "d").symlink_to(outside)
    assert tool("unsquashfs", "-f", "-d", "out", "x.tcz") == 1
    assert "out/d cannot be written: File exists" in capsys.readouterr().err
    # A link in place of a file is replaced, and not followed.
    (folder / "out" / "d").unlink()
    (folder / "out" / "d").mkdir()
    (outside / "kept").write_bytes(b"kept")
    (folder / "out" / "d" / "file").symlink_to(outside / "kept")
    assert tool("unsquashfs", "-f", "-q", "-d", "out", "x.tcz") == 0
    assert (outside / "kept").read_bytes() == b"kept"
    assert (folder / "out" / "d" / "file").read_bytes() == b"new"
    assert not (folder / "out" / "d" / "file").is_symlink()
    assert [path.name for path in outside.iterdir()] == ["kept"]


def test_damaged_image_leaves_no_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = bytearray(build(with_files(a=b"text " * 5000)))
    damaged[96:110] = bytes(14)
    (folder / "x.tcz").write_bytes(damaged)
    assert tool("unsquashfs", "-d", "out", "x.tcz") == 1
    assert "x.tcz, byte 96: expected a valid compressed block" in capsys.readouterr().err
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "name",
    [
        b"..\\..\\evil.exe",
        b"C:evil.exe",
        b"C:\\Windows\\evil.dll",
        b"\\\\srv\\share\\evil",
        b"CON",
        b"evil.txt:stream",
        b"a. ",
    ],
)
def test_name_that_windows_interprets_opens_nothing_outside(
    name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On Windows, such a name is refused; elsewhere, it is a name like others."""
    tree = Tree(Directory(metadata=Metadata(mode=0o755)))
    tree.add(name, File(metadata=Metadata(mode=0o644), content=b"x"))
    (tmp_path / "x.tcz").write_bytes(build(tree))
    work = tmp_path / "one" / "two"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    before = sorted(tmp_path.rglob("*"))
    written: list[str] = []
    real = os.open

    def note(path: str, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            written.append(path)
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", note)
    status = tool("unsquashfs", "-q", "-d", "out", tmp_path / "x.tcz")
    if os.name == "nt":
        assert status == 1
        assert written == []
        assert sorted(tmp_path.rglob("*")) == before
        assert capsys.readouterr().err.startswith(
            "purekernel: the image has names that are invalid on Windows: "
        )
    else:
        assert status == 0
        unpacked = work / "out" / os.fsdecode(name)
        assert unpacked.read_bytes() == b"x"
        assert len(written) == 1
        files = {path for path in tmp_path.rglob("*") if path.is_file()}
        assert files == {tmp_path / "x.tcz", unpacked}


@pytest.mark.oracle
def test_listing_equals_that_of_unsquashfs(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    images = sorted((mirror() / "4.x" / "x86" / "tcz").glob("*.tcz"))
    tree = varied_tree()
    for path in (b"disk", b"disk2"):  # unsquashfs prints only eight bits of device numbers
        tree.remove(path)
    metadata = Metadata(mode=0o4711, uid=1001, gid=50, mtime=1)
    tree.add(b"node", Device(metadata=metadata, kind=DeviceKind.BLOCK, major=8, minor=17))
    for name, options in {
        "a.tcz": {},
        "b.tcz": {"tails": False, "exports": False},
        "c.tcz": {"xattrs": False, "duplicates": False, "block_bytes": 1 << 20},
    }.items():
        (folder / name).write_bytes(build(tree, **options))
        images.append(folder / name)
    assert len(images) == 32
    for place in images:
        for option in ("-l", "-ll", "-lln", "-s"):
            theirs = run(require("unsquashfs"), option, place)
            capfdbinary.readouterr()
            assert tool("unsquashfs", option, place) == 0
            assert capfdbinary.readouterr().out == theirs


# recompress


@pytest.mark.slow
def test_recompressed_extension_is_smaller(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = extension("libnl").read_bytes()
    Path("libnl.tcz").write_bytes(old)
    assert tool("recompress", "--effort", "fast", "libnl.tcz") == 0
    new = Path("libnl.tcz").read_bytes()
    assert capsys.readouterr().out == f"{len(old):12}{len(new):12}  97% libnl.tcz\n"
    assert read("libnl.tcz") == parse_squashfs(Input(old, name="old"))
    before, after = (open_squashfs(Input(data, name="x")).facts for data in (old, new))
    assert (after.block_bytes, after.mkfs_time) == (before.block_bytes, before.mkfs_time)
    digest = hashlib.md5(new, usedforsecurity=False).hexdigest()
    assert Path("libnl.tcz.md5.txt").read_text() == f"{digest}  libnl.tcz\n"
    # A second run does not change it.
    Path("libnl.tcz.md5.txt").unlink()
    assert tool("recompress", "--effort", "fast", "libnl.tcz") == 0
    assert Path("libnl.tcz").read_bytes() == new
    assert not Path("libnl.tcz.md5.txt").exists()


@pytest.mark.nightly
def test_max_effort_is_smaller_than_fast(folder: Path) -> None:
    sizes = []
    for effort in ("fast", "balanced", "max"):
        tree = read(extension("nano"))
        name = f"{effort}.tcz"
        Path(name).write_bytes(build(tree, Codec(compression=1, pack=zlib.compress)))
        assert tool("recompress", "-q", "--effort", effort, name) == 0
        assert read(name) == tree
        sizes.append(open_squashfs(Input(Path(name).read_bytes(), name="x")).facts.used_bytes)
    assert sizes[2] < sizes[1] < sizes[0]


def test_invalid_files_are_reported_and_other_images_recompressed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.tcz").write_bytes(b"none")
    Path("b.tcz").write_bytes(extension("nano").read_bytes())
    assert tool("recompress", "--effort", "fast", "a.tcz", "b.tcz") == 1
    out, err = capsys.readouterr()
    assert out.endswith("b.tcz\n")
    assert "a.tcz, byte 0: expected a squashfs image" in err
    assert Path("a.tcz").read_bytes() == b"none"
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.tcz",
        "b.tcz",
        "b.tcz.md5.txt",
        "root",
    ]


@pytest.mark.oracle
@pytest.mark.parametrize("name", [pytest.param("ntfsprogs", marks=pytest.mark.nightly), "procps"])
def test_extensions_of_squashfs_tools_4_0_are_read_as_by_unsquashfs(
    name: str, folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Inodes of hard links name a set of extended attributes, but the image has no such table."""
    original = modern_extension(name)
    Path("x.tcz").write_bytes(original.read_bytes())
    listing = run(require("unsquashfs"), "-lls", original)
    assert tool("unsquashfs", "-lls", "x.tcz") == 0
    assert capfdbinary.readouterr().out == listing
    tree = read("x.tcz")
    assert [names for names in tree.hard_links().values() if len(names) > 1]
    assert tool("unsquashfs", "-q", "-d", "ours", "x.tcz") == 0
    run(require("unsquashfs"), "-d", "theirs", original)
    run(require("diff"), "-r", "--no-dereference", "ours", "theirs")
    assert tool("recompress", "x.tcz") == 0
    assert read("x.tcz") == tree
    assert run(require("unsquashfs"), "-lls", "x.tcz") == listing
