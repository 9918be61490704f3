from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from purekernel.errors import FormatError, LimitError, PurekernelError
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.fat import FatOptions, build_fat, parse_fat, read_label
from purekernel.input import Input, Limits
from purekernel.tree import File, Tree
from tests.formats.fat.trees import file_tree
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


def notes_of(image: bytes) -> list[str]:
    notes: list[str] = []
    parse_fat(Input(image, name="x", limits=Limits(report=notes.append)))
    return notes


def test_long_name_that_does_not_belong_is_reported() -> None:
    image = bytearray(build_fat(file_tree({"long name.txt": b"a"}), timestamp=0).to_bytes())
    entry = image.index(b"LONGNA~1TXT")
    image[entry : entry + 11] = b"RENAMED TXT"  # by a system without long names
    assert contents(bytes(image)) == {"RENAMED.TXT": b"a"}
    assert notes_of(bytes(image)) == [
        "x: 1 damaged long name: in the root folder; the short name counts"
    ]


def test_long_name_without_a_file_is_reported() -> None:
    image = bytearray(build_fat(file_tree({"A/long name.txt": b"a"}), timestamp=0).to_bytes())
    image[image.index(b"LONGNA~1TXT")] = 0xE5  # deleted by such a system
    assert contents(bytes(image)) == {}
    assert notes_of(bytes(image)) == ["x: 1 damaged long name: in 'A'; the short name counts"]


def test_second_file_of_a_name_is_reported() -> None:
    image = make_fat12({"A.TXT": b"first", "B.TXT": b"second"})
    image[image.index(b"B       TXT")] = ord("a")
    assert contents(bytes(image)) == {"A.TXT": b"first"}
    assert notes_of(bytes(image)) == [
        "x: 1 file with the name of an earlier one: 'a.TXT'; the earlier one counts"
    ]


@pytest.mark.parametrize("name", [b"A/B     TXT", b"A\0B     TXT", b"           "])
def test_name_that_is_no_name_is_refused(name: bytes) -> None:
    image = make_fat12({"A.TXT": b"a"})
    at = image.index(b"A       TXT")
    image[at : at + 11] = name
    with pytest.raises(FormatError, match=rf"x, byte {at}: expected the name of a file"):
        parse_fat(Input(image, name="x"))


def test_short_names_with_lower_case_flags_and_umlauts_are_read() -> None:
    image = make_fat12({"A.TXT": b"a", "B.TXT": b"b", "C.TXT": b"c"})
    for letter, flags in ((b"A", 0x08), (b"B", 0x10), (b"C", 0x18)):
        image[image.index(letter + b"       TXT") + 12] = flags
    image[image.index(b"C       TXT")] = 0x81
    assert set(contents(bytes(image))) == {"a.TXT", "B.txt", "ü.txt"}


def test_name_that_begins_with_byte_e5_is_read() -> None:
    image = make_fat12({"A.TXT": b"a"})
    image[image.index(b"A       TXT")] = 0x05
    assert contents(bytes(image)) == {"\N{GREEK SMALL LETTER SIGMA}.TXT": b"a"}


def test_active_table_of_fat32_is_read() -> None:
    built = build_fat(file_tree({"A": b"a" * 700}), timestamp=0, options=FatOptions(bits=32))
    image = bytearray(built.to_bytes())
    start = built.geometry.tables_offset
    image[start : start + 64] = bytes(64)
    with pytest.raises(FormatError, match="a valid chain of clusters"):
        contents(bytes(image))
    struct.pack_into("<H", image, 40, 0x81)  # only the second table counts
    assert contents(bytes(image)) == {"A": b"a" * 700}
    struct.pack_into("<H", image, 40, 0x82)
    with pytest.raises(FormatError, match="a FAT boot sector"):
        contents(bytes(image))


def test_content_in_one_piece_is_a_view() -> None:
    image = build_fat(file_tree({"A": b"a" * 70_000}), timestamp=0).to_bytes()
    node = parse_fat(Input(image, name="x"))[b"A"]
    assert isinstance(node, File)
    assert isinstance(node.content, memoryview)
    assert node.content.obj is image


def test_label_of_the_boot_sector_counts_where_the_root_has_none() -> None:
    image = bytearray(build_fat(Tree(), timestamp=0, label=b"EFI").to_bytes())
    image[43:54] = b"OTHER      "
    assert read_label(Input(image, name="x")) == b"EFI"
    image[image.index(b"EFI     ")] = 0xE5
    assert read_label(Input(image, name="x")) == b"OTHER"
    image[43:54] = b"NO NAME    "
    assert read_label(Input(image, name="x")) == b""
