"""Test the file SHA256SUMS beside outputs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from purekernel.errors import InputError, LimitError, PurekernelError
from purekernel.host import checksums
from purekernel.host.checksums import CHECKSUMS, closing_checksums, load_checksums
from purekernel.host.write import publish
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


@pytest.mark.oracle
def test_sha256sum_verifies_the_file(tmp_path: Path) -> None:
    write(tmp_path, {"b.iso": b"b", "a.pxe/boot/x": b"x", "caf\xe9": b"c"})
    write(tmp_path, {"b.iso": b"c"})
    checked = run(require("sha256sum"), "--check", "--strict", CHECKSUMS, cwd=tmp_path)
    assert checked.count(b": OK\n") == 3
