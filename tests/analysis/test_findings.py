"""The model of findings, their order, their lines, and their suggestions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from purekernel.analysis.check import check_image
from purekernel.analysis.findings import (
    BASE,
    RULES,
    FileOwner,
    Finding,
    OwnerKind,
    Severity,
    group_findings,
    sort_findings,
)
from tests.analysis.images import image, program, tree_of
from tests.docs.pages import read_page

HTOP = FileOwner(OwnerKind.EXTENSION, "htop.tcz")


def finding(code: str, owner: FileOwner, path: bytes) -> Finding:
    return Finding(code=code, owner=owner, path=path, message=f"{code} of {path!r}", remedy="mend")


def test_worst_finding_comes_first_and_none_twice() -> None:
    note = finding("PK302", BASE, b"a")
    warning = finding("PK105", BASE, b"a")
    error = finding("PK301", BASE, b"a")
    assert sort_findings([note, warning, error, error]) == (error, warning, note)


def test_lines_have_one_example_for_each_code_and_owner() -> None:
    findings = [
        finding("PK103", HTOP, b"b"),
        finding("PK103", HTOP, b"a"),
        finding("PK103", HTOP, b"c"),
        finding("PK302", FileOwner(OwnerKind.OVERLAY, "site/"), b"z"),
    ]
    assert group_findings(findings) == [
        "PK103 error: htop.tcz: PK103 of b'a' (and 2 more): mend",
        "PK302 note: site/: PK302 of b'z': mend",
    ]


def test_suggestions_of_the_mirror_replace_the_remedy() -> None:
    asked: list[str] = []

    def suggest(names: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        asked.extend(names)
        return {
            "libx.so.1": ("a.tcz", "b.tcz"),
            "bin/python3": ("python3.9.tcz",),
            "bin/awk": ("gawk.tcz",),
        }

    files = {
        "usr/local/bin/a": program(b"libx.so.1"),
        "usr/local/bin/b": b"#!/usr/bin/env python3\n",
        "usr/local/bin/c": b"#!/usr/bin/perl\n",
        "usr/local/bin/d": b"#!/usr/bin/awk -f\n",
    }
    remedies = [each.remedy for each in check_image(image(files), suggest)]
    assert remedies == [
        "add a.tcz or b.tcz, which has it",
        "add python3.9.tcz, which has it",
        "add an extension that has it",
        "add gawk.tcz, which has awk, and link it to that path if it is elsewhere",
    ]
    assert asked == ["libx.so.1", "bin/python3", "bin/perl", "bin/awk"]
    asked.clear()
    assert check_image(image({"usr/local/bin/a": program(b"libc.so.6")}), suggest) == ()
    assert asked == []


def test_each_code_has_a_row_in_the_page_and_a_test() -> None:
    page = read_page("docs/findings.md")
    rows = dict(re.findall(r"(?m)^\| `(PK[0-9]{3})` \| (\w+) \|", page))
    assert rows == {code: rule.severity.value for code, rule in RULES.items()}
    assert {rule.severity for rule in RULES.values()} == set(Severity)
    tests = "".join(
        path.read_text(encoding="utf-8")
        for path in sorted(Path(__file__).parent.glob("test_*.py"))
        if path != Path(__file__)
    )
    assert [code for code in RULES if f'"{code}"' not in tests] == []


def test_owner_of_an_extension_is_its_file_name() -> None:
    (found,) = check_image(image(builtin={"x.tcz": tree_of({"bin/x": program(b"libx.so.1")})}))
    assert found.owner == FileOwner(OwnerKind.EXTENSION, "x.tcz")
