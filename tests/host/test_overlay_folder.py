"""Test reading folders of the host into layers."""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

import pytest

from purekernel.errors import FormatError, InputError, LimitError, PathError
from purekernel.host import overlay_folder
from purekernel.host.below import image_name, image_target
from purekernel.host.overlay_folder import load_folder, posix_mode, windows_mode
from purekernel.host.overlay_reader import load_layer
from purekernel.input import Limits
from purekernel.tree import Device, Directory, File, LazyContent, Metadata, Symlink
from tests.ordinary import ordinary_user

TIME = 1_400_000_000

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes, fifos or byte names")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "overlay"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "conf").write_bytes(b"conf\n")
    (folder / "opt").mkdir()
    (folder / "opt" / "run").write_bytes(b"#!/bin/sh\n")
    return folder


def test_names_and_contents_are_read_but_not_times(top: Path) -> None:
    layer = load_folder(top, mtime=TIME)
    assert layer.source == str(top)
    assert layer.stated == {}
    assert [path for path, _ in layer.tree.walk()] == [
        b"", b"etc", b"etc/conf", b"opt", b"opt/run",
    ]  # fmt: skip
    conf = layer.tree[b"etc/conf"]
    assert isinstance(conf, File)
    assert conf.content == b"conf\n"
    assert {
        (node.metadata.uid, node.metadata.gid, node.metadata.mtime) for _, node in layer.tree.walk()
    } == {(0, 0, TIME)}


@posix
def test_modes_and_links_are_read_from_host(top: Path) -> None:
    (top / "opt").chmod(0o2751)
    (top / "opt" / "run").chmod(0o4700)
    (top / "out").symlink_to("/etc/passwd")
    (top / "opt" / "up").symlink_to("../..")
    tree = load_folder(top, mtime=TIME).tree
    assert tree[b"opt"] == Directory(metadata=Metadata(mode=0o2751, mtime=TIME))
    assert tree[b"opt/run"].metadata.mode == 0o4700
    assert tree[b"out"] == Symlink(metadata=Metadata(mode=0o777, mtime=TIME), target=b"/etc/passwd")
    assert tree[b"opt/up"] == Symlink(metadata=Metadata(mode=0o777, mtime=TIME), target=b"../..")
    assert b"opt/up/etc" not in tree


@posix
def test_names_are_bytes_in_byte_order(top: Path) -> None:
    for name in (b"\xff\xfe", b"caf\xc3\xa9", b"Z", b"a"):
        with open(os.fsencode(top) + b"/" + name, "wb"):  # noqa: PTH123
            pass
    assert load_folder(top, mtime=0).tree.entries(b"") == [
        b"Z", b"a", b"caf\xc3\xa9", b"etc", b"opt", b"\xff\xfe",
    ]  # fmt: skip


@posix
def test_hard_links_become_separate_files(top: Path) -> None:
    os.link(top / "etc" / "conf", top / "etc" / "conf2")
    tree = load_folder(top, mtime=0).tree
    assert tree.hard_links() == {}
    assert tree[b"etc/conf2"] == tree[b"etc/conf"]


@posix
def test_folder_reached_through_link_is_read(top: Path) -> None:
    link = top.parent / "link"
    link.symlink_to(top)
    assert load_folder(link, mtime=0).tree == load_folder(top, mtime=0).tree


@posix
def test_fifos_and_sockets_are_refused(top: Path) -> None:
    os.mkfifo(top / "pipe")
    with pytest.raises(InputError) as caught:
        load_folder(top, mtime=0)
    assert str(caught.value) == f"{top / 'pipe'} must be a file, folder or link, got a fifo"
    assert caught.value.hint == ("remove it from the folder, and describe it in a manifest, .mtree")
    (top / "pipe").unlink()
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(top)  # the name of a socket must be short
        try:
            server.bind("sock")
        finally:
            os.chdir(here)
        with pytest.raises(InputError, match=r"sock must be a file, folder or link, got a socket$"):
            load_folder(top, mtime=0)


