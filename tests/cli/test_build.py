"""Test ``purekernel build``: output, exit status and files written."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from fixtures.bundle import make_bundle, make_bundle_tree
from purekernel.cli import main
from purekernel.formats.tar import build_tar
from purekernel.tree import Directory, File, Metadata, Tree
from tests.builds import SAMPLE_FINDINGS
from tests.processes import DEFAULT_SIGNALS, environment, purekernel

FILE = Metadata(mode=0o644)
ISO = "rz_mk_dev-image.0.9.0.1.iso"


@cache
def sample() -> bytes:
    return make_bundle()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a bundle and the output of an earlier build."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (tmp_path / "bundle.tar.gz").write_bytes(sample())
    (tmp_path / ISO).write_bytes(b"of an earlier build")
    return tmp_path


def two_lines(error: str) -> tuple[str, str]:
    lines = error.splitlines()
    assert len(lines) == 2, error
    assert lines[0].startswith("purekernel: ")
    assert lines[1].startswith("  ")
    assert "Traceback" not in error
    return lines[0].removeprefix("purekernel: "), lines[1].strip()


def untouched(folder: Path) -> None:
    assert (folder / ISO).read_bytes() == b"of an earlier build"
    assert not list(folder.rglob(".*.part"))


def test_iso_replaces_the_earlier_one_and_its_path_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "bundle.tar.gz", "--iso-version", "0.9.0.1"]) == 0
    out, err = capsys.readouterr()
    assert err == SAMPLE_FINDINGS
    data = (folder / ISO).read_bytes()
    assert data[0x8001:0x8006] == b"CD001"
    assert out.splitlines() == [
        f"{ISO}  {len(data) / 1e6:.2f} MB",
        f"  sha256:{hashlib.sha256(data).hexdigest()}",
        f"  replaced sha256:{hashlib.sha256(b'of an earlier build').hexdigest()}",
        "SHA256SUMS  checksums, for sha256sum -c",
    ]
    line = f"{hashlib.sha256(data).hexdigest()}  {ISO}\n"
    assert (folder / "SHA256SUMS").read_text(encoding="utf-8") == line


def test_output_option_names_a_file_and_the_summary_what_it_replaced(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "old.iso").write_bytes(b"old")
    assert main(["build", "bundle.tar.gz", "-o", "old.iso", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    (output,) = summary["outputs"]
    assert output["path"] == "old.iso"
    assert summary["checksums"] == "SHA256SUMS"
    line = f"{output['sha256']}  old.iso\n"
    assert (folder / "SHA256SUMS").read_text(encoding="utf-8") == line
    old = hashlib.sha256(b"old").hexdigest()
    assert output["replaced"] == {"bytes": 3, "sha256": old}
    untouched(folder)
    assert main(["build", "bundle.tar.gz", "-o", "old.iso"]) == 0
    assert capsys.readouterr().out.splitlines()[2] == "  replaced a file with the same content"
    assert main(["build", "bundle.tar.gz", "-o", "new.iso/"]) == 0
    sums, written = sorted((folder / "new.iso").iterdir(), key=lambda path: path.name)
    assert sums.name == "SHA256SUMS"
    assert written.read_bytes() == (folder / "old.iso").read_bytes()


@pytest.mark.slow
def test_output_goes_to_stdout_and_the_summary_to_stderr(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "purekernel", "build", "bundle.tar.gz", "-o", "-"],
        cwd=folder, env=environment(), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout[0x8001:0x8006] == b"CD001"
    digest = hashlib.sha256(done.stdout).hexdigest()
    lines = done.stderr.decode().removesuffix(SAMPLE_FINDINGS).splitlines()
    assert lines[-2:] == [f"stdout  {len(done.stdout) / 1e6:.2f} MB", f"  sha256:{digest}"]
    untouched(folder)


@pytest.mark.slow
def test_pipe_that_closes_early_ends_the_build_without_traceback(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "purekernel", "build", "bundle.tar.gz", "-o", "-", "-q"],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read().decode() in ("", SAMPLE_FINDINGS)
        assert process.wait() == 1


def test_json_and_the_output_cannot_share_stdout(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "bundle.tar.gz", "-o", "-", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["message"] == "the output and the JSON cannot both go to stdout"
    untouched(folder)


def test_terminal_is_refused_for_the_output(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["build", "bundle.tar.gz", "-o", "-"]) == 2
    out, err = capsys.readouterr()
    assert two_lines(err)[0] == "the output is binary, and stdout is a terminal"
    assert out == ""
    untouched(folder)


@pytest.mark.slow
def test_quiet_prints_findings_only_and_verbose_prints_each_step(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "bundle.tar.gz", "--quiet"]) == 0
    assert capsys.readouterr() == ("", SAMPLE_FINDINGS)
    assert main(["build", "bundle.tar.gz", "--verbose"]) == 0
    shown = capsys.readouterr().err.removesuffix(SAMPLE_FINDINGS)
    steps = [line.split("s  ", 1)[1] for line in shown.splitlines()]
    assert steps[:2] == ["reading the bundle", "unpacking the base ISO"]
    assert steps[-1] == "writing"


def test_json_describes_the_outputs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["build", "bundle.tar.gz", "--iso-version", "0.9.0.1", "--emit", "iso,core,pxe"]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    summary = json.loads(out)
    assert summary["name"] == "rz_mk_dev-image.0.9.0.1"
    assert [output["path"] for output in summary["outputs"]] == [
        ISO,
        "core.gz",
        "vmlinuz",
        *(
            str(Path("rz_mk_dev-image.0.9.0.1.pxe") / name)
            for name in ("boot/vmlinuz", "boot/core.gz", "pxelinux.cfg/default", "boot.ipxe")
        ),
    ]
    for output in summary["outputs"]:
        assert Path(output["path"]).stat().st_size == output["bytes"]
    assert summary["core"]["sha256"] == summary["outputs"][1]["sha256"]
    assert summary["core"]["counts"]["devices"] > 0
    assert summary["core"]["counts"]["hard_links"] > 0
    assert summary["checksums"] == "SHA256SUMS"
    sums = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = {Path(line[66:]): line[:64] for line in sums}
    assert listed == {Path(each["path"]): each["sha256"] for each in summary["outputs"]}
    assert summary["seconds"]["total"] > 0
    assert gzip.decompress((folder / "core.gz").read_bytes())[:6] == b"070701"


def test_options_change_the_image(folder: Path) -> None:
    (folder / "site" / "etc").mkdir(parents=True)
    (folder / "site" / "etc" / "motd").write_text("hello")
    command = [
        "build", "--sample", "--iso-version", "2", "--overlay", "site", "--boot-append", "quiet",
        "--boot-timeout", "3", "--volume-id", "MY VOLUME", "--timestamp", "1000000000",
        "--max-unpacked", "64M", "-q", "--output-dir", "deep/er",
    ]  # fmt: skip
    assert main(command) == 0
    data = (folder / "deep" / "er" / "rz_mk_dev-image.2.iso").read_bytes()
    assert b"MY VOLUME   " in data
    assert b"loglevel=3 quiet" in data
    assert b"timeout 3\n" in data


@pytest.mark.parametrize("number", ["1_0", " 10 ", "\u0661", "\uff11\uff17", "ten"])
@pytest.mark.parametrize("option", ["--timestamp", "--boot-timeout", "--jobs"])
def test_number_in_other_digits_is_refused(
    option: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--sample", option, number]) == 2
    message = f"must be a number in the digits 0 to 9, got {number!r}"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["build"],
            "nothing to build: the current folder has no purekernel.toml",
        ),
        (["build", "bundle.tar.gz", "--sample"], "a bundle and --sample exclude each other"),
        (["build", "--sample", "-q", "-v"], "--quiet and --verbose exclude each other"),
        (["build", "--smaple"], "No such option"),
        (["biuld"], "No such command 'biuld'"),
        (
            ["build", "--sample", "--emit", "iso,usb"],
            "Invalid value for '--emit': 'usb' is not one of iso, core, initrd, pxe",
        ),
        (
            ["build", "--sample", "--timestamp", "-5"],
            "the timestamp is out of range: must be from 0 to 4294967295, got -5",
        ),
        (
            ["build", "--sample", "--boot-timeout", "99999"],
            "the boot timeout must be from 0 to 35996 tenths of a second, got 99999",
        ),
        (
            ["build", "--sample", "--max-unpacked", "lots"],
            (
                "Invalid value for '--max-unpacked': must be a number of bytes, such as 500M or "
                "2G, got 'lots'"
            ),
        ),
        (
            ["build", "--sample", "--iso-version", "a/b"],
            "the image's version is not valid: got 'a/b'",
        ),
        (["build", "--sample", "--iso-version", ""], "the image's version is not valid: got ''"),
        (
            ["build", "--sample", "--boot-append", "a\nb"],
            "the text to append to the kernel's command line must be one line",
        ),
        (
            ["build", "--sample", "--volume-id", "x" * 33],
            "the ISO's volume id must be at most 32 bytes, got 33",
        ),
    ],
)
def test_usage_error_exits_with_status_2(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert two_lines(err)[0].startswith(message)
    untouched(folder)


def _bundle_bytes(change: Callable[[Tree], None]) -> bytes:
    tree = make_bundle_tree()
    change(tree)
    return build_tar(tree)


def _file(path: bytes, content: bytes) -> Callable[[Tree], None]:
    return lambda tree: tree.add(path, File(metadata=FILE, content=content))


def _overlay(change: Callable[[Tree], None]) -> Callable[[Tree], None]:
    """Replace the overlay of the bundle with an empty tree modified by ``change``."""

    def apply(tree: Tree) -> None:
        overlay = Tree()
        change(overlay)
        path = b"dependencies/razor-microkernel-overlay.tar.gz"
        tree.add(path, File(metadata=FILE, content=gzip.compress(build_tar(overlay))))

    return apply


def _iso_cut(tree: Tree) -> None:
    iso = tree[b"Core-current.iso"].content
    tree.add(b"Core-current.iso", File(metadata=FILE, content=iso[: len(iso) // 2]))


def _rename(data: bytes, old: bytes, new: bytes) -> bytes:
    """Rename a member of a tar file to a hostile name; update its checksum."""
    at = data.index(old)
    header = bytearray(data[at : at + 512])
    header[: max(len(old), len(new))] = new.ljust(max(len(old), len(new)), b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:at] + bytes(header) + data[at + 512 :]


BAD_BUNDLES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "bundle.tar.gz"),
    "html": (lambda: b"<html>moved</html>" * 99, "bundle.tar.gz"),
    "truncated gzip": (lambda: sample()[:-1000], "bundle.tar.gz, byte "),
    "corrupt gzip": (
        lambda: gzip.compress(build_tar(make_bundle_tree()))[:5000] + bytes(20_000),
        "bundle.tar.gz, byte ",
    ),
    "truncated tar": (lambda: build_tar(make_bundle_tree())[:-30_000], "bundle.tar.gz"),
    "no iso": (
        lambda: _bundle_bytes(lambda tree: tree.remove(b"Core-current.iso")),
        "bundle.tar.gz: Core-current.iso not found in the bundle",
    ),
    "truncated iso": (lambda: _bundle_bytes(_iso_cut), "bundle.tar.gz: Core-current.iso"),
    "iso of zeros": (
        lambda: _bundle_bytes(_file(b"Core-current.iso", bytes(100_000))),
        "bundle.tar.gz: Core-current.iso",
    ),
    "damaged overlay": (
        lambda: _bundle_bytes(
            _file(b"dependencies/razor-microkernel-overlay.tar.gz", b"\x1f\x8b\x08rubbish")
        ),
        "bundle.tar.gz: dependencies/razor-microkernel-overlay.tar.gz",
    ),
    "a file where a folder must be": (
        lambda: _bundle_bytes(_overlay(_file(b"etc", b"x"))),
        "bundle.tar.gz: dependencies/razor-microkernel-overlay.tar.gz: 'etc' is a folder",
    ),
    "a folder where a file is": (
        lambda: _bundle_bytes(
            _overlay(lambda tree: tree.add(b"init", Directory(metadata=Metadata(mode=0o755))))
        ),
        (
            "bundle.tar.gz: dependencies/razor-microkernel-overlay.tar.gz: "
            "'init' must be a folder, got a file"
        ),
    ),
    "an absolute climbing name": (
        lambda: _rename(build_tar(make_bundle_tree()), b"COPYING", b"/../x"),
        "bundle.tar.gz",
    ),
    "a climbing name": (
        lambda: _rename(build_tar(make_bundle_tree()), b"COPYING", b"../../x"),
        "bundle.tar.gz",
    ),
    "a file and a folder of one name": (
        lambda: _rename(build_tar(make_bundle_tree()), b"COPYING", b"dependencies"),
        "bundle.tar.gz",
    ),
    "a bomb": (
        lambda: _bundle_bytes(
            _file(b"dependencies/ssh-setup-files.tar.gz", gzip.compress(bytes(80 << 20)))
        ),
        (
            "bundle.tar.gz: dependencies/ssh-setup-files.tar.gz, byte 0: "
            "expected at most 67108864 bytes unpacked, got "
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_BUNDLES)
def test_invalid_bundle_is_reported_in_two_lines_and_keeps_the_old_output(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    make, message = BAD_BUNDLES[name]
    (folder / "bundle.tar.gz").write_bytes(make())
    status = main(["build", "bundle.tar.gz", "--iso-version", "0.9.0.1", "--max-unpacked", "64M"])
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert two_lines(err)[0].startswith(message)
    untouched(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "no-such.tar.gz"], "no-such.tar.gz does not exist"),
        (["build", "."], ". is a folder, not a file"),
        (["build", "bundle.tar.gz", "--overlay", "no-such"], "no-such"),
        (
            ["build", "bundle.tar.gz", "--boot-default", "x"],
            (
                "'boot/isolinux/isolinux.cfg': label not found: must be one of 'sample', 'quiet', "
                "got 'x'"
            ),
        ),
        (["build", "bundle.tar.gz", "--output-dir", "bundle.tar.gz/"], "bundle.tar.gz"),
        (
            ["build", "bundle.tar.gz", "--max-unpacked", "1000"],
            "bundle.tar.gz: expected at most 1000",
        ),
    ],
)
def test_failure_exits_with_status_1(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 1
    assert two_lines(capsys.readouterr().err)[0].startswith(message)
    untouched(folder)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_full_disk_keeps_the_old_output(folder: Path) -> None:
    """A limit on file sizes interrupts the write, as a full disk does."""
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "from purekernel.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = ("build", "bundle.tar.gz", "--iso-version", "0.9.0.1")
    done = purekernel(*command, cwd=folder, script=script)
    assert done.returncode == 1
    assert two_lines(done.stderr)[0] == f"{ISO} cannot be written: File too large"
    untouched(folder)


def interrupted(folder: Path, script: str, number: signal.Signals, *options: str) -> str:
    """Run a build whose ``script`` prints "now" and waits; interrupt it; return its output."""
    command = ("build", "bundle.tar.gz", "--iso-version", "0.9.0.1", *options)
    process = subprocess.Popen(
        [sys.executable, "-c", DEFAULT_SIGNALS + script, *command],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        if "half of it" in script:
            assert list(folder.glob(".*.part"))
        process.send_signal(number)
        _out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    return err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows delivers Ctrl-C to consoles only")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", ["reading the bundle", "compressing", "writing"])
def test_interruption_at_any_step_keeps_the_old_output(
    folder: Path, number: signal.Signals, step: str
) -> None:
    script = (
        "import sys, time\n"
        "from purekernel.cli import main, terminal\n"
        "def started(self, words):\n"
        f"    if words.startswith({step!r}):\n"
        "        print('now', flush=True)\n"
        "        time.sleep(60)\n"
        "terminal.StepTimer.started = started\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    assert two_lines(interrupted(folder, script, number))[0] == "interrupted"
    untouched(folder)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows delivers Ctrl-C to consoles only")
def test_interruption_while_the_iso_is_written_leaves_no_files(folder: Path) -> None:
    script = (
        "import sys, time\n"
        "from purekernel.remaster.image import Image\n"
        "def write(image, stream):\n"
        "    stream.write(b'half of it')\n"
        "    stream.flush()\n"
        "    print('now', flush=True)\n"
        "    time.sleep(60)\n"
        "Image.write_iso = write\n"
        "from purekernel.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    assert two_lines(interrupted(folder, script, signal.SIGINT)) == (
        "interrupted",
        "every output is complete: this build's, or an earlier one's",
    )
    untouched(folder)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows delivers Ctrl-C to consoles only")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [(), ("--no-nested",)], ids=["files inside", "segments"])
def test_interruption_does_not_wait_for_zopfli(
    folder: Path, number: signal.Signals, options: tuple[str, ...]
) -> None:
    """A hundred million iterations take hours."""
    script = (
        "import os, sys\n"
        "from zopfli import zlib\n"
        "compress = zlib.compress\n"
        "def for_hours(data, **settings):\n"
        "    if len(data) < 100:\n"  # the first call is a check of the library
        "        return compress(data, **settings)\n"
        "    os.write(1, b'now\\n')\n"
        "    return compress(data, **{**settings, 'numiterations': 100_000_000})\n"
        "zlib.compress = for_hours\n"
        "from purekernel.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    said = interrupted(folder, script, number, "--effort", "max", "--cache-dir", "own", *options)
    assert two_lines(said) == (
        "interrupted",
        "every output is complete: this build's, or an earlier one's",
    )
    untouched(folder)


def test_internal_error_prints_no_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("oh no")

    monkeypatch.setattr("purekernel.cli.build_image.build", broken)
    assert main(["build", "--sample"]) == 1
    message, hint = two_lines(capsys.readouterr().err)
    assert message == "internal error: ZeroDivisionError: oh no"
    assert "PUREKERNEL_TRACEBACK=1" in hint


def test_signal_handlers_of_the_caller_are_restored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert main(["--version"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_help_and_version_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "purekernel build --sample" in capsys.readouterr().out
    assert main(["build", "--help"]) == 0
    assert "--boot-append" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("purekernel 0.")


@pytest.mark.slow
def test_help_imports_no_slow_modules(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from purekernel.cli import main\n"
        "main(['--help'])\n"
        "heavy = {'pycdlib', 'PySquashfsImage', 'yaml', 'rich', 'attrs', 'deflate', 'tarfile'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    assert "HEAVY []" in purekernel(cwd=tmp_path, script=script).stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_progress_on_a_terminal_is_erased_at_the_end(folder: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "purekernel", "build", "bundle.tar.gz"],
        cwd=folder, env=environment(TERM="xterm", NO_COLOR="1"), stdout=subprocess.PIPE,
        stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            block = os.read(ours, 4096)
        except OSError:
            break  # the other end is closed
        if not block:
            break
        shown += block
    os.close(ours)
    out, _err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"reading the bundle" in shown or b"compressing" in shown or b"writing" in shown
    shown = shown.removesuffix(SAMPLE_FINDINGS.replace("\n", "\r\n").encode())
    assert shown.endswith((b"\x1b[?25h\r\x1b[1A\x1b[2K", b"\x1b[2K", b"\x1b[?25h"))
    assert b"\x1b" not in out


@pytest.mark.slow
def test_overlays_that_unpack_to_too_much_together_are_refused_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = Tree()
    tree.add(b"zeros", File(metadata=FILE, content=bytes(20 << 20)))
    for name in ("a.tgz", "b.tgz"):
        (folder / name).write_bytes(gzip.compress(build_tar(tree)))
    (folder / "c").mkdir()
    (folder / "c/zeros").write_bytes(bytes(20 << 20))
    command = ["build", "bundle.tar.gz", "--iso-version", "0.9.0.1", "--effort", "fast", "-q"]
    for overlays, where in (
        (("a.tgz", "b.tgz"), "b.tgz, byte 0"),
        (("a.tgz", "c"), str(Path("c/zeros"))),
    ):
        options = [option for name in overlays for option in ("--overlay", name)]
        assert main([*command, *options, "--max-unpacked", "32M"]) == 1
        message, hint = two_lines(capsys.readouterr().err)
        assert message.startswith(
            f"{where}: expected at most 33554432 bytes unpacked from all inputs together, got "
        )
        assert hint == "if you trust the inputs, raise the limit with --max-unpacked"
        untouched(folder)
    # An overlay counts once, although it is read again for its entries without a time.
    assert main([*command, "--overlay", "a.tgz", "--max-unpacked", "32M"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-q",), ("-v",), ("--json",)])
def test_notes_of_an_image_are_printed(
    options: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    libraries = tmp_path / "overlay/usr/lib"
    libraries.mkdir(parents=True)
    (libraries / "libbroken.so.1").write_bytes(b"\x7fELF\1\1\1 and no more")
    assert main(["build", "--sample", "--overlay", "overlay", *options]) == 0
    out, err = capsys.readouterr()
    note = "'/usr/lib/libbroken.so.1': expected a library, got a file of 19 bytes"
    if "--json" in options:
        assert json.loads(out)["notes"] == [note]
        assert err == ""
    else:
        assert f"purekernel: note: {note}\n" in err
        assert note not in out
