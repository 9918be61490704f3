"""Test the command rebuild."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel.cli import main

RECIPE = """\
name = "x"
[core]
iso = "base.iso"
[[iso.file]]
path = "read.me"
source = "read.me"
"""


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "base.iso").write_bytes(make_core_iso())
    (tmp_path / "in" / "read.me").write_bytes(b"read me\n")
    (tmp_path / "in" / "purekernel.toml").write_text(RECIPE, encoding="utf-8")
    options = ["--recipe", "in/purekernel.toml", "-o", "x.iso", "-q", "--effort", "fast"]
    assert main(["build", "--embed", *options]) == 0
    return tmp_path / "x.iso"


def test_same_bytes_are_a_success(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rebuild", image.name, "--inputs", "in"]) == 0
    assert capsys.readouterr().out == "x.iso: the rebuilt image has the same bytes\n"


def test_changed_image_is_status_1_with_the_first_difference(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image.write_bytes(image.read_bytes().replace(b"read me\n", b"read ME\n"))
    assert main(["rebuild", "x.iso", "--inputs", "in", "-q"]) == 1
    assert capsys.readouterr().err == (
        "purekernel: x.iso: the rebuilt image differs; the first difference: changed  read.me: "
        "content, +0 bytes\n"
        "  the image was changed, or is not made from what it carries\n"
    )


def test_missing_inputs_are_status_3_and_named(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rebuild", image.name, "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["result"], document["difference"]) == ("undecided", None)
    assert [error["code"] for error in document["errors"]] == ["undecided", "undecided"]
    assert "file 'read.me' of 8 bytes is missing" in document["errors"][1]["message"]


def test_image_that_carries_nothing_is_status_1(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert image.exists()
    assert main(["rebuild", "in/base.iso"]) == 1
    assert capsys.readouterr().err == (
        "purekernel: in/base.iso does not carry its recipe\n"
        "  build it with --embed, or embed = true under [output]\n"
    )


def test_quiet_and_verbose_exclude_each_other() -> None:
    assert main(["rebuild", "x.iso", "-q", "-v"]) == 2
