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
from purekernel.formats.iso import ElTorito, IsoImage, build_iso, parse_iso
from purekernel.formats.limits import DEFAULT_LIMITS, Limits
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

BEHIND = ROOT_EXTENT + 1


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> IsoImage:
    return parse_iso(data, source="disk.iso", limits=limits)


def refusal(data: bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    with pytest.raises(FormatError) as caught:
        read(data, limits)
    return str(caught.value)


def content(tree: Tree, path: bytes) -> bytes:
    node = tree[path]
    assert isinstance(node, File)
    return bytes(node.content)


# Plain images


def test_plain_names_are_as_people_write_them() -> None:
    data = image([record(b"A.;1"), record(b"LICENSE.TXT;1"), record(b"V_2;32")])
    tree = read(data).tree
    assert tree.entries(b"") == [b"a", b"license.txt", b"v_2"]
    assert tree[b"a"].metadata.mode == 0o644
    assert tree[b"a"].metadata.mtime == TIME
    assert tree[b""].metadata.mode == 0o755


def test_contents_are_views() -> None:
    data = image([record(b"A.;1", BEHIND, 5)], after=b"hello")
    node = read(data).tree[b"a"]
    assert isinstance(node, File)
    assert isinstance(node.content, memoryview)
    assert node.content.obj is data
    assert node.content == b"hello"


def test_files_in_several_extents_are_joined() -> None:
    follow = image(
        [record(b"A.;1", BEHIND, 2048, 0x80), record(b"A.;1", BEHIND + 1, 3)],
        after=b"x" * 2048 + b"end",
    )
    node = read(follow).tree[b"a"]
    assert isinstance(node, File)
    assert isinstance(node.content, memoryview)
    assert bytes(node.content) == b"x" * 2048 + b"end"
    apart = image(
        [record(b"A.;1", BEHIND + 1, 3, 0x80), record(b"A.;1", BEHIND, 2)],
        after=b"ab".ljust(2048, b"\0") + b"cde",
    )
    assert content(read(apart).tree, b"a") == b"cdeab"


def test_a_name_may_stand_once() -> None:
    assert refusal(image([record(b"A.;1"), record(b"A.;2")])) == (
        "disk.iso: expected each name once, got 'a' again"
    )


@pytest.mark.parametrize("name", [b"A/B", b"..", b"N\0UL"])
def test_names_must_be_names(name: bytes) -> None:
    assert refusal(image([record(name, system_use=nm(name) + px())], rock_ridge=True)).startswith(
        "disk.iso: expected "
    )


def test_what_goes_over_a_bound_is_refused() -> None:
    data = image([record(b"A.;1", BEHIND, 2000)], after=bytes(2000))
    with pytest.raises(LimitError, match="expected at most 1999 bytes unpacked"):
        read(data, Limits(unpacked_bytes=1999))
    with pytest.raises(LimitError, match="expected at most 3 folders deep, got 4"):
        read(build_iso(every_kind(), fields=FIELDS, boot=None, timestamp=TIME), Limits(depth=3))


# Rock Ridge


def test_links_are_counted_and_lie_in_one_place() -> None:
    data = image(
        [
            record(b"A.;1", BEHIND, 5, 0, px(links=2)),
            record(b"B.;1", BEHIND, 5, 0, px(links=2)),
            record(b"C.;1", BEHIND, 5, 0, px(links=1)),
            record(b"D.;1", 0, 0, 0, px(links=2)),
            record(b"E.;1", 0, 0, 0, px(links=2)),
        ],
        after=b"hello",
        rock_ridge=True,
    )
    assert list(read(data).tree.hard_links().values()) == [[b"a", b"b"]]


def test_unknown_kinds_are_refused() -> None:
    data = image([record(b"A.;1", system_use=px(0o160000))], rock_ridge=True)
    assert refusal(data) == (
        "disk.iso: expected a sound ISO 9660 image, got no known kind of file at 'a'"
    )


def test_relocated_folders_must_be_there_and_not_within_themselves() -> None:
    lost = image([record(b"A", system_use=px(0o40755) + cl(BEHIND))], rock_ridge=True)
    assert refusal(lost).startswith("disk.iso: expected a sound ISO 9660 image, got ")
    inner = directory(
        BEHIND,
        [record(b"A", system_use=px(0o40755) + nm(b"loop") + cl(BEHIND))],
        px(0o40755),
        px(0o40755),
    )
    loop = image(
        [
            record(b"A", system_use=px(0o40755) + nm(b"start") + cl(BEHIND)),
            record(b"B", BEHIND, 2048, 2, px(0o40755) + nm(b"moved") + b"RE\x04\x01"),
        ],
        after=inner,
        rock_ridge=True,
    )
    assert refusal(loop).startswith("disk.iso: expected a sound ISO 9660 image, got ")


def test_continuations_in_a_loop_are_refused() -> None:
    data = image(
        [record(b"A.;1", system_use=px() + ce(BEHIND, 0, 28))],
        after=ce(BEHIND, 0, 28),
        rock_ridge=True,
    )
    assert refusal(data) == (
        "disk.iso: expected a sound ISO 9660 image, got Rock Ridge Continuation Entries form a loop"
    )


def test_continuations_have_a_bound() -> None:
    data = image(
        [
            record(b"%06d" % number, system_use=px() + ce(BEHIND, 0, 9_999_999))
            for number in range(2)
        ],
        after=bytes(100_000),
        rock_ridge=True,
    )
    with pytest.raises(LimitError, match="reads of 2048 bytes besides directories"):
        read(data)


# Damage


@cache
def sound() -> bytes:
    return build_iso(every_kind(), fields=FIELDS, boot=BOOT, timestamp=TIME)


def test_every_truncation_is_refused() -> None:
    data = sound()
    for end in range(0, len(data), 2048):
        assert refusal(data[:end])
    assert refusal(data[:-1])


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32))
def test_damage_is_refused_or_harmless(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(sound())
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


def test_boot_is_found() -> None:
    data = build_iso(boot_tree(), fields=FIELDS, boot=BOOT, timestamp=TIME)
    found = read(data)
    assert found.boot == BOOT
    assert BOOT.catalog not in found.tree


def test_a_hidden_catalog_gets_a_path() -> None:
    data = bytearray(build_iso(boot_tree(), fields=FIELDS, boot=BOOT, timestamp=TIME))
    place = slice(17 * 2048 + 71, 17 * 2048 + 75)
    start = int.from_bytes(data[place], "little") * 2048
    catalog = data[start : start + 2048]
    data[place] = (len(data) // 2048 - 1).to_bytes(4, "little")
    data[-2048:] = catalog
    found = read(bytes(data))
    assert found.boot == evolve(BOOT, catalog=b"boot/isolinux/boot.cat_")
    assert BOOT.catalog in found.tree


def test_an_image_that_does_not_boot_has_none() -> None:
    data = build_iso(boot_tree(), fields=FIELDS, boot=None, timestamp=TIME)
    assert read(data).boot is None


def test_disk_emulation_is_none_of_ours() -> None:
    data = bytearray(build_iso(boot_tree(), fields=FIELDS, boot=BOOT, timestamp=TIME))
    catalog = int.from_bytes(data[17 * 2048 + 71 : 17 * 2048 + 75], "little") * 2048
    data[catalog + 33] = 2  # a floppy of 1.44 MB
    found = read(bytes(data))
    assert found.boot is None
    assert BOOT.catalog in found.tree


# What others write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "folder")


def expected(root: Path, *, keep_owner: bool = True) -> Tree:
    """Return the tree of a folder on this machine."""
    tree = Tree()
    inodes: dict[int, bytes] = {}
    for where in [root, *sorted(root.rglob("*"))]:
        path = b"" if where == root else os.fsencode(where.relative_to(root))
        status = where.lstat()
        owner = {"uid": status.st_uid, "gid": status.st_gid} if keep_owner else {}
        metadata = Metadata(mode=stat.S_IMODE(status.st_mode), mtime=int(status.st_mtime), **owner)
        if where.is_symlink():
            target = os.readlink(os.fsencode(where))  # noqa: PTH115  # Path would tidy it up
            tree.add(path, Symlink(metadata=metadata, target=target))
        elif where.is_dir():
            tree.add(path, Directory(metadata=metadata))
        elif where.is_fifo():
            tree.add(path, Fifo(metadata=metadata))
        elif status.st_ino in inodes:
            tree.link(path, inodes[status.st_ino])
        else:
            tree.add(path, File(metadata=metadata, content=where.read_bytes()))
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
def test_genisoimage_with_rock_ridge(folder: Path, options: list[str]) -> None:
    found = genisoimage(folder, *options).tree
    assert found == expected(folder)


@pytest.mark.oracle
def test_genisoimage_with_joliet_only(folder: Path) -> None:
    found = genisoimage(folder, "-J", "-D").tree
    assert content(found, b"archive.tar.gz") == b"two dots"
    assert content(found, b".hidden") == b"dot first"
    assert content(found, b"one/two/three/four/five/six/seven/eight/nine/ten/end.txt") == b"deep\n"
    assert found[b"noext"].metadata.mode == 0o644


@pytest.mark.oracle
def test_genisoimage_without_either(folder: Path) -> None:
    found = genisoimage(folder, "-D", "-l", "-allow-leading-dots").tree
    assert content(found, b"archive.tgz") == b"two dots"
    assert content(found, b"noext") == b"no dot" * 1000
    assert content(found, b"one/two/three/four/five/six/seven/eight/nine/ten/end.txt") == b"deep\n"


@pytest.mark.oracle
def test_genisoimage_that_boots(folder: Path) -> None:
    found = genisoimage(
        folder, "-R", "-J", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
        "-b", "boot/image.bin", "-c", "boot/boot.cat", "-V", "A volume", "-p", "someone",
    )  # fmt: skip
    assert found.boot == ElTorito(boot_image=b"boot/image.bin", catalog=b"boot/boot.cat")
    assert found.fields.volume_id == "A volume"
    assert found.fields.preparer_id == "someone"
    assert b"boot/boot.cat" not in found.tree
    assert content(found.tree, b"boot/image.bin")[64:] == (bytes(range(256)) * 20)[64:]


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
def test_xorriso(folder: Path, options: list[str]) -> None:
    out = folder.parent / "out.iso"
    run(require("xorriso"), "-outdev", out, *options, "-map", folder, "/")
    found = read(out.read_bytes()).tree
    assert found == expected(folder)


@pytest.mark.oracle
def test_xorriso_as_mkisofs_that_boots(folder: Path) -> None:
    out = folder.parent / "out.iso"
    run(
        require("xorriso"), "-as", "mkisofs", "-R", "-J", "-no-emul-boot", "-boot-load-size", "4",
        "-boot-info-table", "-b", "boot/image.bin", "-c", "boot/boot.cat", "-o", out, folder,
    )  # fmt: skip
    found = read(out.read_bytes())
    assert found.boot == ElTorito(boot_image=b"boot/image.bin", catalog=b"boot/boot.cat")


# Tiny Core


def test_core_iso() -> None:
    data = core_iso().read_bytes()
    found = read(data)
    assert found.boot == BOOT
    assert found.fields.volume_id == "TC-custom"
    assert sorted(path for path, node in found.tree.walk() if isinstance(node, File)) == [
        b"boot/core.gz",
        b"boot/isolinux/boot.msg",
        b"boot/isolinux/f2",
        b"boot/isolinux/f3",
        b"boot/isolinux/f4",
        b"boot/isolinux/isolinux.bin",
        b"boot/isolinux/isolinux.cfg",
        b"boot/vmlinuz",
    ]
    again = build_iso(found.tree, fields=found.fields, boot=found.boot, timestamp=TIME)
    back = read(again)
    assert back.boot == found.boot
    assert back.fields == found.fields
    for path, node in found.tree.walk():
        if path != BOOT.boot_image:
            assert back.tree[path] == node
