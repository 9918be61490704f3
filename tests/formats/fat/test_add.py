"""Test that files are added to FAT volumes, and that all else stays as it is."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import PurekernelError, UnrepresentableError, split_errors
from purekernel.formats.fat import FatImage, FatOptions, build_fat, parse_fat, put_files_in_fat
from purekernel.formats.fat.layout import parse_boot_sector
from purekernel.formats.fat.volume import Volume
from purekernel.input import Input
from purekernel.tree import Directory, File, Metadata, Tree, put_file
from tests.formats.fat.trees import fat_trees, file_tree
from tests.formats.fats import make_fat12

TIME = 1796056918  # 2026-11-30 16:41:58 UTC

FILES = {
    "EFI/BOOT/BOOTX64.EFI": b"MZ" * 3000,
    "EFI/BOOT/grub.cfg": b"menuentry x {}\n",
    "a file with a long name.txt": b"text",
}


def put(image: FatImage | bytes, files: dict[bytes, bytes]) -> FatImage:
    return put_files_in_fat(Input(bytes(image), name="efi.img"), files, timestamp=TIME)


def read(image: FatImage) -> Tree:
    data = image.to_bytes()
    file = Input(data, name="x")
    geometry = parse_boot_sector(file).geometry
    assert geometry == image.geometry
    first, second = (
        data[geometry.tables_offset + number * geometry.table_bytes :][: geometry.table_bytes]
        for number in range(2)
    )
    assert first == second
    shorts = [entry.short for _path, entry in Volume(file).walk()]
    assert all(short == short.upper() for short in shorts)
    return parse_fat(file)


def contents(tree: Tree) -> dict[bytes, bytes]:
    return {path: bytes(node.content) for path, node in tree.walk() if isinstance(node, File)}


@pytest.mark.slow
@settings(max_examples=20)
@given(fat_trees(most=6), fat_trees(most=6), st.sampled_from([12, 16]), st.sampled_from([0, 9, 99]))
def test_files_of_one_tree_are_added_to_another(
    tree: Tree, other: Tree, bits: int, free_clusters: int
) -> None:
    options = FatOptions(bits=bits, cluster_bytes=512)
    image = build_fat(
        tree, timestamp=TIME, label=b"EFI", options=options, free_bytes=512 * free_clusters
    )
    added = {b"new folder/" + path: content for path, content in contents(other).items()}
    result = put(image, added)
    after = read(result)
    assert contents(after) == {**contents(tree), **added}
    assert {path for path, node in tree.walk() if isinstance(node, Directory)} <= {
        path for path, node in after.walk() if isinstance(node, Directory)
    }
    for path in contents(tree):
        assert after[path].metadata == tree[path].metadata
    assert put(result, added).to_bytes() == result.to_bytes()


@pytest.mark.parametrize("bits", [12, 16, pytest.param(32, marks=pytest.mark.slow)])
def test_many_names_fill_folders_and_the_root(bits: int) -> None:
    image = build_fat(file_tree(FILES), timestamp=TIME, options=FatOptions(bits=bits))
    added = {
        **{b"a long name in the root %d.gz" % number: b"%d" % number for number in range(150)},
        **{b"efi/boot/Entry %d.conf" % number: b"x" for number in range(40)},
        b"loader/entries/deep/er/a.conf": b"y" * 5000,
    }
    result = put(image, added)
    after = contents(read(result))
    renamed = {path.replace(b"efi/boot", b"EFI/BOOT"): data for path, data in added.items()}
    assert after == {**{path.encode(): data for path, data in FILES.items()}, **renamed}
    assert result.geometry.bits == bits


def test_file_is_added_and_another_replaced_at_once() -> None:
    image = build_fat(file_tree(FILES), timestamp=TIME)
    result = read(put(image, {b"EFI/BOOT/GRUB.CFG": b"new", b"changes.gz": b"c" * 100_000}))
    assert result.read("EFI/BOOT/grub.cfg") == b"new"
    assert result.read("changes.gz") == b"c" * 100_000
    assert result[b"changes.gz"].metadata.mtime == TIME
    assert result[b"EFI/BOOT/grub.cfg"].metadata.mtime != TIME


def test_nothing_but_the_new_name_and_its_clusters_changes() -> None:
    image = build_fat(file_tree(FILES), timestamp=TIME, size_bytes=1 << 20)
    before, after = image.to_bytes(), put(image, {b"EFI/BOOT/NEW": b"x" * 700}).to_bytes()
    different = [
        number for number in range(len(before) // 512)
        if before[number * 512 :][:512] != after[number * 512 :][:512]
    ]  # fmt: skip
    # Both tables, the folder, and two clusters of the file.
    assert len(different) == 5


def test_short_name_of_another_file_is_not_given_twice() -> None:
    tree = Tree()
    put_file(tree, b"Long Name.txt", b"1", metadata=Metadata(mode=0o644))
    result = put(build_fat(tree, timestamp=TIME), {b"LONGNA~1.TXT": b"2", b"long name 2.txt": b"3"})
    file = Input(result.to_bytes(), name="x")
    shorts = [entry.short for _path, entry in Volume(file).walk()]
    assert len(set(shorts)) == 3
    assert sorted(contents(parse_fat(file)).values()) == [b"1", b"2", b"3"]


def test_entries_of_deleted_files_are_used() -> None:
    image = make_fat12({f"FILE{number:04}": b"" for number in range(32)})
    start = image.index(b"FILE0003")
    image[start] = 0xE5
    result = put(bytes(image), {b"NEW": b"x"})
    assert result.geometry.root_entries == 32
    assert result.to_bytes()[start : start + 3] == b"NEW"
    assert len(contents(read(result))) == 32


def test_full_root_folder_grows_and_other_contents_stay() -> None:
    image = make_fat12({f"FILE{number:04}": b"%d" % number for number in range(32)})
    result = put(bytes(image), {b"NEW": b"x"})
    assert result.geometry.root_entries == 48
    (entries,) = struct.unpack_from("<H", result.to_bytes(), 17)
    assert entries == 48
    assert contents(read(result)) == {
        **{b"FILE%04d" % number: b"%d" % number for number in range(32)},
        b"NEW": b"x",
    }


def test_all_that_cannot_be_added_is_refused_at_once() -> None:
    image = build_fat(file_tree(FILES), timestamp=TIME)
    wrong = {b"EFI/BOOT/grub.cfg/x": b"", b"a:b": b"", b"\xff": b"", b"x" * 256: b""}
    with pytest.raises(PurekernelError) as caught:
        put(image, wrong)
    assert [error.message.partition(": '")[0] for error in split_errors([caught.value])] == [
        "'EFI/BOOT/grub.cfg' in efi.img must be a folder, got a file",
        'FAT cannot hold a name with a control character or one of " * / : < > ? \\ |',
        "FAT cannot hold a name of more than 255 UTF-16 units",
        "FAT cannot hold a name that is not UTF-8",
    ]


def test_folder_is_no_file() -> None:
    with pytest.raises(PurekernelError, match="must be a file, got a folder"):
        put(build_fat(file_tree(FILES), timestamp=TIME), {b"EFI/boot": b""})


def test_volume_with_data_after_it_has_no_room() -> None:
    image = build_fat(file_tree(FILES), timestamp=TIME).to_bytes() + b"data"
    with pytest.raises(UnrepresentableError, match="has no room for the new files"):
        put(image, {b"big": bytes(1 << 20)})
