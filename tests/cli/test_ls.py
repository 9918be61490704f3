"""Test the commands ls and cat."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.core_iso import make_core_iso
from purekernel.cli import main
from purekernel.formats.cpio import build_cpio
from purekernel.tree import File, Metadata, Symlink
from tests.cli.test_control_characters import run as run_on_terminal
from tests.formats.test_address import tree_of
from tests.processes import environment


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tree = tree_of(etc__motd=b"welcome\n", etc__passwd=b"root:x:0:0::/:/bin/sh\n", bin__sh=b"\0")
    tree.add(b"etc/mtab", Symlink(metadata=Metadata(mode=0o777), target=b"/proc/mounts"))
    (tmp_path / "core.gz").write_bytes(gzip.compress(build_cpio(tree)))
    return tmp_path


def run(capfdbinary: pytest.CaptureFixture[bytes], *words: str) -> tuple[int, bytes, str]:
    status = main(list(words))
    out, err = capfdbinary.readouterr()
    return status, out, err.decode()


def test_names_are_listed_one_a_line(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(capfdbinary, "ls", "core.gz") == (0, b"bin\netc\n", "")
    assert run(capfdbinary, "ls", "core.gz:etc") == (0, b"motd\nmtab\npasswd\n", "")
    assert run(capfdbinary, "ls", "-0", "core.gz") == (0, b"bin\0etc\0", "")
    assert run(capfdbinary, "ls", "-R", "core.gz")[1] == (
        b"bin\nbin/sh\netc\netc/motd\netc/mtab\netc/passwd\n"
    )
    assert run(capfdbinary, "ls", "-d", "core.gz:etc")[1] == b"core.gz:etc\n"


def test_several_places_have_headings(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    status, out, err = run(capfdbinary, "ls", "core.gz:bin", "core.gz:etc/motd", "core.gz:etc")
    assert (status, err) == (0, "")
    assert out == b"core.gz:bin:\nsh\ncore.gz:etc/motd\n\ncore.gz:etc:\nmotd\nmtab\npasswd\n"


def test_missing_place_is_reported_after_the_others(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    status, out, err = run(capfdbinary, "ls", "core.gz:ect", "core.gz:bin", "nowhere")
    assert (status, out) == (1, b"core.gz:bin:\nsh\n")
    assert err == (
        "purekernel: core.gz has no ect\n"
        "  did you mean core.gz:etc? it has bin, etc\n"
        "purekernel: nowhere does not exist\n"
        "  check the path; it is relative to the current folder\n"
    )
    status, out, err = run(
        capfdbinary, "cat", "core.gz:etc/mtab", "core.gz:etc/motd", "core.gz:etc"
    )
    assert (status, out) == (1, b"welcome\n")
    assert err.splitlines()[::2] == [
        "purekernel: core.gz:etc/mtab is a symbolic link to '/proc/mounts', which is missing",
        "purekernel: core.gz:etc is a folder, not a file",
    ]


def test_contents_are_printed_in_order(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    status, out, _err = run(capfdbinary, "cat", "core.gz:bin/sh", "core.gz:etc/motd", "core.gz")
    assert status == 0
    assert out == b"\0welcome\n" + Path("core.gz").read_bytes()


def test_json_lists_each_place(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    status, out, err = run(capfdbinary, "ls", "--json", "core.gz", "core.gz:etc/mtab", "core.gz:x")
    assert (status, err) == (1, "")
    document = json.loads(out)
    assert document["error"]["code"] == "missing-path"
    assert document["error"]["file"] == "core.gz"
    top, link = document["places"]
    assert (top["place"], top["kind"], top["compression"]) == ("core.gz", "cpio", "gzip")
    assert [entry["path"] for entry in top["entries"]] == ["bin", "etc"]
    assert link["is_folder"] is False
    assert link["entries"][0]["target"] == "/proc/mounts"


def test_cat_prints_no_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    status, out, _err = run(capfdbinary, "cat", "--json", "core.gz:etc/motd")
    assert status == 2
    assert json.loads(out)["error"]["message"] == "cat prints data, not JSON"


def test_names_are_escaped_on_a_terminal_only(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    tree = tree_of()
    tree.add(b"a\n\x1b[2J\xff", File(metadata=Metadata(mode=0o644), content=b"x"))
    (folder / "x.cpio").write_bytes(build_cpio(tree))
    assert run(capfdbinary, "ls", "x.cpio")[1] == b"a\n\x1b[2J\xff\n"
    assert run_on_terminal("ls", "x.cpio") == (0, b"a\\n\\x1b[2J\\xff\n")
    status, out = run_on_terminal("ls", "-l", "x.cpio")
    assert status == 0
    assert out.endswith(b" a\\n\\x1b[2J\\xff\n")


def test_binary_data_is_not_printed_on_a_terminal(folder: Path) -> None:
    tree = tree_of(text="tab\tünï\r\n\f".encode(), escape=b"a\x1b]0;x\x07", c1="\x9b2J".encode())
    (folder / "x.cpio").write_bytes(build_cpio(tree))
    assert run_on_terminal("cat", "x.cpio:text")[0] == 0
    for name in ("escape", "c1"):
        status, out = run_on_terminal("cat", f"x.cpio:{name}")
        assert status == 1
        assert (
            out
            == (
                f"purekernel: x.cpio:{name} is binary, and would send control characters to the "
                "terminal\n  redirect stdout to a file or a pipe, or add --force\n"
            ).encode()
        )


def test_limit_is_an_option(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for command in ("ls", "cat"):
        status, _out, err = run(capfdbinary, command, "--max-unpacked", "100", "core.gz:etc/motd")
        assert status == 1
        assert "at most 100 bytes unpacked" in err
        assert "raise the limit with --max-unpacked" in err


@pytest.mark.slow
def test_closed_pipe_is_no_error_message(folder: Path) -> None:
    (folder / "big").write_bytes(bytes(1 << 20))
    for words in (["cat", "big"], ["ls", "-lR", "core.gz"]):
        with subprocess.Popen(
            [sys.executable, "-m", "purekernel", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 1


def test_place_in_an_iso_is_listed_and_printed(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (folder / "x.iso").write_bytes(make_core_iso())
    status, out, _err = run(capfdbinary, "ls", "-l", "x.iso:boot")
    assert status == 0
    assert [line.split()[-1] for line in out.splitlines()] == [b"core.gz", b"isolinux", b"vmlinuz"]
    status, out, _err = run(capfdbinary, "cat", "x.iso:boot/core.gz:etc/passwd")
    assert status == 0
    assert out.startswith(b"root:")
