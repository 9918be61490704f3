"""Test that no command prints a control character of an input on a terminal."""

from __future__ import annotations

import ast
import gzip
import io
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest

from fixtures.core import make_core_tree
from fixtures.repository import TCZ, make_extension
from purekernel.cli import app, main
from purekernel.cli.terminal import escaped
from purekernel.formats.cpio import build_cpio
from purekernel.formats.ld_cache import CacheFormat, LdCacheEntry, build_ld_cache
from purekernel.formats.tar import build_tar
from purekernel.tree import Device, DeviceKind, Directory, File, Metadata, Symlink, Tree
from tests import debs
from tests.cli.test_lock import RECIPE
from tests.formats.test_squashfs_writer import build
from tests.kernel_modules import make_module
from tests.processes import ROOT
from tests.workshop import Workshop

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows refuses control characters in names"
)

# An escape sequence, a bell, a carriage return, a newline, DEL, CSI as one character, an override
# of the direction, a separator of lines; and bytes that are not UTF-8, one of them CSI.
CHARACTERS = "\x1b[2J\x07\r\n\x7f\x9b\u202e\u2028"
HOSTILE = "h" + CHARACTERS + "\udc9b\udcff"
HOSTILE_BYTES = HOSTILE.encode(errors="surrogateescape")
SHOWN = "h\\x1b[2J"
IN_URL = "h%1B[2J"
IN_MTREE = "h\\033\\1332J"


class Terminal(io.TextIOWrapper):
    """A stream that is a terminal, and keeps what is written to it."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.written = io.BytesIO()
        super().__init__(self.written, encoding=encoding, errors="surrogateescape", newline="\n")

    def isatty(self) -> bool:
        return True


def run(*words: str | Path, encoding: str = "utf-8") -> tuple[int, bytes]:
    """Run a command whose stdout and stderr are one terminal; return its status and output."""
    terminal = Terminal(encoding)
    with redirect_stdout(terminal), redirect_stderr(terminal):
        status = main([*map(str, words)])
    terminal.flush()
    return status, terminal.written.getvalue()


@pytest.fixture(autouse=True)
def no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")


def check_safe(written: bytes) -> str:
    """Check that only printable characters and ends of lines were written; return the text."""
    text = written.decode()
    assert [char for char in text.replace("\n", "") if not char.isprintable()] == []
    return text


def hostile_tree() -> Tree:
    metadata = Metadata(mode=0o644)
    tree = Tree(Directory(metadata=Metadata(mode=0o755)))
    tree.add(HOSTILE_BYTES, File(metadata=metadata, content=b"x"))
    tree.add(b"link", Symlink(metadata=metadata, target=HOSTILE_BYTES))
    tree.add(
        b"d" + HOSTILE_BYTES,
        Device(metadata=metadata, kind=DeviceKind.CHARACTER, major=1, minor=3),
    )
    return tree


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a hostile name and an input for each command, and change to it."""
    top = tmp_path / f"h{CHARACTERS}"
    top.mkdir()
    Workshop(top, monkeypatch)
    monkeypatch.chdir(top)
    (top / "purekernel.toml").write_text(RECIPE)
    (top / "image.tcz").write_bytes(build(hostile_tree()))
    module = make_module([b"license=" + HOSTILE_BYTES, b"description=" + HOSTILE_BYTES])
    (top / "m.ko").write_bytes(module)
    modules = top / "root/lib/modules/3.0/kernel"
    modules.mkdir(parents=True)
    (modules / f"{HOSTILE}.ko").write_bytes(module)
    core = build_cpio(make_core_tree())
    (top / "core.gz").write_bytes(gzip.compress(core))
    (top / f"{HOSTILE}.gz").write_bytes(gzip.compress(core, 0))
    (top / "root" / "h\x1b[2J").mkdir()
    entry = LdCacheEntry(name=HOSTILE_BYTES, path=b"/" + HOSTILE_BYTES, flags=3)
    cache = build_ld_cache([entry], format=CacheFormat.NEW, generator=HOSTILE_BYTES)
    (top / "ld.so.cache").write_bytes(cache)
    (top / "tool.deb").write_bytes(
        debs.deb(debs.control(fields={"Depends": "a\x1b[2J"}), scripts={"postinst": b"#!/bin/sh\n"})
    )
    beside = {
        "bad.tcz": make_extension("bad.tcz"),
        "bad.tcz.info": b"Description: " + HOSTILE_BYTES + b"\n" + HOSTILE_BYTES + b": x\n",
        "bad.tcz.list": b"usr/" + HOSTILE_BYTES.replace(b"\n", b"") + b"/a\n",
        "tags.db.gz": gzip.compress(b"bad.tcz " + HOSTILE_BYTES),
    }
    for name, content in beside.items():
        (top / "mirror" / TCZ / name).write_bytes(content)
    setuid = Tree(Directory(metadata=Metadata(mode=0o755)))
    setuid.add(HOSTILE_BYTES, File(metadata=Metadata(mode=0o4777), content=b"x"))
    (top / "setuid.tar").write_bytes(build_tar(setuid))
    overlay = top / "overlay"
    overlay.mkdir()
    (overlay / ".mtree").write_bytes(b"#mtree\n./a type=file contents=" + b"h\\033[2J\n")
    return top


