from __future__ import annotations

import json
from pathlib import Path

import pytest

from purekernel.cli import main
from tests.workshop import Workshop, two_lines

BASE = """\
[core]
iso = "../mirror/4.x/x86/release/Core-current.iso"
[mirrors]
tinycore = ["../mirror"]
[extensions]
builtin = ["bash.tcz"]
"""
RECIPE = """\
extends = ["shared/base.toml"]
[extensions]
builtin = ["nano.tcz"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "base.toml").write_text(BASE)
    (tmp_path / "purekernel.toml").write_text(RECIPE)
    return tmp_path


def test_show_prints_the_joined_recipe(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert '  "nano.tcz",  # purekernel.toml, line 3\n' in out


def test_show_prints_values_and_origins_as_json(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "--json", "--recipe", str(folder)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["recipe"]["extensions"] == {"builtin": ["bash.tcz", "nano.tcz"]}
    assert document["files"] == [
        str(folder / "shared" / "base.toml"),
        str(folder / "purekernel.toml"),
    ]
    origin = {"path": ["extensions", "builtin", 1], "file": document["files"][1], "line": 3}
    assert origin in document["origins"]


def test_show_without_a_recipe_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show"]) == 2
    assert two_lines(capsys.readouterr().err) == [
        (
            "nothing to show: the current folder has no purekernel.toml",
            "write a recipe with 'purekernel init', or name one with --recipe",
        )
    ]


@pytest.mark.slow
def test_lock_of_an_extended_recipe_fits_it_and_the_recipe_that_show_prints(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Workshop(folder, monkeypatch)
    monkeypatch.chdir(folder)
    assert main(["lock"]) == 0
    lock = (folder / "purekernel.lock").read_bytes()
    assert b"readline.tcz" in lock
    assert main(["lock", "--check"]) == 0
    capsys.readouterr()
    assert main(["show"]) == 0
    (folder / "purekernel.toml").write_text(capsys.readouterr().out)
    assert main(["lock", "--check"]) == 0
    (folder / "purekernel.toml").write_text(RECIPE.replace("nano.tcz", "openssh.tcz"))
    assert main(["lock", "--check"]) == 1


@pytest.mark.slow
def test_missing_extension_of_a_parent_names_its_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Workshop(folder, monkeypatch)
    monkeypatch.chdir(folder)
    (folder / "shared" / "base.toml").write_text(BASE.replace("bash", "bassh"))
    assert main(["build", "--dry-run"]) == 1
    message = capsys.readouterr().err.splitlines()[0].replace("\\", "/")
    assert message.startswith("purekernel: shared/base.toml, line 6, builtin under [extensions]: ")
