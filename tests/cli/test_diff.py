"""Test the command diff: its exit statuses, options and output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from purekernel.analysis.diff.model import Aspect
from purekernel.analysis.diff.render import DEFAULT_SHOWN
from purekernel.cli import main
from purekernel.cli.app import SUCCESS
from purekernel.cli.diff import ASPECTS
from purekernel.cli.printer import DIFFERENT, TROUBLE
from purekernel.formats.cpio import build_cpio
from purekernel.formats.tar import build_tar
from tests.analysis.images import tree_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    core = build_cpio(tree_of({"etc/motd": b"hello\n"}))
    (tmp_path / "old.tar").write_bytes(build_tar(tree_of({"a": b"1\n", "core": core})))
    (tmp_path / "new.tar").write_bytes(build_tar(tree_of({"a": b"2\n", "core": core})))
    (tmp_path / "bad.tar").write_bytes(build_tar(tree_of({"a": b"3\n", "core": core[:300]})))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    status = main(["diff", *words])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def test_equal_images_print_nothing_and_end_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "old.tar", "old.tar") == (SUCCESS, [], "")


def test_different_images_end_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, err = run(capsys, "old.tar", "new.tar")
    assert (status, err) == (DIFFERENT, "")
    assert lines[0].startswith("--- old.tar (a tar archive, ")
    assert lines[1].startswith("+++ new.tar (a tar archive, ")
    assert lines[2:6] == ["changed  a: content, +0 bytes", "    @@ -1 +1 @@", "    -1", "    +2"]
    assert lines[6].startswith("1 changed; ")
    assert len(lines) == 7


def test_damaged_part_ends_with_2_after_all_else_was_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, lines, err = run(capsys, "--stat", "old.tar", "bad.tar")
    assert status == TROUBLE
    assert "changed  a: content, +0 bytes" in lines
    assert err.startswith("purekernel: bad.tar:core")
    assert "byte " in err


@pytest.mark.parametrize(
    "words",
    [
        ["old.tar", "gone.tar"],
        ["old.tar"],
        ["--ignore", "colour", "old.tar", "new.tar"],
        ["--brief", "--stat", "old.tar", "new.tar"],
        ["old.tar", "old.tar:core:gone"],
        ["--max-unpacked", "10", "old.tar", "new.tar"],
    ],
)
def test_trouble_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, _lines, err = run(capsys, *words)
    assert status == TROUBLE
    assert err.startswith("purekernel: ")
    assert len(err.splitlines()) == 2


def test_brief_prints_one_line_if_images_differ(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-q", "old.tar", "new.tar")[:2] == (1, ["old.tar and new.tar differ"])
    assert run(capsys, "-q", "old.tar:core", "new.tar:core")[:2] == (0, [])


def test_ignored_aspects_are_separated_by_commas(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "mode.tar").write_bytes(build_tar(tree_of({"a": b"1\n", "core": b""}, mode=0o700)))
    (folder / "plain.tar").write_bytes(build_tar(tree_of({"a": b"1\n", "core": b""})))
    assert run(capsys, "plain.tar", "mode.tar")[0] == DIFFERENT
    assert run(capsys, "--ignore", "time, mode", "plain.tar", "mode.tar")[0] == SUCCESS


def test_json_has_changes_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, _err = run(capsys, "--json", "old.tar", "bad.tar")
    document = json.loads("\n".join(lines))
    assert status == TROUBLE
    assert document["error"]["code"] == "format"
    assert document["is_same"] is False
    assert [change["path"] for change in document["changes"]] == ["a", "core"]
    assert document["changes"][0]["text"]["lines"] == ["@@ -1 +1 @@", "-1", "+3"]


def test_options_agree_with_what_is_compared() -> None:
    assert {Aspect(name) for name in ASPECTS} == set(Aspect) - {Aspect.CONTENT, Aspect.TYPE}
    assert (DEFAULT_SHOWN.changes, DEFAULT_SHOWN.lines) == (200, 40)