# What each command is run with; {} is the absolute path of the hostile folder. Commands that print
# no name or text of an input have no SHOWN in their output.
COMMANDS: dict[str, list[str]] = {
    "build": [
        "build --recipe {}/purekernel.toml -o {}/out",
        "build --recipe {}/purekernel.toml --dry-run",
        "build --sample -o {}/out -v",
        "build --sample --overlay {}/overlay",
    ],
    "bundle": ["bundle --recipe {}/purekernel.toml -o {}/out"],
    "cache info": ["cache info --cache-dir {}/m.ko"],
    "cache prune": ["cache prune --cache-dir {}"],
    "cache clear": ["cache clear --cache-dir {}"],
    "run": ["run {}/gone", "run {}/m.ko --dry-run"],
    "cat": ["cat {}/gone", "cat {}/m.ko", "cat {}/overlay/.mtree:x"],
    "deps": ["deps h\x1b[2J.tcz --mirror {}/mirror", "deps --dot h\x1b[2J.tcz --mirror {}/mirror"],
    "diff": [
        "diff {}/image.tcz {}/root",
        "diff --stat --expand {}/root {}/image.tcz",
        "diff -q {}/root {}/overlay",
        "diff {}/gone {}/h\x1b[2J",
    ],
    "fetch": ["fetch --recipe {}/purekernel.toml --offline -v"],
    "info": ["info --files bad --mirror {}/mirror", "info h\x1b[2J --mirror {}/mirror"],
    "init": ["init {}/new"],
    "inspect": [
        "inspect {}/image.tcz",
        "inspect -l {}/image.tcz",
        "inspect --mtree {}/image.tcz",
        "inspect --usage --depth 9 {}/root",
        "inspect {}/core.gz:h\x1b[2J",
    ],
    "lint": ["lint {}/setuid.tar", "lint {}/gone", "lint {}/h\x1b[2J"],
    "lock": ["lock --recipe {}/purekernel.toml"],
    "ls": ["ls -l {}/image.tcz", "ls -R {}/root", "ls {}/image.tcz:gone", "ls {}/gone/x"],
    "report": ["report {}/gone", "report {}/image.tcz -o {}/gone/h\x1b[2J/report.html"],
    "schema": ["schema"],
    "search": ["search bad --mirror {}/mirror", "search --file a* --mirror {}/mirror"],
    "show": ["show --recipe {}/gone.toml"],
    "rebuild": ["rebuild {}/gone", "rebuild {}/image.tcz"],
    "verify": ["verify {}/gone", "verify {}/h\x1b[2J", "verify {}/gone/x"],
    "tool advdef": ["tool advdef -z {}/h*.gz"],
    "tool deb2tcz": ["tool deb2tcz {}/tool.deb"],
    "tool depmod": ["tool depmod -n -b {}/root", "tool depmod -b {}/root -w"],
    "tool gzip": ["tool gzip {}/gone", "tool gzip -d -c {}/gone"],
    "tool ldconfig": [
        "tool ldconfig -v -r {}/root /h\x1b[2J /gone/h\x1b[2J",
        "tool ldconfig -p -C {}/ld.so.cache",
    ],
    "tool mksquashfs": ["tool mksquashfs {}/root {}/new.tcz -e {}/root/gone"],
    "tool modinfo": [
        "tool modinfo {}/m.ko",
        "tool modinfo -F license {}/m.ko",
        "tool modinfo -0 {}/m.ko",
        "tool modinfo -b {}/root h\x1b[2J",
    ],
    "tool recompress": ["tool recompress --effort fast {}/image.tcz"],
    "tool unsquashfs": [
        "tool unsquashfs -l {}/image.tcz",
        "tool unsquashfs -ll {}/image.tcz",
        "tool unsquashfs -lln {}/image.tcz",
        "tool unsquashfs -s {}/image.tcz",
        "tool unsquashfs -d {}/out {}/image.tcz",
        "tool unsquashfs -cat {}/image.tcz gone",
    ],
}
PRINTS_NO_INPUT = ("cache prune", "cache clear", "schema")


def commands(command: click.Command, *words: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, *words, name)
    else:
        yield " ".join(words)


