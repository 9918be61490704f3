from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings

from purekernel.errors import UnrepresentableError, UsageError
from purekernel.formats.iso import IsoBoot, VolumeFields, build_iso, parse_iso, write_iso
from purekernel.input import Input
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Metadata,
    Node,
    Socket,
    Symlink,
    Tree,
)
from tests.formats.iso.disks import BOOT, DEEP, FIELDS, TIME, boot_tree, every_kind, file, plant
from tests.oracles import require, run
from tests.strategies import trees

# Breaks when a byte of the output changes: find out why, then update the digest.
EVERY_KIND_SHA256 = "1d7084f15c953b1db6215b73c7ae490c07b860c77bea275a887ed3fc3f2de568"


def build(tree: Tree, boot: IsoBoot | None = None) -> bytes:
    return build_iso(tree, fields=FIELDS, boot=boot, timestamp=TIME)


def read(data: bytes) -> Tree:
    return parse_iso(Input(data, name="image")).tree


def changed(**changes: Any) -> IsoBoot:
    """Return the boot settings with ``changes`` of their entry."""
    return evolve(BOOT, entries=tuple(evolve(entry, **changes) for entry in BOOT.entries))


def without_info(tree: Tree) -> Tree:
    """Return ``tree`` with zeros as the boot info table of the boot image."""
    tree = tree.copy()
    node = tree[BOOT.boot_image]
    assert isinstance(node, File)
    content = bytes(node.content)
    tree.replace(BOOT.boot_image, evolve(node, content=content[:8] + bytes(56) + content[64:]))
    return tree


def is_writable(node: Node) -> bool:
    return not isinstance(node, Device) or node.major > 0 or node.minor < 256


def test_every_type_of_node_round_trips() -> None:
    image = parse_iso(Input(build(every_kind(), BOOT), name="image"))
    assert without_info(image.tree) == without_info(every_kind())
    assert image.boot == BOOT


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(trees())
def test_tree_round_trips(tree: Tree) -> None:
    for path, node in list(tree.walk()):
        if not is_writable(node):
            tree.remove(path)
    assert read(build(tree)) == tree


@pytest.mark.slow
def test_image_that_is_read_and_rewritten_is_identical() -> None:
    first = build(every_kind(), BOOT)
    image = parse_iso(Input(first, name="image"))
    again = build_iso(image.tree, fields=image.fields, boot=image.boot, timestamp=TIME)
    assert again == first


def test_golden_digest() -> None:
    data = build(every_kind(), BOOT)
    assert hashlib.sha256(data).hexdigest() == EVERY_KIND_SHA256


@pytest.mark.slow
def test_relocated_folders_are_read_at_their_original_paths() -> None:
    tree = every_kind()
    assert b"rr_moved" not in read(build(tree))
    plant(tree, b"rr_moved/mine", file(b"mine"))
    assert read(build(tree)) == tree


def test_hard_links_are_stored_once() -> None:
    tree = Tree()
    plant(tree, b"a", file(b"x" * 100_000))
    alone = len(build(tree))
    tree.link(b"b", b"a")
    assert len(build(tree)) == alone


def linked_without_content() -> Tree:
    """Return a tree with two names of an empty file, and of each node that has no content."""
    plain = Metadata(mode=0o644, mtime=TIME)
    nodes = {
        "empty": File(metadata=plain, content=b""),
        "device": Device(metadata=plain, kind=DeviceKind.CHARACTER, major=4, minor=64),
        "fifo": Fifo(metadata=plain),
        "socket": Socket(metadata=plain),
        "link": Symlink(metadata=evolve(plain, mode=0o777), target=b"empty"),
        "full": File(metadata=plain, content=b"x"),
    }
    tree = Tree()
    for name, node in nodes.items():
        plant(tree, name.encode(), node)
        tree.add_parents(b"more/x")
        tree.link(b"more/" + name.encode() + b"n" * 200, name.encode())
    plant(tree, b"another", nodes["empty"])
    return tree


def test_hard_links_without_content_are_kept() -> None:
    tree = linked_without_content()
    assert read(build(tree)) == tree
    assert len(tree.hard_links()) == 6


@pytest.mark.oracle
def test_isoinfo_counts_hard_links_without_content(tmp_path: Path) -> None:
    path = tmp_path / "x.iso"
    path.write_bytes(build(linked_without_content()))
    lines = run(require("isoinfo"), "-R", "-l", "-i", path).decode().splitlines()
    counts = {
        line.partition("]")[2].split()[0].rstrip("n"): line.split()[1]
        for line in lines
        if "]" in line and not line.startswith("d")
    }
    wanted = {"another": "1", **dict.fromkeys(["device", "empty", "fifo", "full", "socket"], "2")}
    assert counts == {**wanted, "link": "2"}


