"""Test which entries of a large image the report shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.analysis.contents import read_contents
from purekernel.analysis.report import space as module
from purekernel.analysis.report.collect import make_report
from purekernel.analysis.report.space import measure
from tests.analysis.report.images import Page, write_iso


def test_smallest_files_of_a_large_image_are_one_entry_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_iso(tmp_path, more=2000)
    whole = Page(make_report(path).page).data["space"]
    monkeypatch.setattr(module, "MOST_ENTRIES", 300)
    shown = Page(make_report(path).page).data["space"]
    assert len(shown["names"]) < 600
    assert shown["hidden"] == len(whole["names"]) - 300
    for column in ("raw", "packed"):
        assert shown[column][0] == whole[column][0]
        leaves = set(range(len(shown["names"]))) - set(shown["parents"])
        assert sum(shown[column][number] for number in leaves) == whole[column][0]
    pairs = zip(shown["kinds"], shown["names"], strict=True)
    merged = [name for kind, name in pairs if kind == "m"]
    assert merged
    assert all(name.endswith("smaller files)") for name in merged)


def test_long_names_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_NAME_BYTES", 200)
    space = measure(read_contents(write_iso(tmp_path)), "image", lambda _part, _path: None)
    names = [name for name, kind in zip(space.names, space.kinds, strict=True) if kind != "m"]
    assert sum(map(len, names)) <= 200
    assert space.hidden > 0


def test_further_names_of_a_file_take_no_space(tmp_path: Path) -> None:
    page = Page(make_report(write_iso(tmp_path)).page)
    raw = page.column("raw")
    names = [path for path in page.paths() if path.startswith("boot/core.gz:bin/")]
    assert sum(raw[path] for path in names) == raw["boot/core.gz:bin"]