@posix
def test_unreadable_path_is_reported(open_folder: Path) -> None:
    folder, file = open_folder / "etc", open_folder / "etc" / "conf"
    folder.mkdir()
    folder.chmod(0o755)
    file.write_bytes(b"x")
    for path in (file, folder):
        path.chmod(0)
        with ordinary_user(), pytest.raises(InputError) as caught:
            load_folder(open_folder, mtime=0)
        assert str(caught.value) == f"{path} cannot be read: Permission denied"
    folder.chmod(0o700)


def test_missing_folder_or_file_is_refused(top: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_folder(top / "nope", mtime=0)
    with pytest.raises(FileNotFoundError) as missing:
        (top / "nope").stat()  # Windows words it otherwise
    assert str(caught.value) == f"{top / 'nope'} cannot be read: {missing.value.strerror}"
    with pytest.raises(InputError) as caught:
        load_folder(top / "etc" / "conf", mtime=0)
    assert str(caught.value) == f"{top / 'etc' / 'conf'} is not a folder"


def test_limits_are_enforced(top: Path) -> None:
    with pytest.raises(LimitError, match="at most 10 bytes unpacked, got 15 or more"):
        load_folder(top, mtime=0, limits=Limits(unpacked_bytes=10))
    with pytest.raises(LimitError, match="at most 3 members"):
        load_folder(top, mtime=0, limits=Limits(members=3))
    with pytest.raises(LimitError, match="at most 1 folders deep"):
        load_folder(top, mtime=0, limits=Limits(depth=1))


def test_deep_folder_is_read_without_recursion(top: Path) -> None:
    here = top
    for _ in range(200):
        here /= "d"
    here.mkdir(parents=True)
    assert len(load_folder(top, mtime=0).tree) == 205


# The manifest


def test_manifest_sets_metadata(top: Path) -> None:
    (top / ".mtree").write_bytes(
        b"#mtree\n./etc/conf mode=0640 gid=50\n./dev/null type=char device=native,1,3 mode=0666\n"
        b"./bin type=link link=usr/bin\n"
    )
    layer = load_folder(top, mtime=TIME)
    assert b".mtree" not in layer.tree
    assert layer.tree[b"etc/conf"].metadata == Metadata(mode=0o640, gid=50, mtime=TIME)
    assert isinstance(layer.tree[b"dev/null"], Device)
    assert isinstance(layer.tree[b"bin"], Symlink)
    assert layer.stated == {b"etc/conf": {"mode", "gid"}, b"dev/null": {"mode"}}


def test_manifest_below_top_is_an_ordinary_file(top: Path) -> None:
    (top / "etc" / ".mtree").write_bytes(b"not one")
    assert b"etc/.mtree" in load_folder(top, mtime=0).tree


def test_manifest_errors_name_the_manifest(top: Path) -> None:
    (top / ".mtree").write_bytes(b"#mtree\n./nope type=file\n")
    with pytest.raises(InputError) as caught:
        load_folder(top, mtime=0)
    assert str(caught.value) == f"{top / '.mtree'} lists missing files: 'nope' (line 2)"
    (top / ".mtree").write_bytes(b"#mtree\n./etc mode=x\n")
    with pytest.raises(FormatError) as error:
        load_folder(top, mtime=0)
    assert str(error.value) == (
        f"{top / '.mtree'}, line 2: expected a mode of octal digits, 0 to 7777, got 'x'"
    )
    (top / ".mtree").write_bytes(b"#mtree\n../x type=dir\n")
    with pytest.raises(PathError):
        load_folder(top, mtime=0)
    (top / ".mtree").unlink()
    (top / ".mtree").mkdir()
    with pytest.raises(InputError, match=r"\.mtree must be a file: it is the folder's manifest$"):
        load_folder(top, mtime=0)


# The rules for Windows, on any host


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (b"#!/bin/sh\n", 0o755),
        (b"\x7fELF\x01", 0o755),
        (b"# !/bin/sh", 0o644),
        (b"", 0o644),
        (b"MZ", 0o644),
    ],
)
def test_windows_mode_depends_on_content(content: bytes, mode: int) -> None:
    assert windows_mode(content, folder=False) == mode
    assert windows_mode(memoryview(content), folder=True) == 0o755


