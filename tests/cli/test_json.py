"""Test that every command prints the JSON documented in docs/json.md, including for errors."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from fixtures.core import make_core_tree
from fixtures.repository import make_repository
from purekernel import errors
from purekernel.cli import app, main, printer
from purekernel.errors import (
    CombinedError,
    DownloadError,
    FormatError,
    InputError,
    Location,
    PurekernelError,
    RecipeError,
)
from purekernel.formats.cpio import build_cpio
from purekernel.interruption import Interruption
from purekernel.tools.roots import open_root
from purekernel.tree import File
from tests import debs
from tests.processes import ROOT
from tests.workshop import Workshop

PAGE = (ROOT / "docs/json.md").read_text(encoding="utf-8")

SAMPLE = "rz_mk_dev-image.0.0.0+sample.iso"


def documented(heading: str) -> set[str]:
    """Return the top-level keys in the first table under a heading of docs/json.md."""
    (section,) = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table is not None, heading
    cells = [row.split("|")[1] for row in table[0].splitlines()[2:]]
    return {name.partition(".")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


COMMON = documented("Every document") - {"error", "errors"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def files(folder: Path) -> None:
    """Write a file of each kind that the tools read."""
    core = build_cpio(make_core_tree())
    (folder / "core.cpio").write_bytes(core)
    (folder / "core.gz").write_bytes(gzip.compress(core))
    assert main(["tool", "mksquashfs", "core.cpio", "root.tcz", "-quiet"]) == 0
    (folder / "lshw.deb").write_bytes(debs.deb())
    assert main(["tool", "ldconfig", "-r", "core.gz"]) == 0
    cache = open_root("core.gz").tree[b"etc/ld.so.cache"]
    assert isinstance(cache, File)
    (folder / "ld.so.cache").write_bytes(cache.content)


def run(capsys: pytest.CaptureFixture[str], *command: str, status: int = 0) -> Any:
    """Run a command with ``--json``; check that stdout has one document only, and return it."""
    assert main([*command, "--json"]) == status
    out, err = capsys.readouterr()
    assert err == ""
    assert out.isascii()
    return json.loads(out)


@pytest.mark.parametrize(
    ("command", "heading"),
    [
        ("build --sample", "build"),
        ("init", "init"),
        ("cache info", "cache info"),
        ("cache prune", "cache prune, cache clear"),
        ("cache clear", "cache prune, cache clear"),
        ("diff root.tcz root.tcz", "diff"),
        ("ls root.tcz", "ls"),
        ("verify root.tcz", "verify"),
        ("report root.tcz", "report"),
        ("lint core.gz", "lint"),
        ("tool advdef -z core.gz", "tool advdef, tool recompress"),
        ("tool recompress --effort fast root.tcz", "tool advdef, tool recompress"),
        ("tool deb2tcz lshw.deb", "tool deb2tcz"),
        ("tool gzip -k core.cpio", "tool gzip"),
        ("tool mksquashfs core.cpio new.tcz", "tool mksquashfs"),
        ("tool unsquashfs root.tcz", "tool unsquashfs"),
        ("tool unsquashfs -l root.tcz", "tool unsquashfs -l, -ll"),
        ("tool unsquashfs -ll root.tcz", "tool unsquashfs -l, -ll"),
        ("tool unsquashfs -s root.tcz", "tool unsquashfs -s"),
        ("tool depmod -b core.cpio", "tool depmod"),
        ("tool depmod -n -b core.cpio", "tool depmod"),
        ("tool ldconfig -r core.cpio", "tool ldconfig"),
        ("tool ldconfig -p -C ld.so.cache", "tool ldconfig -p"),
        ("tool modinfo -b core.cpio sample_card", "tool modinfo"),
    ],
)
@pytest.mark.usefixtures("files")
def test_command_prints_documented_keys(
    command: str, heading: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.name == "nt" and command == "tool unsquashfs root.tcz":
        command += " usr/bin"  # Windows rejects another name in it, which is not UTF-8
    document = run(capsys, *command.split())
    assert set(document) == COMMON | documented(heading)
    if heading == "tool unsquashfs" and os.name == "nt":
        assert document["notes"] == ["setuid and setgid are not set: 1"]
    elif heading == "tool unsquashfs" and os.geteuid() != 0:
        # An ordinary user is told what only root can restore.
        assert [note.partition(":")[0] for note in document["notes"]] == [
            "owners are not set",
            "setuid and setgid are not set",
            "devices are skipped",
        ]
    else:
        assert document["notes"] == []


@pytest.mark.usefixtures("files")
def test_tool_reports_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    document = run(capsys, "tool", "unsquashfs", "-l", "root.tcz", "usr/lib/libsample.so.1.0.2")
    assert [entry["path"] for entry in document["entries"]][-1] == "usr/lib/libsample.so.1.0.2"
    assert document["entries"][-1]["type"] == "file"
    document = run(capsys, "tool", "modinfo", "-b", "core.cpio", "sample_card")
    (module,) = document["modules"]
    assert module["path"].endswith("/sample-card.ko.gz")
    assert module["fields"]["depends"] == ["sample_bus"]
    document = run(capsys, "tool", "depmod", "-n", "--dialect", "kmod", "-b", "core.cpio")
    (kernel,) = document["kernels"]
    assert "modules.dep.bin" in kernel["files"]
    assert "modules.dep.bin" not in kernel["texts"]
    assert "sample-card.ko.gz:" in kernel["texts"]["modules.dep"]
    document = run(capsys, "tool", "ldconfig", "-p", "-C", "ld.so.cache")
    assert "/usr/lib/libsample.so.1" in [entry["path"] for entry in document["entries"]]


@pytest.mark.usefixtures("files")
def test_files_before_and_after_a_damaged_one_are_reported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "damaged.gz").write_bytes(b"damaged")
    command = ["tool", "advdef", "-z", "core.gz", "damaged.gz", "core.gz"]
    document = run(capsys, *command, status=1)
    assert [file["path"] for file in document["files"]] == ["core.gz", "core.gz"]
    assert document["error"]["code"] == "format"
    assert document["error"]["file"] == "damaged.gz"


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", ["gzip -c core.cpio", "gzip", "unsquashfs -cat root.tcz etc"])
def test_json_is_refused_if_data_goes_to_stdout(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document = run(capsys, "tool", *command.split(), status=2)
    assert document["error"]["code"] == "usage"
    assert "--json" in document["error"]["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "heading"),
    [
        ("build --iso-version 1", "build"),
        ("build --dry-run --iso-version 1", "build --dry-run, bundle --dry-run"),
        ("bundle", "bundle"),
        ("bundle --dry-run", "build --dry-run, bundle --dry-run"),
        ("fetch", "fetch"),
        ("lock", "lock"),
    ],
)
def test_gathering_command_prints_documented_keys(
    command: str,
    heading: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workshop = Workshop(tmp_path / "workshop", monkeypatch)
    name, *options = command.split()
    assert workshop.run(name, *options, "--json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert set(document) == COMMON | documented(heading)
    assert isinstance(document["notes"], list)


def test_dependencies_are_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, content in make_repository(
        {"a.tcz": ["b.tcz", "a.tcz", "gone.tcz"], "b.tcz": []}
    ).items():
        (folder / "mirror" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "mirror" / path).write_bytes(content)
    document = run(capsys, "deps", "a", "--mirror", "mirror", status=1)
    assert set(document) == COMMON | documented("deps") | {"error"}
    assert document["roots"] == ["a.tcz"]
    assert document["extensions"] == [
        {"name": "a.tcz", "bytes": 136, "needs": ["b.tcz", "a.tcz", "gone.tcz"]},
        {"name": "b.tcz", "bytes": 136, "needs": []},
    ]
    assert document["missing"] == ["gone.tcz"]
    assert document["loops"] == [["a.tcz", "a.tcz"]]
    assert document["error"]["code"] == "dependency"


def test_error_in_a_recipe_has_file_and_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "purekernel.toml").write_text('name = "x"\n\nwrong = 1\n')
    error = run(capsys, "fetch", status=1)["error"]
    assert error["code"] == "recipe"
    assert (error["file"], error["line"]) == ("purekernel.toml", 3)


@pytest.mark.parametrize(
    ("command", "code", "file"),
    [
        ("build missing.tar.gz", "input", "missing.tar.gz"),
        ("build folder", "input", "folder"),
        ("tool unsquashfs missing.tcz", "input", "missing.tcz"),
        (
            "build --sample -o file/x",
            "output",
            str(Path("file/x", SAMPLE)),
        ),
    ],
)
def test_error_of_the_host_names_the_file(
    command: str, code: str, file: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "folder").mkdir()
    (folder / "file").write_bytes(b"")
    error = run(capsys, *command.split(), status=1)["error"]
    assert (error["code"], error["file"]) == (code, file)


def test_graph_and_json_options_are_mutually_exclusive(capsys: pytest.CaptureFixture[str]) -> None:
    document = run(capsys, "deps", "a", "--dot", status=2)
    assert document["error"]["message"] == "--dot and --json exclude each other"


def test_every_command_has_a_json_option() -> None:
    def commands(group: click.Group) -> Iterator[click.Command]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, click.Group):
                yield from commands(command)
            else:
                yield command

    names = {
        command.name: [option.name for option in command.params]
        for command in commands(app.purekernel)
    }
    assert len(names) >= 19
    assert [name for name, options in names.items() if "json" not in options] == []


def test_schema_with_json_option_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    text = capsys.readouterr().out
    assert run(capsys, "schema") == json.loads(text)


# Errors


def all_errors(base: type[PurekernelError] = PurekernelError) -> Iterator[type[PurekernelError]]:
    for error in base.__subclasses__():
        yield error
        yield from all_errors(error)


def test_documented_codes_are_the_codes_of_all_errors() -> None:
    (table,) = re.findall(r"^\| code \| meaning \|\n.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    listed = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert listed == sorted(listed)
    classes = {error for error in all_errors() if error.__module__ == errors.__name__} - {
        CombinedError,
        FormatError,
        errors.LimitError,
        errors.UnsupportedError,
    }
    codes = {error("x").code for error in classes}
    codes |= {
        "format",
        "limit",
        "unsupported",
        "network",
        "usage",
        "interrupted",
        "memory",
        "system",
        "internal",
    }
    assert set(listed) == codes


def test_usage_error_is_reported_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    document = run(capsys, "cache", "info", "--folder", status=2)
    assert set(document) == COMMON | {"error"}
    message = document["error"]["message"]
    # The second is that of click 8.1.
    assert message in ("No such option '--folder'.", "No such option: --folder")
    assert document["error"] == {
        "code": "usage",
        "message": message,
        "hint": "see 'purekernel cache info --help'",
        "file": None,
        "line": None,
        "offset": None,
    }
    assert set(document["error"]) == documented("Errors")


def test_unknown_command_is_reported_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    document = run(capsys, "nosuch", status=2)
    assert document["error"]["code"] == "usage"
    assert document["error"]["message"] == "No such command 'nosuch'."


@pytest.mark.parametrize("words", [["-e", "--", "--json"], ["x"], []])
def test_json_option_after_two_dashes_is_ignored(words: list[str]) -> None:
    assert not printer.asks_for_json(words)
    assert printer.asks_for_json(["--json", *words])


class Failing:
    """Return a command that fails after it has reported part of its work."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def add_to(self, group: click.Group, monkeypatch: pytest.MonkeyPatch) -> None:
        @printer.reports
        def fail(output: printer.Printer) -> None:
            output.text("a line")
            output.lines([b"data"])
            output.document["done"] = ["a\udce9", "\ud800"]
            output.note("a note")
            raise self.error

        command = click.command("fail")(fail)
        monkeypatch.setitem(group.commands, "fail", command)


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (Interruption(), 130, "interrupted", "interrupted"),
        (MemoryError(), 1, "memory", "the inputs do not fit in memory"),
        (OSError(28, "No space"), 1, "system", "the system reports: [Errno 28] No space"),
        (ZeroDivisionError("x"), 1, "internal", "internal error: ZeroDivisionError: x"),
        (click.UsageError("-a or -b"), 2, "usage", "-a or -b"),
        (errors.UsageError("-a or -b"), 2, "usage", "-a or -b"),
        (DownloadError("no host", is_network=True), 3, "network", "no host"),
        (DownloadError("status 403"), 1, "download", "status 403"),
    ],
)
def test_failure_is_reported_as_json_after_partial_results(
    *,
    error: BaseException,
    status: int,
    code: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Failing(error).add_to(app.purekernel, monkeypatch)
    document = run(capsys, "fail", status=status)
    assert document["done"] == ["a\\xe9", "\\xed\\xa0\\x80"]
    assert document["notes"] == ["a note"]
    assert (document["error"]["code"], document["error"]["message"]) == (code, message)
    assert document["error"]["hint"]
    assert main(["fail"]) == status
    out, err = capsys.readouterr()
    assert out == "a line\ndata\n"
    assert err.startswith(f"purekernel: note: a note\npurekernel: {message}\n  ")


def test_several_errors_are_reported_as_a_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [RecipeError(f"a.lst, line {line}: wrong") for line in range(1, 103)]
    Failing(CombinedError(several)).add_to(app.purekernel, monkeypatch)
    document = run(capsys, "fail", status=1)
    assert "error" not in document
    assert [error["line"] for error in document["errors"]] == list(range(1, 103))


def test_error_is_on_stderr_if_stdout_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_lines: str) -> None:
        raise errors.OutputError("stdout cannot be written: No space left on device")

    monkeypatch.setattr(printer, "say", full)
    assert main(["cache", "info", "--json"]) == 1
    assert capsys.readouterr().err.startswith("purekernel: stdout cannot be written: No space")


