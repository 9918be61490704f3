"""Test the file SHA256SUMS beside outputs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from purekernel.errors import InputError, LimitError, OutputError, PurekernelError
from purekernel.host import checksums
from purekernel.host.checksums import CHECKSUMS, closing_checksums, load_checksums
from purekernel.host.staging import LOCK_NAME
from purekernel.host.write import Output, publish, publish_file
from tests.oracles import require, run

A, B = "a" * 64, "b" * 64


def write(folder: Path, contents: dict[str, bytes]) -> str:
    """Write outputs, and return the checksum file."""
    outputs = publish(folder, contents, closing=closing_checksums(folder))
    assert [output.path.relative_to(folder).as_posix() for output in outputs] == list(contents)
    return (folder / CHECKSUMS).read_text(encoding="utf-8")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_lines_are_sorted_by_name(tmp_path: Path) -> None:
    assert write(tmp_path, {"b.iso": b"b", "a.pxe/boot/x": b"x", "B": b"B"}) == (
        f"{digest(b'B')}  B\n{digest(b'x')}  a.pxe/boot/x\n{digest(b'b')}  b.iso\n"
    )


def test_lines_of_other_builds_stay(tmp_path: Path) -> None:
    write(tmp_path, {"old.iso": b"1", "z": b"2"})
    assert write(tmp_path, {"new.iso": b"3", "z": b"4"}) == (
        f"{digest(b'3')}  new.iso\n{digest(b'1')}  old.iso\n{digest(b'4')}  z\n"
    )


def test_lines_of_sha256sum_in_any_form_keep_their_bytes(tmp_path: Path) -> None:
    lines = [
        f"{A} *binary",
        f"\\{A}  new\\nline\\\\",
        f"{B.upper()}  upper",
        f"SHA256 (tagged) = {B}",
        f"{A}  windows\r",
    ]
    text = "# of mine\n\n" + "".join(f"{line}\n" for line in lines)
    (tmp_path / CHECKSUMS).write_bytes(text.encode())
    write(tmp_path, {"a": b"a"})
    assert (tmp_path / CHECKSUMS).read_bytes().decode().split("\n") == [
        "# of mine",
        f"{digest(b'a')}  a",
        f"{A} *binary",
        f"\\{A}  new\\nline\\\\",
        f"SHA256 (tagged) = {B}",
        f"{B.upper()}  upper",
        f"{A}  windows\r",
        "",
    ]


@pytest.mark.parametrize("old", [f"{A}  x", f"{A} *./x", f"SHA256 (x) = {A}", f"{A}  x\r\n"])
def test_line_of_a_replaced_output_is_replaced(old: str, tmp_path: Path) -> None:
    (tmp_path / CHECKSUMS).write_bytes(old.encode())
    assert write(tmp_path, {"x": b"x"}) == f"{digest(b'x')}  x\n"


@pytest.mark.parametrize(
    "line", ["hello", A, f"{A} x", f"{A[1:]}  x", "-----BEGIN PGP SIGNED MESSAGE-----"]
)
def test_other_lines_are_refused_before_a_file_is_replaced(line: str, tmp_path: Path) -> None:
    (tmp_path / CHECKSUMS).write_text(f"{A}  x\n{line}\n", encoding="utf-8")
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(InputError) as caught:
        write(tmp_path, {"x": b"new"})
    assert str(caught.value) == (
        f"{tmp_path / CHECKSUMS}, line 2: must be a SHA-256 and a file name, as sha256sum writes "
        "them"
    )
    assert caught.value.hint == "move the file away, or write the outputs to another folder"
    assert (tmp_path / "x").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKSUMS, "x"]


def test_folder_and_dangling_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / CHECKSUMS).mkdir()
    with pytest.raises(PurekernelError, match="is a folder, not a file"):
        load_checksums(tmp_path)
    (tmp_path / CHECKSUMS).rmdir()
    try:
        (tmp_path / CHECKSUMS).symlink_to("nowhere")
    except OSError:  # Windows without privileges has no links
        return
    if not (tmp_path / CHECKSUMS).is_symlink():  # nor has Wine
        return
    with pytest.raises(PurekernelError, match="does not exist"):
        load_checksums(tmp_path)


def test_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_MAX_BYTES", 100)
    (tmp_path / CHECKSUMS).write_text(f"{A}  {'x' * 100}\n", encoding="utf-8")
    with pytest.raises(LimitError):
        load_checksums(tmp_path)


def test_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert load_checksums(tmp_path) == load_checksums(tmp_path / "missing") == []


def test_line_of_one_file_is_added_beside_it(tmp_path: Path) -> None:
    write(tmp_path, {"old.iso": b"1"})
    publish_file(tmp_path / "my.iso", b"2", closing=closing_checksums(tmp_path))
    assert (tmp_path / CHECKSUMS).read_text(encoding="utf-8") == (
        f"{digest(b'2')}  my.iso\n{digest(b'1')}  old.iso\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no line ends in names")
def test_name_with_a_backslash_or_a_line_break_is_escaped(tmp_path: Path) -> None:
    closing = closing_checksums(tmp_path)
    for _again in range(2):
        publish_file(tmp_path / "a\\b\r\n.iso", b"x", closing=closing)
    assert (tmp_path / CHECKSUMS).read_bytes() == (f"\\{digest(b'x')}  a\\\\b\\r\\n.iso\n".encode())


def test_build_that_ends_during_the_update_of_another_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()
    sleep = time.sleep

    def sleep_and_tell(seconds: float) -> None:
        waits.set()
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", sleep_and_tell)
    second = threading.Thread(target=write, args=(tmp_path, {"b.iso": b"b"}))

    @contextmanager
    def closing(outputs: Sequence[Output]) -> Iterator[tuple[str, bytes]]:
        with closing_checksums(tmp_path)(outputs) as (name, content):
            second.start()
            while not waits.wait(0.01):
                assert second.is_alive(), "the second build did not wait"
            assert not (tmp_path / "b.iso").exists()
            yield name, bytes(content)

    publish(tmp_path, {"a.iso": b"a"}, closing=closing)
    second.join()
    assert (tmp_path / CHECKSUMS).read_text(encoding="utf-8") == (
        f"{digest(b'a')}  a.iso\n{digest(b'b')}  b.iso\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKSUMS, "a.iso", "b.iso"]


def test_lock_that_is_not_freed_is_an_error_and_the_old_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "_TRIES", 2)
    monkeypatch.setattr(checksums, "_PAUSE_SECONDS", 0)
    old = write(tmp_path, {"x": b"old"})
    with closing_checksums(tmp_path)([]), pytest.raises(OutputError) as caught:
        write(tmp_path, {"x": b"new"})
    assert str(caught.value) == (
        f"{tmp_path / CHECKSUMS} is in use by another build, which does not end"
    )
    assert caught.value.hint == "end that build, or write the outputs to another folder"
    assert (tmp_path / "x").read_bytes() == b"old"
    assert write(tmp_path, {"x": b"old"}) == old


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes the file of a killed process")
def test_lock_of_a_killed_process_does_not_hold_up_a_build(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).touch(0o644)
    write(tmp_path, {"x": b"x"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [CHECKSUMS, "x"]


_WRITER = """\
import sys
from pathlib import Path
from purekernel.host.checksums import closing_checksums
from purekernel.host.write import publish
folder = Path(sys.argv[1])
for number in range(20):
    name = f"{sys.argv[2]}{number}"
    publish(folder, {name: name.encode()}, closing=closing_checksums(folder))
"""


@pytest.mark.slow
def test_two_processes_that_write_to_one_folder_lose_no_line(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), name]) for name in "ab"
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    names = sorted(f"{name}{number}" for name in "ab" for number in range(20))
    assert (tmp_path / CHECKSUMS).read_text(encoding="utf-8") == "".join(
        f"{digest(name.encode())}  {name}\n" for name in names
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([CHECKSUMS, *names])


@pytest.mark.oracle
def test_sha256sum_verifies_the_file(tmp_path: Path) -> None:
    write(tmp_path, {"b.iso": b"b", "a.pxe/boot/x": b"x", "caf\xe9": b"c"})
    write(tmp_path, {"b.iso": b"c"})
    publish_file(tmp_path / "back\\slash\n", b"d", closing=closing_checksums(tmp_path))
    checked = run(require("sha256sum"), "--check", "--strict", CHECKSUMS, cwd=tmp_path)
    assert checked.count(b": OK\n") == 4
