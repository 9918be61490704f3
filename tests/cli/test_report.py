"""Test the command that writes a page about an image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel.cli.app import main


def test_report_is_written_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("image.iso").write_bytes(make_core_iso())
    assert main(["report", "image.iso", "-o", "page.html", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert Path("page.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert main(["report", "gone.iso"]) == 1
