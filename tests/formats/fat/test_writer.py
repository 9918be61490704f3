from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import PurekernelError, UnrepresentableError, UsageError, split_errors
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.fat import FatOptions, build_fat, find_extents, read_label
from purekernel.formats.fat.layout import parse_boot_sector
from purekernel.input import Input
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    LazyContent,
    Metadata,
    Symlink,
    Tree,
)
from tests.formats.fat.trees import FIRST_TIME, LAST_TIME, fat_trees, file_tree, read_back

TIME = 1796056918  # 2026-11-30 16:41:58 UTC

ROOT_TIME = Metadata(mode=0o755)


def messages(caught: pytest.ExceptionInfo[PurekernelError]) -> list[str]:
    return [str(error) for error in split_errors([caught.value])]


@pytest.mark.slow
@given(fat_trees(), st.sampled_from([None, 12, 16]), st.sampled_from([None, 512, 1024]))
def test_tree_round_trips(tree: Tree, bits: int | None, cluster_bytes: int | None) -> None:
    options = FatOptions(bits=bits, cluster_bytes=cluster_bytes)
    image = build_fat(tree, timestamp=TIME, options=options)
    assert bits in (None, image.geometry.bits)
    data = b"".join(bytes(part.content) for part in image.parts[:1])  # the boot sector
    assert detect(data) is FileKind.FAT
    assert read_back(image) == tree


@pytest.mark.slow
@given(fat_trees())
def test_extents_of_files_have_their_content(tree: Tree) -> None:
    image = build_fat(tree, timestamp=TIME, label=b"EFI")
    data = image.to_bytes()
    assert find_extents(Input(data, name="x")) == image.extents
    for path, extents in image.extents.items():
        content = b"".join(data[offset : offset + size] for offset, size in extents)
        assert content == tree.read(path)
        assert len(extents) == (1 if content else 0)


def test_files_lie_one_after_the_other_in_the_order_of_their_paths() -> None:
    image = build_fat(file_tree({"B": b"b" * 600, "A/C": b"c", "A/D": b"d" * 512}), timestamp=TIME)
    offsets = [image.extents[path][0].offset for path in (b"A/C", b"A/D", b"B")]
    assert [offset - offsets[0] for offset in offsets] == [0, 512, 1024]


@pytest.mark.parametrize(
    ("mtime", "expected"),
    [
        (TIME + 1, TIME),
        (0, FIRST_TIME),
        (-1, FIRST_TIME),
        (LAST_TIME + 2, LAST_TIME),
        (1 << 40, LAST_TIME),
    ],
)
def test_time_becomes_the_nearest_earlier_one_of_fat(mtime: int, expected: int) -> None:
    tree = read_back(build_fat(file_tree({"A": b""}, mtime=mtime), timestamp=mtime))
    assert tree[b"A"].metadata.mtime == expected


def test_volume_id_depends_on_the_content_alone() -> None:
    def volume_id(files: dict[str, bytes], timestamp: int = TIME) -> int:
        image = build_fat(file_tree(files), timestamp=timestamp)
        return parse_boot_sector(Input(image.to_bytes(), name="x")).volume_id

    first = volume_id({"A": b"a"})
    assert first == volume_id({"A": b"a"}, timestamp=TIME + 10)
    assert first not in {volume_id({"A": b"b"}), volume_id({"B": b"a"}), 0}


def test_boot_sector_has_the_fields_of_a_partition() -> None:
    options = FatOptions(volume_id=0x12345678, heads=16, track_sectors=32, code=b"\xfa\xf4")
    image = build_fat(
        Tree(), timestamp=TIME, label=b"EFI SYSTEM", hidden_sectors=2048, options=options
    )
    data = image.to_bytes()
    boot = parse_boot_sector(Input(data, name="x"))
    assert (boot.hidden_sectors, boot.heads, boot.track_sectors) == (2048, 16, 32)
    assert (boot.volume_id, boot.media, boot.label) == (0x12345678, 0xF8, b"EFI SYSTEM ")
    assert data[:3] == b"\xeb\x3c\x90"
    assert data[62:64] == b"\xfa\xf4"
    assert data[36] == 0x80  # the first hard disk
    assert data[510:512] == b"\x55\xaa"
    assert read_label(Input(data, name="x")) == b"EFI SYSTEM"


