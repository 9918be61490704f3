"""Scripts whose interpreter is missing."""

from __future__ import annotations

import pytest

from purekernel.analysis.check import check_image
from purekernel.analysis.findings import Severity
from purekernel.analysis.scripts import Interpreter, read_interpreter
from tests.analysis.images import brief, image, put, tree_of


def found(files: dict[str, bytes], **more: object) -> list[tuple[str, str, str, str]]:
    return brief(check_image(image(files, **more)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"#!/bin/sh\n", Interpreter(path=b"/bin/sh")),
        (b"#! \t/bin/sh -e\necho", Interpreter(path=b"/bin/sh")),
        (b"#!/bin/sh", Interpreter(path=b"/bin/sh")),
        (b"#!/bin/sh\r\n", Interpreter(path=b"/bin/sh\r")),
        (b"#!/usr/bin/env python3\n", Interpreter(path=b"/usr/bin/env", command=b"python3")),
        (
            b"#!/usr/bin/env -S LANG=C python3 -u\n",
            Interpreter(path=b"/usr/bin/env", command=b"python3"),
        ),
        (b"#!/usr/bin/env\n", Interpreter(path=b"/usr/bin/env")),
        (b"#!\n", None),
        (b"# a comment\n", None),
        (b"", None),
        (b"#!/bin/a\0b\n", None),
        (b"#!/" + b"x" * 300, None),
    ],
)
def test_first_line_gives_the_interpreter(start: bytes, expected: Interpreter | None) -> None:
    assert read_interpreter(start) == expected


def test_missing_interpreter_of_a_command_is_an_error() -> None:
    (finding,) = check_image(
        image(builtin={"x.tcz": tree_of({"usr/local/bin/x": b"#!/usr/bin/python3\n"})})
    )
    assert brief((finding,)) == [("PK301", "x.tcz", "usr/local/bin/x", "/usr/bin/python3")]
    assert finding.severity is Severity.ERROR
    assert finding.message == "'/usr/local/bin/x' is run by '/usr/bin/python3', which is missing"
    assert finding.remedy == "add an extension that has it"


@pytest.mark.parametrize(
    "path",
    ["opt/bootlocal.sh", "usr/local/tce.installed/x", "usr/local/etc/init.d/x", "sbin/x"],
)
def test_script_that_runs_at_boot_is_an_error(path: str) -> None:
    rows = found({path: b"#!/usr/bin/perl\n"})
    assert [row for row in rows if row[0] < "PK5"] == [
        ("PK301", "this build", path, "/usr/bin/perl")
    ]


def test_missing_interpreter_of_another_script_is_a_note() -> None:
    (finding,) = check_image(image({"usr/local/share/vim/tool.pl": b"#!/usr/bin/perl\n"}))
    assert (finding.code, finding.severity) == ("PK302", Severity.NOTE)


def test_interpreter_is_found_through_links_in_extensions_and_by_env() -> None:
    files = {
        "usr/local/bin/a": b"#!/bin/sh\n",
        "usr/local/bin/b": b"#!/usr/bin/env python3\n",
        "usr/local/bin/c": b"#!/usr/local/bin/python3\n",
        "usr/local/bin/d": b"#!/usr/bin/env -i /bin/sh\n",
    }
    extension = tree_of({"usr/local/bin/python3.6": b"x", "usr/local/bin/python3": b"->python3.6"})
    assert found(files, builtin={"python3.6.tcz": extension}) == []
    assert [subject for *_rest, subject in found(files)] == [
        "python3", "/usr/local/bin/python3",
    ]  # fmt: skip


def test_link_that_a_start_script_makes_counts_as_present() -> None:
    files = {"usr/local/bin/x": b"#!/bin/bash\n"}
    start = b"#!/bin/sh\n[ -e /bin/bash ] || ln -s /usr/local/bin/bash /bin/bash\n"
    bash = {"usr/local/bin/bash": b"x"}
    script = {"usr/local/tce.installed/bash": start}
    assert found(files, builtin={"bash.tcz": tree_of({**bash, **script})}) == []
    # Without the program, or without the script, the link does not come.
    assert [row[0] for row in found(files, builtin={"bash.tcz": tree_of(script)})] == ["PK301"]
    (finding,) = check_image(image(files, builtin={"bash.tcz": tree_of(bash)}))
    assert finding.remedy == "link the program of that name to that path"


def test_carriage_return_is_named() -> None:
    (finding,) = check_image(image({"opt/x.sh": b"#!/bin/sh\r\necho\r\n"}))
    assert finding.message == "'/opt/x.sh' is run by '/bin/sh\\r', which is missing"
    assert finding.remedy == "save the script with the ends of lines of Unix"


def test_relative_interpreter_and_script_that_is_not_executable_are_no_finding() -> None:
    subject = image({"opt/x": b"#!perl -w\n"})
    put(subject.root, "opt/y", b"#!/usr/bin/perl\n", mode=0o644)
    assert [each.code for each in check_image(subject) if each.code < "PK5"] == []
