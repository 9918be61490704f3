"""Test unpacking into folders that other users may write to, and on Windows."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from purekernel.errors import OutputError
from purekernel.host import below, no_follow, unpack
from purekernel.host.similar_names import similar_names
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
    display,
    file_type,
)
from tests.host.folding import (
    fold_names,
    ignore_case,
    ignore_end,
    ignore_normalisation,
    short_name,
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
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


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


@pytest.mark.parametrize("by_path", [True, os.name == "nt"])
def test_times_and_hard_links_are_unpacked(
    by_path: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows sets times by path only."""
    monkeypatch.setattr(unpack, "SETS_TIMES_OF_DESCRIPTORS", not by_path)
    tree = make_tree(
        a=Directory(metadata=Metadata(mode=0o755, mtime=1_300_000_000)),
        b=File(metadata=Metadata(mode=0o444, mtime=1_400_000_000), content=b"b"),
    )
    tree.link(b"a/c", b"b")
    for replace in (False, True):  # a file without write permission is replaced, too
        unpacked = unpack_tree(tree, tmp_path / "out", replace=replace)
        # Only root can set owners.
        assert [note for note in unpacked.notes if "owners are not set" not in note] == []
        assert inside(tmp_path / "out") == ["a", "a/c", "b"]
        assert (tmp_path / "out/a").stat().st_mtime == 1_300_000_000
        assert (tmp_path / "out/b").stat().st_mtime == 1_400_000_000
        assert (tmp_path / "out/a/c").samefile(tmp_path / "out/b")


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
    notes = unpack_tree(make_tree(**links), tmp_path / "out", windows=True).notes
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
    notes = unpack_tree(make_tree(name=node), tmp_path / "out", replace=replace).notes
    status = (tmp_path / "out" / "name").lstat()
    assert (status.st_uid, status.st_gid, status.st_mtime) == (12, 34, 5)
    if not isinstance(node, Symlink) and not notes:
        assert stat.S_IMODE(status.st_mode) == 0o4755
    if held:
        assert notes == ()


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
    notes = unpack_tree(make_tree(name=Fifo(metadata=SPECIAL)), tmp_path / "out").notes
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


# Names that the file system takes for one

COMPOSED, DECOMPOSED = "caf\u00e9".encode(), "cafe\u0301".encode()
SIMILAR = [
    pytest.param(ignore_case, b"Name", b"name", id="case"),
    pytest.param(ignore_case, b"STRASSE", "straße".encode(), id="full case"),
    pytest.param(ignore_normalisation, COMPOSED, DECOMPOSED, id="normalisation"),
    pytest.param(ignore_end, b"name", b"name. ", id="end"),
    pytest.param(short_name, b"LONGNA~1.TXT", b"longname of a file.txt", id="short name"),
]
LINK = Symlink(metadata=Metadata(mode=0o777), target=b"x")


def two_names(first: bytes, second: bytes, one: Node, other: Node) -> Tree:
    tree = make_tree(d=Directory(metadata=Metadata(mode=0o755)))
    for path, node in ((b"d/" + first, one), (b"d/" + second, other)):
        tree.add(path, node)
        if isinstance(node, Directory):
            tree.add(path + b"/below", make_file(path))
    tree.add(b"d/other", make_file())
    return tree


