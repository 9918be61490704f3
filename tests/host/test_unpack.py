"""Test unpacking into folders that other users may write to, and on Windows."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from purekernel.errors import OutputError
from purekernel.host import below, no_follow
from purekernel.host.unpack import unpack_tree
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Metadata,
    Node,
    Socket,
    Symlink,
    Tree,
)
from tests.host.test_windows_names import REFUSED, TRAVERSAL

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes and fifos")
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes devices"
)

LONG_AGO = 1_000_000_000
SPECIAL = Metadata(mode=0o4755, uid=12, gid=34, mtime=5)


def make_tree(**nodes: Node) -> Tree:
    tree = Tree(Directory(metadata=Metadata(mode=0o755)))
    for name, node in nodes.items():
        tree.add(name.encode(), node)
    return tree


def make_file(content: bytes = b"x") -> File:
    return File(metadata=Metadata(mode=0o644), content=content)


def inside(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# Names on Windows

NAMES = [name for name, _reason in REFUSED if name not in (b"", b".", b"..")]
NAMES = [name for name in NAMES if not {0, ord("/")} & set(name)]


@pytest.mark.parametrize("name", [*TRAVERSAL, b"CON", b"a. ", *NAMES])
@pytest.mark.parametrize("make", [make_file, lambda: Directory(metadata=Metadata(mode=0o755))])
def test_invalid_windows_name_writes_nothing(
    name: bytes, make: Callable[[], Node], tmp_path: Path
) -> None:
    tree = make_tree(first=make_file(), folder=Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"folder/" + name, make())
    with pytest.raises(
        OutputError, match="the image has names that are invalid on Windows"
    ) as caught:
        unpack_tree(tree, tmp_path / "out", windows=True)
    assert "manifest" in caught.value.hint
    assert inside(tmp_path) == []


@pytest.mark.parametrize("name", [*TRAVERSAL, b"CON", b"a. ", *NAMES])
def test_each_name_is_checked_on_windows(
    name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(below, "ON_WINDOWS", True)
    monkeypatch.setattr(below, "_BY_DESCRIPTOR", False)
    # windows=False skips the check of the whole tree. Each name is still checked when it is
    # created.
    unpack_tree(make_tree(first=make_file()), tmp_path / "good", windows=False)
    tree = make_tree()
    tree.add(name, make_file())
    with pytest.raises(OutputError, match="is invalid on Windows"):
        unpack_tree(tree, tmp_path / "out", windows=False)
    assert inside(tmp_path) == ["good", "good/first", "out"]


def test_tree_is_unpacked_without_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(below, "_BY_DESCRIPTOR", False)
    tree = make_tree(a=Directory(metadata=Metadata(mode=0o755, mtime=5)), b=make_file(b"b"))
    tree.add(b"a/c", make_file(b"c"))
    unpack_tree(tree, tmp_path / "out", windows=True)
    assert inside(tmp_path) == ["out", "out/a", "out/a/c", "out/b"]
    assert (tmp_path / "out/a/c").read_bytes() == b"c"


@posix
def test_link_on_path_without_descriptors_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(below, "_BY_DESCRIPTOR", False)
    tree = make_tree(a=Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"a/file", make_file())
    (tmp_path / "outside").mkdir()
    real = os.mkdir

    def swap(path: str, *arguments: Any, **options: Any) -> None:
        real(path, *arguments, **options)
        if os.fspath(path).endswith("/a"):
            Path(path).rmdir()
            Path(path).symlink_to(tmp_path / "outside")

    monkeypatch.setattr(os, "mkdir", swap)
    with pytest.raises(OutputError, match="symbolic links"):
        unpack_tree(tree, tmp_path / "out", windows=True)
    assert inside(tmp_path / "outside") == []


@posix
def test_windows_links_have_backslashes_and_no_drive_or_host(tmp_path: Path) -> None:
    targets = {
        "a": b"d/x",
        "b": b"//srv/share",
        "c": b"C:/Windows",
        "d": b"..\\..\\x",
        "e": b"\xff",
    }
    links: dict[str, Node] = {
        name: Symlink(metadata=Metadata(mode=0o777), target=target)
        for name, target in targets.items()
    }
    notes = unpack_tree(make_tree(**links), tmp_path / "out", windows=True)
    assert "symbolic links with targets that are invalid on Windows are skipped: 3" in notes
    made = {path.name: os.readlink(path) for path in (tmp_path / "out").iterdir()}  # noqa: PTH115
    assert made == {"a": "d\\x", "b": "\\srv\\share"}


# Links that another user plants

KINDS = [
    pytest.param(Fifo(metadata=SPECIAL), id="fifo"),
    pytest.param(Socket(metadata=SPECIAL), id="socket"),
    pytest.param(Symlink(metadata=SPECIAL, target=b"gone"), id="symlink"),
    pytest.param(
        Device(metadata=SPECIAL, kind=DeviceKind.CHARACTER, major=1, minor=3),
        id="device",
        marks=as_root,
    ),
]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def check_untouched(secret: Path) -> None:
    status = secret.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o600, LONG_AGO)
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def plant(monkeypatch: pytest.MonkeyPatch, swap: Callable[[str, int | None], None]) -> list[str]:
    """Replace the first file that is created under a temporary name, before its mode is set."""
    planted: list[str] = []
    for call in ("mknod", "symlink"):
        real = getattr(os, call)

        def make(*arguments: Any, _real: Any = real, _call: str = call, **options: Any) -> None:
            _real(*arguments, **options)
            where = str(arguments[_call == "symlink"])
            if where.startswith(".purekernel.") and not planted:
                planted.append(where)
                os.unlink(where, dir_fd=options["dir_fd"])
                swap(where, options["dir_fd"])

        monkeypatch.setattr(os, call, make)
    return planted


@posix
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("node", KINDS)
def test_link_replacing_created_file_is_not_followed(
    node: Node, held: bool, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not held:
        monkeypatch.setattr(no_follow, "_O_PATH", 0)
    (tmp_path / "out").mkdir()
    link = os.symlink
    planted = plant(monkeypatch, lambda where, folder: link(secret, where, dir_fd=folder))
    if isinstance(node, Symlink):
        # A link of the same kind is accepted, and only the link itself is changed.
        unpack_tree(make_tree(name=node), tmp_path / "out", replace=True)
    else:
        with pytest.raises(OutputError, match="out/name cannot be written: it was replaced"):
            unpack_tree(make_tree(name=node), tmp_path / "out", replace=True)
        assert inside(tmp_path / "out") == []
    assert len(planted) == 1
    check_untouched(secret)


@posix
@pytest.mark.parametrize("node", KINDS)
def test_hard_link_replacing_created_file_is_refused(
    node: Node, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    planted = plant(monkeypatch, lambda where, folder: os.link(secret, where, dst_dir_fd=folder))
    with pytest.raises(OutputError, match="it was replaced while it was created"):
        unpack_tree(make_tree(name=node), tmp_path / "out", replace=True)
    assert len(planted) == 1
    check_untouched(secret)


@posix
@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK])
def test_hard_link_to_file_of_same_kind_is_refused(
    kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    other = tmp_path / "other"
    os.mknod(other, kind | 0o600)
    node = Fifo(metadata=SPECIAL) if kind == stat.S_IFIFO else Socket(metadata=SPECIAL)
    planted = plant(monkeypatch, lambda where, folder: os.link(other, where, dst_dir_fd=folder))
    with pytest.raises(OutputError, match="it was replaced while it was created"):
        unpack_tree(make_tree(name=node), tmp_path / "out", replace=True)
    assert len(planted) == 1
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


@as_root
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("node", KINDS)
def test_root_sets_metadata_of_special_files(
    node: Node, replace: bool, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not held:
        monkeypatch.setattr(no_follow, "_O_PATH", 0)
    notes = unpack_tree(make_tree(name=node), tmp_path / "out", replace=replace)
    status = (tmp_path / "out" / "name").lstat()
    assert (status.st_uid, status.st_gid, status.st_mtime) == (12, 34, 5)
    if not isinstance(node, Symlink) and not notes:
        assert stat.S_IMODE(status.st_mode) == 0o4755
    if held:
        assert notes == []


@posix
def test_mode_that_needs_following_links_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(no_follow, "_O_PATH", 0)
    real = os.chmod

    def chmod(place: Any, mode: int, *, dir_fd: Any = None, follow_symlinks: bool = True) -> None:
        if not follow_symlinks:
            raise NotImplementedError  # as on Linux before 6.6 without proc
        real(place, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "chmod", chmod)
    monkeypatch.setattr(os, "supports_fd", {*os.supports_fd, chmod})
    notes = unpack_tree(make_tree(name=Fifo(metadata=SPECIAL)), tmp_path / "out")
    assert "modes are not set: this system cannot set them without following links: 1" in notes
    assert stat.S_IMODE((tmp_path / "out" / "name").stat().st_mode) == 0o600


@posix
def test_new_top_folder_replaced_by_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside").mkdir(mode=0o700)
    real = Path.mkdir

    def swap(path: Path, *arguments: Any, **options: Any) -> None:
        real(path, *arguments, **options)
        if path.name == "out":
            path.rmdir()
            path.symlink_to(tmp_path / "outside")

    monkeypatch.setattr(Path, "mkdir", swap)
    with pytest.raises(OutputError, match="out cannot be written"):
        unpack_tree(make_tree(a=make_file()), tmp_path / "out")
    assert inside(tmp_path / "outside") == []
    assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o700


@posix
def test_top_folder_replaced_later_is_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside").mkdir(mode=0o700)
    tree = make_tree(a=make_file(), b=Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"b/c", make_file())
    real = os.mkdir

    def swap(name: Any, *arguments: Any, **options: Any) -> None:
        real(name, *arguments, **options)
        if os.fspath(name) == "b":
            (tmp_path / "out").rename(tmp_path / "moved")
            (tmp_path / "out").symlink_to(tmp_path / "outside")

    monkeypatch.setattr(os, "mkdir", swap)
    unpack_tree(tree, tmp_path / "out")
    assert inside(tmp_path / "outside") == []
    assert inside(tmp_path / "moved") == ["a", "b", "b/c"]


@posix
def test_existing_link_as_top_folder_is_followed_with_replace(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    with pytest.raises(OutputError, match="File exists"):
        unpack_tree(make_tree(a=make_file()), tmp_path / "out")
    unpack_tree(make_tree(a=make_file()), tmp_path / "out", replace=True)
    assert inside(tmp_path / "real") == ["a"]
