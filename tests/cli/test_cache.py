from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from purekernel.cli import main
from purekernel.formats.cpio import parse_cpio
from purekernel.input import Input
from purekernel.tree import File


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(["cache", *command]) == 0
    return capsys.readouterr().out


@pytest.mark.slow
def test_second_build_reuses_the_cache_of_the_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "info").endswith("encoded-v1: 0 files, 0.0 kB\n")
    build = ["build", "--sample", "--quiet", "--effort", "max"]
    assert main([*build, "--output-dir", "one"]) == 0
    info = said(capsys, "info")
    assert " 0 files" not in info
    assert main([*build, "--output-dir", "two"]) == 0
    assert said(capsys, "info") == info
    (one,), (two,) = (list((folder / name).glob("*.iso")) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    # Damaged cache entries do not change the bytes.
    for path in (folder / "cache").glob("encoded-v1/??/*"):
        path.write_bytes(b"damaged")
    assert main([*build, "--output-dir", "three", "--jobs", "1"]) == 0
    assert (folder / "three" / one.name).read_bytes() == one.read_bytes()


@pytest.mark.slow
def test_cache_is_cleared_and_pruned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--sample", "--quiet", "--effort", "max"]) == 0
    capsys.readouterr()
    assert said(capsys, "prune") == "deleted: 0 files, 0.0 kB\n"
    assert said(capsys, "prune", "--max-size", "0").startswith("deleted: ")
    assert said(capsys, "info").endswith(": 0 files, 0.0 kB\n")
    assert said(capsys, "clear") == "deleted: 0 files, 0.0 kB\n"


@pytest.mark.slow
@pytest.mark.parametrize("effort", ["fast", "balanced", "max"])
@pytest.mark.parametrize("more", [[], ["--no-nested"], ["--modules", "keep"], ["--modules", "raw"]])
def test_every_effort_packs_the_same_content(effort: str, more: list[str], folder: Path) -> None:
    command = ["build", "--sample", "--quiet", "--emit", "core", "--effort", effort, *more]
    assert main(command) == 0
    tree = parse_cpio(Input((folder / "core.gz").read_bytes(), name="core.gz"))
    contents = {
        path.removesuffix(b".gz"): gzip.decompress(node.content)
        if path.endswith(b".gz")
        else bytes(node.content)
        for path, node in tree.walk()
        if isinstance(node, File) and b"/modules." not in path
    }
    assert main(["build", "--sample", "--quiet", "--emit", "core", "--modules", "keep"]) == 0
    plain = parse_cpio(Input((folder / "core.gz").read_bytes(), name="core.gz"))
    assert len(contents) > 20
    for path, node in plain.walk():
        if isinstance(node, File) and b"/modules." not in path:
            content = gzip.decompress(node.content) if path.endswith(b".gz") else node.content
            assert contents[path.removesuffix(b".gz")] == content, path
    raw = "raw" in more
    modules = b"lib/modules/3.0.3-purekernel/kernel/drivers/net/sample-card.ko"
    assert (modules in tree, modules + b".gz" in tree) == (raw, not raw)
    dependencies = tree[b"lib/modules/3.0.3-purekernel/modules.dep"]
    assert isinstance(dependencies, File)
    assert (b"sample-card.ko.gz:" in bytes(dependencies.content)) is not raw
