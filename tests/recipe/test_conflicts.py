"""Test what is found wrong with the tables that change files before anything is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.errors import CombinedError
from purekernel.razor.conventions import refuse_unbundled
from purekernel.recipe.changes import (
    MAX_EXPRESSION,
    EditChange,
    FileChange,
    Removal,
    describe_changes,
)
from purekernel.recipe.conflicts import change_faults
from purekernel.recipe.model import Recipe
from purekernel.recipe.read import parse_recipe
from purekernel.rootfs.expressions.syntax import MAX_CHARACTERS

FILE = "[[file]]\npath = '/etc/a'\ntext = ''\n"


def parse(text: str, folder: Path = Path()) -> Recipe:
    return parse_recipe(text.encode(), source="p.toml", folder=folder)


def faults(text: str) -> list[str]:
    return [str(fault).removeprefix("p.toml, ") for fault in change_faults(parse(text))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            FILE + "[[file]]\npath = 'etc/./a'\ntext = 'x'",
            ("line 5, path under [[file]]: 'etc/a' is made twice: p.toml, line 2, path under "
            "[[file]]"),
        ),
        (
            "[[link]]\npath = 'etc/a'\ntarget = 'b'\n" + FILE,
            ("line 2, path under [[link]]: 'etc/a' is made twice: p.toml, line 5, path under "
            "[[file]]"),
        ),
        (
            "[[remove]]\npaths = ['b', 'etc/*']\n" + FILE,
            ("line 4, path under [[file]]: 'etc/a' is written, and removed before that: p.toml, "
            "line 2, paths under [[remove]]"),
        ),
        (
            "[[remove]]\npaths = ['etc']\n[[edit]]\npaths = ['/etc/x']\nappend = 'a'",
            ("line 4, paths under [[edit]]: 'etc/x' is changed, and removed before that: p.toml, "
            "line 2, paths under [[remove]]"),
        ),
        (
            "[[remove]]\npaths = ['**/x']\n[[attributes]]\npaths = ['a/x']\nmode = '0644'",
            ("line 4, paths under [[attributes]]: 'a/x' is changed, and removed before that: "
            "p.toml, line 2, paths under [[remove]]"),
        ),
        (
            FILE + "mode = '0600'\n[[attributes]]\npaths = ['etc/a']\nmode = '0644'",
            ("line 7, mode under [[attributes]]: the mode of 'etc/a' is set to both '0600' and "
            "'0644': p.toml, line 4, mode under [[file]]"),
        ),
        (
            ("[[attributes]]\npaths = ['a', 'b/*']\nowner = 'tc'\n"
            "[[attributes]]\npaths = ['b/*']\nowner = 'root'"),
            ("line 6, owner under [[attributes]]: the owner of 'b/*' is set to both 'tc' and "
            "'root': p.toml, line 3, owner under [[attributes]]"),
        ),
        (
            "[[edit]]\npaths = ['a']\nregex = '(a'\nreplace = ''",
            ("line 3, regex under [[edit]]: the regular expression '(a' has a '(' without its ')' "
            "at character 1"),
        ),
        (
            "[[edit]]\npaths = ['a']\nregex = 'a'\nreplace = '\\1'",
            ("line 4, replace under [[edit]]: the replacement names group 1, and the expression "
            "has 0"),
        ),
        (
            "[[edit]]\npaths = ['a']\nfind = 'a'",
            "line 3, find under [[edit]]: find needs replace, which is missing",
        ),
        (
            "[[edit]]\npaths = ['a']\nappend = 'a'\nreplace = 'b'",
            "line 4, replace under [[edit]]: replace needs find or regex, which is missing",
        ),
        (
            "[[edit]]\npaths = ['a']\nprepend = 'a'\ncount = 2",
            "line 4, count under [[edit]]: count is for find, regex and set",
        ),
        (
            "[[file]]\npath = 'a'\nsource = 'gone'",
            "line 3, source under [[file]]: file not found: gone",
        ),
        (
            f"[[remove]]\npaths = ['{'a' * 300}']",
            (f"line 2, paths under [[remove]]: the name '{'a' * 40}'… is too long: must be at most "
            "255 bytes, got 300"),
        ),
    ],
)  # fmt: skip
def test_fault_names_the_lines(text: str, found: str) -> None:
    assert faults(text) == [found]


@pytest.mark.parametrize(
    "text",
    [
        # The folder is emptied before the file is written.
        "[[remove]]\npaths = ['etc']\n" + FILE,
        # A folder is replaced by a link.
        "[[remove]]\npaths = ['etc/a']\n[[link]]\npath = 'etc/a'\ntarget = 'b'",
        # The edit is of the new file.
        "[[remove]]\npaths = ['etc']\n" + FILE + "[[edit]]\npaths = ['etc/a']\nappend = 'x'",
        FILE + "mode = '0600'\n[[attributes]]\npaths = ['etc/*']\nmode = '0644'",
        "[[attributes]]\npaths = ['a']\nowner = 'tc'\n[[attributes]]\npaths = ['a']\nmode = '0600'",
        "[[edit]]\npaths = ['a']\nset = ['a=b']\nevery = true",
    ],
)
def test_tables_that_agree_have_no_faults(text: str) -> None:
    assert faults(text) == []


def test_faults_are_in_the_order_of_their_lines() -> None:
    text = (
        "[[edit]]\npaths = ['a']\nfind = 'x'\n"
        + FILE
        + "[[edit]]\npaths = ['a']\nregex = '['\nreplace = ''\n"
        + FILE
    )
    assert [fault.partition(",")[0] for fault in faults(text)] == ["line 3", "line 9", "line 12"]


def test_recipe_of_the_library_is_checked_too() -> None:
    recipe = Recipe(
        removals=[Removal(paths=["a"])],
        files=[FileChange(path="a", text=""), FileChange(path="../b", text="", mode="9")],
        edits=[EditChange(paths=["b"], regex="*", replace="")],
    )
    assert [fault.message for fault in change_faults(recipe)] == [
        "the regular expression '*' has nothing to repeat before '*' at character 1",
        "'9' is no mode",
        "the name '../b' contains '..'",
        "'a' is written, and removed before that",
    ]


def test_source_is_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("x")
    assert change_faults(parse("[[file]]\npath = 'a'\nsource = 'motd'", tmp_path)) == []


def test_limit_of_expressions_is_that_of_the_engine() -> None:
    assert MAX_EXPRESSION == MAX_CHARACTERS


def test_changes_are_described_in_their_order() -> None:
    text = (
        "[[attributes]]\npaths = ['a']\nmode = '0644'\nowner = 'tc'\n"
        "[[link]]\ntarget = 'a/*'\ninto = 'b'\n[[link]]\ntarget = 'a'\npath = 'b'\nhard = true\n"
        "[[edit]]\npaths = ['a', 'b']\nset = ['x=y']\n"
        "[[file]]\npath = 'c'\nsource = 'motd'\n[[file]]\npath = 'd'\ntext = ''\n"
        "[[remove]]\npaths = ['e', 'f*']\n"
    )
    assert list(describe_changes(parse(text))) == [
        "remove e, f*",
        "write c from motd",
        "write d",
        "edit a, b: set",
        "link b/ to a/*",
        "hard link b to a",
        "set a: mode 0644, owner tc",
    ]


def test_bundle_refuses_each_table_that_changes_files() -> None:
    recipe = parse("[[edit]]\npaths = ['a']\nappend = 'x'\n[[remove]]\npaths = ['b']\n")
    with pytest.raises(CombinedError) as caught:
        refuse_unbundled(recipe)
    assert [str(error) for error in caught.value.errors] == [
        "p.toml, line 4, [[remove]]: a bundle cannot hold changes to files of the image",
        "p.toml, line 1, [[edit]]: a bundle cannot hold changes to files of the image",
    ]
