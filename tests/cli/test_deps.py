from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from fixtures.repository import make_repository
from purekernel.cli import main
from purekernel.cli.drawing import MAX_DEPTH, draw, draw_graph
from purekernel.fetch.model import DownloadPolicy
from purekernel.repos.tinycore import ExtensionGraph
from tests.fetch.fetching import closed_port
from tests.workshop import two_lines

NEEDS = {
    "a.tcz": ["b.tcz", "c.tcz"],
    "b.tcz": ["d.tcz", "gone.tcz"],
    "c.tcz": ["d.tcz", "a.tcz", "wifi-KERNEL.tcz"],
    "d.tcz": [],
    "wifi-9.tcz": [],
}

TREE = """\
a.tcz  0.1 kB
├── b.tcz  0.1 kB
│   ├── d.tcz  0.1 kB
│   └── gone.tcz  (missing)
└── c.tcz  0.1 kB
    ├── d.tcz  0.1 kB  (shared)
    ├── a.tcz  0.1 kB  (loop)
    └── wifi-KERNEL.tcz  (set --kernel-release to select one)
b.tcz  0.1 kB  (shared)
4 extensions, 0.5 kB
"""

DOT = """\
digraph extensions {
  rankdir=LR;
  node [shape=box];
  "c.tcz" [label="c.tcz\\n0.1 kB"];
  "d.tcz" [label="d.tcz\\n0.1 kB"];
  "wifi-9.tcz" [label="wifi-9.tcz\\n0.1 kB"];
"""


@pytest.fixture(autouse=True)
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path, content in make_repository(NEEDS).items():
        place = tmp_path / "mirror" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "mirror"


def test_tree_marks_shared_missing_and_cyclic_extensions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["deps", "--mirror", "mirror", "a", "b.tcz"]) == 1
    out, err = capsys.readouterr()
    assert out == TREE
    ((message, _hint),) = two_lines(err)
    assert message == "no mirror has gone.tcz, which is needed: b.tcz → gone.tcz"


def test_sizes_are_shown_without_an_index(mirror: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in mirror.rglob("*.gz"):
        path.unlink()
    assert main(["deps", "--mirror", "mirror", "a", "b.tcz"]) == 1
    assert capsys.readouterr().out == TREE


@pytest.mark.slow
def test_long_chain_is_drawn_50_levels_deep() -> None:
    names = [f"e{number}.tcz" for number in range(10_000)]
    needs = {name: (need,) for name, need in pairwise(names)}
    graph = ExtensionGraph(roots=(names[0],), extensions={}, needs=needs)
    (tree,) = draw_graph(graph.roots, graph.needs, {})
    depth = 0
    while tree.below:
        (tree,), depth = tree.below, depth + 1
    assert depth == MAX_DEPTH == 50
    assert tree.text == "e50.tcz  (more below)"


@pytest.mark.slow
def test_tree_of_a_complete_graph_has_one_short_line_for_each_edge() -> None:
    names = [f"e{number}.tcz" for number in range(200)]
    graph = ExtensionGraph(roots=(names[0],), extensions={}, needs=dict.fromkeys(names, names))
    lines = [line for tree in draw_graph(graph.roots, graph.needs, {}) for line in draw(tree)]
    assert len(lines) == 200 * 200 + 1
    assert max(map(len, lines)) < 4 * MAX_DEPTH + 40


def test_tree_is_drawn_in_ascii_if_the_terminal_lacks_the_characters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("purekernel.cli.drawing.UNICODE", ("\udcff",) * 4)
    assert main(["deps", "--mirror", "mirror", "d", "--kernel", "9"]) == 0
    assert capsys.readouterr().out == "d.tcz  0.1 kB\n1 extension, 0.1 kB\n"
    assert main(["deps", "--mirror", "mirror", "b"]) == 1
    assert "|-- d.tcz" in capsys.readouterr().out


@pytest.mark.slow
def test_dot_option_prints_a_graphviz_graph(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["deps", "--mirror", "mirror", "c", "--kernel", "9", "--dot"]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert out.startswith("digraph extensions {\n")
    assert '  "c.tcz" -> "wifi-9.tcz";\n' in out
    assert '  "c.tcz" -> "a.tcz";\n' in out
    assert '  "a.tcz" -> "c.tcz" [color=red, constraint=false];\n' in out
    assert '  "gone.tcz" [label="gone.tcz\\nmissing", style=dashed, color=red];\n' in out
    assert '  "d.tcz" [label="d.tcz\\n0.1 kB", style=bold];\n' in out


def test_invalid_extension_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deps", "--mirror", "mirror", "../a", "d", "b c"]) == 1
    errors = two_lines(capsys.readouterr().err)
    assert [message.rpartition(", got ")[2] for message, _hint in errors] == ["'../a'", "'b c'"]
    assert errors[0][0].startswith("the command line: expected the name of an extension")


def test_mirror_is_read_from_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mirror" / "4.x" / "x86" / "tcz"
    monkeypatch.setenv("MK_BUNDLE_TCL_MIRROR_URI", folder.as_posix())
    monkeypatch.setenv("MK_BUNDLE_TCL_MIROR", "x")
    assert main(["deps", "d"]) == 0
    out, err = capsys.readouterr()
    assert out == "d.tcz  0.1 kB\n1 extension, 0.1 kB\n"
    assert "MK_BUNDLE_TCL_MIROR" in err
    monkeypatch.delenv("MK_BUNDLE_TCL_MIROR")
    monkeypatch.setenv("MK_BUNDLE_TCL_MIRROR_URI", str(tmp_path / "empty"))
    (tmp_path / "settings").write_text(f"MK_BUNDLE_TCL_MIRROR_URI={folder.as_posix()}\n")
    assert main(["deps", "-c", "settings", "d"]) == 0
    assert capsys.readouterr() == (out, "")


def test_unreachable_host_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(DownloadPolicy, "pause_seconds", lambda _policy, _number: 0.0)
    with closed_port() as first, closed_port() as second:
        mirrors = sorted(f"http://127.0.0.1:{port}" for port in (first, second))
        arguments = [word for mirror in mirrors for word in ("--mirror", mirror)]
        assert main(["deps", *arguments, "bash", "vim"]) == 3
    messages = [message for message, _hint in two_lines(capsys.readouterr().err)]
    assert len(messages) == 2
    for mirror, message in zip(mirrors, sorted(messages), strict=True):
        assert f"{mirror}/4.x/x86/tcz/" in message
