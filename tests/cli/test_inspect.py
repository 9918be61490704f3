"""Test the command inspect."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel.cli import main
from purekernel.formats.cpio import build_cpio
from purekernel.tree import File, Metadata, Symlink
from tests.analysis.images import pack, tree_of
from tests.cli.test_control_characters import run as run_on_terminal

ROOT = {"etc/motd": b"welcome\n", "etc/passwd": b"root\n", "bin/sh": b"x" * 300}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tree = tree_of(ROOT, mode=0o644)
    (tmp_path / "core.gz").write_bytes(gzip.compress(build_cpio(tree), mtime=0))
    (tmp_path / "a.tcz").write_bytes(pack(tree))
    return tmp_path


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    status = main(["inspect", *words])
    out, err = capfd.readouterr()
    return status, out.splitlines(), err


def test_text_has_structure_and_tree(capfd: pytest.CaptureFixture[str]) -> None:
    status, lines, err = run(capfd, "core.gz")
    size = Path("core.gz").stat().st_size
    assert (status, err) == (0, "")
    assert lines[0] == (
        f"core.gz: a cpio archive, in a gzip file, {size} bytes, 5 names, 313 bytes in files"
    )
    assert "Archives of the initrd:" in lines
    assert lines[-5:] == [
        "drwxr-xr-x 0:0  300 ├── bin/",
        "-rw-r--r-- 0:0  300 │   └── sh",
        "drwxr-xr-x 0:0   13 └── etc/",
        "-rw-r--r-- 0:0    8     ├── motd",
        "-rw-r--r-- 0:0    5     └── passwd",
    ]


def test_depth_limits_levels_and_0_shows_no_files(capfd: pytest.CaptureFixture[str]) -> None:
    _status, lines, _err = run(capfd, "core.gz", "--depth", "1")
    assert [line.split()[-1] for line in lines[-2:]] == ["bin/", "etc/"]
    _status, lines, _err = run(capfd, "core.gz", "--depth", "0")
    assert not any(line.startswith(("-rw", "drw")) for line in lines)
    assert "gzip members:" in lines


def test_sort_by_size_and_time_orders_siblings_or_the_long_list(
    capfd: pytest.CaptureFixture[str],
) -> None:
    _status, lines, _err = run(capfd, "core.gz", "--sort", "size")
    assert [line.split()[-1] for line in lines[-3:]] == ["etc/", "motd", "passwd"]
    _status, lines, _err = run(capfd, "core.gz", "--long", "--sort", "size")
    assert [line.split()[-1] for line in lines[-5:-2]] == ["bin/sh", "etc/motd", "etc/passwd"]
    tree = tree_of({})
    for name, time in ((b"old", 1), (b"new", 3), (b"middle", 2)):
        tree.add(name, File(metadata=Metadata(mode=0o644, mtime=time)))
    Path("times").write_bytes(build_cpio(tree))
    for more in ([], ["--long"]):
        _status, lines, _err = run(capfd, "times", "--sort", "time", *more)
        assert [line.split()[-1] for line in lines[-3:]] == ["new", "middle", "old"]


def test_find_lists_matches_of_all_parts_with_their_place(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("image.iso").write_bytes(make_core_iso(core=Path("core.gz").read_bytes()))
    _status, lines, _err = run(capfd, "image.iso", "--find", "*.cfg", "--find", "etc/pass*")
    assert [line.split()[-1] for line in lines] == [
        "boot/isolinux/isolinux.cfg",
        "boot/core.gz:etc/passwd",
    ]
    assert lines[0].startswith("-rw-r--r-- 1 0 0 ")


def test_usage_adds_up(capfd: pytest.CaptureFixture[str]) -> None:
    status, lines, _err = run(capfd, "core.gz", "--usage")
    assert status == 0
    assert lines[1].split() == ["raw", "packed", "share", "name"]
    rows = [line.split() for line in lines[2:]]
    assert sorted((row[0], row[3]) for row in rows) == [
        ("13", "etc/"), ("300", "bin/"), ("300", "sh"), ("313", "(all)"), ("5", "passwd"),
        ("8", "motd"),
    ]  # fmt: skip
    total = int(rows[0][1])
    tops = [int(row[1]) for row in rows if row[3] in ("etc/", "bin/")]
    assert 0 < sum(tops) <= total <= Path("core.gz").stat().st_size


def test_json_has_parts_structure_and_entries(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "core.gz", "--json", "--usage"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["image"] == "core.gz"
    (part,) = document["parts"]
    assert (part["place"], part["kind"], part["compression"]) == ("", "cpio", "gzip")
    assert (part["names"], part["content_bytes"]) == (5, 313)
    assert part["structure"]["initrd"]["entries"][0]["members"] == 6  # and the root
    assert [entry["path"] for entry in part["entries"]] == [
        "bin", "bin/sh", "etc", "etc/motd", "etc/passwd",
    ]  # fmt: skip
    sizes = {entry["path"]: entry["bytes"] for entry in document["usage"][0]["entries"]}
    assert sizes == {"": 313, "bin": 300, "bin/sh": 300, "etc": 13, "etc/motd": 8, "etc/passwd": 5}


def test_extract_unpacks_all_or_what_is_found(
    capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    status, lines, err = run(capfd, "core.gz", "--extract", "all")
    assert (status, lines) == (0, ["5 names unpacked into all"])
    # Only root can set owners; Windows has none, and no modes.
    assert not err or "are not set" in err
    assert (folder / "all/etc/motd").read_bytes() == b"welcome\n"
    assert run(capfd, "core.gz", "--extract", "some", "--find", "motd")[0] == 0
    assert [path.name for path in sorted((folder / "some").rglob("*"))] == ["etc", "motd"]
    assert run(capfd, "core.gz", "--extract", "all")[0] == 1
    status, _lines, err = run(capfd, "core.gz", "--extract", "none", "--find", "absent")
    assert status == 1
    assert err == ("purekernel: core.gz: no path matches\n  list all names without --find\n")


def test_mtree_prints_a_manifest(capfd: pytest.CaptureFixture[str]) -> None:
    status, lines, _err = run(capfd, "a.tcz", "--mtree")
    assert status == 0
    assert lines[0] == "#mtree"
    digest = hashlib.sha256(b"welcome\n").hexdigest()
    assert lines[-2] == (
        f"./etc/motd type=file mode=0644 uid=0 gid=0 time=0.0 size=8 sha256={digest}"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--usage", "--mtree"),
        ("--mtree", "--extract", "x"),
        ("--mtree", "--json"),
    ],
)
def test_options_that_exclude_each_other_are_wrong_usage(
    words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "core.gz", *words]) == 2
    capfd.readouterr()


def test_truncated_image_shows_what_is_left_then_the_fault(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("cut").write_bytes(build_cpio(tree_of(ROOT))[:-700])
    status, lines, err = run(capfd, "cut")
    assert status == 1
    assert [line.split()[-1] for line in lines[-3:]] == ["bin/", "sh", "etc/"]
    assert err.startswith("purekernel: cut, byte ")
    assert err.count("\n") == 2


def test_faults_are_errors_in_json_beside_what_could_be_read(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("cut").write_bytes(build_cpio(tree_of(ROOT))[:-700])
    assert main(["inspect", "cut", "--json"]) == 1
    document = json.loads(capfd.readouterr().out)
    assert document["error"]["code"] == "format"
    assert document["parts"][0]["names"] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses control characters in names")
def test_names_with_escapes_are_shown_escaped_also_in_a_pipe(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    tree = tree_of({"h\x1b[2J": b"x"})
    tree.add(b"link", Symlink(metadata=Metadata(mode=0o777), target=b"\x1b]0;x\x07"))
    Path("h\x1b[2J.cpio").write_bytes(build_cpio(tree))
    for words in ((), ("--long",), ("--find", "h*"), ("--usage",), ("--mtree",)):
        status, lines, err = run(capfd, "h\x1b[2J.cpio", *words)
        assert (status, err) == (0, "")
        assert all(line.isprintable() for line in lines), words
        assert any("h\\x1b[2J" in line or "h\\033\\1332J" in line for line in lines), words
    status, written = run_on_terminal("inspect", "h\x1b[2J.cpio")
    assert status == 0
    assert b"\x1b" not in written


def test_missing_image_is_one_error(capfd: pytest.CaptureFixture[str]) -> None:
    status, lines, err = run(capfd, "absent.iso")
    assert (status, lines) == (1, [])
    assert err.startswith("purekernel: absent.iso does not exist\n")