def test_every_command_is_tried() -> None:
    assert set(commands(app.purekernel)) == set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_escapes_control_characters_on_a_terminal(command: str, folder: Path) -> None:
    for line in COMMANDS[command]:
        words = [word.replace("{}", str(folder)) for word in line.split(" ")]
        if words[-1].endswith("/h*.gz"):
            words[-1] = str(folder / f"{HOSTILE}.gz")
        _status, written = run(*words)
        text = check_safe(written.replace(b"\0", b"\n"))
        is_shown = any(form in text for form in (SHOWN, IN_URL, IN_MTREE))
        assert is_shown is (command not in PRINTS_NO_INPUT), (line, text)


def test_all_characters_of_a_name_are_escaped_on_a_terminal(folder: Path) -> None:
    status, written = run("tool", "unsquashfs", "-l", folder / "image.tcz")
    assert status == 0
    shown = "h\\x1b[2J\\x07\\r\\n\\x7f\\x9b\\u202e\\u2028\\x9b\\xff"
    assert check_safe(written).splitlines() == [
        "squashfs-root",
        f"squashfs-root/d{shown}",
        f"squashfs-root/{shown}",
        "squashfs-root/link",
    ]


def test_names_are_exact_in_a_pipe(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["tool", "unsquashfs", "-l", str(folder / "image.tcz")]) == 0
    assert b"squashfs-root/" + HOSTILE_BYTES + b"\n" in capfdbinary.readouterr().out
    assert main(["tool", "modinfo", "-F", "license", str(folder / "m.ko")]) == 0
    assert capfdbinary.readouterr().out == HOSTILE_BYTES + b"\n"


def test_content_of_a_file_is_exact_on_a_terminal(folder: Path) -> None:
    (folder / "a").write_bytes(HOSTILE_BYTES)
    assert main(["tool", "mksquashfs", "a", "a.tcz", "-quiet"]) == 0
    assert run("tool", "unsquashfs", "-cat", "a.tcz", "a") == (0, HOSTILE_BYTES)


def test_json_is_ascii_without_control_characters(folder: Path) -> None:
    status, written = run("tool", "unsquashfs", "-l", "--json", folder / "image.tcz")
    assert status == 0
    text = check_safe(written)
    assert text.isascii()
    (entry,) = [one for one in json.loads(text)["entries"] if one["path"].startswith("h")]
    assert entry["path"] == "h" + CHARACTERS + "\\x9b\\xff"


def test_traceback_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUREKERNEL_TRACEBACK", "1")

    def fail(**_options: object) -> None:
        raise ValueError(HOSTILE)

    monkeypatch.setattr(app.purekernel, "main", fail)
    status, written = run("schema")
    assert status == 1
    text = check_safe(written)
    assert "Traceback" in text
    assert text.count("ValueError: h\\x1b[2J") == 2


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii", "cp437"])
def test_no_encoding_of_a_terminal_lets_control_characters_through(
    encoding: str, folder: Path
) -> None:
    status, written = run("tool", "unsquashfs", "-l", folder / "image.tcz", encoding=encoding)
    assert status == 0
    assert SHOWN.encode() in written
    assert not {*range(32), *range(127, 160)} & set(written.replace(b"\n", b""))


@pytest.mark.slow
def test_every_unprintable_character_is_escaped() -> None:
    for number in range(sys.maxunicode + 1):
        char = chr(number)
        assert escaped(char).isprintable()
        assert char.isprintable() is (escaped(char) == char)


# All printing goes through one module.

PRINTING = ROOT / "purekernel/cli/terminal.py"
STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")
FUNCTIONS = ("print", "echo", "secho", "print_exc", "print_exception", "pprint", "print_stack")
# Uses that print nothing of an input: whether stdout is a terminal, its encoding, closed streams,
# and a fixed message before the package is imported.
ALLOWED = {
    "purekernel/__main__.py": 2,
    "purekernel/cli/app.py": 3,
    "purekernel/cli/drawing.py": 1,
    "purekernel/cli/run.py": 1,
    "purekernel/cli/tool/gzip.py": 1,
}
# The commands that print the content of files.
CONTENTS = {
    "purekernel/cli/cat.py": 1,
    "purekernel/cli/tool/gzip.py": 1,
    "purekernel/cli/tool/unsquashfs.py": 1,
}


def uses(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in (*STREAMS, *FUNCTIONS, "contents"):
            base = ast.unparse(node.value)
            if node.attr == "contents":
                yield from ["contents"] if base == "printer" else []
            elif node.attr in FUNCTIONS or base == "sys":
                yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield from ["print"] if node.func.id in FUNCTIONS else []


@pytest.mark.slow
def test_only_one_module_writes_to_stdout_and_stderr() -> None:
    found: dict[str, int] = {}
    contents: dict[str, int] = {}
    for path in sorted((ROOT / "purekernel").rglob("*.py")):
        if path == PRINTING:
            continue
        name = path.relative_to(ROOT).as_posix()
        for use in uses(path):
            counted = contents if use == "contents" else found
            counted[name] = counted.get(name, 0) + 1
    assert found == ALLOWED
    assert contents == CONTENTS
