from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from purekernel.errors import CombinedError
from purekernel.recipe.init import say_razor
from purekernel.recipe.read import parse_recipe
from purekernel.recipe.schema import tables
from purekernel.recipe.settings import NAMES
from tests.processes import ROOT, environment

PAGE = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")


def examples() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_reference_agrees_with_the_schema() -> None:
    """If this test fails, run ``python docs/reference.py``."""
    assert runpy.run_path(str(ROOT / "docs" / "reference.py"))["update"](PAGE) == PAGE
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py", "--check"], env=environment(), check=False
    )
    assert done.returncode == 0


def test_reference_has_every_key() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, re.MULTILINE)
    assert rows == [key for table in tables() for key in table.keys]


def test_examples_are_valid_recipes() -> None:
    assert len(examples()) == 4
    for text in examples():
        parse_recipe(text.encode(), source="x", folder=Path(), read=lambda _path: b"listed\n")


def test_razor_example_agrees_with_init() -> None:
    values = say_razor("../Razor-Microkernel", lambda _name: True)
    for (_table, key), value in values.items():
        assert f'{key} = "{value}"' in examples()[1]


def test_errors_on_the_page_are_the_real_errors() -> None:
    (shown,) = re.findall(r"```\n(purekernel\.toml, .*?)```", PAGE, re.DOTALL)
    text = (
        "\n[core]\nversion = 4.4\n\n[extensions]\nmirror-list = 'lists/mirror.lst'\nbuildin = []\n"
    )
    with pytest.raises(CombinedError) as caught:
        parse_recipe(
            text.encode(),
            source="purekernel.toml",
            folder=Path(),
            read=lambda _path: b"\n" * 11 + b"a b",
        )
    assert [str(error) for error in caught.value.errors] == shown.splitlines()


def test_page_lists_every_setting() -> None:
    assert sorted(re.findall(r"^\| `(MK_BUNDLE_[A-Z_]+)` \|", PAGE, re.MULTILINE)) == sorted(NAMES)
