"""``purekernel tool advdef``: what it prints, changes and refuses."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import zipfile
from pathlib import Path

import click
import pytest

from purekernel.cli import main
from purekernel.cli.tool.advdef import advdef_command
from purekernel.formats.png import build_chunk
from tests.images import COMMENT, PIXELS, make_png, make_zip, members_of, pixels_of
from tests.oracles import require, run
from tests.ordinary import ordinary_user
from tests.processes import DEFAULT_SIGNALS, purekernel

TEXT = b"".join(b"line %d of some text\n" % (number * number % 997) for number in range(3000))

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no symbolic links for everybody")

LINE = re.compile(r" *(\d+) +(\d+) +(\d+)%( .*)?")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file of each kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT, 1))
    (tmp_path / "b.png").write_bytes(make_png())
    (tmp_path / "c.zip").write_bytes(make_zip({"a": TEXT, "d/": b"", "d/b": TEXT[:999]}))
    (tmp_path / "d.jar").write_bytes(
        b"#!/bin/sh\n" + make_zip({"a": TEXT, "b": TEXT[:99]}, streamed=True)
    )
    return tmp_path


FILES = ("a.gz", "b.png", "c.zip", "d.jar")


def check_contents(folder: Path) -> None:
    assert gzip.decompress((folder / "a.gz").read_bytes()) == TEXT
    assert pixels_of((folder / "b.png").read_bytes()) == PIXELS
    assert members_of((folder / "c.zip").read_bytes())[2][-1] == TEXT[:999]
    assert members_of((folder / "d.jar").read_bytes())[0][-1] == TEXT
    assert (folder / "d.jar").read_bytes().startswith(b"#!/bin/sh\nPK")


def test_files_become_smaller_in_their_places(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
    # Nothing is written where nothing is won.
    times = [(folder / name).stat().st_mtime_ns for name in FILES]
    assert main(["tool", "advdef", "-z", "-1", *FILES]) == 0
    assert [(folder / name).stat().st_mtime_ns for name in FILES] == times
    out = capsys.readouterr().out
    assert re.search(r"100% a.gz \(Bigger \d+\)\n", out)
    assert re.fullmatch(r" *(\d+) +\1 100%", out.splitlines()[-1])


def test_levels_and_force(folder: Path) -> None:
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


def test_quiet_and_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tool", "advdef", "-q", "-z", "a.gz"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["tool", "advdef", "-z"]) == 0
    assert capsys.readouterr() == ("           0           0   0%\n", "")


@posix
def test_links_are_followed_and_modes_kept(folder: Path) -> None:
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
        ("a.gz", 2, "nothing is asked for"),
        ("-z nowhere.gz", 1, "nowhere.gz does not exist"),
        ("-z .", 1, ". is a folder, not a file"),
        ("-z bad", 1, "bad: expected a gzip file, a PNG image or a zip archive, got 6e 6f"),
        ("-z short.gz", 1, "short.gz, byte 50: expected the rest of a deflate stream, got the end"),
        ("-z short.png", 1, "short.png, byte 50: expected chunks up to IEND, got the end"),
        ("-z short.zip", 1, "short.zip: expected a gzip file, a PNG image or a zip archive, got"),
        ("-z wrong.gz", 1, "wrong.gz, byte "),
        ("-z wrong.png", 1, "wrong.png, byte "),
        ("-z wrong.zip", 1, "wrong.zip: a"),
        ("-z moving.png", 1, "moving.png, byte "),
        ("-z --max-unpacked 10K a.gz", 1, "a.gz, byte 0: expected at most 10240 bytes unpacked"),
        ("-z -9 a.gz", 2, "No such option"),
        ("-z -4 -i 0 a.gz", 2, "Invalid value for '-i'"),
    ],
)
def test_what_is_wrong_is_said_in_two_lines(
    command: str, status: int, message: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad").write_bytes(b"no such file")
    for name in ("a.gz", "b.png", "c.zip"):
        data = (folder / name).read_bytes()
        suffix = name[1:]
        (folder / f"short{suffix}").write_bytes(data[:50])
        middle = 60 if suffix == ".zip" else len(data) // 2
        wrong = data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]
        (folder / f"wrong{suffix}").write_bytes(wrong)
    image = make_png().replace(COMMENT, build_chunk(b"fdAT", bytes(8)))
    (folder / "moving.png").write_bytes(image)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(["tool", "advdef", "-q", *command.split()]) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"purekernel: {message}")
    assert err.count("\n") == 2
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


LEFT_OUT = {
    "advdef": {"-V", "--version"},
    "advzip": {
        "-a", "--add", "-x", "--extract", "-l", "--list", "-t", "--test", "-p", "--pedantic",
        "-k", "--keep-file-time", "-V", "--version",
    },
}  # fmt: skip


@pytest.mark.parametrize("option", ["-N", *sorted(set().union(*LEFT_OUT.values()))])
def test_what_theirs_have_and_ours_has_not_is_said(
    option: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "c.zip").read_bytes()
    assert main(["tool", "advdef", "-z", option, "c.zip"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    # Releases of click word the rest differently.
    assert err.startswith("purekernel: No such option")
    assert option in err.splitlines()[0]
    assert err.endswith("\n  see 'purekernel tool advdef --help'\n")
    assert err.count("\n") == 2
    assert (folder / "c.zip").read_bytes() == before


def test_one_that_is_wrong_stops_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tool", "advdef", "-z", "nowhere", "a.gz", "nobody", "b.png"]) == 1
    out, err = capsys.readouterr()
    assert [LINE.fullmatch(line)[4] for line in out.splitlines()] == [" a.gz", " b.png", None]  # type: ignore[index]
    assert err.count("does not exist") == 2
    assert err.count("\n") == 4


def test_members_left_alone_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_zip({"a": TEXT}, method=zipfile.ZIP_BZIP2)
    (folder / "e.zip").write_bytes(data)
    assert main(["tool", "advdef", "-z", "-q", "e.zip"]) == 0
    note = "purekernel: note: e.zip: a member is left as it is: compressed in another way\n"
    assert capsys.readouterr().err == note
    assert (folder / "e.zip").read_bytes() == data


@posix
def test_a_folder_that_may_not_be_written(
    open_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = open_folder / "out" / "a.gz"
    place.parent.mkdir()
    before = gzip.compress(TEXT, 1)
    place.write_bytes(before)
    # An ordinary user may not be able to read the interpreter's own modules.
    assert main(["tool", "advdef", "-z", "-q", str(place)]) == 0
    place.write_bytes(before)
    place.parent.chmod(0o555)
    with ordinary_user():
        status = main(["tool", "advdef", "-z", "-q", str(place)])
    assert status == 1
    err = capfd.readouterr().err
    assert err.endswith(
        "Permission denied\n  it is as it was; check its folder and the free space\n"
    )
    assert place.read_bytes() == before


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_who_is_killed_half_way_leaves_files_whole(folder: Path, name: str) -> None:
    script = DEFAULT_SIGNALS + (
        "import os, signal, sys\n"
        "from purekernel.cli import main\n"
        "fsync = os.fsync\n"
        f"os.fsync = lambda number: (fsync(number), os.kill(os.getpid(), signal.{name}))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    before = (folder / "a.gz").read_bytes()
    done = purekernel("tool", "advdef", "-z", "a.gz", cwd=folder, script=script)
    assert done.returncode == (1 if name == "SIGTERM" else -signal.SIGKILL)
    assert (folder / "a.gz").read_bytes() == before
    if name == "SIGTERM":
        assert sorted(path.name for path in folder.iterdir()) == [*FILES]


def test_help_imports_nothing_slow(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from purekernel.cli import main\n"
        "main(['tool', 'advdef', '--help'])\n"
        "slow = {'attrs', 'deflate', 'zopfli', 'purekernel.tree'}\n"
        "print('SLOW', sorted(slow & set(sys.modules)))\n"
    )
    assert "SLOW []" in purekernel(cwd=tmp_path, script=script).stdout


# Judges


def advdef(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        [require("advdef"), *words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.oracle
@pytest.mark.parametrize("program", LEFT_OUT)
def test_each_of_their_options_is_ours_or_known_to_be_left_out(program: str) -> None:
    said = run(require(program), "--help").decode()
    theirs = set(re.findall(r"^  (-\w)(?:, | )", said, re.MULTILINE))
    theirs |= set(re.findall(r" (--[\w-]+)", said))
    assert {"-z", "--recompress", "-q", "--iter"} <= theirs
    context = click.Context(advdef_command)
    ours = {word for one in advdef_command.get_params(context) for word in one.opts}
    ours |= {"-h"}  # which the program as a whole has
    assert theirs - ours == LEFT_OUT[program]


@pytest.mark.oracle
@pytest.mark.parametrize("level", ["-0", "-1", "-2", "-3", "-4"])
def test_others_find_the_files_sound(level: str, folder: Path) -> None:
    (folder / "e.zip").write_bytes(make_zip({"a": TEXT, "b": TEXT[:99]}, streamed=True))
    names = (*FILES, "e.zip")
    assert main(["tool", "advdef", "-z", "-q", "-f", "-i", "1", level, *names]) == 0
    run(require("gzip"), "-t", "a.gz", cwd=folder)
    for name in ("a.gz", "c.zip", "e.zip"):
        assert b"Everything is Ok" in run(require("7z"), "t", name, cwd=folder)
    for name in ("c.zip", "e.zip"):
        run(require("unzip"), "-tq", name, cwd=folder)
        run(require("advzip"), "-t", "-p", name, cwd=folder)
    # It reads the whole image before it writes another.
    advdef("-z", "-f", "-1", "b.png", cwd=folder)
    assert pixels_of((folder / "b.png").read_bytes()) == PIXELS


@pytest.mark.oracle
@pytest.mark.parametrize("options", ["-z -2", "-z -0", "-z -2 -f", "-z -q", "-zqf2"])
def test_what_is_printed_is_what_advdef_prints(
    options: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both have libdeflate's level 6 under -2; its releases differ by little."""
    names = ("a.gz", "b.png")
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
def test_advdef_s_own_results_are_not_made_larger(folder: Path) -> None:
    advdef("-z", "-3", "-q", "a.gz", "b.png", cwd=folder)
    run(require("advzip"), "-z", "-3", "-q", "c.zip", cwd=folder)
    before = [(folder / name).stat().st_size for name in FILES[:3]]
    assert main(["tool", "advdef", "-z", "-q", *FILES[:3]]) == 0
    after = [(folder / name).stat().st_size for name in FILES[:3]]
    assert all(new <= old for new, old in zip(after, before, strict=True))
    check_contents(folder)
