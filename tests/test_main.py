from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from purekernel import __main__ as entry
from purekernel.cli import main
from purekernel.interruption import Interruption


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "end_on_signals", lambda: None)
    monkeypatch.setattr(sys, "argv", ["purekernel", "--version"])


def test_entry_point_runs_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main() == 0
    assert capsys.readouterr().out.startswith("purekernel")


class Interrupted(ModuleType):
    """A module whose import is interrupted."""

    def __getattr__(self, name: str) -> object:
        if name == "main":
            raise Interruption
        raise AttributeError(name)


@pytest.mark.parametrize("has_stderr", [True, False])
def test_interrupted_import_ends_with_status_130(
    has_stderr: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "purekernel.cli", Interrupted("purekernel.cli"))
    if not has_stderr:
        monkeypatch.setattr(sys, "stderr", None)
    assert entry.main() == 130
    expected = "purekernel: interrupted\n  nothing has been written\n" if has_stderr else ""
    assert capsys.readouterr().err == expected


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot delete the current folder")
def test_deleted_current_folder_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert main(["build", "--sample", "--cache-dir", "cache"]) == 1
    assert capsys.readouterr().err == (
        "purekernel: the current folder cannot be used: it was deleted, or cannot be read\n"
        "  change to another folder\n"
    )
