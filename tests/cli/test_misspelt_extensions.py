"""Test that a misspelt extension gets the nearest names of the mirror, wherever it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.repository import make_repository
from purekernel.cli import main
from tests.cli.test_packages import Archive
from tests.workshop import NEEDS, Workshop, notes, two_lines

RECIPE = """\
[mirrors]
tinycore = ["mirror"]
debian-packages = ["debian/dists/wheezy/main/binary-i386/Packages.gz"]
[extensions]
builtin-list = "mine.lst"
mirror = ["nnao.tcz"]
merged = ["openssh2.tcz", "lshw.deb"]
[[cut]]
extension = "util-linx.tcz"
files = ["usr/bin/x"]
[[need]]
package = "libpci3"
extensions = ["readlin.tcz"]
"""

ERRORS = [
    ("purekernel.toml, line 9, extension under [[cut]]: ", "util-linx.tcz", "", "util-linux.tcz"),
    (
        "purekernel.toml, line 7, merged under [extensions]: ",
        "openssh2.tcz",
        "",
        "openssh.tcz or openssl.tcz",
    ),
    ("mine.lst, line 2: ", "bahs.tcz", "", "bash.tcz"),
    ("purekernel.toml, line 6, mirror under [extensions]: ", "nnao.tcz", "", "nano.tcz"),
    (
        "purekernel.toml, line 7, merged under [extensions]: ",
        "readlin.tcz",
        ", which is needed: lshw.tcz → readlin.tcz",
        "readline.tcz",
    ),
]


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path, monkeypatch)
    Archive(tmp_path / "debian").add("lshw", Depends="libpci3", silent="1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "purekernel.toml").write_text(RECIPE)
    (tmp_path / "mine.lst").write_text("ncurses\nbahs\n")
    return made


def questions(error: str) -> list[tuple[str, str]]:
    """Return each message, and the question in its hint."""
    return sorted(
        (message, hint.partition("? ")[0].partition("did you mean ")[2])
        for message, hint in two_lines(error)
    )


@pytest.mark.parametrize(
    ("command", "indexes"), [("build", True), ("fetch", False), ("lock", True)]
)
def test_all_names_of_a_recipe_get_similar_ones(
    command: str, indexes: bool, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in workshop.mirror.rglob("*.gz"):
        if not indexes:
            path.unlink()
    assert main([command, "-q"]) == 1
    assert questions(capsys.readouterr().err) == sorted(
        (f"{place}no mirror has {name}{chain}", similar) for place, name, chain, similar in ERRORS
    )


def test_names_of_a_list_for_a_bundle_get_similar_ones(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workshop.project)
    assert workshop.run("bundle", "-q", "-b", "../mine.lst") == 1
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert message.replace("\\", "/") == "../mine.lst, line 2: no mirror has bahs.tcz"
    assert hint.startswith("did you mean bash.tcz? looked in ")
    assert hint.endswith("correct the name, or leave it out with --skip bahs.tcz")


def test_misspelt_dependency_gets_similar_names(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop.write_mirror(make_repository({**NEEDS, "bash.tcz": ["readlin.tcz"]}))
    assert main(["deps", "bash"]) == 1
    assert questions(capsys.readouterr().err) == [
        ("no mirror has readlin.tcz, which is needed: bash.tcz → readlin.tcz", "readline.tcz")
    ]


def test_names_of_options_get_similar_ones(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    (workshop.top / "purekernel.toml").write_text(
        '[mirrors]\ntinycore = ["mirror"]\n[extensions]\nbuiltin = ["bash"]\n'
    )
    assert main(["lock", "-q", "--skip", "radline"]) == 0
    assert notes(capsys.readouterr().err)[-1] == (
        "nothing to skip, as nothing depends on it: radline.tcz; did you mean readline.tcz?"
    )
    assert main(["lock", "-q", "--update", "bsh.tcz"]) == 2
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert message == "not found in the lock file: bsh.tcz"
    assert hint.startswith("did you mean bash.tcz? name extensions")
    (workshop.top / "purekernel.toml").write_text(
        '[mirrors]\ntinycore = ["mirror"]\n[extensions]\nbuiltin = ["bsh"]\n'
    )
    assert main(["fetch", "-q"]) == 1
    assert two_lines(capsys.readouterr().err) == [
        (
            "the lock file does not pin bsh.tcz",
            "did you mean bash.tcz? run 'purekernel lock' to pin it",
        )
    ]
