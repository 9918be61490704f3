"""Boot each cell of the table in docs/boot.md that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boot.ways import LINE, Cell, boot_cell, cells

BOOTING = [
    pytest.param(cell, id=cell.name, marks=() if cell.at_landing else pytest.mark.nightly)
    for cell in cells()
    if not cell.reason
]


@pytest.mark.boot
@pytest.mark.parametrize("cell", BOOTING)
def test_cell_boots_to_the_program_that_the_recipe_adds(cell: Cell, tmp_path: Path) -> None:
    assert LINE.encode() in boot_cell(cell, tmp_path)
