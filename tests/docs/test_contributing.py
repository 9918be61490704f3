"""Test that the pages for contributors agree with the repository."""

from __future__ import annotations

import ast
import re
import runpy
import tomllib

import pytest
import yaml

from tests.processes import ROOT

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
check_message = runpy.run_path(str(ROOT / ".ci" / "commit_subject.py"))["check_message"]
SITE = runpy.run_path(str(ROOT / "docs" / "check_site.py"))


def sessions() -> set[str]:
    """Return the names of nox's sessions, without importing nox."""
    module = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    return {
        node.name
        for node in module.body
        if isinstance(node, ast.FunctionDef)
        and "session" in "".join(map(ast.unparse, node.decorator_list))
    }


def test_contributing_lists_every_nox_session() -> None:
    table = set(re.findall(r"^\| `(\w+)` \| the |^\| `(\w+)` \|", CONTRIBUTING, re.MULTILINE))
    named = {first or second for first, second in table}
    assert sessions() == {"boot", "docs", "fast", "fuzz", "lint", "nightly", "oracles"}
    assert sessions() <= named


def test_contributing_names_only_extras_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"'\.\[(\w+)\]'", CONTRIBUTING)
    assert named == ["dev", "mutation"]
    assert set(named) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_hooks_download_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        assert "additional_dependencies" not in hook


@pytest.mark.parametrize("name", ["bug", "feature", "config"])
def test_issue_form_is_valid(name: str) -> None:
    path = ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml"
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if name == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(form)
    fields = [item for item in form["body"] if item["type"] != "markdown"]
    assert len({item["id"] for item in fields}) == len(fields)
    assert any(item.get("validations", {}).get("required") for item in fields)


@pytest.mark.parametrize(
    "message",
    [
        "squashfs: refuse a block list that ends early\n\nIt was read past its end.\n",
        "docs, ci: add a page\n",
        f"cpio: {'a' * 65}\n",
        "tar: comment\n# Please enter the commit message\n",
        "Merge branch 'main' into topic\n",
        "fixup! a subject without an area\n",
    ],
)
def test_commit_message_is_accepted(message: str) -> None:
    assert check_message(message) is None


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("Add a page\n", "the first line must be 'area: summary', got 'Add a page'"),
        ("", "the first line must be 'area: summary', got ''"),
        ("docs: \n", "the first line must be 'area: summary', got 'docs: '"),
        (f"cpio: {'a' * 66}\n", "the first line must be under 72 characters, got 72"),
        ("docs: add a page.\n", "the first line must not end with a full stop"),
        ("docs: add a page\nand more\n", "the second line must be empty"),
    ],
)
def test_commit_message_is_refused(message: str, fault: str) -> None:
    assert check_message(message) == fault


def test_every_decision_is_in_the_index_with_a_status() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| .+ \| ([a-z ]+) \|$", index, re.MULTILINE)
    assert [name for _number, name, _status in rows] == sorted(
        path.name for path in folder.glob("0*.md")
    )
    assert [number for number, _name, _status in rows] == [
        f"{number:04}" for number in range(1, len(rows) + 1)
    ]
    assert all(name.startswith(number) for number, name, _status in rows)
    assert {status for _number, _name, status in rows} <= {"accepted", "not used", "replaced"}


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://host/a.js"></script>',
        '<script src="//host/a.js"></script>',
        '<link rel="stylesheet" href="https://host/a.css">',
        '<link rel="preconnect" href="https://host">',
        '<img srcset="a.png 1x, https://host/b.png 2x">',
        '<iframe src="HTTP://host/"></iframe>',
        '<p style="background: url(https://host/a.png)"></p>',
        "<style>@import 'https://host/a.css';</style>",
        "<style>@font-face { src: url(//host/a.woff2) }</style>",
        '<svg><image href="https://host/a.png"/></svg>',
    ],
)
def test_page_that_loads_from_another_host_is_refused(html: str) -> None:
    assert len(SITE["foreign_in_page"](html)) == 1


def test_page_that_only_links_to_another_host_is_accepted() -> None:
    html = (
        '<link rel="canonical" href="https://host/"><link rel="stylesheet" href="_static/a.css">'
        '<a href="https://host/">x</a><script src="a.js"></script><p>url(https://host/)</p>'
        '<svg xmlns="http://www.w3.org/2000/svg"></svg>'
    )
    assert SITE["foreign_in_page"](html) == []


def test_every_page_is_in_the_navigation() -> None:
    """Sphinx also checks this, where it is installed."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^([\w/-]+)$", index, re.MULTILINE))
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert named == pages | {"decisions/README"}
    assert "\ndecisions/0*\n" in index