def test_contents_are_written_without_copies() -> None:
    content = bytearray(b"y" * 300_000)
    tree = Tree()
    plant(tree, b"big", File(metadata=Metadata(mode=0o644), content=memoryview(content)))

    class Sink:
        def __init__(self) -> None:
            self.whole = False

        def write(self, data: bytes | memoryview) -> int:
            self.whole |= isinstance(data, memoryview) and data.obj is content
            return len(data)

        def writelines(self, lines: list[bytes]) -> None:
            for line in lines:
                self.write(line)

    sink = Sink()
    write_iso(tree, sink, fields=FIELDS, boot=None, timestamp=TIME)  # type: ignore[arg-type]
    assert sink.whole


def test_stream_that_is_not_seekable_is_written() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            super().__init__()
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
            self.data += data
            return len(data)

    pipe = Pipe()
    write_iso(boot_tree(), pipe, fields=FIELDS, boot=BOOT, timestamp=TIME)  # type: ignore[arg-type]
    assert pipe.data == build(boot_tree(), BOOT)


def test_file_at_the_path_of_the_catalog_is_replaced() -> None:
    tree = boot_tree()
    plant(tree, BOOT.catalog, file(b"old catalog"))
    assert build(tree, BOOT) == build(boot_tree(), BOOT)


def test_boot_image_without_boot_info_table_is_unchanged() -> None:
    boot = changed(boot_info_table=False, load_sectors=7)
    image = parse_iso(Input(build(boot_tree(), boot), name="image"))
    assert image.boot == boot
    assert image.tree == boot_tree()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"path": b"none"},
            "the boot image 'none' must be a file that is not empty",
        ),
        ({"path": b"boot"}, "the boot image 'boot' must be a file that is not empty"),
        (
            {"path": b"LICENSE"},
            "the boot image 'LICENSE' must be at least 64 bytes for a boot info table, got 15",
        ),
        ({"catalog": b"none/x"}, "the boot catalog 'none/x' must be in a folder of the image"),
        ({"catalog": b""}, "the boot catalog '' must be in a folder of the image"),
        ({"catalog": b"boot"}, "the boot catalog must not replace 'boot'"),
        (
            {"catalog": BOOT.boot_image},
            "the boot catalog must not replace 'boot/isolinux/isolinux.bin'",
        ),
        (
            {"load_sectors": 65536},
            "the number of sectors to load must be from 0 to 65535, got 65536",
        ),
    ],
)
def test_invalid_boot_settings_are_refused(changes: dict[str, bytes], message: str) -> None:
    boot = evolve(BOOT, **changes) if "catalog" in changes else changed(**changes)
    with pytest.raises(UsageError) as caught:
        build(boot_tree(), boot)
    assert str(caught.value) == message


def refusal(node: Node) -> str:
    tree = Tree()
    tree.add(b"it", node)
    with pytest.raises(UnrepresentableError) as caught:
        build(tree)
    return str(caught.value)


def test_unrepresentable_node_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(File(metadata=Metadata(mode=0, uid=1 << 32))) == (
        "'it': the owner and group in an ISO image must be from 0 to 4294967295, got 4294967296:0"
    )
    assert refusal(
        Device(metadata=Metadata(mode=0), kind=DeviceKind.BLOCK, major=0, minor=256)
    ) == ("'it': Linux cannot read the device numbers 0:256 back from an ISO image")
    monkeypatch.setattr("purekernel.formats.iso.writer.MAX_FILE_BYTES", 99)
    assert refusal(File(metadata=Metadata(mode=0), content=bytes(100))) == (
        "'it': a file in an ISO image must be at most 99 bytes (4 GiB), got 100"
    )
    monkeypatch.setattr("purekernel.formats.iso.writer.MAX_FOLDERS", 2)
    assert refusal(Directory(metadata=Metadata(mode=0))) == (
        "an ISO image must have fewer than 2 folders"
    )


def test_time_out_of_range_is_clamped() -> None:
    tree = Tree()
    tree.add(b"old", File(metadata=Metadata(mode=0o644, mtime=-(1 << 40))))
    tree.add(b"new", File(metadata=Metadata(mode=0o644, mtime=1 << 40)))
    tree.add(b"before", File(metadata=Metadata(mode=0o644, mtime=-1)))
    back = read(build(tree))
    assert back[b"old"].metadata.mtime == -2_208_988_800
    assert back[b"new"].metadata.mtime == 5_869_583_999
    assert back[b"before"].metadata.mtime == -1


BUILD = """
import datetime, hashlib, os, time
real = time.time
time.time = lambda: real() + float(os.environ["SHIFT"])
from tests.formats.iso.disks import BOOT, FIELDS, TIME, every_kind
from purekernel.formats.iso import build_iso
data = build_iso(every_kind(), fields=FIELDS, boot=BOOT, timestamp=TIME)
print(hashlib.sha256(data).hexdigest())
"""