@posix
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (make_file(b"one"), make_file(b"other")),
        (make_file(b"one"), LINK),
        (LINK, make_file(b"other")),
        (Directory(metadata=Metadata(mode=0o755)), Directory(metadata=Metadata(mode=0o755))),
        (make_file(b"one"), Directory(metadata=Metadata(mode=0o755))),
        (Directory(metadata=Metadata(mode=0o755)), make_file(b"other")),
        (Fifo(metadata=Metadata(mode=0o644)), make_file(b"other")),
    ],
)
@pytest.mark.parametrize(("fold", "first", "second"), SIMILAR)
def test_first_of_names_that_are_one_is_unpacked_and_others_reported(  # noqa: PLR0917
    fold: Callable[[str], str], first: bytes, second: bytes, one: Node, other: Node,
    replace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    first, second = sorted((first, second))
    tree = two_names(first, second, one, other)
    with monkeypatch.context() as patch:
        fold_names(patch, tmp_path, fold)
        for _again in range(1 + replace):  # the second time, all of them exist
            done = unpack_tree(tree, tmp_path / "out", replace=replace)
            left_out = 2 if isinstance(other, Directory) else 1
            (error,) = done.errors
            assert str(error) == (
                f"{tmp_path}/out: names that the file system takes for others are not created: "
                f"{left_out}, such as {display(b'd/' + second)}, which is {display(b'd/' + first)}"
            )
            assert done.names == 3 + isinstance(one, Directory)
        made = tmp_path / "out/d" / fold(os.fsdecode(first))
        status = made.lstat()
    assert stat.S_IFMT(status.st_mode) == file_type(one)
    if isinstance(one, File):
        assert made.read_bytes() == b"one"
    if isinstance(one, Directory):
        assert [path.name for path in made.iterdir()] == ["below"]
        assert (made / "below").read_bytes() == b"d/" + first
    assert (tmp_path / "out/d/other").exists()
    assert len(list((tmp_path / "out/d").iterdir())) == 2


@posix
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize(("fold", "first", "second"), SIMILAR)
def test_similar_names_are_unpacked_where_they_differ(
    fold: Callable[[str], str], first: bytes, second: bytes, replace: bool, tmp_path: Path
) -> None:
    tree = two_names(first, second, make_file(b"1"), make_file(b"2"))
    for _again in range(1 + replace):
        done = unpack_tree(tree, tmp_path / "out", replace=replace)
        assert (done.errors, done.names) == ((), 4)
    assert (tmp_path / "out/d" / os.fsdecode(first)).read_bytes() == b"1"
    assert (tmp_path / "out/d" / os.fsdecode(second)).read_bytes() == b"2"


@posix
def test_hard_link_to_name_that_is_left_out_gets_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(A=make_file(b"one"), a=make_file(b"other"))
    tree.link(b"b", b"a")
    tree.link(b"c", b"a")
    with monkeypatch.context() as patch:
        fold_names(patch, tmp_path, ignore_case)
        done = unpack_tree(tree, tmp_path / "out")
    assert [str(error).partition(": ")[2] for error in done.errors] == [
        "names that the file system takes for others are not created: 1, such as 'a', which is 'A'"
    ]
    contents = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert contents == {"a": b"one", "b": b"other", "c": b"other"}
    assert (tmp_path / "out/b").samefile(tmp_path / "out/c")


@pytest.mark.parametrize(
    ("names", "similar"),
    [
        ([b"a", b"b", b"ab"], set()),
        ([b"a", b"A", b"b"], {b"a", b"A"}),
        ([b"a", b"a.", b"a .", b"b"], {b"a", b"a.", b"a ."}),
        ([COMPOSED, DECOMPOSED, b"cafe"], {COMPOSED, DECOMPOSED}),
        (["\u00df".encode(), b"SS"], {"\u00df".encode(), b"SS"}),
        (["\u03c3".encode(), "\u03c2".encode()], {"\u03c3".encode(), "\u03c2".encode()}),
        (["\u212a".encode(), b"k"], {"\u212a".encode(), b"k"}),
        ([".g\u200cit".encode(), b".git"], {".g\u200cit".encode(), b".git"}),
        ([b"\xff", b"\xfe"], set()),
        ([b"LONGNA~1", b"long name"], {b"LONGNA~1", b"long name"}),
        ([b"a~", b"b~x"], set()),
    ],
)  # fmt: skip
def test_similar_names_are_found(names: list[bytes], similar: set[bytes]) -> None:
    assert similar_names(names) == similar


# What the user may not create or set


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, error: Exception) -> list[str]:
    """Make a call of the host fail; return the list of its later arguments."""
    tried: list[str] = []

    def fail(*arguments: Any, **_options: Any) -> None:
        tried.append(str(arguments))
        raise error

    monkeypatch.setattr(os, call, fail)
    return tried


def privilege_not_held() -> OSError:
    error = OSError(errno.EINVAL, "A required privilege is not held by the client")
    error.winerror = 1314  # type: ignore[attr-defined]
    return error


REFUSALS = [
    pytest.param(privilege_not_held(), "A required privilege is not held by the client", id="1314"),
    pytest.param(PermissionError(errno.EPERM, "not permitted"), "not permitted", id="EPERM"),
    pytest.param(PermissionError(errno.EACCES, "denied"), "denied", id="EACCES"),
    pytest.param(OSError(errno.ENOTSUP, "not supported"), "not supported", id="ENOTSUP"),
    pytest.param(NotImplementedError(), "not supported", id="NotImplementedError"),
]


def mixed_tree() -> Tree:
    tree = make_tree(
        a=make_file(b"a"), b=LINK, c=LINK, d=Directory(metadata=Metadata(mode=0o755)),
        p=Fifo(metadata=Metadata(mode=0o600)), z=make_file(b"z"),
    )  # fmt: skip
    tree.add(b"d/link", LINK)
    tree.link(b"e", b"b")
    return tree


