"""Test ``purekernel tool gzip``: files written, files kept and invalid input."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from purekernel.cli import main
from tests.oracles import require, run
from tests.processes import environment, purekernel

TEXT = b"".join(b"line %d of some text\n" % (number * number % 997) for number in range(2000))
MTIME = 1_300_000_000

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no links and modes for everybody")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a file, and change to it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(TEXT)
    (tmp_path / "a").chmod(0o640)
    os.utime(tmp_path / "a", (MTIME, MTIME))
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_compressed_file_is_decompressed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tool", "gzip", "a"]) == 0
    assert names(folder) == ["a.gz"]
    made = (folder / "a.gz").read_bytes()
    assert made[:12] == b"\x1f\x8b\x08\x08" + MTIME.to_bytes(4, "little") + b"\x02\xffa\0"
    assert gzip.decompress(made) == TEXT
    assert main(["tool", "gzip", "-d", "a.gz"]) == 0
    assert names(folder) == ["a"]
    assert (folder / "a").read_bytes() == TEXT
    assert (folder / "a").stat().st_mtime == MTIME
    if os.name == "posix":
        assert (folder / "a").stat().st_mode & 0o7777 == 0o640
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_higher_level_gives_a_smaller_file(folder: Path) -> None:
    sizes = []
    for option in ("-1", "-6", "-9", "--zopfli"):
        assert main(["tool", "gzip", "-knf", option, "a"]) == 0
        made = (folder / "a.gz").read_bytes()
        assert made[:10] == bytes.fromhex("1f8b08 00 00000000 02 ff")
        assert gzip.decompress(made) == TEXT
        sizes.append(len(made))
    assert sizes[2] < sizes[1]
    assert sizes[3] < sizes[2]
    assert main(["tool", "gzip", "-knf", "a"]) == 0
    assert (folder / "a.gz").stat().st_size == sizes[2]


def test_known_suffixes_are_removed(folder: Path) -> None:
    packed = gzip.compress(TEXT)
    for name in ("b.tgz", "c.taz", "d-gz", ".gz.gz"):
        (folder / name).write_bytes(packed)
        assert main(["tool", "gzip", "-d", name]) == 0
    assert names(folder) == [".gz", "a", "b.tar", "c.tar", "d"]


@pytest.mark.slow
def test_standard_input_is_compressed_to_standard_output(folder: Path) -> None:
    packed = subprocess.run(
        [sys.executable, "-m", "purekernel", "tool", "gzip"],
        input=TEXT,
        env=environment(),
        capture_output=True,
        check=True,
    )
    assert gzip.decompress(packed.stdout) == TEXT
    assert packed.stdout[3] == 0
    for arguments in (["-d"], ["-d", "-"], ["-d", "-c", "-"]):
        plain = subprocess.run(
            [sys.executable, "-m", "purekernel", "tool", "gzip", *arguments],
            input=packed.stdout * 2,
            env=environment(),
            capture_output=True,
            check=True,
        )
        assert plain.stdout == TEXT * 2


def test_stdout_option_keeps_the_input_files(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["tool", "gzip", "-c", "a", "a"]) == 0
    assert gzip.decompress(capfdbinary.readouterr().out) == TEXT * 2
    assert names(folder) == ["a"]


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("nowhere", 1, "nowhere does not exist"),
        (".", 1, ""),
        ("b", 1, "b.gz exists already"),
        ("b.gz", 1, "b.gz is compressed already: its name ends with .gz"),
        ("-d a", 1, "a: the name must end with .gz"),
        ("-d b.gz", 1, "b exists already"),
        ("-d -f bad.gz", 1, "bad.gz, byte 0: expected a gzip member"),
        ("-d -f short.gz", 1, "short.gz, byte 30: expected the rest of a deflate stream"),
        ("-d -f --max-unpacked 10K b.gz", 1, "b.gz, byte 0: expected at most 10240 bytes"),
        ("-5x a", 2, "No such option"),
    ],
)
def test_invalid_input_is_reported_in_two_lines(
    command: str, status: int, message: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "b").write_bytes(b"other")
    (folder / "b.gz").write_bytes(gzip.compress(TEXT, 1))
    (folder / "bad.gz").write_bytes(b"no gzip file")
    (folder / "short.gz").write_bytes(gzip.compress(TEXT, 1)[:30])
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(["tool", "gzip", *command.split()]) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"purekernel: {message}")
    assert err.count("\n") == 2
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@posix
def test_links_are_followed_only_with_force(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "soft").symlink_to("a")
    (folder / "hard").hardlink_to(folder / "a")
    assert main(["tool", "gzip", "soft", "hard"]) == 1
    err = capfd.readouterr().err
    assert "soft is a symbolic link" in err
    assert "hard has other hard links" in err
    assert names(folder) == ["a", "hard", "soft"]
    assert main(["tool", "gzip", "-k", "hard"]) == 0
    assert main(["tool", "gzip", "-f", "soft", "hard"]) == 0
    assert names(folder) == ["a", "hard.gz", "soft.gz"]
    assert (folder / "a").read_bytes() == TEXT


def test_terminal_is_refused_as_output(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal(io.BytesIO()))
    assert main(["tool", "gzip", "-c", "a"]) == 2
    assert "stdout is a terminal, and the data is compressed" in capsys.readouterr().err
    assert main(["tool", "gzip", "-cf", "a"]) == 0


def test_help_imports_no_slow_module(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from purekernel.cli import main\n"
        "main(['tool', 'gzip', '--help'])\n"
        "slow = {'attrs', 'deflate', 'zopfli', 'purekernel.tree'}\n"
        "print('SLOW', sorted(slow & set(sys.modules)))\n"
    )
    assert "SLOW []" in purekernel(cwd=tmp_path, script=script).stdout


@pytest.mark.oracle
@pytest.mark.parametrize("options", [[], ["-n"], ["-1"], ["--zopfli"]])
def test_gzip_and_tool_read_each_others_files(options: list[str], folder: Path) -> None:
    program = require("gzip")
    assert main(["tool", "gzip", *options, "a"]) == 0
    run(program, "-t", "a.gz", cwd=folder)
    run(program, "-d", "-N", "a.gz", cwd=folder)
    assert (folder / "a").read_bytes() == TEXT
    assert names(folder) == ["a"]
    os.utime(folder / "a", (MTIME, MTIME))
    run(program, "a", cwd=folder)
    theirs = (folder / "a.gz").read_bytes()
    assert main(["tool", "gzip", "-d", "a.gz"]) == 0
    assert main(["tool", "gzip", "a"]) == 0
    # Compare flags, time and name; the byte for the operating system differs.
    ours = (folder / "a.gz").read_bytes()
    assert ours[:8] + ours[10:12] == theirs[:8] + theirs[10:12]
