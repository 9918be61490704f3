from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from purekernel.cli import main
from purekernel.cli.bars import Bars
from purekernel.cli.printer import ErrorReport, Printer
from purekernel.cli.terminal import Lines, StepTimer, say, say_error
from purekernel.errors import OutputError
from tests.processes import environment


def test_errors_are_two_lines_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_error("a\nb\x1b[31m\x07\u2028\x85c", "do\rthis")
    assert capsys.readouterr().err == ("purekernel: a b\\x1b[31m\\x07\\u2028\\x85c\n  do\\rthis\n")


def test_long_errors_are_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    say_error("x" * 10_000_000, "y")
    assert len(capsys.readouterr().err) < 2100


class _Full:
    encoding = "ascii"

    def write(self, text: str) -> None:
        assert text == "\\u0416\n"
        raise OSError(28, "No space left on device")


def test_full_standard_output_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", _Full())
    with pytest.raises(OutputError) as caught:
        say("\u0416")
    assert str(caught.value) == "stdout cannot be written: No space left on device"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh")
@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "1>&- 2>&-", "0<&-"])
def test_closed_streams_do_not_stop_a_build(closed: str, tmp_path: Path) -> None:
    command = f'exec "{sys.executable}" -m purekernel build --sample --iso-version 1 {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env=environment(), capture_output=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rz_mk_dev-image.1.iso").is_file()


def test_markup_and_escapes_in_names_are_shown_as_text() -> None:
    shown = io.StringIO()
    spinner = Bars(Console(file=shown, force_terminal=True, width=60))
    for words in ("reading site[/old]", "reading [red]x", "reading \x1b[2J"):
        with spinner.step(words):
            time.sleep(0.15)
    spinner.close()
    assert "reading site[/old]" in shown.getvalue()
    assert "reading [red]x" in shown.getvalue()
    assert "\x1b[2J" not in shown.getvalue()
    assert list(spinner.seconds) == ["reading site[/old]", "reading [red]x", "reading \x1b[2J"]


# Progress


