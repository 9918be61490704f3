"""Check the example of docs/places.md, and that its table has each place."""

from __future__ import annotations

import re
from pathlib import Path

from purekernel.recipe.read import parse_recipe
from purekernel.recipe.schema import tables
from tests.docs.pages import block, read_page

PAGE = read_page("docs/places.md")


def test_example_is_a_valid_recipe() -> None:
    text = block(PAGE, "file: purekernel.toml")
    recipe = parse_recipe(text.encode(), source="x", folder=Path())
    assert [item.name for item in recipe.extensions.cde] == ["bash.tcz", "nano.tcz", "mc.tcz"]
    assert recipe.iso_files[0].text == "Welcome to my Core.\n"


def test_first_table_has_every_place_with_a_list() -> None:
    (table,) = (each for each in tables() if each.name == "extensions")
    places = [name for name, key in table.keys.items() if key.list_key is not None]
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## An example")[0], re.MULTILINE)
    assert sorted(rows) == sorted(places)
    for place in places:
        assert f"`{place}-list`" in PAGE
