from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from purekernel.errors import FormatError, LimitError, PurekernelError
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.fat import parse_fat
from purekernel.input import Input, Limits
from purekernel.tree import File
from tests.formats.fats import make_fat12, set_entry
from tests.oracles import require, run

TIME = 1796056918  # 2026-11-30 16:41:58 UTC; times of FAT are even

FILES = {
    "EFI/BOOT/BOOTX64.EFI": bytes(range(256)) * 5,
    "EFI/BOOT/GRUB.CFG": b"menuentry x {}\n",
    "EMPTY.TXT": b"",
}


def contents(data: bytes) -> dict[str, bytes]:
    tree = parse_fat(Input(data, name="x"))
    return {
        path.decode(): bytes(node.content) for path, node in tree.walk() if isinstance(node, File)
    }


def test_files_in_nested_folders_are_read() -> None:
    assert contents(bytes(make_fat12(FILES))) == FILES


def test_chain_of_scattered_clusters_is_followed() -> None:
    image = make_fat12({"A.BIN": b"a" * 512 + b"b" * 512})
    set_entry(image, 2, 9)
    set_entry(image, 9, 0xFFF)
    start = (1 + 4 + 2 + 9 - 2) * 512
    image[start : start + 512] = b"c" * 512
    assert contents(bytes(image)) == {"A.BIN": b"a" * 512 + b"c" * 512}


def test_chain_that_loops_is_refused() -> None:
    image = make_fat12({"A.BIN": bytes(2048)})
    set_entry(image, 3, 2)
    with pytest.raises(FormatError, match="a valid chain of clusters"):
        parse_fat(Input(image, name="x"))


def test_folder_within_itself_is_refused() -> None:
    image = make_fat12({"A/B/C.TXT": b"c"})
    folder = bytes(image).index(b"B          \x10")
    parent = bytes(image).index(b"A          \x10")
    image[folder + 26 : folder + 28] = image[parent + 26 : parent + 28]
    with pytest.raises(FormatError, match="each folder at one path"):
        parse_fat(Input(image, name="x"))


@pytest.mark.parametrize("data", [b"", bytes(511), bytes(4096), b"\xff" * 4096])
def test_data_that_is_not_fat_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"x.*: expected a (FAT|table)"):
        parse_fat(Input(data, name="x"))


@pytest.mark.slow
def test_truncated_image_raises_only_purekernel_errors() -> None:
    image = bytes(make_fat12(FILES))
    for size in range(0, len(image), 97):
        try:
            parse_fat(Input(image[:size], name="x"))
        except PurekernelError as error:
            assert str(error).startswith("x")  # noqa: PT017  # many sizes in one test


def test_content_over_the_limit_is_refused() -> None:
    with pytest.raises(LimitError):
        parse_fat(Input(make_fat12(FILES), name="x", limits=Limits(unpacked_bytes=1000)))


def test_file_that_states_4_gib_is_refused() -> None:
    image = make_fat12({"A.BIN": b"a"})
    entry = bytes(image).index(b"A       BIN")
    struct.pack_into("<I", image, entry + 28, 0xFFFFFFFF)
    with pytest.raises(PurekernelError):
        parse_fat(Input(image, name="x"))


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("bits", "kilobytes", "extra"),
    [(12, 1440, ()), (12, 4000, ("-S", "2048")), (16, 16384, ()), (32, 66000, ("-s", "1"))],
)
def test_files_written_by_mtools_are_read(
    tmp_path: Path, bits: int, kilobytes: int, extra: tuple[str, ...]
) -> None:
    image = tmp_path / "fat.img"
    run(require("mkfs.fat"), "-C", "-F", str(bits), *extra, image, str(kilobytes))
    run(require("mmd"), "-i", image, "::/EFI", "::/EFI/a folder with a long name")
    expected = {}
    for number, name in enumerate(("grub.cfg", "Ünïcode — name.conf", "x" * 200, "UPPER.TXT")):
        content = bytes([number]) * (number * 70_001)
        (tmp_path / "content").write_bytes(content)
        os.utime(tmp_path / "content", (TIME, TIME))
        path = f"EFI/a folder with a long name/{name}"
        run(
            require("env"), "LC_ALL=C.UTF-8", require("mcopy"), "-m", "-i", image,
            tmp_path / "content", f"::/{path}",
        )  # fmt: skip
        expected[path] = content
    data = image.read_bytes()
    assert detect(data) is FileKind.FAT
    assert contents(data) == expected
    tree = parse_fat(Input(data, name="x"))
    assert {tree[path.encode()].metadata.mtime for path in expected} == {TIME}


@pytest.mark.parametrize(
    ("date", "time", "mtime"),
    [
        ((46 << 9) | (11 << 5) | 30, (16 << 11) | (41 << 5) | 29, TIME),
        ((0 << 9) | (1 << 5) | 1, 0, 315532800),
        (0, 0, 0),
        ((46 << 9) | (13 << 5) | 1, 0, 0),
        ((46 << 9) | (2 << 5) | 30, 0, 0),
        ((46 << 9) | (1 << 5) | 1, (24 << 11), 0),
        ((46 << 9) | (1 << 5) | 1, 31, 0),
    ],
)
def test_time_of_a_file_is_read(date: int, time: int, mtime: int) -> None:
    image = make_fat12({"A.TXT": b"a"})
    at = image.index(b"A       TXT")
    struct.pack_into("<HH", image, at + 22, time, date)
    assert parse_fat(Input(image, name="x"))[b"A.TXT"].metadata.mtime == mtime
