from __future__ import annotations

import os
import random
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError
from purekernel.formats.iso import IsoBoot, IsoImage, build_iso, parse_iso
from purekernel.input import DEFAULT_LIMITS, Input, Limits
from purekernel.tree import Directory, Fifo, File, Metadata, Symlink, Tree
from tests.formats.iso.disks import BOOT, FIELDS, TIME, boot_tree, every_kind, make_folder
from tests.formats.iso.handmade import (
    ROOT_EXTENT,
    ce,
    cl,
    directory,
    image,
    nm,
    px,
    record,
)
from tests.oracles import require, run
from tests.shared import core_iso

AFTER_ROOT = ROOT_EXTENT + 1


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> IsoImage:
    return parse_iso(Input(data, name="disk.iso", limits=limits))


def refusal(data: bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    with pytest.raises(FormatError) as caught:
        read(data, limits)
    return str(caught.value)


def content(tree: Tree, path: bytes) -> bytes:
    node = tree[path]
    assert isinstance(node, File)
    return bytes(node.content)


# Plain images


def test_plain_names_are_lower_case_without_version() -> None:
    data = image([record(b"A.;1"), record(b"LICENSE.TXT;1"), record(b"V_2;32")])
    tree = read(data).tree
    assert tree.entries(b"") == [b"a", b"license.txt", b"v_2"]
    assert tree[b"a"].metadata.mode == 0o644
    assert tree[b"a"].metadata.mtime == TIME
    assert tree[b""].metadata.mode == 0o755


def test_contents_are_views() -> None:
    data = image([record(b"A.;1", AFTER_ROOT, 5)], after=b"hello")
    node = read(data).tree[b"a"]
    assert isinstance(node, File)
    assert isinstance(node.content, memoryview)
    assert node.content.obj is data
    assert node.content == b"hello"


def test_file_in_several_extents_is_joined() -> None:
    follow = image(
        [record(b"A.;1", AFTER_ROOT, 2048, 0x80), record(b"A.;1", AFTER_ROOT + 1, 3)],
        after=b"x" * 2048 + b"end",
    )
    node = read(follow).tree[b"a"]
    assert isinstance(node, File)
    assert isinstance(node.content, memoryview)
    assert bytes(node.content) == b"x" * 2048 + b"end"
    apart = image(
        [record(b"A.;1", AFTER_ROOT + 1, 3, 0x80), record(b"A.;1", AFTER_ROOT, 2)],
        after=b"ab".ljust(2048, b"\0") + b"cde",
    )
    assert content(read(apart).tree, b"a") == b"cdeab"


def test_duplicate_name_is_refused() -> None:
    assert refusal(image([record(b"A.;1"), record(b"A.;2")])) == (
        "disk.iso: expected each name once, got 'a' again"
    )


@pytest.mark.parametrize("name", [b"A/B", b"..", b"N\0UL"])
def test_invalid_name_is_refused(name: bytes) -> None:
    assert refusal(image([record(name, system_use=nm(name) + px())], rock_ridge=True)).startswith(
        "disk.iso: expected "
    )


def test_image_above_a_limit_is_refused() -> None:
    data = image([record(b"A.;1", AFTER_ROOT, 2000)], after=bytes(2000))
    with pytest.raises(LimitError, match="expected at most 1999 bytes unpacked"):
        read(data, Limits(unpacked_bytes=1999))
    with pytest.raises(LimitError, match="expected at most 3 folders deep, got 4"):
        read(build_iso(every_kind(), fields=FIELDS, boot=None, timestamp=TIME), Limits(depth=3))


# Rock Ridge


def test_hard_links_share_an_extent_and_a_link_count() -> None:
    data = image(
        [
            record(b"A.;1", AFTER_ROOT, 5, 0, px(links=2)),
            record(b"B.;1", AFTER_ROOT, 5, 0, px(links=2)),
            record(b"C.;1", AFTER_ROOT, 5, 0, px(links=1)),
            record(b"D.;1", 0, 0, 0, px(links=2)),
            record(b"E.;1", 0, 0, 0, px(links=2)),
        ],
        after=b"hello",
        rock_ridge=True,
    )
    assert list(read(data).tree.hard_links().values()) == [[b"a", b"b"]]


def test_unknown_file_type_is_refused() -> None:
    data = image([record(b"A.;1", system_use=px(0o160000))], rock_ridge=True)
    assert refusal(data) == (
        "disk.iso: expected a valid ISO 9660 image, got an unknown type of file at 'a'"
    )


def test_missing_or_looping_relocated_folder_is_refused() -> None:
    missing = image([record(b"A", system_use=px(0o40755) + cl(AFTER_ROOT))], rock_ridge=True)
    assert refusal(missing).startswith("disk.iso: expected a valid ISO 9660 image, got ")
    inner = directory(
        AFTER_ROOT,
        [record(b"A", system_use=px(0o40755) + nm(b"loop") + cl(AFTER_ROOT))],
        px(0o40755),
        px(0o40755),
    )
    loop = image(
        [
            record(b"A", system_use=px(0o40755) + nm(b"start") + cl(AFTER_ROOT)),
            record(b"B", AFTER_ROOT, 2048, 2, px(0o40755) + nm(b"moved") + b"RE\x04\x01"),
        ],
        after=inner,
        rock_ridge=True,
    )
    assert refusal(loop).startswith("disk.iso: expected a valid ISO 9660 image, got ")


def test_loop_of_continuations_is_refused() -> None:
    data = image(
        [record(b"A.;1", system_use=px() + ce(AFTER_ROOT, 0, 28))],
        after=ce(AFTER_ROOT, 0, 28),
        rock_ridge=True,
    )
    assert refusal(data) == (
        "disk.iso: expected a valid ISO 9660 image, got Rock Ridge Continuation Entries form a loop"
    )


def test_oversized_continuation_is_refused() -> None:
    data = image(
        [
            record(b"%06d" % number, system_use=px() + ce(AFTER_ROOT, 0, 9_999_999))
            for number in range(2)
        ],
        after=bytes(100_000),
        rock_ridge=True,
    )
    with pytest.raises(LimitError, match="reads of 2048 bytes outside directories"):
        read(data)


# Damage


@cache
def valid_image() -> bytes:
    return build_iso(every_kind(), fields=FIELDS, boot=BOOT, timestamp=TIME)


@pytest.mark.slow
def test_every_truncation_is_refused() -> None:
    data = valid_image()
    for end in range(0, len(data), 2048):
        assert refusal(data[:end])
    assert refusal(data[:-1])


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32))
def test_damaged_image_raises_only_format_errors(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(valid_image())
    meta = range(16 * 2048, 110 * 2048)
    for _ in range(chance.choice([1, 2, 20])):
        start = chance.choice(meta)
        if chance.random() < 0.5:
            data[start] = chance.randrange(256)
        else:
            size = chance.choice([2, 8, 34, 200])
            source = chance.choice(meta)
            data[start : start + size] = data[source : source + size]
    with suppress(FormatError):
        assert len(read(bytes(data)).tree) > 0


# Boot


def test_boot_settings_are_read() -> None:
    data = build_iso(boot_tree(), fields=FIELDS, boot=BOOT, timestamp=TIME)
    iso = read(data)
    assert iso.boot == BOOT
    assert BOOT.catalog not in iso.tree


def test_catalog_that_is_not_a_file_gets_an_unused_path() -> None:
    data = bytearray(build_iso(boot_tree(), fields=FIELDS, boot=BOOT, timestamp=TIME))
    pointer = slice(17 * 2048 + 71, 17 * 2048 + 75)
    start = int.from_bytes(data[pointer], "little") * 2048
    catalog = data[start : start + 2048]
    data[pointer] = (len(data) // 2048 - 1).to_bytes(4, "little")
    data[-2048:] = catalog
    iso = read(bytes(data))
    assert iso.boot == evolve(BOOT, catalog=b"boot/isolinux/boot.cat_")
    assert BOOT.catalog in iso.tree


def test_image_without_boot_record_has_no_boot_settings() -> None:
    data = build_iso(boot_tree(), fields=FIELDS, boot=None, timestamp=TIME)
    assert read(data).boot is None


def test_entry_with_disk_emulation_has_no_boot_image_of_isolinux() -> None:
    data = bytearray(build_iso(boot_tree(), fields=FIELDS, boot=BOOT, timestamp=TIME))
    catalog = int.from_bytes(data[17 * 2048 + 71 : 17 * 2048 + 75], "little") * 2048
    data[catalog + 33] = 2  # a floppy of 1.44 MB
    iso = read(bytes(data))
    assert iso.boot is not None
    assert [entry.emulation for entry in iso.boot.entries] == [2]
    assert iso.boot.boot_image == b""


# Images of genisoimage and xorriso


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "folder")


def expected(root: Path, *, keep_owner: bool = True) -> Tree:
    """Return the tree of a folder on this machine."""
    tree = Tree()
    inodes: dict[int, bytes] = {}
    for source in [root, *sorted(root.rglob("*"))]:
        path = b"" if source == root else os.fsencode(source.relative_to(root))
        status = source.lstat()
        owner = {"uid": status.st_uid, "gid": status.st_gid} if keep_owner else {}
        metadata = Metadata(mode=stat.S_IMODE(status.st_mode), mtime=int(status.st_mtime), **owner)
        if source.is_symlink():
            target = os.readlink(os.fsencode(source))  # noqa: PTH115  # Path would normalize it
            tree.add(path, Symlink(metadata=metadata, target=target))
        elif source.is_dir():
            tree.add(path, Directory(metadata=metadata))
        elif source.is_fifo():
            tree.add(path, Fifo(metadata=metadata))
        elif status.st_ino in inodes:
            tree.link(path, inodes[status.st_ino])
        else:
            tree.add(path, File(metadata=metadata, content=source.read_bytes()))
            inodes[status.st_ino] = path
    return tree


def genisoimage(folder: Path, *options: str) -> IsoImage:
    out = folder.parent / "out.iso"
    run(require("genisoimage"), "-quiet", *options, "-o", out, folder)
    return read(out.read_bytes())


@pytest.mark.oracle
@pytest.mark.parametrize(
    "options",
    [
        ["-R"],
        ["-l", "-J", "-R"],
        ["-R", "-allow-multidot"],
        ["-R", "-D"],
        ["-R", "-iso-level", "3"],
        ["-R", "-iso-level", "4"],
        ["-R", "-no-pad"],
        ["-R", "-udf"],
        ["-R", "-hide-rr-moved"],
        ["-R", "-J", "-joliet-long"],
    ],
    ids=" ".join,
)
def test_genisoimage_image_with_rock_ridge_is_read(folder: Path, options: list[str]) -> None:
    assert genisoimage(folder, *options).tree == expected(folder)


@pytest.mark.oracle
def test_genisoimage_image_with_joliet_only_is_read(folder: Path) -> None:
    tree = genisoimage(folder, "-J", "-D").tree
    assert content(tree, b"archive.tar.gz") == b"two dots"
    assert content(tree, b".hidden") == b"dot first"
    assert content(tree, b"one/two/three/four/five/six/seven/eight/nine/ten/end.txt") == b"deep\n"
    assert tree[b"noext"].metadata.mode == 0o644


@pytest.mark.oracle
def test_genisoimage_image_without_extensions_is_read(folder: Path) -> None:
    tree = genisoimage(folder, "-D", "-l", "-allow-leading-dots").tree
    assert content(tree, b"archive.tgz") == b"two dots"
    assert content(tree, b"noext") == b"no dot" * 1000
    assert content(tree, b"one/two/three/four/five/six/seven/eight/nine/ten/end.txt") == b"deep\n"


@pytest.mark.oracle
def test_genisoimage_image_that_boots_is_read(folder: Path) -> None:
    iso = genisoimage(
        folder, "-R", "-J", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
        "-b", "boot/image.bin", "-c", "boot/boot.cat", "-V", "A volume", "-p", "someone",
    )  # fmt: skip
    assert iso.boot == IsoBoot.by_bios(boot_image=b"boot/image.bin", catalog=b"boot/boot.cat")
    assert iso.fields.volume_id == "A volume"
    assert iso.fields.preparer_id == "someone"
    assert b"boot/boot.cat" not in iso.tree
    assert content(iso.tree, b"boot/image.bin")[64:] == (bytes(range(256)) * 20)[64:]


@pytest.mark.oracle
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-joliet", "on"],
        ["-hardlinks", "on"],
        ["-compliance", "deep_paths_off"],
        ["-compliance", "only_iso_version:new_rr"],
    ],
    ids=" ".join,
)
def test_xorriso_image_is_read(folder: Path, options: list[str]) -> None:
    out = folder.parent / "out.iso"
    run(require("xorriso"), "-outdev", out, *options, "-map", folder, "/")
    assert read(out.read_bytes()).tree == expected(folder)


