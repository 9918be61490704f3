from __future__ import annotations

import struct

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import (
    FormatError,
    MissingPathError,
    PurekernelError,
    UnrepresentableError,
    split_errors,
)
from purekernel.formats.fat import FatImage, FatOptions, build_fat, parse_fat, replace_files_in_fat
from purekernel.formats.fat.layout import parse_boot_sector
from purekernel.input import Input, Limits
from purekernel.tree import File, Tree
from tests.formats.fat.trees import fat_trees, file_tree
from tests.formats.fats import make_fat12, set_entry

TIME = 1796056918  # 2026-11-30 16:41:58 UTC

FILES = {
    "EFI/BOOT/BOOTX64.EFI": b"MZ" * 3000,
    "EFI/BOOT/grub.cfg": b"menuentry x {}\n",
    "a file with a long name.txt": b"text",
}
CONFIG = b"EFI/BOOT/grub.cfg"


def replace(image: FatImage | bytes, files: dict[bytes, bytes], **options: int) -> FatImage:
    return replace_files_in_fat(Input(bytes(image), name="efi.img"), files, **options)


def read(image: FatImage) -> Tree:
    data = image.to_bytes()
    assert len(data) == image.size_bytes
    boot = parse_boot_sector(Input(data, name="x"))
    assert boot.geometry == image.geometry
    tables = [
        data[image.geometry.tables_offset + n * image.geometry.table_bytes :][
            : image.geometry.table_bytes
        ]
        for n in range(2)
    ]
    assert tables[0] == tables[1]
    tree = parse_fat(Input(data, name="x"))
    for path, extents in image.extents.items():
        content = b"".join(data[offset : offset + size] for offset, size in extents)
        assert content == tree.read(path)
    return tree


def changed(tree: Tree, files: dict[bytes, bytes]) -> Tree:
    result = tree.copy()
    for path, content in files.items():
        result.replace(path, File(metadata=tree[path].metadata, content=content))
    return result


