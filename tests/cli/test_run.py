"""Test ``purekernel run`` with a program in place of QEMU."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from fixtures.kernel import make_kernel
from purekernel.cli import main
from tests.processes import DEFAULT_SIGNALS, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="not for Windows")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with an ISO, and a QEMU that prints its arguments and ends with $STATUS."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.iso").write_bytes(make_core_iso())
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("qemu-system-i386", "qemu-system-x86_64"):
        (programs / name).write_text(
            '#!/bin/sh\n[ -z "$SELF" ] || kill -KILL $$\n'
            f'printf "%s\\n" "$@" > {shlex.quote(str(tmp_path / "seen"))}\n'
            'echo guest\nexit "${STATUS:-0}"\n'
        )
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("DISPLAY", ":0")
    return tmp_path


def seen(folder: Path) -> list[str]:
    return (folder / "seen").read_text().split("\n")[:-1]


def test_image_is_started_and_its_status_passed_on(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["run", "a.iso", "--serial"]) == 0
    assert capfd.readouterr() == (
        "guest\n",
        "purekernel: note: to leave QEMU, press Ctrl-A, then X\n",
    )
    assert seen(folder)[-1] == "-nographic"
    monkeypatch.setenv("STATUS", "33")
    assert main(["run", "a.iso"]) == 33
    assert capfd.readouterr().err == (
        "purekernel: QEMU ended with exit status 33\n  its own message is above\n"
    )
    monkeypatch.setenv("SELF", "1")
    assert main(["run", "a.iso"]) == 128 + signal.SIGKILL


def test_dry_run_prints_a_line_that_a_shell_runs(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "we,ird $(touch no)'\"; name.iso"
    (folder / name).write_bytes((folder / "a.iso").read_bytes())
    assert main(["run", name, "--dry-run", "--", "-smp", "2"]) == 0
    line = capfd.readouterr().out
    assert not (folder / "seen").exists()
    subprocess.run(["/bin/sh", "-c", line], check=True, stdout=subprocess.DEVNULL)
    assert seen(folder)[-2:] == ["-smp", "2"]
    quoted = str(folder / name).replace(",", ",,")
    assert f"if=none,id=image,format=raw,file={quoted},media=cdrom,readonly=on" in seen(folder)
    assert not (folder / "no").exists()


def test_json_has_the_command_and_the_status(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "a.iso", "--json"]) == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert document["command"][1:] == seen(folder)
    assert document["status"] == 0
    assert err == "guest\n"
    assert main(["run", "a.iso", "--json", "--serial"]) == 2


def test_name_that_begins_with_a_dash_follows_two_dashes(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.iso").rename(folder / "-a.iso")
    assert main(["run", "--dry-run", "--", "-a.iso", "-smp", "2"]) == 0
    out = capfd.readouterr().out
    assert f"file={folder}/-a.iso," in out
    assert out.endswith(" -smp 2\n")


def test_initrds_are_joined_for_qemu_and_deleted(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "k").write_bytes(make_kernel())
    for name, extra in (("1", b"x"), ("2", b"")):
        (folder / name).write_bytes(b"070701" + bytes(10) + extra)
    command = ["run", "--kernel", "k", "--initrd", "1", "--initrd", "2"]
    assert main([*command, "--append", "quiet"]) == 0
    words = seen(folder)
    initrd = Path(words[words.index("-initrd") + 1])
    assert words[words.index("-append") + 1] == "quiet"
    assert not initrd.exists()
    capfd.readouterr()
    assert main([*command, "--dry-run"]) == 2
    assert "join them first: cat 1 2 > initrd" in capfd.readouterr().err


def test_program_that_cannot_be_executed_is_two_lines(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for program in (folder / "bin").iterdir():
        program.write_bytes(b"\x7fELF nonsense")
    assert main(["run", "a.iso"]) == 1
    assert "cannot be started: Exec format error\n  check that" in capfd.readouterr().err


@pytest.mark.parametrize("ports", ["22", "0:22", "22:65536", "a:b", "1:2:3", "٢:22"])
def test_ports_that_are_none_are_refused(
    folder: Path, ports: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "a.iso", "--forward", ports]) == 2
    assert "must be two ports, such as 2222:22" in capfd.readouterr().err
    assert not (folder / "seen").exists()


@pytest.mark.slow
def test_signal_ends_the_program_too(folder: Path) -> None:
    for program in (folder / "bin").iterdir():
        program.write_text(f"#!/bin/sh\necho $$ > {folder}/pid\necho up\nexec sleep 600\n")
    script = f"{DEFAULT_SIGNALS}import sys\nfrom purekernel.cli import main\nsys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", script, "run", "a.iso"],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)