@pytest.mark.oracle
def test_xorriso_image_that_boots_is_read(folder: Path) -> None:
    out = folder.parent / "out.iso"
    run(
        require("xorriso"), "-as", "mkisofs", "-R", "-J", "-no-emul-boot", "-boot-load-size", "4",
        "-boot-info-table", "-b", "boot/image.bin", "-c", "boot/boot.cat", "-o", out, folder,
    )  # fmt: skip
    iso = read(out.read_bytes())
    assert iso.boot == IsoBoot.by_bios(boot_image=b"boot/image.bin", catalog=b"boot/boot.cat")


# Tiny Core


def test_core_iso_round_trips() -> None:
    data = core_iso().read_bytes()
    iso = read(data)
    assert iso.boot == BOOT
    assert iso.fields.volume_id == "TC-custom"
    assert sorted(path for path, node in iso.tree.walk() if isinstance(node, File)) == [
        b"boot/core.gz",
        b"boot/isolinux/boot.msg",
        b"boot/isolinux/f2",
        b"boot/isolinux/f3",
        b"boot/isolinux/f4",
        b"boot/isolinux/isolinux.bin",
        b"boot/isolinux/isolinux.cfg",
        b"boot/vmlinuz",
    ]
    rebuilt = build_iso(iso.tree, fields=iso.fields, boot=iso.boot, timestamp=TIME)
    reread = read(rebuilt)
    assert reread.boot == iso.boot
    assert reread.fields == iso.fields
    for path, node in iso.tree.walk():
        if path != BOOT.boot_image:
            assert reread.tree[path] == node
