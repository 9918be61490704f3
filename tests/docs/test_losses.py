"""Check that docs/losses.md covers every reader, and that its tests exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from purekernel.records import frozen
from tests.docs.pages import read_page
from tests.processes import ROOT

PAGE = "docs/losses.md"

WORDS = ("carried", "reported", "refused")

# A function reads a format if its name starts like this, and its first argument is one of these.
_VERBS = re.compile(r"(parse|read|load|open|iter|unpack|survey)(_|$)")
_ARGUMENTS = {"file: Input", "manifest: Input", "kernel: Input", "data: bytes", "data: Buffer"}
_ARGUMENTS |= {"tree: Tree", "layer: Layer"}
_FOLDERS = {"load_folder", "load_root_folder", "load_layer"}

# What matches the above, and reads no format.
_NO_READERS = {
    "purekernel/analysis/diff/containers.py": "selects the reader",
    "purekernel/encode/joining.py": "joins blocks that were just written",
    "purekernel/formats/archive.py": "selects the reader",
    "purekernel/formats/cpio/writer.py": "iterates over what it writes",
    "purekernel/formats/member_names.py": "part of the readers of tar and cpio",
    "purekernel/formats/squashfs/inode_table.py": "part of the writer",
    "purekernel/host/unpack.py": "writes a tree to the host",
    "purekernel/formats/tar/writer.py": "iterates over what it writes",
    "purekernel/plan/efi.py": "hands files to the readers",
    "purekernel/rootfs/modules.py": "from tree to tree",
}

_READERS = re.compile(r"^Readers?: (.*?)\.$", re.MULTILINE | re.DOTALL)


@frozen(kw_only=True)
class Row:
    """A row of the page.

    Attributes:
        section: the heading above.
        what: a field, record or kind of member.
        fate: what becomes of it.
        tests: ``path::name`` of the tests that show it.
    """

    section: str
    what: str
    fate: str
    tests: tuple[str, ...]


def rows(page: str) -> list[Row]:
    found: list[Row] = []
    section = ""
    for line in page.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if not line.startswith("| ") or line.startswith(("| what |", "|---")):
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        assert len(cells) == 3, line
        what, fate, tests = cells
        names = tuple(re.findall(r"`([^`]+)`", tests))
        found.append(Row(section=section, what=what, fate=fate, tests=names))
    return found


def readers() -> Iterator[str]:
    """Yield the path of each module with a function or class that reads a format."""
    for path in sorted((ROOT / "purekernel").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name not in _NO_READERS and any(map(_reads, ast.parse(path.read_text("utf-8")).body)):
            yield name


def _reads(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        inner = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        return any(part.name == "__init__" and "file: Input" in _first(part, 1) for part in inner)
    if not isinstance(node, ast.FunctionDef) or not _VERBS.match(node.name):
        return False
    return node.name in _FOLDERS or bool(_ARGUMENTS & _first(node, 0))


def _first(function: ast.FunctionDef, number: int) -> set[str]:
    return {ast.unparse(argument) for argument in function.args.args[number : number + 1]}


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names of the tests in a file."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@pytest.mark.slow
def test_each_reader_has_a_section() -> None:
    page = read_page(PAGE)
    named = [path for listed in _READERS.findall(page) for path in re.findall(r"`([^`]+)`", listed)]
    assert sorted(named) == sorted(set(named))
    assert sorted(named) == list(readers())


def test_each_section_names_its_readers_and_has_rows() -> None:
    page = read_page(PAGE)
    with_rows = {row.section for row in rows(page)}
    for section in page.split("\n## ")[1:]:
        heading = section.partition("\n")[0]
        assert _READERS.search(section), heading
        assert heading in with_rows


def test_each_row_says_what_becomes_of_it_and_names_a_test() -> None:
    found = rows(read_page(PAGE))
    assert len(found) > 100
    for row in found:
        assert row.fate.startswith(WORDS), row
        assert row.tests, row


@pytest.mark.slow
def test_each_named_test_exists() -> None:
    missing = []
    for row in rows(read_page(PAGE)):
        for test in row.tests:
            path, _colons, name = test.partition("::")
            if not (ROOT / path).is_file() or name not in names_in(ROOT / path):
                missing.append(test)
    assert missing == []


@pytest.mark.parametrize("row", ["| a | carried |", "| a | b | c | d |"])
def test_row_with_other_columns_is_an_error(row: str) -> None:
    with pytest.raises(AssertionError, match="a"):
        rows(row)
