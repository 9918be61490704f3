"""Test that generated recipes explain every key, and that their examples are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from purekernel.errors import ProjectError
from purekernel.recipe.base import CoreChoice
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.init import PLAIN, WIDTH, say_razor, write_recipe
from purekernel.recipe.keys import Named
from purekernel.recipe.model import Recipe
from purekernel.recipe.read import parse_recipe
from purekernel.recipe.schema import tables

LISTS = (
    "additional-build-files/builtin-extensions.lst",
    "additional-build-files/mirror-extensions.lst",
    "additional-build-files/util-linux-exec.lst",
    "opt/gems/gem.list",
)

# Keys that need another file.
INHERITING = {"": {"extends", "discard"}}

# Groups of mutually exclusive keys of a table.
EXCLUSIVE = {
    "[core]": [{"edition"}, {"initrd"}, {"iso"}],
    "[[overlay]]": [{"path"}, {"url"}],
    "[[iso.file]]": [{"source"}, {"text"}, {"url"}],
    "[extensions]": [{"copy2fs"}, {"copy2fs-all"}],
    "[output]": [{"folder"}, {"file"}],
    "[accounts.tc]": [{"password"}, {"password-env"}, {"password-hash"}, {"locked"}],
    "[[file]]": [{"text"}, {"source"}],
    "[[edit]]": [
        {"append"},
        {"prepend"},
        {"find", "replace", "count"},
        {"regex", "replace", "every"},
        {"set"},
    ],
    "[[link]]": [{"path"}, {"into"}],
}


def read_listed(path: Path) -> bytes:
    """Return the content of a list: for a public key, that of the example."""
    if path.suffix != ".pub":
        return b"listed\n"
    keys = next(table.keys for table in tables() if table.name == "accounts")
    return str(keys["authorized-keys"].examples[0][0]).encode()


def parse(text: str) -> Recipe:
    return parse_recipe(text.encode(), source="p.toml", folder=Path(), read=read_listed)


def lines_of_tables(text: str) -> list[tuple[str, str]]:
    """Return each line, examples included, with the label of its table."""
    label, found = "", []
    for line in text.splitlines():
        if re.match(r"#?\[", line):
            label = line.removeprefix("#")
        found.append((label, line))
    return found


def keys(text: str) -> list[tuple[str, str]]:
    """Return each key, examples included, with the label of its table."""
    return [
        (label, match[1])
        for label, line in lines_of_tables(text)
        if (match := re.match(r"#?([a-z0-9-]+) = ", line))
    ]


def with_examples(text: str, *, without: dict[str, set[str]]) -> str:
    """Return ``text`` with its examples enabled, except for the keys in ``without``."""
    lines = []
    for label, line in lines_of_tables(text):
        example = re.match(r"#([a-z0-9-]+) = |#\[", line)
        if example and example[1] not in without.get(label, ()):
            lines.append(line[1:])
        else:
            lines.append(line)
    return "\n".join(lines)


def test_every_key_of_the_schema_is_written_once() -> None:
    wanted = [(table.label, key) for table in tables() for key in table.keys]
    assert keys(write_recipe(PLAIN)) == wanted
    assert keys(write_recipe(say_razor("x", LISTS.__contains__))) == wanted


def test_every_key_and_table_has_a_comment() -> None:
    for paragraph in write_recipe(PLAIN).rstrip("\n").split("\n\n"):
        *words, _last = paragraph.split("\n")
        assert words
        assert all(re.match(r"#( |$)", line) for line in words)
        assert all(len(line) <= WIDTH for line in words)


def test_written_recipe_is_valid() -> None:
    for minimal in (True, False):
        recipe = parse(write_recipe(PLAIN, minimal=minimal))
        assert recipe == Recipe(
            source="p.toml",
            folder=Path(),
            name="my-core",
            core=CoreChoice(version="4.x", arch="x86"),
            extensions=recipe.extensions,
        )
        assert recipe.extensions.builtin == (Named(name="bash.tcz", place=""),)


@pytest.mark.parametrize("said", [PLAIN, say_razor("../x", LISTS.__contains__)])
def test_compatible_examples_are_valid_together(
    said: dict[tuple[str, str], object],
) -> None:
    text = write_recipe(said)
    for index in range(max(map(len, EXCLUSIVE.values()))):
        without = {
            label: set().union(*ways) - ways[index % len(ways)] for label, ways in EXCLUSIVE.items()
        } | INHERITING
        recipe = parse(with_examples(text, without=without))
        assert recipe.accounts[0].uid == 1002
        assert recipe.overlays[0].keep_owners
        assert recipe.edits[0].paths[0].name == "etc/inittab"


@pytest.mark.slow
def test_each_example_is_valid_by_itself() -> None:
    """Tables that can be repeated have required keys, and are excluded."""
    text = write_recipe(
        {**PLAIN, ("razor", "project"): "x", ("accounts", "uid"): 1, ("groups", "gid"): 1}
    )
    examples = [line for line in text.splitlines() if re.match(r"#[a-z0-9-]+ = ", line)]
    assert len(examples) > 50
    for label, line in lines_of_tables(text):
        if re.match(r"#(?!extends|discard)[a-z0-9-]+ = ", line) and not label.startswith("[["):
            parse(text.replace(f"\n{line}\n", f"\n{line[1:]}\n", 1))


def test_minimal_recipe_has_values_and_some_examples() -> None:
    text = write_recipe(PLAIN, minimal=True)
    assert keys(text) == [
        ("", "name"),
        ("[core]", "version"),
        ("[core]", "arch"),
        ("[mirrors]", "tinycore"),
        ("[extensions]", "builtin"),
        ("[[overlay]]", "path"),
        ("[boot]", "append"),
    ]
    recipe = parse(with_examples(text, without={}))
    assert recipe.overlays[0].path == "site"
    assert len(text.splitlines()) < 50


def test_recipe_of_a_project_names_its_lists() -> None:
    said = say_razor("../Razor-Microkernel/", LISTS.__contains__)
    names: list[str] = []

    def read(path: Path) -> bytes:
        names.append(path.as_posix())
        return b"listed\n"

    recipe = parse_recipe(
        write_recipe(said).encode(), source="p.toml", folder=Path("here"), read=read
    )
    assert sorted(names) == [f"here/../Razor-Microkernel/{name}" for name in LISTS]
    assert recipe.flavour is Flavour.DEV
    assert recipe.razor is not None
    assert recipe.razor.project == "../Razor-Microkernel/"
    assert [cut.extension.name for cut in recipe.cuts] == ["util-linux.tcz"]
    assert recipe.extensions.builtin == (Named(name="listed.tcz", place=""),)
    assert recipe.gems.wanted == (Named(name="listed", place=""),)


def test_missing_lists_of_a_project_are_not_named() -> None:
    recipe = parse(write_recipe(say_razor("x", {"rz_mk_init.rb"}.__contains__)))
    assert recipe.razor is not None
    assert recipe.extensions.builtin is None
    assert recipe.cuts == ()


def test_folder_that_is_not_a_project_is_an_error() -> None:
    with pytest.raises(ProjectError) as caught:
        say_razor("x", lambda _name: False)
    assert str(caught.value) == (
        "x is not a Razor-Microkernel project: it must have one of build-bundle-file.sh, "
        "rz_mk_init.rb, "
        f"{', '.join(LISTS)}"
    )