@pytest.mark.slow
@given(fat_trees(most=8), st.data(), st.sampled_from([12, 16]), st.integers(0, 3))
def test_files_are_replaced_and_all_else_stays(
    tree: Tree, data: st.DataObject, bits: int, free_clusters: int
) -> None:
    options = FatOptions(bits=bits, cluster_bytes=512)
    image = build_fat(
        tree, timestamp=TIME, label=b"EFI", options=options, free_bytes=512 * free_clusters
    )
    paths = sorted(image.extents)
    sizes = st.one_of(st.integers(0, 3000), st.sampled_from([0, 512, 200_000]))
    files = {
        path: b"new" * (size // 3)
        for path, size in data.draw(
            st.dictionaries(st.sampled_from(paths), sizes, max_size=3) if paths else st.just({})
        ).items()
    }
    result = replace(image, files)
    assert read(result) == changed(tree, files)
    before = parse_boot_sector(Input(image.to_bytes(), name="x"))
    after = parse_boot_sector(Input(result.to_bytes(), name="x"))
    assert evolve(after, geometry=before.geometry) == before
    shift = result.geometry.data_offset - image.geometry.data_offset
    for path in set(paths) - set(files):
        assert [(offset - shift, size) for offset, size in result.extents[path]] == [
            *image.extents[path]
        ]


@pytest.mark.slow
@given(fat_trees(most=8))
def test_same_contents_give_the_same_bytes(tree: Tree) -> None:
    image = build_fat(tree, timestamp=TIME)
    files = {path: tree.read(path) for path in image.extents}
    assert replace(image, files).to_bytes() == image.to_bytes()


def test_name_is_found_without_case_and_time_is_set() -> None:
    image = build_fat(file_tree(FILES), timestamp=TIME)
    result = read(replace(image, {b"efi/boot/GRUB.CFG": b"new"}, timestamp=TIME))
    assert result.read(CONFIG) == b"new"
    assert result[CONFIG].metadata.mtime == TIME
    assert result[b"EFI/BOOT/BOOTX64.EFI"].metadata.mtime != TIME


def test_only_the_file_its_entry_and_the_table_change() -> None:
    image = build_fat(file_tree(FILES), timestamp=TIME, size_bytes=1 << 20)
    before, after = image.to_bytes(), replace(image, {CONFIG: b"x" * 700}).to_bytes()
    geometry = image.geometry
    different = {
        number for number in range(len(before) // 512)
        if before[number * 512 :][:512] != after[number * 512 :][:512]
    }  # fmt: skip
    config = image.extents[CONFIG][0].offset // 512
    tables = [geometry.tables_offset // 512 + n * geometry.table_sectors for n in range(2)]
    assert {config, *tables} < different
    assert len(different) == 5  # and the entry's sector, and the second cluster of the file


@pytest.mark.parametrize(
    ("bits", "size", "new_bits"),
    [(12, 100_000, 12), (12, 400_000, 12), (12, 3_000_000, 16), (16, 3_000_000, 16)],
)
def test_volume_that_is_too_small_grows(bits: int, size: int, new_bits: int) -> None:
    options = FatOptions(bits=bits, cluster_bytes=512, code=b"\xcd\x18\xeb\xfe")
    tree = file_tree(FILES)
    image = build_fat(tree, timestamp=TIME, label=b"EFI", hidden_sectors=63, options=options)
    content = bytes(range(250)) * (size // 250)
    result = replace(image, {CONFIG: content})
    assert result.geometry.bits == new_bits
    assert image.size_bytes < result.size_bytes < image.size_bytes + size * 1.1 + 5000
    assert read(result) == changed(tree, {CONFIG: content})
    boot = parse_boot_sector(Input(result.to_bytes(), name="x"))
    assert (boot.label, boot.hidden_sectors) == (b"EFI        ", 63)


@pytest.mark.slow
def test_volume_that_outgrows_fat16_becomes_fat32_and_reports_its_boot_code() -> None:
    options = FatOptions(bits=16, cluster_bytes=512, code=b"boot code")
    tree = file_tree(FILES)
    image = build_fat(tree, timestamp=TIME, label=b"EFI", options=options)
    content = b"x" * (33 << 20)
    notes: list[str] = []
    result = replace_files_in_fat(
        Input(image.to_bytes(), name="efi.img", limits=Limits(report=notes.append)),
        {CONFIG: content},
    )
    assert result.geometry.bits == 32
    assert read(result) == changed(tree, {CONFIG: content})
    assert notes == [
        "efi.img: it became FAT32 to hold the new files, and its boot code for FAT16 was replaced"
    ]


@pytest.mark.slow
def test_free_clusters_of_fat32_are_counted_anew() -> None:
    tree = file_tree(FILES)
    image = build_fat(tree, timestamp=TIME, options=FatOptions(bits=32))
    free = struct.unpack_from("<I", image.to_bytes(), 512 + 488)[0]
    result = replace(image, {CONFIG: b"x" * 1100})
    assert read(result) == changed(tree, {CONFIG: b"x" * 1100})
    data = result.to_bytes()
    for sector in (1, 7):
        assert struct.unpack_from("<I", data, sector * 512 + 488)[0] == free - 2


def test_zeros_after_the_volume_are_used_and_data_there_are_kept() -> None:
    image = build_fat(file_tree(FILES), timestamp=TIME).to_bytes()
    files = {CONFIG: b"x" * 3000}
    grown = replace(image + bytes(4096), files)
    assert grown.geometry.size_bytes == grown.size_bytes == len(image) + 5 * 512
    with pytest.raises(
        UnrepresentableError, match=r"efi\.img has no room for the new files, and d"
    ):
        replace(image + bytes(512) + b"data", files)
    kept = replace(image + b"data", {CONFIG: b"y"}).to_bytes()
    assert kept.endswith(b"data")


def test_scattered_clusters_are_used() -> None:
    image = make_fat12({"A.BIN": b"a" * 1024, "B.BIN": b"b" * 1024})
    set_entry(image, 3, 0xFFF)
    set_entry(image, 2, 3)
    result = replace(bytes(image), {b"A.BIN": b"n" * 1500})
    assert [size for _offset, size in result.extents[b"A.BIN"]] == [1024, 476]
    assert read(result).read(b"B.BIN") == b"b" * 1024


def test_all_wrong_paths_are_named_at_once() -> None:
    image = build_fat(file_tree(FILES), timestamp=TIME)
    with pytest.raises(PurekernelError) as caught:
        replace(
            image, {b"EFI": b"", b"missing": b"", CONFIG: b"", CONFIG.upper(): b"", b"x/y": b""}
        )
    errors = split_errors([caught.value])
    assert [str(error) for error in errors] == [
        "'EFI' in efi.img must be a file, got a folder",
        "'EFI/BOOT/grub.cfg' in efi.img has two contents",
        "efi.img has no file 'missing'",
        "efi.img has no file 'x/y'",
    ]
    assert isinstance(errors[2], MissingPathError)


def test_boot_loader_that_knows_its_sectors_is_neither_replaced_nor_moved() -> None:
    tree = file_tree({"LDLINUX.SYS": b"code", "SYSLINUX.CFG": b"default x\n"})
    image = build_fat(tree, timestamp=TIME)
    with pytest.raises(UnrepresentableError, match=r"'LDLINUX.SYS' of Syslinux cannot be replaced"):
        replace(image, {b"ldlinux.sys": b"new"})
    with pytest.raises(UnrepresentableError, match=r"'LDLINUX.SYS' of Syslinux cannot be moved"):
        replace(image, {b"syslinux.cfg": b"x" * 400_000})
    assert read(replace(image, {b"syslinux.cfg": b"x" * 40_000})).read(b"LDLINUX.SYS") == b"code"


def test_files_that_share_clusters_are_refused() -> None:
    image = make_fat12({"A.BIN": b"a" * 600, "B.BIN": b"b" * 600})
    entry = image.index(b"B       BIN")
    struct.pack_into("<H", image, entry + 26, 3)
    with pytest.raises(FormatError, match="each cluster in one file"):
        replace(bytes(image), {b"A.BIN": b"n"})
