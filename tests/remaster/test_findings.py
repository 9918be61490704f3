"""Findings of a build: owners, --strict, [findings] of a recipe, text and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from fixtures.repository import make_repository
from purekernel import Context, Image, Outputs, Recipe, build, load_recipe
from purekernel.analysis.findings import BUILD, FileOwner, OwnerKind
from purekernel.cli import main
from purekernel.errors import CombinedError, FindingError
from purekernel.formats.tar import build_tar
from purekernel.tree import Tree
from tests.analysis.images import core, library, pack, program, tree_of

BASE = """\
[core]
iso = "core.iso"
[mirrors]
extensions = ["tcz"]
"""
USER = tree_of(
    {
        "usr/local/bin/user": program(b"libx.so.1", b"libc.so.6"),
        "usr/local/share/user": b"text",
    }
)
LIB = tree_of({"usr/local/lib/libx.so.1": library(b"libx.so.1")})
SCRIPT = b"#!/usr/bin/python3\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = core()
    setup = b"#!/bin/sh\nwhile read line; do $line; done < /tmp/setup.lst\n"
    for path, node in tree_of({"usr/bin/tce-setup": setup}).walk():
        if path and path not in root:
            root.add(path, node)
    (tmp_path / "core.iso").write_bytes(make_core_iso(root=root))
    contents = {"user.tcz": pack(USER), "lib.tcz": pack(LIB)}
    files = make_repository({"user.tcz": [], "lib.tcz": []}, contents=contents, folder="tcz")
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    overlay = tree_of({"opt/bootlocal.sh": SCRIPT, "usr/share/x": b"#!/none\n"})
    (tmp_path / "site.tar").write_bytes(build_tar(overlay))
    return tmp_path


def recipe(here: Path, more: str) -> Recipe:
    (here / "purekernel.toml").write_text(BASE + more, encoding="utf-8")
    return load_recipe(here / "purekernel.toml")


def make(here: Path, more: str) -> Image:
    context = Context(cache_dir=here / "cache", jobs=1)
    return build(recipe(here, more), context, Outputs(effort=None))


def rows(image: Image) -> list[tuple[str, FileOwner, bytes, str]]:
    return [(each.code, each.owner, each.path, each.subject) for each in image.findings]


def of(name: str) -> FileOwner:
    return FileOwner(OwnerKind.EXTENSION, name)


def test_owner_is_the_extension_or_the_overlay(here: Path) -> None:
    overlay = str(here / "site.tar")
    more = '[extensions]\nbuiltin = ["user"]\n[[overlay]]\npath = "site.tar"\n'
    assert rows(make(here, more)) == [
        ("PK102", of("user.tcz"), b"usr/local/bin/user", "libx.so.1"),
        ("PK301", FileOwner(OwnerKind.OVERLAY, overlay), b"opt/bootlocal.sh", "/usr/bin/python3"),
        ("PK302", FileOwner(OwnerKind.OVERLAY, overlay), b"usr/share/x", "/none"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        '[extensions]\nmerged = ["user"]\n',
        '[extensions]\nmirror = ["user", "lib"]\n',
        '[[cut]]\nextension = "user"\nfiles = ["usr/local/bin/user"]\n',
        (
            '[[cut]]\nextension = "user"\nfiles = ["usr/local/bin/user"]\n'
            '[[cut]]\nextension = "user"\nfiles = ["usr/local/share/user"]\n'
        ),
    ],
)
def test_each_way_to_add_an_extension_is_checked(here: Path, more: str) -> None:
    assert rows(make(here, more)) == [("PK102", of("user.tcz"), b"usr/local/bin/user", "libx.so.1")]


@pytest.mark.slow
def test_library_in_another_extension_is_present(here: Path) -> None:
    assert make(here, '[extensions]\nbuiltin = ["user"]\nmerged = ["lib"]\n').findings == ()
    assert make(here, '[extensions]\nbuiltin = ["user", "lib"]\n').findings == ()


@pytest.mark.slow
def test_file_of_a_pass_belongs_to_the_build(here: Path) -> None:
    def add(tree: Tree) -> Tree:
        changed = tree.copy()
        for path, node in tree_of({"usr/bin/mine": SCRIPT}).walk():
            if path == b"usr/bin/mine":
                changed.add(path, node)
        return changed

    plain = recipe(here, "")
    changed = Recipe(core=plain.core, folder=here, passes=[("add", add)])  # type: ignore[arg-type]
    image = build(changed, Context(cache_dir=here / "cache", jobs=1))
    assert rows(image) == [("PK301", BUILD, b"usr/bin/mine", "/usr/bin/python3")]


@pytest.mark.slow
def test_mirror_suggests_the_extension_that_has_a_library(here: Path) -> None:
    index = b"lib.tcz\nusr/local/lib/libx.so.1\n\nother.tcz\nusr/local/lib/libx.so.1.2\n"
    (here / "tcz" / "provides.db").write_bytes(index)
    (finding,) = make(here, '[extensions]\nbuiltin = ["user"]\n').findings
    assert finding.remedy == "add lib.tcz, which has it"


@pytest.mark.slow
def test_lock_file_keeps_the_index_from_being_asked(here: Path) -> None:
    (here / "tcz" / "provides.db").write_bytes(b"lib.tcz\nusr/local/lib/libx.so.1\n")
    recipe(here, '[extensions]\nbuiltin = ["user"]\n')
    assert main(["lock", "--cache-dir", "cache"]) == 0
    (finding,) = make(here, '[extensions]\nbuiltin = ["user"]\n').findings
    assert finding.remedy == "add an extension that has it"


@pytest.mark.slow
def test_strict_build_stops_before_it_writes(here: Path) -> None:
    more = '[extensions]\nbuiltin = ["user"]\n[[overlay]]\npath = "site.tar"\n'
    with pytest.raises(CombinedError) as caught:
        make(here, more + "[findings]\nstrict = true\n")
    first, second = map(str, caught.value.errors)
    assert first == "PK102: user.tcz: '/usr/local/bin/user' needs libx.so.1, which is missing"
    assert second == (
        f"PK301: {here / 'site.tar'}: '/opt/bootlocal.sh' is run by '/usr/bin/python3', which is "
        "missing"
    )
    assert {type(error) for error in caught.value.errors} == {FindingError}


@pytest.mark.slow
def test_strict_build_with_notes_only_is_made(here: Path) -> None:
    more = '[[overlay]]\npath = "site.tar"\n[findings]\nstrict = true\nignore = ["PK301"]\n'
    assert [each.code for each in make(here, more).findings] == ["PK302"]


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        ('"PK301", "PK302"', []),
        ('"PK301:opt/*.sh"', ["PK302"]),
        ('"PK301:/opt/bootlocal.sh"', ["PK302"]),
        ('"PK302:usr/share/x"', ["PK301"]),
    ],
)
def test_ignored_findings_are_left_out(here: Path, ignore: str, left: list[str]) -> None:
    image = make(here, f'[[overlay]]\npath = "site.tar"\n[findings]\nignore = [{ignore}]\n')
    assert [each.code for each in image.findings] == left
    assert image.notes == ()


@pytest.mark.slow
def test_entry_that_applies_to_nothing_is_reported(here: Path) -> None:
    image = make(here, '[findings]\nignore = ["PK301:opt/nothing", "PK102"]\n')
    place = f"{here / 'purekernel.toml'}, line 6, ignore under [findings]"
    assert image.notes == (
        f"{place}: PK301:opt/nothing applies to no finding",
        f"{place}: PK102 applies to no finding",
    )


@pytest.mark.slow
def test_text_has_a_line_for_each_code_and_owner_and_json_has_all(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe(here, '[[overlay]]\npath = "site.tar"\n')
    assert main(["build", "--cache-dir", "cache"]) == 0
    assert capsys.readouterr().err == (
        "purekernel: note: PK301 error: site.tar: '/opt/bootlocal.sh' is run by "
        "'/usr/bin/python3', which is missing: add an extension that has it\n"
        "purekernel: note: PK302 note: site.tar: '/usr/share/x' is run by '/none', which is "
        "missing: add an extension that has it\n"
    )
    assert main(["build", "--cache-dir", "cache", "--json"]) == 0
    document: Mapping[str, object] = json.loads(capsys.readouterr().out)
    assert document["notes"] == []
    findings = document["findings"]
    assert isinstance(findings, list)
    assert findings[0] == {
        "code": "PK301",
        "severity": "error",
        "owner": {"kind": "overlay", "name": "site.tar"},
        "path": "opt/bootlocal.sh",
        "message": "'/opt/bootlocal.sh' is run by '/usr/bin/python3', which is missing",
        "remedy": "add an extension that has it",
        "subject": "/usr/bin/python3",
    }
    assert len(findings) == 2


@pytest.mark.slow
def test_strict_command_ends_with_status_4_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe(here, '[[overlay]]\npath = "site.tar"\n[output]\nfolder = "out"\n')
    assert main(["build", "--cache-dir", "cache", "--strict"]) == 4
    assert capsys.readouterr().err == (
        "purekernel: PK301: site.tar: '/opt/bootlocal.sh' is run by '/usr/bin/python3', which is "
        "missing\n  add an extension that has it\n"
    )
    assert not (here / "out").exists()
    assert main(["build", "--cache-dir", "cache", "--strict", "--json"]) == 4
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["hint"]) == ("finding", "add an extension that has it")
