"""Test what ``purekernel tool advdef`` prints, changes and refuses."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
from pathlib import Path

import click
import pytest

from purekernel.cli import main
from purekernel.cli.tool.advdef import advdef_command
from tests.oracles import require, run
from tests.ordinary import ordinary_user
from tests.processes import DEFAULT_SIGNALS, purekernel

TEXT = b"".join(b"line %d of some text\n" % (number * number % 997) for number in range(3000))
MORE = b"".join(b"%d\n" % (number % 89) for number in range(4000))

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no symbolic links for everybody")

LINE = re.compile(r" *(\d+) +(\d+) +(\d+)%( .*)?")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with gzip files of one member and of several."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT, 1))
    (tmp_path / "b.tgz").write_bytes(gzip.compress(MORE, 1) + gzip.compress(TEXT, 1) + bytes(7))
    return tmp_path


FILES = ("a.gz", "b.tgz")


def check_contents(folder: Path) -> None:
    assert gzip.decompress((folder / "a.gz").read_bytes()) == TEXT
    assert gzip.decompress((folder / "b.tgz").read_bytes()) == MORE + TEXT


def test_files_are_recompressed_in_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (folder / name).stat().st_size for name in FILES}
    assert main(["tool", "advdef", "-z", *FILES]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    after = {name: (folder / name).stat().st_size for name in FILES}
    lines = [
        f"{before[name]:12}{after[name]:12} {after[name] * 100 // before[name]:3}% {name}"
        for name in FILES
    ]
    old, new = sum(before.values()), sum(after.values())
    assert out.splitlines() == [*lines, f"{old:12}{new:12} {new * 100 // old:3}%"]
    assert all(after[name] < before[name] for name in FILES)
    assert sorted(path.name for path in folder.iterdir()) == [*FILES]
    check_contents(folder)
    # A file that would not become smaller is not written.
    times = [(folder / name).stat().st_mtime_ns for name in FILES]
    assert main(["tool", "advdef", "-z", "-1", *FILES]) == 0
    assert [(folder / name).stat().st_mtime_ns for name in FILES] == times
    out = capsys.readouterr().out
    assert re.search(r"100% a.gz \(Bigger \d+\)\n", out)
    assert re.fullmatch(r" *(\d+) +\1 100%", out.splitlines()[-1])


@pytest.mark.slow
def test_level_and_force_options(folder: Path) -> None:
    sizes = {}
    for level in ("-1", "-2", "-3", "-4", "-0"):
        assert main(["tool", "advdef", "-z", "-f", "-q", "-i", "2", level, *FILES]) == 0
        check_contents(folder)
        sizes[level] = [(folder / name).stat().st_size for name in FILES]
    for smaller, larger in (("-4", "-3"), ("-3", "-2"), ("-2", "-0"), ("-1", "-0")):
        assert all(one <= other for one, other in zip(sizes[smaller], sizes[larger], strict=True))
    assert sizes["-4"] != sizes["-3"]
    # The default is -3, and -0 needs no force.
    assert main(["tool", "advdef", "-z", "-q", *FILES]) == 0
    assert [(folder / name).stat().st_size for name in FILES] == sizes["-3"]
    assert main(["tool", "advdef", "-0qz", *FILES]) == 0
    assert [(folder / name).stat().st_size for name in FILES] == sizes["-0"]


def test_quiet_prints_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tool", "advdef", "-q", "-z", "a.gz"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["tool", "advdef", "-z"]) == 0
    assert capsys.readouterr() == ("           0           0   0%\n", "")


@posix
def test_links_are_followed_and_modes_are_kept(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "a.gz").rename(folder / "real/a.gz")
    (folder / "real/a.gz").chmod(0o640)
    (folder / "a.gz").symlink_to("real/a.gz")
    before = (folder / "a.gz").stat().st_size
    assert main(["tool", "advdef", "-z", "-q", "a.gz"]) == 0
    assert (folder / "a.gz").is_symlink()
    assert (folder / "real/a.gz").stat().st_size < before
    assert (folder / "real/a.gz").stat().st_mode & 0o7777 == 0o640
    assert os.listdir(folder / "real") == ["a.gz"]  # noqa: PTH208  # hidden ones, too


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("a.gz", 2, "-z is missing"),
        ("-z nowhere.gz", 1, "nowhere.gz does not exist"),
        ("-z .", 1, ". is a folder, not a file"),
        ("-z bad", 1, "bad: expected a gzip file, got 6e 6f"),
        ("-z short.gz", 1, "short.gz, byte 50: expected the rest of a deflate stream, got the end"),
        ("-z wrong.gz", 1, "wrong.gz, byte "),
        ("-z short.tgz", 1, "short.tgz, byte 50: expected the rest of a deflate stream, got the"),
        ("-z image.png", 1, "image.png: expected a gzip file, got a PNG image"),
        ("-z archive.zip", 1, "archive.zip: expected a gzip file, got a zip archive"),
        ("-z --max-unpacked 10K a.gz", 1, "a.gz, byte 0: expected at most 10240 bytes unpacked"),
        ("-z -9 a.gz", 2, "No such option"),
        ("-z -4 -i 0 a.gz", 2, "Invalid value for '-i'"),
    ],
)
def test_invalid_input_is_reported_in_two_lines(
    command: str, status: int, message: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad").write_bytes(b"no such file")
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (folder / "archive.zip").write_bytes(b"PK\x03\x04" + bytes(40))
    for name in FILES:
        data = (folder / name).read_bytes()
        suffix = name[1:]
        (folder / f"short{suffix}").write_bytes(data[:50])
        middle = len(data) // 2
        wrong = data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]
        (folder / f"wrong{suffix}").write_bytes(wrong)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(["tool", "advdef", "-q", *command.split()]) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"purekernel: {message}")
    assert err.count("\n") == 2
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


LEFT_OUT = {"-V", "--version"}


@pytest.mark.parametrize("option", ["-N", *sorted(LEFT_OUT)])
def test_unsupported_options_of_advdef_are_named(
    option: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "b.tgz").read_bytes()
    assert main(["tool", "advdef", "-z", option, "b.tgz"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    # The rest differs between releases of click.
    assert err.startswith("purekernel: No such option")
    assert option in err.splitlines()[0]
    assert err.endswith("\n  see 'purekernel tool advdef --help'\n")
    assert err.count("\n") == 2
    assert (folder / "b.tgz").read_bytes() == before


def test_files_after_an_invalid_one_are_processed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tool", "advdef", "-z", "nowhere", "a.gz", "nobody", "b.tgz"]) == 1
    out, err = capsys.readouterr()
    assert [LINE.fullmatch(line)[4] for line in out.splitlines()] == [" a.gz", " b.tgz", None]  # type: ignore[index]
    assert err.count("does not exist") == 2
    assert err.count("\n") == 4


@posix
def test_unwritable_folder_is_reported(
    open_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = open_folder / "out" / "a.gz"
    place.parent.mkdir()
    before = gzip.compress(TEXT, 1)
    place.write_bytes(before)
    # An unprivileged user may lack permission to read the interpreter's modules.
    assert main(["tool", "advdef", "-z", "-q", str(place)]) == 0
    place.write_bytes(before)
    place.parent.chmod(0o555)
    with ordinary_user():
        status = main(["tool", "advdef", "-z", "-q", str(place)])
    assert status == 1
    err = capfd.readouterr().err
    assert err.endswith(
        "Permission denied\n  the file is unchanged; check its folder and the free space\n"
    )
    assert place.read_bytes() == before


@pytest.mark.slow
@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_killed_run_leaves_files_whole(folder: Path, name: str) -> None:
    script = DEFAULT_SIGNALS + (
        "import os, signal, sys\n"
        "from purekernel.cli import main\n"
        "fsync = os.fsync\n"
        f"os.fsync = lambda number: (fsync(number), os.kill(os.getpid(), signal.{name}))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    before = (folder / "a.gz").read_bytes()
    done = purekernel("tool", "advdef", "-z", "a.gz", cwd=folder, script=script)
    assert done.returncode == (130 if name == "SIGTERM" else -signal.SIGKILL)
    assert (folder / "a.gz").read_bytes() == before
    if name == "SIGTERM":
        assert sorted(path.name for path in folder.iterdir()) == [*FILES]


@pytest.mark.slow
def test_help_imports_no_slow_module(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from purekernel.cli import main\n"
        "main(['tool', 'advdef', '--help'])\n"
        "slow = {'attrs', 'deflate', 'zopfli', 'purekernel.tree'}\n"
        "print('SLOW', sorted(slow & set(sys.modules)))\n"
    )
    assert "SLOW []" in purekernel(cwd=tmp_path, script=script).stdout


# Independent checkers


def advdef(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        [require("advdef"), *words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.oracle
def test_each_option_of_advdef_is_supported_or_listed() -> None:
    said = run(require("advdef"), "--help").decode()
    theirs = set(re.findall(r"^  (-\w)(?:, | )", said, re.MULTILINE))
    theirs |= set(re.findall(r" (--[\w-]+)", said))
    assert {"-z", "--recompress", "-q", "--iter"} <= theirs
    context = click.Context(advdef_command)
    ours = {word for one in advdef_command.get_params(context) for word in one.opts}
    ours |= {"-h"}  # an option of the whole program
    assert theirs - ours == LEFT_OUT


@pytest.mark.oracle
@pytest.mark.parametrize("level", ["-0", "-1", "-2", "-3", "-4"])
def test_other_programs_accept_the_files(level: str, folder: Path) -> None:
    assert main(["tool", "advdef", "-z", "-q", "-f", "-i", "1", level, *FILES]) == 0
    for name in FILES:
        assert run(require("gzip"), "-dcq", name, cwd=folder)
    # 7z does not accept the zeros at the end of the other file.
    assert b"Everything is Ok" in run(require("7z"), "t", "a.gz", cwd=folder)


@pytest.mark.oracle
@pytest.mark.parametrize("options", ["-z -2", "-z -0", "-z -2 -f", "-z -q", "-zqf2"])
def test_output_equals_that_of_advdef(
    options: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both use libdeflate's level 6 for -2; the results of its releases differ slightly."""
    names = ("a.gz", "c.gz")
    (folder / "c.gz").write_bytes(gzip.compress(MORE, 1))
    others = folder / "others"
    others.mkdir()
    for name in names:
        (others / name).write_bytes((folder / name).read_bytes())
    for _again in range(2):
        theirs = advdef(*options.split(), *names, cwd=others).splitlines()
        assert main(["tool", "advdef", *options.split(), *names]) == 0
        ours = capsys.readouterr().out.splitlines()
        for our, their in zip(ours, theirs, strict=True):
            found, wanted = LINE.fullmatch(our), LINE.fullmatch(their)
            assert found is not None
            assert wanted is not None
            assert re.sub(r"\d", "#", found[4] or "") == re.sub(r"\d", "#", wanted[4] or "")
            assert our.index("%") == their.index("%")
            for index in (1, 2):
                assert abs(int(found[index]) - int(wanted[index])) <= int(wanted[index]) // 50


@pytest.mark.oracle
def test_results_of_advdef_do_not_grow(folder: Path) -> None:
    advdef("-z", "-3", "-q", "a.gz", cwd=folder)
    before = [(folder / name).stat().st_size for name in FILES]
    assert main(["tool", "advdef", "-z", "-q", *FILES]) == 0
    after = [(folder / name).stat().st_size for name in FILES]
    assert all(new <= old for new, old in zip(after, before, strict=True))
    check_contents(folder)
