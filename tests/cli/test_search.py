"""Test the commands that find and describe extensions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fixtures.compress import gzip
from fixtures.repository import TCZ, make_extension, make_repository
from purekernel.cli import main
from tests.cli.test_json import COMMON, PAGE, documented
from tests.shared import mirror as shared_mirror
from tests.workshop import notes, two_lines

NEEDS = {
    "vim.tcz": ["ncurses.tcz", "gone.tcz"],
    "gvim.tcz": ["vim.tcz"],
    "ncurses.tcz": [],
    "openssl-1.1.1.tcz": [],
}
INFO = """\
Title:          vim.tcz
Description:    an editor
Version:        7.3
Author:         Bram
Original-site:  http://vim.example
Copying-policy: charityware
Size:           1K
Comments:       first
                second
Oddity:         kept
"""
INDEXES = {
    "tags.db.gz": gzip(b"vim.tcz\teditor\nncurses.tcz\tlibrary for editors\n"),
    "provides.db.gz": gzip(b"vim.tcz\nusr/bin/vim\nusr/bin/vimdiff\n\n"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = make_repository(NEEDS)
    files |= {f"{TCZ}/{name}": content for name, content in INDEXES.items()}
    files[f"{TCZ}/vim.tcz.info"] = INFO.encode()
    files[f"{TCZ}/vim.tcz.list"] = b"usr/bin/vim\nusr/bin/caf\xe9\n"
    for path, content in files.items():
        place = tmp_path / "mirror" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "mirror" / TCZ


def run(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> tuple[str, str]:
    assert main([*words, "--mirror", "mirror"]) == status
    return capsys.readouterr()


def test_search_prints_name_size_and_tags(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "search", "editor")
    assert out.splitlines() == [
        "vim.tcz                          0.1 kB  editor",
        "ncurses.tcz                      0.1 kB  library for editors",
    ]
    assert err == ""


def test_search_for_a_file_prints_a_line_for_each_path(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run(capsys, "search", "--file", "vim*")
    lines = (
        "vim.tcz                       usr/bin/vim\nvim.tcz                       usr/bin/vimdiff\n"
    )
    assert (out, err) == (lines, "")
    assert run(capsys, "search", "--file", "bin/vim", "edit")[0] == lines.splitlines(True)[0]
    assert run(capsys, "search", "--file", "vim", "library", status=1)[0] == ""
    # Without tags, a search by a file alone needs no note.
    (folder / "tags.db.gz").unlink()
    assert run(capsys, "search", "--file", "vim")[1] == ""
    # The descriptions in .info files stand in for them.
    assert run(capsys, "search", "vim")[0].splitlines()[0].endswith("0.1 kB  an editor")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["vmi"], "no extension matches vmi", "did you mean vim.tcz? use fewer"),
        (["zzz", "vim"], "no extension matches zzz vim", "use fewer or shorter words"),
        (
            ["--file", "imdif"],
            "no extension has a file imdif; the paths of 1 contain it",
            "search for a part of a path with --file '**imdif**'",
        ),
        (["--file", "zzz"], "no extension has a file zzz", "give the name of the file"),
    ],
)
def test_search_without_a_result_is_an_error(
    words: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run(capsys, "search", *words, status=1)
    assert out == ""
    ((said, advice),) = two_lines(err)
    assert said == message
    assert advice.startswith(hint)


@pytest.mark.parametrize("words", [[], [" "], ["vim", ""], ["--file", "/"]])
def test_search_for_nothing_is_wrong_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "search", *words, status=2)


def test_search_prints_documented_json(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, "search", "editors", "--json")[0])
    assert set(document) == COMMON | documented("search")
    assert document["found"] == [
        {"name": "ncurses.tcz", "bytes": 136, "text": "library for editors", "files": []}
    ]
    document = json.loads(run(capsys, "search", "zzz", "--json", status=1)[0])
    assert document["found"] == []
    assert document["error"]["code"] == "not-found"


def test_info_prints_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "info", "vim", "--files")
    lines = out.splitlines()
    assert lines[:12] == [
        "vim.tcz",
        "  description:    an editor",
        "  version:        7.3",
        "  licence:        charityware",
        "  author:         Bram",
        "  site:           http://vim.example",
        "  size:           0.1 kB",
        "  depends on:     ncurses.tcz, gone.tcz",
        "  missing:        gone.tcz: no mirror has it",
        "  in all:         0.3 kB with 1 dependency",
        "  needed by:      gvim.tcz",
        "  files:          2",
    ]
    assert lines[12] == f"  md5:            {hashlib.md5(make_extension('vim.tcz')).hexdigest()}"
    assert lines[13].startswith("  from:           ")
    assert lines[14:] == [
        "  comments:       first",
        "                  second",
        "  oddity:         kept",
        "    usr/bin/vim",
        "    usr/bin/caf\\xe9",
    ]
    assert err == ""


def test_info_of_a_missing_extension_names_similar_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, err = run(capsys, "info", "openssl", "ncurses", "../x", status=1)
    assert out == ""  # an invalid name is reported before the mirror is asked
    out, err = run(capsys, "info", "openssl", "ncurses", status=1)
    assert out.startswith("ncurses.tcz\n")
    assert "  needed by:      vim.tcz; indirectly by 1 more\n" in out
    ((message, hint),) = two_lines(err)
    assert message == "no mirror has openssl.tcz"
    assert hint.startswith("did you mean openssl-1.1.1.tcz? looked in ")


def test_info_without_side_files_and_indexes_says_what_is_known(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.iterdir():
        if path.suffix in (".gz", ".info", ".list"):
            path.unlink()
    document = json.loads(run(capsys, "info", "gvim", "--json")[0])
    section = PAGE.partition("\n## info\n")[2].partition("\n## ")[0]
    keys = {name for name in section.split("`")[1::2] if name.isidentifier()}
    assert set(document) == COMMON | documented("info")
    (described,) = document["extensions"]
    assert set(described) == keys - {"extensions"}
    assert described["bytes"] == 136
    assert described["needs"] == ["vim.tcz"]
    assert described["all_needs"] == ["ncurses.tcz", "vim.tcz"]
    assert described["missing"] == ["gone.tcz"]
    assert described["needed_by"] == []
    assert (described["info"], described["files"], described["licence"]) == (None, None, None)


def test_info_that_cannot_be_read_is_noted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "vim.tcz.info").write_bytes(b"Title: \0\0")
    out, err = run(capsys, "info", "vim")
    assert "description" not in out
    assert "not a text file: it contains a NUL" in notes(err)[0]


def test_dependents_are_drawn_as_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "deps", "--reverse", "ncurses")
    assert out == (
        "ncurses.tcz  0.1 kB\n└── vim.tcz  0.1 kB\n    └── gvim.tcz  0.1 kB\n"
        "2 extensions depend on it, 1 directly\n"
    )
    assert err == ""
    out, err = run(capsys, "deps", "--reverse", "ncurses", "--depth", "1")
    assert out.splitlines()[1] == "└── vim.tcz  0.1 kB  (more below)"
    out, err = run(capsys, "deps", "--reverse", "gone", "--dot", status=1)
    assert '  "gone.tcz" [label="gone.tcz\\nmissing", style=dashed, color=red];\n' in out
    assert '  "vim.tcz" -> "gone.tcz";\n' in out
    ((message, _hint),) = two_lines(err)
    assert message == "no mirror has gone.tcz"


def test_dependents_are_documented_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, "deps", "--reverse", "vim", "--json")[0])
    assert set(document) == COMMON | documented("deps")
    assert document["extensions"] == [
        {"name": "gvim.tcz", "bytes": 136, "needed_by": []},
        {"name": "vim.tcz", "bytes": 136, "needed_by": ["gvim.tcz"]},
    ]
    for path in folder.glob("*dep*"):
        path.unlink()
    document = json.loads(run(capsys, "deps", "--reverse", "vim", "--json")[0])
    assert document["extensions"] == [{"name": "vim.tcz", "bytes": 136, "needed_by": []}]


def test_shared_mirror_is_searched(capsys: pytest.CaptureFixture[str]) -> None:
    place = str(shared_mirror())
    assert main(["search", "nano", "--mirror", place]) == 0
    assert capsys.readouterr().out.startswith("nano.tcz ")
    assert main(["search", "--file", "bin/htop", "--mirror", place]) == 0
    assert capsys.readouterr().out.split() == ["htop.tcz", "usr/local/bin/htop"]
    assert main(["deps", "--reverse", "ncursesw", "--json", "--mirror", place]) == 0
    found = json.loads(capsys.readouterr().out)["extensions"]
    assert "htop.tcz" in {one["name"] for one in found}
    assert main(["info", "htop", "--json", "--mirror", place]) == 0
    (described,) = json.loads(capsys.readouterr().out)["extensions"]
    assert described["needs"] == ["ncursesw.tcz"]
    assert described["bytes"] == (shared_mirror() / TCZ / "htop.tcz").stat().st_size
