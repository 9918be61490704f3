from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from purekernel.cli.terminal import Spinner, say, say_error
from purekernel.errors import OutputError
from tests.processes import environment


def test_errors_are_two_harmless_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say_error("a\nb\x1b[31m\x07\u2028\x85c", "do\rthis")
    assert capsys.readouterr().err == ("purekernel: a b\\x1b[31m\\x07\\u2028\\x85c\n  do\\rthis\n")


def test_errors_are_never_long(capsys: pytest.CaptureFixture[str]) -> None:
    say_error("x" * 10_000_000, "y")
    assert len(capsys.readouterr().err) < 2100


class _Full:
    encoding = "ascii"

    def write(self, text: str) -> None:
        assert text == "\\u0416\n"
        raise OSError(28, "No space left on device")


def test_a_full_output_is_ours_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_spinner_takes_no_name_for_markup() -> None:
    shown = io.StringIO()
    spinner = Spinner(Console(file=shown, force_terminal=True, width=60))
    for words in ("reading site[/old]", "reading [red]x", "reading \x1b[2J"):
        with spinner.step(words):
            time.sleep(0.15)
    spinner.close()
    assert "reading site[/old]" in shown.getvalue()
    assert "reading [red]x" in shown.getvalue()
    assert "\x1b[2J" not in shown.getvalue()
    assert list(spinner.seconds) == ["reading site[/old]", "reading [red]x", "reading \x1b[2J"]