def test_windows_names_and_targets_become_bytes() -> None:
    assert image_name("caf\u00e9", windows=True) == b"caf\xc3\xa9"
    assert image_target("..\\usr\\bin", windows=True) == b"../usr/bin"
    assert image_target("\\\\?\\C:\\x", windows=True) == b"C:/x"
    assert image_target("a\\b", windows=False) == b"a\\b"
    with pytest.raises(InputError) as caught:
        image_name("\ud800", windows=True)
    assert str(caught.value) == "the name '\\ud800' is not valid Unicode"


@pytest.mark.parametrize(
    ("host", "image"),
    [
        (0o100664, 0o644), (0o100644, 0o644), (0o100755, 0o755), (0o100775, 0o755),
        (0o100600, 0o600), (0o100640, 0o640), (0o40775, 0o755), (0o40777, 0o755),
        (0o41777, 0o1777), (0o42775, 0o2775), (0o104755, 0o4755),
    ],
)  # fmt: skip
def test_umask_of_checkout_does_not_change_modes(host: int, image: int) -> None:
    assert posix_mode(host) == image


def test_file_capabilities_are_reported(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def getxattr(path: str, name: str, *, follow_symlinks: bool) -> bytes:
        assert (name, follow_symlinks) == ("security.capability", False)
        if Path(path).name != "run":
            raise OSError(errno.ENODATA, "no data")
        return b"\1\0\0\2"

    monkeypatch.setattr(os, "getxattr", getxattr, raising=False)
    notes: list[str] = []
    load_folder(top, mtime=TIME, limits=Limits(report=notes.append))
    assert notes == [
        f"{top}: ignored the file capabilities of 1 file, which an initramfs cannot hold: 'opt/run'"
    ]
    notes.clear()
    manifest = top / "x.mtree"
    manifest.write_bytes(b"#mtree\n./opt/run type=file\n")
    load_layer(manifest, mtime=TIME, limits=Limits(report=notes.append))
    assert notes == [f"{top}: ignored the file capabilities of run"]


def test_contents_beyond_the_kept_size_are_read_on_access(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay_folder, "KEPT_BYTES", 5000)
    monkeypatch.setattr(overlay_folder, "LEAST_LAZY_BYTES", 4000)
    for name, size in (("a", 5000), ("b", 4000), ("c", 3999)):
        (top / name).write_bytes(name.encode() * size)
    eager, lazy, small = (load_folder(top, mtime=TIME).tree[name] for name in (b"a", b"b", b"c"))
    assert isinstance(eager, File)
    assert isinstance(lazy, File)
    assert isinstance(small, File)
    assert isinstance(lazy.source, LazyContent)
    assert not isinstance(eager.source, LazyContent)
    assert not isinstance(small.source, LazyContent)
    assert (eager.content, lazy.content, small.content) == (b"a" * 5000, b"b" * 4000, b"c" * 3999)
    assert lazy.size_bytes == 4000


@pytest.mark.skipif(os.name == "nt", reason="Windows tells modes by contents, read at once")
@pytest.mark.parametrize("change", ["longer", "later", "missing"])
def test_file_that_changes_before_it_is_read_on_access_is_refused(
    top: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(overlay_folder, "KEPT_BYTES", 0)
    monkeypatch.setattr(overlay_folder, "LEAST_LAZY_BYTES", 0)
    path = top / "etc" / "conf"
    os.utime(path, (TIME, TIME))
    node = load_folder(top, mtime=TIME).tree[b"etc/conf"]
    assert isinstance(node, File)
    expected = f"{path} has changed since the start of the command"
    if change == "longer":
        path.write_bytes(b"configured\n")
        os.utime(path, (TIME, TIME))
    elif change == "later":
        os.utime(path, (TIME, TIME + 1))
    else:
        path.unlink()
        expected = f"{path} does not exist"
    with pytest.raises(InputError, match=f"^{re.escape(expected)}") as caught:
        node.content  # noqa: B018
    assert caught.value.hint


def test_file_that_grows_after_its_status_is_read_is_read_whole(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.read

    def read(descriptor: int, size: int) -> bytes:
        (top / "etc" / "conf").write_bytes(b"grown meanwhile\n")
        return really(descriptor, size)

    monkeypatch.setattr(os, "read", read)
    assert load_folder(top, mtime=TIME).tree.read("etc/conf") == b"grown meanwhile\n"
