"""Compare the table in docs/boot.md with that of the tests that boot images."""

from __future__ import annotations

from tests.boot.ways import cells, render
from tests.processes import ROOT


def test_page_has_the_table_that_the_tests_boot() -> None:
    page = (ROOT / "docs" / "boot.md").read_text(encoding="utf-8")
    _before, mark, rest = page.partition("<!-- table: tests/boot/ways.py -->\n\n")
    assert mark, "the page marks where the table begins"
    shown = rest.partition("\n<!-- end of the table -->")[0]
    assert shown == render(), "copy the output of: python -m tests.boot.ways"


def test_each_change_boots_at_most_eight_cells() -> None:
    booted = [cell for cell in cells() if cell.at_landing]
    assert 0 < len(booted) <= 8
    assert not [cell.name for cell in booted if cell.reason]


def test_cells_have_names_of_their_own() -> None:
    names = [cell.name for cell in cells()]
    assert len(names) == len(set(names))
