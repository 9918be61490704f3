"""Test what a build says about the files that it replaces."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from fixtures.bundle import make_bundle
from purekernel.cli import main
from purekernel.formats.tar import build_tar
from purekernel.host.write import Output, Replaced
from purekernel.remaster.outputs import replaced
from purekernel.remaster.outputs.replaced import compare_replaced, find_replaced
from tests.analysis.images import tree_of


def written(path: Path, content: bytes, old: bytes) -> Output:
    path.write_bytes(content)
    before = Replaced(size_bytes=len(old), sha256=sha256(old).hexdigest())
    return Output(
        path=path, size_bytes=len(content), sha256=sha256(content).hexdigest(), replaced=before
    )


def test_replaced_archive_is_compared_by_its_files(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    old, new = (build_tar(tree_of({"a": text})) for text in (b"1", b"2"))
    (found,) = compare_replaced(find_replaced([written(path, new, old)], {path: old}))
    assert found.comparison is not None
    assert [each.path for each in found.comparison.changes] == [b"a"]
    assert found.reason == ""


def test_file_with_the_same_content_is_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    assert compare_replaced(find_replaced([written(path, b"same", b"same")], {path: b"same"})) == ()


def test_file_that_replaces_no_archive_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    output = written(path, build_tar(tree_of({"a": b"1"})), b"text")
    assert compare_replaced(find_replaced([output], {path: b"text"})) == ()


def test_damaged_old_file_is_a_reason_and_no_error(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    new = build_tar(tree_of({"a": b"1" * 2000}))
    (found,) = compare_replaced(find_replaced([written(path, new, new[:700])], {path: new[:700]}))
    assert "the old x.tar" in found.reason


def test_file_that_could_not_be_read_keeps_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    (found,) = compare_replaced(find_replaced([written(path, b"new", b"old")], {path: "too large"}))
    assert (found.comparison, found.reason) == (None, "too large")


def test_file_that_is_gone_after_the_build_is_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    output = written(path, b"new", b"old")
    path.unlink()
    (found,) = compare_replaced(find_replaced([output], {path: b"old"}))
    assert "does not exist" in found.reason


@pytest.mark.slow
def test_build_prints_what_changed_against_the_image_that_it_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle.tar.gz").write_bytes(make_bundle())
    (tmp_path / "overlay" / "etc").mkdir(parents=True)
    (tmp_path / "overlay" / "etc" / "added").write_bytes(b"new\n")
    words = ["build", "bundle.tar.gz", "-o", "x.iso", "--effort", "fast"]
    more = ["--overlay", "overlay"]
    assert main(words) == 0
    assert "changed " not in capsys.readouterr().out
    assert main([*words, *more]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "    added    boot/core.gz:etc/added" in lines
    assert any(line.startswith("    changed  boot/core.gz: content") for line in lines)
    assert main([*words, "--json"]) == 0
    (output,) = json.loads(capsys.readouterr().out)["outputs"]
    assert output["changes"]["reason"] is None
    assert [each["kind"] for each in output["changes"]["changes"]][:2] == ["changed", "removed"]
    assert main([*words, *more, "--no-changes"]) == 0
    assert "etc/added" not in capsys.readouterr().out


@pytest.mark.slow
def test_old_image_that_is_too_large_or_damaged_does_not_stop_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle.tar.gz").write_bytes(make_bundle())
    words = ["build", "bundle.tar.gz", "-o", "x.iso", "--effort", "fast"]
    for old, most in ((b"\x1f\x8b\x08 damaged", 1 << 28), (b"1234", 2)):
        (tmp_path / "x.iso").write_bytes(old)
        monkeypatch.setattr(replaced, "MAX_COMPARED_BYTES", most)
        assert main(words) == 0
        assert "    not compared as a whole: " in capsys.readouterr().out
