"""Parse every ``purekernel`` command in the pages, and run those that can run here.

A block marked ``sh`` has one of these comments before it:

- ``<!-- run -->``: each of its lines is run in a new folder with the files that it names;
- ``<!-- not run: REASON -->``: its lines are only parsed.

Commands in running text (in backquotes) are parsed, and run if they are complete.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click
import pytest

from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from purekernel.cli.app import main, purekernel
from purekernel.formats.cpio import build_cpio
from purekernel.records import frozen
from tests import debs
from tests.kernel_modules import make_module
from tests.oracles import require
from tests.processes import ROOT, environment
from tests.roots import lay_down, plain_tree
from tests.workshop import Workshop

PAGES = sorted((ROOT / "docs").rglob("*.md"))

BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")

# Tokens that end a command in a shell line.
ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "<"}

# Files that a line creates: deleted before the line runs, and required afterwards.
RESULTS = {
    "purekernel build --sample": ["rz_mk_dev-image.0.0.0+sample.iso"],
    "purekernel tool gzip -n core.cpio": ["core.cpio.gz"],
    "purekernel tool gzip -n --zopfli -c core.cpio > core.gz": ["core.gz"],
    "purekernel tool deb2tcz lshw_02.19-2_i386.deb": ["lshw.tcz"],
    "purekernel tool deb2tcz --dep pci-utils.tcz lshw.deb tce/optional/lshw.tcz": [
        "tce/optional/lshw.tcz",
        "tce/optional/lshw.tcz.dep",
    ],
    "purekernel tool ldconfig -r root/": ["root/etc/ld.so.cache"],
    "purekernel tool depmod -b image.iso -o new.iso": ["new.iso"],
    "purekernel tool depmod -b root/ -e -F System.map 6.1.0-50-amd64": [
        "root/lib/modules/6.1.0-50-amd64/modules.dep"
    ],
    "purekernel tool mksquashfs root/ my.tcz -all-root": ["my.tcz"],
    "purekernel tool unsquashfs -d root/ my.tcz usr/local": ["root"],
}

# Extra arguments for commands in running text: the workshop's project has no tag.
ALSO = {"purekernel build": ["--iso-version", "0.9.0.1"]}

# What stands for the names of arguments in running text.
EXAMPLES = {"NAME": "bash.tcz", "WORD": "bash"}

# Complete commands in running text that cannot run in the workshop.
NOT_RUN = {
    "purekernel diff OLD NEW": "names the arguments only",
    "purekernel lock --update lshw.deb": "needs an archive of Debian",
    "purekernel report": "names the command only, which needs an image",
    "purekernel run": "names the command only, which starts a machine",
}

needs_shell = pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")


@frozen(kw_only=True)
class Line:
    """One command line of a block.

    Attributes:
        page: the page's name.
        text: the line, without its comment; continued lines are joined.
        mark: the comment before the block.
    """

    page: str
    text: str
    mark: str

    @property
    def runs(self) -> bool:
        return self.mark == "run"


def lines() -> Iterator[Line]:
    for path in PAGES:
        for mark, block in BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                text = re.sub(r"\s+#.*", "", line)
                yield Line(page=path.name, text=" ".join(text.split()), mark=mark)


def inline_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command in running text once, with its page."""
    seen = set()
    for path in PAGES:
        prose = FENCED.sub("", path.read_text(encoding="utf-8"))
        for span in INLINE.findall(prose):
            for words in purekernel_commands(" ".join(span.split()).rstrip("…")):
                if tuple(words) not in seen:
                    seen.add(tuple(words))
                    yield path.name, words


def purekernel_commands(line: str) -> Iterator[list[str]]:
    """Yield the words of each ``purekernel`` command in a shell line, program name included."""
    if "purekernel" not in line:
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    command: list[str] | None = []
    for word in [*lexer, ";"]:
        if word in ENDS:
            if command and command[0] == "purekernel":
                yield command
            # Words after a redirection are neither commands nor arguments.
            command = None if word in ("<", ">", ">>") else []
        elif command is not None:
            command.append(word)


def parse(words: Sequence[str]) -> None:
    """Parse a command and all its options as ``purekernel`` does, without running it."""
    command: click.Command = purekernel
    rest = list(words[1:])
    context = click.Context(purekernel, info_name="purekernel")
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        if found is None:
            raise click.UsageError(f"{' '.join(words)}: no such command", context)
        command, context = found, click.Context(found, context, rest.pop(0))
    with suppress(click.exceptions.Exit):  # --version and --help exit
        command.make_context(context.info_name, rest, parent=context.parent)


LINES = list(lines())
INLINE_COMMANDS = list(inline_commands())


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.page}: {line.text}")
def test_block_line_parses(line: Line) -> None:
    for words in purekernel_commands(line.text):
        parse(words)


