"""Test that a recipe that is written is read back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from purekernel.recipe.read import load_recipe, parse_recipe
from purekernel.recipe.schema import tables
from purekernel.recipe.write import build_recipe, recipe_values
from tests.processes import ROOT

EXAMPLES = sorted((ROOT / "examples").rglob("purekernel.toml"))


def written(recipe: object) -> bytes:
    return build_recipe(recipe_values(recipe, lambda _kind, text, _key: text), "made\nhere")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_example_is_read_back_as_it_was(path: Path) -> None:
    recipe = evolve(load_recipe(path), path=None)
    data = written(recipe)
    assert data.startswith(b"# made\n# here\n")
    back = parse_recipe(data, source=recipe.source, folder=recipe.folder)
    assert back == recipe


def test_each_key_is_read_back_as_it_was() -> None:
    """Give each table the first example of as many keys as go together."""
    count = 0
    for table in tables():
        for key in table.keys.values():
            if not key.attribute or key.name in ("extends", "discard"):
                continue
            holder = {key.name: key.examples[0]}
            required = {
                name: table.keys[name].examples[0] for name in table.required if name != key.name
            }
            for group in (table.one_of, table.any_of):
                if group and not set(group) & holder.keys():
                    required[group[0]] = table.keys[group[0]].examples[0]
            value = {**required, **holder}
            if table.repeated:
                document = {table.path[-1]: [value]}
            elif table.names is not None:
                document = {table.path[-1]: {"abc": value}}
            else:
                document = {table.path[-1]: value} if table.path else value
            for name in reversed(table.path[:-1]):
                document = {name: document}
            try:
                recipe = parse_recipe(build_recipe(document, ""), source="x", folder=Path())
            except ValueError:  # a key that needs another one
                continue
            count += 1
            assert parse_recipe(written(recipe), source="x", folder=Path()) == recipe, key.name
    assert count > 100


def test_texts_are_changed_and_left_out() -> None:
    data = b'name = "a"\nversion = "1"\n[mirrors]\ngems = ["x", "y"]\n'
    recipe = parse_recipe(data, source="x", folder=Path())
    seen: list[tuple[str, str]] = []

    def convert(_kind: object, text: str, key: str) -> str | None:
        seen.append((key, text))
        return {"a": "b", "1": None, "x": None, "y": "z"}.get(text, text)

    values = recipe_values(recipe, convert)
    assert (values["name"], values["mirrors"]) == ("b", {"gems": ["z"]})
    assert "version" not in values
    assert ("mirrors.gems", "y") in seen
