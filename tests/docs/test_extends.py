from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.recipe.show import show_recipe
from tests.docs.pages import block, read_page, write_files

PAGE = read_page("docs/extends.md")


def test_page_shows_what_show_prints_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert write_files(PAGE, tmp_path) == ["base.toml", "kiosk.toml"]
    monkeypatch.chdir(tmp_path)
    assert show_recipe(Path("kiosk.toml")).text == block(PAGE, "prints")
