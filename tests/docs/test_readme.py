from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.processes import ROOT, purekernel

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(mark: str) -> str:
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, mark
    return found.group(1)


def test_the_library_example_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block("test: library"), "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("rz_mk_dev-image.1.2.3 Razor MK 1.2.3 ")
    assert lines[1] == "True"
    assert lines[2].startswith("out/rz_mk_dev-image.1.2.3.iso ")
    assert (tmp_path / "out" / "rz_mk_dev-image.1.2.3.pxe" / "boot.ipxe").is_file()


def test_the_two_commands_are_one_line_each() -> None:
    for mark in ("ci: sample", "ci: tests"):
        assert len(block(mark).splitlines()) == 1


@pytest.mark.parametrize("page", ["README.md", "docs/gathering.md"])
def test_every_option_that_a_page_names_is_there(page: str, tmp_path: Path) -> None:
    commands = ("build", "bundle", "deps", "fetch", "init", "lock")
    helped = "".join(purekernel(name, "--help", cwd=tmp_path).stdout for name in commands)
    text = (ROOT / page).read_text(encoding="utf-8")
    others = {"--quiet", "--clear-sources", "--source"}  # pip's and gem's
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - others
    assert named
    assert not {option for option in named if option not in helped}


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
