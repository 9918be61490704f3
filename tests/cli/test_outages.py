"""Test that a host which does not answer is one message of a command, with all its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.repository import TCZ, make_repository
from purekernel.cli import main
from purekernel.fetch.model import DownloadPolicy
from tests.fetch.fetching import closed_port
from tests.fetch.server import Server
from tests.workshop import notes, two_lines

RECIPE = """\
[mirrors]
tinycore = ["{host}/tc"]
gems = ["{host}/gems"]
debian-packages = ["{host}/debian/dists/x/main/binary-i386/Packages.gz"]
[extensions]
builtin = ["nano", "vim", "lshw.deb"]
[gems]
wanted = ["facter"]
[downloads]
attempts = 1
stall-seconds = 0.5
"""

REFUSED = "cannot connect: Connection refused"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_surroundings: None) -> Path:
    monkeypatch.setattr(DownloadPolicy, "pause_seconds", lambda _policy, _number: 0.0)
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def only_error(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) == 3
    ((message, hint),) = two_lines(capsys.readouterr().err)
    assert hint.startswith("check the address and the network")
    return message


@pytest.mark.parametrize("command", ["build", "fetch", "lock"])
def test_base_packages_extensions_and_gems_of_one_host_are_one_error(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closed_port() as port:
        host = f"http://127.0.0.1:{port}"
        (folder / "purekernel.toml").write_text(RECIPE.format(host=host))
        assert only_error(capsys, command) == (
            f"3 files cannot be fetched: {host}: {REFUSED} (Core-current.iso.md5.txt, InRelease, "
            "dep.db.gz)"
        )


@pytest.mark.parametrize(
    "words",
    [["deps", "a", "b"], ["deps", "--reverse", "a"], ["info", "a", "b"], ["search", "a"],
     ["search", "--file", "a"]],
    ids=" ".join,
)  # fmt: skip
def test_mirror_that_never_answers_is_one_error_of_a_question(
    words: list[str], folder: Path, unanswering: int, capsys: pytest.CaptureFixture[str]
) -> None:
    host = f"http://127.0.0.1:{unanswering}"
    (folder / "purekernel.toml").write_text(RECIPE.format(host=host))
    assert only_error(capsys, *words) == (
        f"dep.db.gz cannot be fetched: {host}/tc/{TCZ}/dep.db.gz: no answer within 0.5 seconds"
    )


@pytest.mark.slow
def test_unanswering_mirror_before_another_is_one_note(
    folder: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, content in make_repository({"a.tcz": ["b.tcz"], "b.tcz": []}).items():
        server.put(f"/{path}", content)
    with closed_port() as port:
        down = f"http://127.0.0.1:{port}"
        for words in (["deps", "a"], ["search", "a"], ["info", "a", "b"]):
            assert main([*words, "--mirror", down, "--mirror", server.url]) == 0
            skipped, unauthenticated, *rest = sorted(
                note for note in notes(capsys.readouterr().err) if "no index of tags" not in note
            )[::-1]
            assert skipped.startswith(f"the mirror {down}/{TCZ} was skipped, and the other")
            assert " unauthenticated: fetched over plain http" in unauthenticated
            assert rest == []
