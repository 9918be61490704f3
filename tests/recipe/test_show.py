"""Test how a joined recipe is shown."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from purekernel.errors import RecipeError
from purekernel.recipe.read import load_recipe
from purekernel.recipe.show import show_recipe

BASE = """\
name = "base"

[core]
version = "17.x"

[mirrors]
tinycore = ["https://user:secret@mirror.example/tc", "mirror"]

[extensions]
builtin-list = "lists/b.lst"
builtin = ["nano"]

[accounts.tc]
password = "secret"
"""

RECIPE = """\
extends = ["shared/base.toml"]
version = "2"

[extensions]
builtin = ["vim"]
skip = ["a", "b"]

[boot]
append = "x=//user:secret@host y=\\"\\\\"

[[overlay]]
url = "https://mirror.example/site.tar.gz?token=secret"
"""


SHOWN = r"""# purekernel.toml, joined with shared/base.toml.
# Relative paths start at its folder.

name = "base"  # shared/base.toml, line 1
version = "2"  # purekernel.toml, line 2

[core]  # shared/base.toml, line 3
version = "17.x"  # shared/base.toml, line 4

[mirrors]  # shared/base.toml, line 6
tinycore = ["https://user:secret@mirror.example/tc", "shared/mirror"]  # shared/base.toml, line 7

[extensions]  # purekernel.toml, line 4
builtin = [
  "bash.tcz",  # shared/lists/b.lst, line 2
  "nano",  # shared/base.toml, line 11
  "vim",  # purekernel.toml, line 5
]
skip = ["a", "b"]  # purekernel.toml, line 6

[[overlay]]  # purekernel.toml, line 11
url = "https://mirror.example/site.tar.gz?token=secret"  # purekernel.toml, line 12

[accounts.tc]  # shared/base.toml, line 13
password = "secret"  # shared/base.toml, line 14

[boot]  # purekernel.toml, line 8
append = "x=//user:secret@host y=\"\\"  # purekernel.toml, line 9
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared" / "lists").mkdir(parents=True)
    (tmp_path / "shared" / "base.toml").write_text(BASE)
    (tmp_path / "shared" / "lists" / "b.lst").write_text("# ours\nbash\n")
    (tmp_path / "purekernel.toml").write_text(RECIPE)
    return tmp_path


def test_every_key_is_shown_with_its_origin(folder: Path) -> None:
    shown = show_recipe(Path(), secrets=True)
    assert shown.text.replace("shared\\", "shared/") == SHOWN


def test_shown_recipe_is_equal_to_the_recipe(folder: Path) -> None:
    recipe = load_recipe(Path())
    text = show_recipe(Path(), secrets=True).text
    (folder / "purekernel.toml").write_text(text, encoding="utf-8")
    assert load_recipe(Path()) == recipe


def test_secrets_are_hidden_and_such_a_recipe_is_refused(folder: Path) -> None:
    shown = show_recipe(Path())
    assert "secret" not in shown.text.replace("--secrets", "")
    values = tomllib.loads(shown.text)
    assert values == shown.values
    assert values["mirrors"]["tinycore"] == ["https://mirror.example/tc", "shared/mirror"]
    assert values["boot"]["append"].startswith("x=//…@host")
    assert values["accounts"]["tc"]["password"] is False
    (folder / "purekernel.toml").write_text(shown.text, encoding="utf-8")
    with pytest.raises(RecipeError, match="'password' must be text, got false"):
        load_recipe(Path())


def test_origins_follow_the_reference_and_name_lists(folder: Path) -> None:
    origins = {each.path: (each.file, each.line) for each in show_recipe(Path()).origins}
    assert list(origins)[:3] == [("name",), ("version",), ("core", "version")]
    assert origins["extensions", "builtin", 0] == ("shared/lists/b.lst", 2)
    assert origins["extensions", "builtin", 2] == ("purekernel.toml", 5)
    assert origins["overlay", 0, "url"] == ("purekernel.toml", 12)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no line ends in names")
def test_recipe_without_parents_is_shown_too(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.toml"
    path.write_text('name = "x"\n')
    shown = show_recipe(path)
    assert tomllib.loads(shown.text) == {"name": "x"}
    assert shown.files == (str(path),)


def test_empty_tables_and_arrays_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "purekernel.toml"
    path.write_text("[extensions]\nbuiltin = []\n[accounts.anna]\n[razor]\nproject = 'p'\n")
    values = tomllib.loads(show_recipe(path).text)
    assert values == {
        "extensions": {"builtin": []},
        "accounts": {"anna": {}},
        "razor": {"project": "p"},
    }
