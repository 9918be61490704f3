"""Test that every command reads the archives that other programs read, and prints a note."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from fixtures.bundle import make_bundle
from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from purekernel import build
from purekernel.cli import main
from purekernel.formats.cpio import build_cpio
from purekernel.formats.squashfs import parse_squashfs
from purekernel.formats.tar import parse_tar
from purekernel.input import Input
from purekernel.tree import File, Metadata, Tree
from tests.builds import SAMPLE_FINDINGS
from tests.debs import deb, entry

RELEASE = "3.0.3-purekernel"


def member(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()[: 512 + len(content) + -len(content) % 512]


APPENDED = member("/etc/one", b"old") + member("etc/one", b"new") + bytes(1024)


def small_core(content: bytes) -> bytes:
    """Return an archive of ``etc/one`` without a trailer."""
    tree = Tree()
    tree.add(b"etc", make_core_tree()[b"etc"])
    tree.add(b"etc/one", File(metadata=Metadata(mode=0o644), content=content))
    data = build_cpio(tree)
    return data[: data.rindex(b"070701")]


# A Core whose etc/one was replaced, in parts of several kinds, with zeros between them.
PADDED_CORE = b"".join(
    part + bytes(-len(part) % 4 + 8)
    for part in (
        gzip.compress(build_cpio(make_core_tree()), mtime=0),
        gzip.compress(small_core(b"old") + small_core(b"new"), mtime=0),
        gzip.compress(small_core(b"newest"), mtime=0),
    )
)
CORE_NOTE = "1 member replaces an earlier one of the same name: 'etc/one' at byte "
OPEN_NOTE = "the record TRAILER!!! at its end is missing, so it may have been cut off"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (tmp_path / "o.tar").write_bytes(APPENDED)
    (tmp_path / "core.gz").write_bytes(PADDED_CORE)
    return tmp_path


def read(path: str) -> Tree:
    return parse_squashfs(Input(Path(path).read_bytes(), name=path))


@pytest.mark.slow
def test_build_notes_unusual_bundle_base_and_overlay(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = gzip.decompress(make_bundle(iso=make_core_iso(core=PADDED_CORE)))
    end = len(bundle.rstrip(b"\0"))
    bundle = bundle[: end + -end % 512] + member("/COPYING", b"another licence")
    (folder / "b.tar").write_bytes(bundle)
    command = ["build", "b.tar", "--iso-version", "1", "--effort", "fast", "--overlay", "o.tar"]
    assert main([*command, "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    words = ("same name", "leading", "missing")
    found = sorted(note for note in notes if any(word in note for word in words))
    starts = [
        "Core-current.iso: boot/core.gz: 2 members replace earlier ones of the same name; for",
        f"Core-current.iso: boot/core.gz: {OPEN_NOTE}",
        "b.tar: 1 member replaces an earlier one of the same name: 'COPYING'",
        "b.tar: removed the leading '/' from 1 name: '/COPYING'",
        "b.tar: the zeros at its end are missing, so it may have been cut off",
        "o.tar: 1 member replaces an earlier one of the same name: 'etc/one'",
        "o.tar: removed the leading '/' from 1 name: '/etc/one'",
    ]
    assert len(found) == len(starts)
    assert all(note.startswith(start) for note, start in zip(found, starts, strict=True)), found
    assert main([*command, "--quiet"]) == 0
    shown = capsys.readouterr().err.splitlines()
    for line in SAMPLE_FINDINGS.splitlines():
        shown.remove(line)
    assert sorted(shown) == sorted(notes_as_lines(notes))
    image = build("b.tar")
    assert f"Core-current.iso: boot/core.gz: {OPEN_NOTE}" in image.notes
    assert image.root.read("etc/one") == b"newest"


def notes_as_lines(notes: list[str]) -> list[str]:
    return [f"purekernel: note: {note}" for note in notes]


def test_mksquashfs_of_an_appended_archive_prints_notes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tool", "mksquashfs", "o.tar", "x.tcz", "-quiet"]) == 0
    assert read("x.tcz").read("etc/one") == b"new"
    assert capsys.readouterr().err.splitlines() == notes_as_lines([
        ("o.tar: 1 member replaces an earlier one of the same name: "
        "'etc/one' at byte 1024 replaces the one at byte 0"),
        "o.tar: removed the leading '/' from 1 name: '/etc/one'",
    ])  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        ["mksquashfs", "core.gz", "x.tcz", "-quiet"],
        ["ldconfig", "-r", "core.gz", "-N", "-X"],
        ["depmod", "-b", "core.gz", "-n", RELEASE],
    ],
    ids=lambda command: command[0],
)
def test_tools_read_a_core_in_padded_parts_and_print_notes_once(
    command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tool", *command]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert sum(OPEN_NOTE in line for line in lines) == 1
    assert sum(CORE_NOTE in line for line in lines) <= 1
    if command[0] == "mksquashfs":
        tree = read("x.tcz")
        assert tree.read("etc/one") == b"newest"
        assert len(tree) >= len(make_core_tree())


def test_deb2tcz_of_an_unusual_package_prints_notes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = deb(data=[entry("/opt/a", b"old"), entry("./opt/a", b"new")])
    (folder / "tool.deb").write_bytes(data + b"\njunk")
    assert main(["tool", "deb2tcz", "-q", "tool.deb", "x.tcz"]) == 0
    assert read("x.tcz").read("opt/a") == b"new"
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("tool.deb: ")[2][:25] for line in lines] == [
        "ignored 5 bytes after dat",
        "data.tar.xz: 1 member rep",
        "data.tar.xz: removed the ",
    ]


def test_archives_of_the_tests_are_what_they_say() -> None:
    assert parse_tar(Input(APPENDED, name="a")).read("etc/one") == b"new"
    assert PADDED_CORE.count(b"\x1f\x8b\x08") == 3