def test_fat32_has_a_copy_of_its_boot_sector_and_counts_free_clusters() -> None:
    image = build_fat(file_tree({"A": b"a" * 1000}), timestamp=TIME, options=FatOptions(bits=32))
    data = image.to_bytes()
    assert data[:1024] == data[6 * 512 : 8 * 512]
    assert struct.unpack_from("<II", data, 512 + 488) == (image.geometry.clusters - 3, 5)
    table = image.geometry.tables_offset
    # Bits 27 and 26: unmounted cleanly, and without errors of the disk.
    assert struct.unpack_from("<II", data, table) == (0x0FFFFFF8, 0x0FFFFFFF)


def test_content_is_loaded_only_for_the_digest_and_when_it_is_written() -> None:
    loads: list[int] = []

    def load() -> bytes:
        loads.append(1)
        return b"a" * 700

    tree = Tree()
    tree.add(b"A", File(metadata=ROOT_TIME, content=LazyContent(700, load)))
    image = build_fat(tree, timestamp=TIME, options=FatOptions(volume_id=1))
    assert not loads
    assert read_back(image).read(b"A") == b"a" * 700


def test_all_that_fat_cannot_hold_is_named_at_once() -> None:
    tree = file_tree({"ok": b"", "Name": b"", "name": b"", "a:b": b"", "end.": b"", "x" * 256: b""})
    tree.add(b"link", Symlink(metadata=ROOT_TIME, target=b"ok"))
    tree.add(b"fifo", Fifo(metadata=ROOT_TIME))
    tree.add(b"null", Device(metadata=ROOT_TIME, kind=DeviceKind.CHARACTER, major=1, minor=3))
    tree.add(b"\xff", File(metadata=ROOT_TIME))
    tree.add(b"large", File(metadata=ROOT_TIME, content=LazyContent(4 << 30, lambda: b"")))
    with pytest.raises(PurekernelError) as caught:
        build_fat(tree, timestamp=TIME, label=b"lower", hidden_sectors=-1)
    assert messages(caught) == [
        "the FAT label 'lower' must be in upper case",
        "a FAT file system must begin in the first 2 TiB, got sector -1",
        "FAT cannot hold a name with a control character or one of \" * / : < > ? \\ |: 'a:b'",
        "FAT cannot hold a name that ends with a dot or a blank: 'end.'",
        "FAT cannot hold a fifo: 'fifo'",
        "FAT cannot hold a file of 4 GiB or more: 'large'",
        "FAT cannot hold a symbolic link: 'link'",
        "FAT cannot hold a name that is the same without case as 'Name': 'name'",
        "FAT cannot hold a character device: 'null'",
        f"FAT cannot hold a name of more than 255 UTF-16 units: '{'x' * 256}'",
        "FAT cannot hold a name that is not UTF-8: '\\xff'",
    ]


def test_many_links_are_one_error() -> None:
    tree = Tree()
    for number in range(8):
        tree.add(b"link%d" % number, Symlink(metadata=ROOT_TIME, target=b"x"))
    with pytest.raises(UnrepresentableError) as caught:
        build_fat(tree, timestamp=TIME)
    assert str(caught.value).endswith("'link0', 'link1', 'link2', 'link3', 'link4' and 3 more")


def test_hard_links_become_copies_and_are_reported_with_owners() -> None:
    tree = file_tree({"A": b"same"})
    tree.link(b"B", b"A")
    tree.add(b"C", File(metadata=Metadata(mode=0o600, uid=1001)))
    notes: list[str] = []
    image = build_fat(tree, timestamp=TIME, report=notes.append)
    found = read_back(image)
    assert found.read(b"B") == b"same"
    assert image.extents[b"A"] != image.extents[b"B"]
    assert notes == [
        "FAT has no hard links; each became a copy: 1 hard link: 'B'",
        "FAT has no owners, modes and extended attributes; some are left out: 1 file: 'C'",
    ]


def test_folder_of_too_many_entries_is_refused() -> None:
    tree = Tree()
    tree.add(b"folder", Directory(metadata=ROOT_TIME))
    for number in range(3500):
        tree.add(b"folder/" + b"%04d" % number + b"x" * 230, File(metadata=ROOT_TIME))
    with pytest.raises(UnrepresentableError, match="a folder of more than 65536 entries"):
        build_fat(tree, timestamp=TIME)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (b"A" * 12, "must have at most 11 characters"),
        (b"A/B", "must be ASCII without"),
        (b"\xc9FI", "must be ASCII without"),
        (b" EFI", "must not begin or end with a blank"),
    ],
)
def test_invalid_label_is_refused(label: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_fat(Tree(), timestamp=TIME, label=label)