class Clock:
    """Provide a clock that tests advance."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_progress_line_is_printed_every_ten_seconds_of_a_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    lines = Lines(clock=clock, looks=False)

    def err_at(seconds: float) -> str:
        clock.seconds = seconds
        lines.look()
        return capsys.readouterr().err

    assert err_at(120.0) == ""
    with lines.step("fetching"):
        with lines.task("files", total=12) as files, lines.task("bytes") as received:
            assert err_at(129.0) == ""
            assert err_at(130.0) == "purekernel: fetching: 0/12 files\n"
            files.advance(3)
            received.advance(12_000_000)
            assert err_at(139.9) == ""
            received.set_total(45_600_000)
            line = "purekernel: fetching: 3/12 files, 12.0/45.6 MB, 0.6 MB/s, 0:56 left\n"
            assert err_at(140.0) == line
        assert err_at(150.0) == "purekernel: fetching\n"
    assert err_at(170.0) == ""
    with lines.step("quick"):
        assert err_at(179.0) == ""
    assert lines.seconds == {"fetching": 30.0, "quick": 9.0}
    lines.close()


def test_outer_step_is_shown_again_after_inner_step() -> None:
    steps = StepTimer()
    with steps.step("outer"):
        with steps.step("inner"):
            assert steps.words == "inner"
        assert steps.words == "outer"
    assert steps.words == ""


@pytest.mark.parametrize(
    ("unit", "total", "done", "words"),
    [
        ("files", 12, 3, "3/12 files"),
        ("segments", None, 3, "3 segments"),
        ("bytes", None, 5_000_000, "5.0 MB, 1.0 MB/s"),
        ("bytes", 365_000_000, 5_000_000, "5.0/365.0 MB, 1.0 MB/s, 6:00 left"),
        ("bytes", 4_000_000, 5_000_000, "5.0/4.0 MB, 1.0 MB/s, 0:00 left"),
        ("bytes", 4_000_000, -1, "-0.0/4.0 MB, 0.0 MB/s"),
    ],
)
def test_counter_formats_numbers(unit: str, total: int | None, done: int, words: str) -> None:
    clock = Clock()
    with StepTimer(clock=clock).task(unit, total=total) as counter:
        clock.seconds += 5
        counter.advance(done)
        assert counter.describe() == words


def test_rate_is_computed_over_the_last_seconds() -> None:
    clock = Clock()
    with StepTimer(clock=clock).task("bytes") as counter:
        rates = []
        for count in (9_000_000, *[1_000_000] * 8):
            clock.seconds += 1
            counter.advance(count)
            rates.append(counter.describe().split(", ")[1])
    assert rates[0] == "9.0 MB/s"
    assert rates[-1] == "1.0 MB/s"


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120])
def test_progress_is_one_line_that_fits_the_terminal(columns: int) -> None:
    shown = io.StringIO()
    bars = Bars(Console(file=shown, force_terminal=True, width=columns, color_system=None))
    with (
        bars.step("fetching a/rather/long/name/of/an/extension-3.0.3-tinycore.tcz"),
        bars.task("files", total=12) as files,
        bars.task("bytes", total=45_600_000) as received,
    ):
        files.advance(3)
        received.advance(12_300_000)
        time.sleep(0.3)
    bars.close()
    lines = [
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)
        for line in re.split(r"[\r\n]+", shown.getvalue())
    ]
    assert max(map(len, lines)) <= columns
    last = [line for line in lines if "3/12 files" in line][-1]
    assert ("3/12 files, 12.3/45.6 MB" in last) is (columns >= 40)
    assert ("fetching" in last) is (columns >= 60)
    assert ("━" in last) is (columns >= 100)
    assert shown.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")


# Readers of stdout that go away, and closed stdout


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return an image whose list is larger than the buffer of a pipe."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(1500):
        (folder / f"{number:0240}").touch()
    (folder / "a").write_bytes(b"a" * 300_000)
    assert main(["tool", "mksquashfs", str(folder), str(tmp_path / "image.tcz"), "-quiet"]) == 0
    return tmp_path / "image.tcz"


READ = ["-l", "-ll", "-l --json", "-cat"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh")
@pytest.mark.parametrize("unbuffered", [None, "1"])
@pytest.mark.parametrize("option", READ)
def test_reader_that_ends_early_gives_status_1_and_no_message(
    option: str, unbuffered: str | None, image: Path
) -> None:
    command = [sys.executable, "-m", "purekernel", "tool", "unsquashfs", *option.split(), image]
    with subprocess.Popen(
        [*command, "a"] if option == "-cat" else command,
        env=environment(PYTHONUNBUFFERED=unbuffered),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh")
@pytest.mark.parametrize("unbuffered", [None, "1"])
@pytest.mark.parametrize("option", READ)
def test_slow_reader_gets_everything(option: str, unbuffered: str | None, image: Path) -> None:
    words = ["tool", "unsquashfs", *option.split(), image, *(["a"] if option == "-cat" else [])]
    done = subprocess.run(
        [sys.executable, "-m", "purekernel", *words],
        env=environment(PYTHONUNBUFFERED=unbuffered), capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    if option == "-cat":
        assert done.stdout == b"a" * 300_000
    elif "--json" in option:
        assert len(json.loads(done.stdout)["entries"]) == 1502
    else:
        assert done.stdout.count(b"\n") == 1502


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh")
@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("--help", 0, ""),
        ("--version", 0, ""),
        ("schema", 0, ""),
        ("cache info", 0, ""),
        ("tool unsquashfs -l image.tcz", 0, ""),
        ("tool unsquashfs -l --json image.tcz", 0, ""),
        ("tool unsquashfs -cat image.tcz a", 0, ""),
        ("tool unsquashfs -d out image.tcz a", 0, ""),
        ("tool", 2, ""),
        ("tool nonsense", 2, "No such command 'nonsense'"),
        ("tool unsquashfs gone", 1, "gone does not exist"),
    ],
)
def test_closed_stdout_changes_no_status(
    words: str, status: int, message: str, image: Path
) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "{sys.executable}" -m purekernel {words} >&-'],
        cwd=image.parent, env=environment(), text=True, capture_output=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (image.parent / "out/a").exists() is ("-d" in words)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("unbuffered", [None, "1"])
@pytest.mark.parametrize("words", ["schema", "tool unsquashfs -l image.tcz"])
def test_full_stdout_of_a_command_is_reported(
    words: str, unbuffered: str | None, image: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "purekernel", *words.split()],
            cwd=image.parent, env=environment(PYTHONUNBUFFERED=unbuffered), text=True,
            stdout=full, stderr=subprocess.PIPE, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "purekernel: stdout cannot be written: No space left on device",
        "  the output files are complete; redirect stdout elsewhere",
    ]


# Many errors


def reports(count: int) -> list[ErrorReport]:
    return [ErrorReport("input", f"fault {number}", "mend it") for number in range(count)]


@pytest.mark.parametrize(
    ("count", "last"),
    [
        (1, ["purekernel: fault 0", "  mend it"]),
        (100, ["purekernel: fault 99", "  mend it"]),
        (101, ["purekernel: 1 more errors are not shown", "  fix these first"]),
        (350, ["purekernel: 250 more errors are not shown", "  fix these first"]),
    ],
)
def test_errors_over_a_hundred_are_counted(
    count: int, last: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Printer().fail(reports(count))
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2:] == last
    assert len(lines) == 2 * min(count, 101)
    assert lines[::2][: min(count, 100)] == [
        f"purekernel: fault {number}" for number in range(min(count, 100))
    ]


def test_json_has_all_errors(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer()
    printer.as_json = True
    printer.fail(reports(350))
    out, err = capsys.readouterr()
    assert err == ""
    assert len(json.loads(out)["errors"]) == 350