@pytest.mark.slow
def test_image_does_not_depend_on_clock_time_zone_or_hash_seed() -> None:
    root = Path(__file__).parents[3]
    digests = set()
    for zone, seed, shift in (
        ("UTC0", "0", "0"),
        ("America/St_Johns", "1", "86400"),
        ("Pacific/Kiritimati", "4242", "1e9"),
        ("XXX-5:45", "random", "-1e9"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", BUILD],
            env={**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "SHIFT": shift},
            cwd=root,
            capture_output=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    assert digests.pop().decode().strip() == EVERY_KIND_SHA256


# Independent checkers


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.iso"
    fields = VolumeFields(
        volume_id="Razor MK 0.9.0.1",
        application_id="Razor Microkernel",
        publisher_id="someone",
        preparer_id="purekernel",
        copyright_file_id="LICENSE",
    )
    tree = boot_tree()
    tree.link(b"boot/hard", b"boot/vmlinuz")
    plant(tree, b"long names and [brackets].tar.gz", file(b"long"))
    plant(tree, DEEP + b"/end", file(b"deep"))
    path.write_bytes(build_iso(tree, fields=fields, boot=BOOT, timestamp=TIME))
    return path


@pytest.mark.oracle
def test_isoinfo_prints_the_fields(disk: Path) -> None:
    shown = run(require("isoinfo"), "-d", "-i", disk).decode()
    for line in (
        "Volume id: Razor MK 0.9.0.1",
        "System id: LINUX",
        "Application id: Razor Microkernel",
        "Publisher id: someone",
        "Data preparer id: purekernel",
        "Copyright File id: LICENSE.;1",
        "Joliet with UCS level 3 found",
        "Rock Ridge signatures version 1 found",
        "Boot media 0 (No Emulation Boot)",
        "Nsect 4",
    ):
        assert line in shown


@pytest.mark.oracle
def test_isoinfo_lists_every_name(disk: Path) -> None:
    isoinfo = require("isoinfo")
    plain = run(isoinfo, "-f", "-i", disk).decode().splitlines()
    assert "/BOOT/ISOLINUX/ISOLINUX.CFG;1" in plain
    assert "/BOOT/VMLINUZ.;1" in plain
    assert "/LONG_NAMES_AND__BRACKETS__TA.GZ;1" in plain
    for option in ("-R", "-J"):
        names = run(isoinfo, option, "-f", "-i", disk).decode().splitlines()
        assert "/boot/isolinux/isolinux.cfg" in names
        assert "/long names and [brackets].tar.gz" in names
    shown = run(isoinfo, "-J", "-i", disk, "-x", "/boot/core.gz")
    assert shown == b"\x1f\x8b" + b"core" * 5000


@pytest.mark.oracle
def test_xorriso_reports_the_boot_settings(disk: Path) -> None:
    shown = run(require("xorriso"), "-indev", disk, "-report_el_torito", "plain").decode()
    assert "El Torito cat path : /boot/isolinux/boot.cat" in shown
    assert "El Torito img path :   1  /boot/isolinux/isolinux.bin" in shown
    assert "El Torito img opts :   1  boot-info-table" in shown
    assert "1  BIOS  y   none  0x0000  0x00      4" in shown


@pytest.mark.oracle
def test_xorriso_unpacks_the_same_files(disk: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(require("xorriso"), "-osirrox", "on", "-indev", disk, "-extract", "/", out)
    compare(out, read(disk.read_bytes()), modes=True)
    assert not any((out / "rr_moved").iterdir())


@pytest.mark.oracle
def test_7z_unpacks_the_same_files(disk: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(require("7z"), "x", "-y", f"-o{out}", disk)
    # 7z reads Joliet, which limits names to 64 characters. No name here is longer.
    compare(out, read(disk.read_bytes()), modes=False)


def compare(out: Path, tree: Tree, *, modes: bool) -> None:
    seen = 0
    for path, node in tree.walk():
        unpacked = out / os.fsdecode(path)
        if isinstance(node, File):
            assert unpacked.read_bytes() == node.content
            assert int(unpacked.stat().st_mtime) == node.metadata.mtime
            seen += 1
        if modes:
            assert unpacked.stat().st_mode & 0o7777 == node.metadata.mode
    assert seen == 8


@pytest.mark.oracle
def test_xorriso_reads_special_files(tmp_path: Path) -> None:
    path = tmp_path / "disk.iso"
    path.write_bytes(build(every_kind(), BOOT))
    shown = run(
        require("xorriso"), "-abort_on", "NEVER", "-return_with", "FATAL", "32",
        "-error_behavior", "image_loading", "best_effort",
        "-indev", path, "-find", "/kinds", "-exec", "lsdl",
    ).decode(errors="replace")  # fmt: skip
    lines = {line.rpartition(" ")[2]: line.split() for line in shown.splitlines()}
    assert lines["'/kinds/null'"][0] == "crw-rw-rw-"
    assert lines["'/kinds/null'"][4] == "1,3"
    assert lines["'/kinds/loop0'"][:5] == ["brw-rw----", "1", "0", "50", "7,0"]
    assert lines["'/kinds/fifo'"][0] == "prw-------"
    assert lines["'/kinds/socket'"][0] == "srwxrwxrwx"
    assert lines["'/kinds/owned'"][:4] == ["-rwsr-x---", "1", "70000", "4000000000"]
    assert lines["'/kinds/sticky'"][:4] == ["drwxrwxrwt", "1", "1001", "50"]