@pytest.mark.parametrize(
    ("error", "location"),
    [
        (PurekernelError("nothing works"), None),
        (PurekernelError("one thing: another"), None),
        (RecipeError("a.toml, line 12: wrong"), Location("a.toml", line=12)),
        (RecipeError("a.toml, line 12, key under [boot]: wrong"), Location("a.toml", line=12)),
        (RecipeError("a.lst, lines 3 to 5: wrong"), Location("a.lst", line=3)),
        (RecipeError("a.lst, line 3: b").within("p.tar"), Location("p.tar:a.lst", line=3)),
        (PurekernelError("wrong").within("a.mtree, line 7"), Location("a.mtree", line=7)),
        (PurekernelError("wrong").within("a.iso"), Location("a.iso")),
        (InputError("a.iso does not exist", file=Path("a.iso")), Location("a.iso")),
        (InputError("x does not exist", file="x").within("a.toml, line 3, path in [[overlay]]"),
         Location("a.toml", line=3)),
        (FormatError(source="x", offset=9, expected="x", got="y").within("a.toml, line 3"),
         Location("x", offset=9)),
        (FormatError(source="a.gz", expected="x", got="y"), Location("a.gz")),
        (FormatError(source="a.gz", offset=9, expected="x", got="y"), Location("a.gz", offset=9)),
        (FormatError(source="i", offset=9, expected="x", got="y").within("a.cpio, byte 4"),
         Location("a.cpio:i", offset=9)),
        (FormatError(source="a.tcz.dep, line 2", expected="x", got="y"),
         Location("a.tcz.dep", line=2)),
    ],
)  # fmt: skip
def test_location_is_the_start_of_the_message(
    error: PurekernelError, location: Location | None
) -> None:
    assert error.location == location