@pytest.mark.parametrize(
    ("page", "words"),
    INLINE_COMMANDS,
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_inline_command_parses(page: str, words: list[str]) -> None:
    # In a sentence, the name of a command is complete without arguments.
    with suppress(click.exceptions.MissingParameter, click.exceptions.NoArgsIsHelpError):
        parse(words)


@pytest.mark.parametrize(
    "text",
    [
        "purekernel bulid",
        "purekernel build --smaple",
        "purekernel tool gzip --zopfly core.cpio",
        "purekernel tool mksquashfs root/ my.tcz -comp lzma",
        "purekernel cache inof",
        "purekernel build --effort maximal x.tar.gz",
    ],
)
def test_misspelled_command_is_refused(text: str) -> None:
    (words,) = purekernel_commands(text)
    with pytest.raises(click.UsageError):
        parse(words)


def test_commands_are_found_in_all_forms_of_shell_lines() -> None:
    line = "cd x && purekernel bundle -b 'a b' > log; purekernel tool gzip -d < core.gz | cpio -t"
    assert list(purekernel_commands(line)) == [
        ["purekernel", "bundle", "-b", "a b"],
        ["purekernel", "tool", "gzip", "-d"],
    ]


def test_pages_contain_commands() -> None:
    """Detect changes to the form of the pages after which no command is found."""
    assert len([line for line in LINES if line.runs]) >= 15
    assert len(INLINE_COMMANDS) >= 15


def test_each_block_states_whether_it_is_run() -> None:
    unclear = [
        line for line in LINES if not line.runs and not re.fullmatch(r"not run: \S.*", line.mark)
    ]
    assert not unclear


def test_commands_in_tables_are_on_the_pages() -> None:
    assert not set(RESULTS) - {line.text for line in LINES if line.runs}
    assert not set(NOT_RUN) - {" ".join(words) for _page, words in INLINE_COMMANDS}


# Running commands in blocks


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with the files that the blocks name, and ``purekernel`` in ``bin``."""
    folder = tmp_path_factory.mktemp("commands")
    files = folder / "files"
    files.mkdir()
    lay_down(plain_tree(), files / "root")
    modules = files / "root/lib/modules/6.1.0-50-amd64"
    (modules / "kernel").mkdir(parents=True)
    module = make_module(["license=GPL", "vermagic=6.1.0-50-amd64 SMP"], wants=["printk"])
    (modules / "kernel/ext4.ko").write_bytes(module)
    (files / "root/usr/local/share").mkdir(parents=True, exist_ok=True)
    (files / "System.map").write_text("ffffffff81000000 T printk\n", encoding="ascii")
    core = build_cpio(make_core_tree())
    package = debs.deb(debs.control(name="lshw", version="02.19-2"))
    archive = debs.tar([debs.entry("usr/"), debs.entry("usr/local/"), debs.entry("usr/a", b"a")])
    for name, content in {
        "core.cpio": core,
        "core.gz": gzip.compress(core, mtime=0),
        "image.iso": make_core_iso(),
        "ext4.ko.xz": lzma.compress(module),
        "site.tgz": gzip.compress(b"a" * 1000, 1),
        "data.tar.xz": lzma.compress(archive),
        "lshw.deb": package,
        "lshw_02.19-2_i386.deb": package,
    }.items():
        (files / name).write_bytes(content)
    (files / "tce/optional").mkdir(parents=True)
    command = ["tool", "mksquashfs", str(files / "data.tar.xz"), "-quiet"]
    for name in ("my.tcz", "tce/optional/vim.tcz"):
        assert main([*command[:3], str(files / name), *command[3:]]) == 0
    iso = files / "Core-current.iso"
    assert main(["tool", "ldconfig", "-r", str(files / "image.iso"), "-o", str(iso)]) == 0
    (folder / "bin").mkdir()
    program = folder / "bin" / "purekernel"
    program.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m purekernel "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    return folder


def other_programs(line: Line) -> list[str]:
    return [name for name in ("cpio",) if name in line.text.split()]


@needs_shell
@pytest.mark.parametrize(
    "line",
    [
        pytest.param(
            line,
            id=f"{line.page}: {line.text}",
            marks=[pytest.mark.oracle] if other_programs(line) else [],
        )
        for line in LINES
        if line.runs
    ],
)
def test_block_line_runs(
    line: Line,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for program in other_programs(line):
        require(program)
    folder = tmp_path / "files"
    shutil.copytree(prepared / "files", folder, symlinks=True)
    for name in RESULTS.get(line.text, []):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    monkeypatch.chdir(folder)
    if set(line.text) & set("|<>&;$"):
        path = f"{prepared / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-euc", line.text],
            env=environment(PATH=path),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=300,
        )
        status, errors = done.returncode, done.stderr
    else:
        # Run in this process, because starting another takes most of the time.
        words = [
            name
            for word in shlex.split(line.text)
            for name in (map(str, sorted(Path().glob(word))) if "*" in word else [word])
        ]
        status = main(words[1:])
        errors = capfd.readouterr().err
    assert status == 0, errors
    assert "purekernel: " not in errors.replace("purekernel: note: ", "")
    for name in RESULTS.get(line.text, []):
        assert (folder / name).exists(), name


# Running commands in text

# They need a root file system or a file; the blocks run the tools.
OPENING = ("cat", "diff", "inspect", "lint", "ls", "rebuild", "report", "tool", "verify")


@pytest.mark.parametrize(
    "words",
    [
        words
        for _page, words in INLINE_COMMANDS
        if words[1:] and words[1] not in OPENING and " ".join(words) not in NOT_RUN
    ],
    ids=" ".join,
)
def test_inline_command_runs(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workshop = Workshop(tmp_path, monkeypatch)
    (workshop.project / "builtin.lst").write_text("bash.tcz\n", encoding="utf-8")
    (workshop.project / "mirror.lst").write_text("nano.tcz\n", encoding="utf-8")
    shutil.copytree(workshop.project, tmp_path / "Razor-Microkernel")
    command, *options = [EXAMPLES.get(word, word) for word in words[1:]]
    if "--check" in options:
        assert workshop.run("lock") == 0
    if command == "show":
        for name in ("purekernel.toml", "kiosk.toml"):
            (workshop.project / name).write_text('name = "kiosk"\n', encoding="utf-8")
    if command in ("cache", "init", "schema", "show") or command.startswith("-"):
        status = main([command, *options])
    elif command in ("deps", "info", "search"):
        status = main([command, *options, "--mirror", str(workshop.mirror)])
    else:
        # Use settings that name the local mirrors.
        status = workshop.run(command, *options, *ALSO.get(" ".join(words), []))
    assert status == 0, capsys.readouterr().err
