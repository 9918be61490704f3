"""Test the command lint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.compress import gzip
from purekernel.cli import main
from purekernel.formats.cpio import build_cpio
from purekernel.tree import Tree
from tests.analysis.images import put
from tests.analysis.test_faults import clean
from tests.analysis.test_lint import MENU, iso


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root: Tree, name: str = "core.gz") -> None:
    Path(name).write_bytes(gzip(build_cpio(root)))


def faulty() -> Tree:
    root = clean()
    put(root, "usr/bin/x", b"#!/usr/bin/python3\n")
    put(root, "etc/link", b"->gone")
    return root


PYTHON = "'/usr/bin/x' is run by '/usr/bin/python3', which is missing"
GONE = "'/etc/link' leads to '/etc/gone', which is missing"
LINES = [
    f"PK301 error: the image: {PYTHON}: add an extension that has it",
    f"PK501 warning: the image: {GONE}: delete the link, or add its target",
]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    status = main(["lint", *words])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


def test_findings_are_listed_with_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    write(faulty())
    assert run(capsys, "core.gz") == (0, [*LINES, "1 error, 1 warning"], "")
    write(clean())
    assert run(capsys, "core.gz", "--strict") == (0, ["no findings"], "")


def test_strict_ends_with_status_4_if_a_finding_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(faulty())
    status, out, err = run(capsys, "core.gz", "--strict")
    assert (status, out) == (4, [*LINES, "1 error, 1 warning"])
    assert err == (
        "purekernel: 1 finding is an error, such as PK301: '/usr/bin/x' is run by "
        "'/usr/bin/python3', which is missing\n  add an extension that has it\n"
    )
    assert run(capsys, "core.gz", "--strict", "--ignore", "PK301")[0] == 0


def test_base_is_listed_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    write(faulty())
    write(faulty(), "base.gz")
    words = ("core.gz", "--from", "base.gz", "--strict")
    counted = "2 findings in the base itself (base.gz)"
    assert run(capsys, *words) == (0, ["no findings", f"{counted}; --base shows them"], "")
    listed = [line.replace("the image", "the base") for line in LINES]
    assert run(capsys, *words, "--base") == (0, ["no findings", counted, *listed], "")


def test_unreadable_part_is_an_error_after_the_findings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    core = gzip(build_cpio(clean()))
    menu = MENU + b"label b\nkernel /gone\n"
    Path("x.iso").write_bytes(iso(core=core[: len(core) // 2], menu=menu))
    status, out, err = run(capsys, "x.iso", "--strict")
    assert status == 1
    assert [line[:5] for line in out] == ["PK601", "1 err"]
    first, second = err.split("purekernel: ")[1:]
    assert first.startswith("x.iso:boot/core.gz")
    assert second.startswith("1 finding is an error, such as PK601")


def test_unknown_code_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    write(clean())
    status, out, err = run(capsys, "core.gz", "--select", "PK8", "--ignore", "E501")
    assert (status, out) == (2, [])
    assert err.count("no finding has this code") == 2


def test_entry_that_applies_to_nothing_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    write(clean())
    status, out, err = run(capsys, "core.gz", "--ignore", "PK501:etc/*")
    assert (status, out) == (0, ["no findings"])
    assert err == "purekernel: note: --ignore PK501:etc/* applies to no finding\n"


def test_json_has_every_finding_also_beside_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    write(faulty())
    status, out, _err = run(capsys, "core.gz", "--json", "--strict")
    document = json.loads("\n".join(out))
    assert status == 4
    assert [each["code"] for each in document["findings"]] == ["PK301", "PK501"]
    assert document["findings"][1] == {
        "code": "PK501",
        "severity": "warning",
        "owner": {"kind": "image", "name": "the image"},
        "path": "etc/link",
        "message": "'/etc/link' leads to '/etc/gone', which is missing",
        "remedy": "delete the link, or add its target",
        "subject": "/etc/gone",
    }
    assert document["base"] == {"names": [], "findings": 0}
    assert document["error"]["code"] == "finding"
