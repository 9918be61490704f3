"""Test the recipes in ``examples/``, and the page about them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from purekernel.recipe.read import load_recipe
from tests.docs.pages import read_page
from tests.examples import FOLDER, LISTING, list_changes, names

MOST_LINES = 40


def test_page_says_of_each_example_what_it_shows_and_what_it_lacks() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", read_page("docs/examples.md"), re.MULTILINE)
    assert sorted(rows) == sorted(2 * names())
    assert len(names()) == 8


@pytest.mark.parametrize("name", names())
def test_example_is_a_valid_recipe_of_at_most_40_lines(name: str) -> None:
    path = FOLDER / name / "purekernel.toml"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert load_recipe(path).name == name


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_tree_of_example_is_as_listed(name: str, tmp_path: Path) -> None:
    """After a change that is meant, run ``python -m tests.examples``."""
    assert list_changes(name, tmp_path) == (FOLDER / name / LISTING).read_text(encoding="utf-8")