@posix
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize(("error", "words"), REFUSALS)
def test_refused_links_are_reported_and_the_rest_unpacked(
    error: Exception, words: str, replace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        tried = refuse(patch, "symlink", error)
        done = unpack_tree(mixed_tree(), tmp_path / "out", replace=replace)
    assert len(tried) == 4
    (reported,) = done.errors
    assert str(reported) == (
        f"{tmp_path}/out: symbolic links are not created: 4, such as 'b' ({words})"
    )
    assert "developer mode" in reported.hint
    assert done.names == 4
    assert inside(tmp_path / "out") == ["a", "d", "p", "z"]


@posix
@pytest.mark.parametrize("replace", [True, False])
def test_links_that_are_not_there_after_creation_are_reported(
    replace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "symlink", lambda *_arguments, **_options: None)
    done = unpack_tree(mixed_tree(), tmp_path / "out", replace=replace)
    assert [str(error).partition(": ")[2] for error in done.errors] == [
        "symbolic links are not created: 4, such as 'b' (it was not created)"
    ]
    assert inside(tmp_path / "out") == ["a", "d", "p", "z"]


@posix
@pytest.mark.parametrize("replace", [True, False])
def test_refused_special_files_are_reported_and_the_rest_unpacked(
    replace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "mknod", PermissionError(errno.EPERM, "not permitted"))
    done = unpack_tree(mixed_tree(), tmp_path / "out", replace=replace)
    assert [str(error).partition(": ")[2] for error in done.errors] == [
        "devices, fifos and sockets are not created: 1, such as 'p' (not permitted)"
    ]
    assert inside(tmp_path / "out") == ["a", "b", "c", "d", "d/link", "e", "z"]


@posix
@pytest.mark.parametrize("number", [errno.EPERM, errno.EMLINK, errno.ENOTSUP])
@pytest.mark.parametrize("replace", [True, False])
def test_refused_hard_links_become_files(
    replace: bool, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(a=make_file(b"content"), s=LINK)
    tree.link(b"b", b"a")
    tree.link(b"t", b"s")
    refuse(monkeypatch, "link", OSError(number, "refused"))
    done = unpack_tree(tree, tmp_path / "out", replace=replace)
    assert (done.errors, done.names) == ((), 4)
    assert "hard links are separate files: this file system refuses them: 2" in done.notes
    assert (tmp_path / "out/b").read_bytes() == b"content"
    assert os.readlink(tmp_path / "out/t") == "x"  # noqa: PTH115


@posix
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize(
    ("call", "what"), [("chown", "owners"), ("chmod", "modes"), ("utime", "times")]
)
def test_refused_metadata_is_reported_and_the_rest_unpacked(
    call: str, what: str, replace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tree = make_tree(a=make_file(b"a"), b=File(metadata=SPECIAL, content=b"b"))
    if call != "chown":
        monkeypatch.setattr(os, "chown", lambda *_arguments, **_options: None)
    with monkeypatch.context() as patch:
        refuse(patch, call, PermissionError(errno.EPERM, "not permitted"))
        patch.setattr(os, "supports_fd", {*os.supports_fd, getattr(os, call)})
        done = unpack_tree(tree, tmp_path / "out", replace=replace)
    assert [str(error).partition(": ")[2] for error in done.errors] == [
        f"{what} are not set: 3, such as 'a' (not permitted)"
    ]
    assert inside(tmp_path / "out") == ["a", "b"]
    # A program of another user must not run as this one.
    mode = stat.S_IMODE((tmp_path / "out/b").stat().st_mode)
    assert mode == {"chown": 0o755, "chmod": 0o600, "utime": 0o4755}[call]


@posix
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_other_errors_of_links_stop(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "symlink", OSError(number, "broken"))
    with pytest.raises(OutputError, match="out/b cannot be written: broken"):
        unpack_tree(mixed_tree(), tmp_path / "out")


@posix
def test_new_files_that_killed_runs_left_are_deleted(tmp_path: Path) -> None:
    tree = make_tree(a=make_file(), d=Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"d/b", make_file())
    unpack_tree(tree, tmp_path / "out")
    for folder in ("out", "out/d"):
        left = tmp_path / folder / ".purekernel.0123456789ab.part"
        left.symlink_to("x")
        os.utime(left, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    unpack_tree(tree, tmp_path / "out", replace=True)
    assert inside(tmp_path / "out") == ["a", "d", "d/b"]


def test_extended_attributes_are_reported_where_the_host_cannot_set_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "setxattr", raising=False)
    tree = Tree()
    tree.add(b"a", File(metadata=Metadata(mode=0o644, xattrs=((b"user.x", b"1"),)), content=b""))
    tree.add(b"b", make_file())
    note = "extended attributes are not set: Python cannot set them on this system: 1"
    assert note in unpack_tree(tree, tmp_path / "out").notes
    assert note not in unpack_tree(tree, tmp_path / "without", xattrs=False).notes
