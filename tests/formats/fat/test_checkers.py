"""Compare FAT file systems with fsck.fat, mtools, 7-Zip and GRUB; mkfs.fat's are in test_reader."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from purekernel.formats.fat import (
    FatImage,
    FatOptions,
    build_fat,
    put_files_in_fat,
    replace_files_in_fat,
)
from purekernel.formats.fat.sizing import geometry_for_clusters
from purekernel.input import Input
from purekernel.tree import Directory, File, Metadata, Tree
from purekernel.tree.path import join
from tests.formats.fat.trees import FIRST_TIME, fat_trees, file_tree
from tests.oracles import require, run

pytestmark = pytest.mark.oracle

TIME = 1796056918  # 2026-11-30 16:41:58 UTC


def written(image: FatImage, path: Path) -> Path:
    path.unlink(missing_ok=True)
    with path.open("wb") as stream:
        image.write(stream)
    return path


def check(path: Path) -> str:
    """Return what fsck.fat prints, and require that it has no complaint."""
    said = run(require("fsck.fat"), "-n", "-v", path).decode()
    lines = said.splitlines()
    start = next(n for n, line in enumerate(lines) if line.endswith("sectors total"))
    # Between the fields of the boot sector and the last line it only announces what it does.
    assert all(line.startswith("Checking ") for line in lines[start + 1 : -1]), said
    assert lines[-1].startswith(f"{path}: "), said
    return said


def names_of_7z(path: Path) -> set[str]:
    said = run(require("env"), "LC_ALL=C.UTF-8", require("7z"), "l", "-slt", "-ba", path)
    return set(re.findall(r"^Path = (.*)$", said.decode(), re.MULTILINE))


def with_mtools(*command: str | Path) -> bytes:
    return run(require("env"), "LC_ALL=C.UTF-8", "MTOOLS_SKIP_CHECK=0", *command)


def names_of_mtools(path: Path) -> set[str]:
    listed = with_mtools(require("mdir"), "-a", "-b", "-/", "-i", path, "::").decode().splitlines()
    return {line.removeprefix("::/").rstrip("/") for line in listed if line}


def many_names(count: int) -> Tree:
    """Return a tree of ``count`` names in nested folders, short, long and in other scripts."""
    chance = random.Random(7)
    tree = Tree()
    folders = [b""]
    kinds = ("FILE{}.TXT", "file{}.conf", "A long name with number {}.text", "Größe {} — x", "é{}")
    while len(tree) <= count:
        name = chance.choice(kinds).format(len(tree)).encode()
        path = join(chance.choice(folders), name)
        if chance.random() < 0.05:
            tree.add(path, Directory(metadata=Metadata(mode=0o755, mtime=TIME)))
            folders.append(path)
        else:
            content = chance.randbytes(chance.choice([0, 1, 511, 512, 513, 2000]))
            tree.add(path, File(metadata=Metadata(mode=0o644, mtime=TIME), content=content))
    return tree


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(fat_trees())
def test_any_tree_is_clean_for_fsck(tmp_path: Path, tree: Tree) -> None:
    image = build_fat(tree, timestamp=TIME, label=b"EFI")
    said = check(written(image, tmp_path / "image"))
    used = re.findall(r"(\d+)/(\d+) clusters$", said.strip())
    assert [int(total) for _used, total in used] == [image.geometry.clusters]


@pytest.mark.parametrize("bits", [12, 16, 32])
def test_5000_names_are_those_of_mtools_and_7z(tmp_path: Path, bits: int) -> None:
    tree = many_names(5000)
    options = FatOptions(bits=bits, cluster_bytes=4096 if bits == 12 else 512)
    if bits == 12:
        tree = many_names(1000)
    path = written(build_fat(tree, timestamp=TIME, options=options), tmp_path / "image")
    check(path)
    expected = {name.decode() for name, _node in tree.walk() if name}
    assert names_of_mtools(path) == expected
    assert names_of_7z(path) == expected
    out = tmp_path / "out"
    out.mkdir()
    with_mtools(require("mcopy"), "-s", "-n", "-m", "-i", path, "::", out)
    for name, node in tree.walk():
        if isinstance(node, File):
            assert (out / os.fsdecode(name)).read_bytes() == node.content
            assert (out / os.fsdecode(name)).stat().st_mtime == TIME


@pytest.mark.parametrize(
    ("bits", "clusters"), [(12, 1), (12, 4084), (16, 4085), (16, 65524), (32, 65525)]
)
def test_count_of_clusters_at_a_limit_is_that_type_for_fsck_and_mtools(
    tmp_path: Path, bits: int, clusters: int
) -> None:
    size = geometry_for_clusters(clusters, bits, 512, root_entries=512).size_bytes
    tree = file_tree({"A.TXT": b"a"})
    options = FatOptions(cluster_bytes=512)
    path = written(build_fat(tree, timestamp=0, size_bytes=size, options=options), tmp_path / "i")
    said = check(path)
    assert f"2 FATs, {bits} bit entries" in said
    assert f"{clusters} data clusters" in said
    assert names_of_mtools(path) == {"A.TXT"}


def test_names_outside_the_bmp_are_those_of_grub_and_7z(tmp_path: Path) -> None:
    names = {
        "😀 smile.conf",
        "a\U0001d54f.cfg",
        "x" * 255,
        "Ünïcode — name",
        "UPPER.TXT",
        ".hidden",
    }
    tree = file_tree({name: name.encode() for name in names})
    path = written(build_fat(tree, timestamp=TIME), tmp_path / "image")
    check(path)
    assert names_of_7z(path) == names
    for name in names:
        assert run(require("grub-fstest"), path, "cat", f"(loop0)/{name}") == name.encode()


def test_label_and_volume_id_are_those_of_blkid(tmp_path: Path) -> None:
    options = FatOptions(volume_id=0x1234ABCD)
    image = build_fat(Tree(), timestamp=TIME, label=b"EFI SYSTEM", options=options)
    said = run(require("blkid"), "-p", "-o", "export", written(image, tmp_path / "image")).decode()
    said = said.replace("\\ ", " ")  # blanks are quoted for a shell
    assert {"LABEL=EFI SYSTEM", "UUID=1234-ABCD", "TYPE=vfat"} <= set(said.splitlines())


def test_image_of_40_gib_is_clean_for_fsck(tmp_path: Path) -> None:
    content = bytes(range(256)) * (64 << 12)  # 64 MiB
    tree = file_tree({"EFI/BOOT/BOOTX64.EFI": content, "EFI/BOOT/grub.cfg": b"x"})
    path = written(build_fat(tree, timestamp=TIME, size_bytes=40 << 30), tmp_path / "image")
    assert path.stat().st_blocks * 512 < 100 << 20
    check(path)
    assert with_mtools(require("mtype"), "-i", path, "::/EFI/BOOT/BOOTX64.EFI") == content


@pytest.mark.parametrize(
    ("bits", "kilobytes", "extra", "size"),
    [
        (12, 1440, (), 5000),
        (12, 1440, (), 3_000_000),
        (12, 1440, ("-s", "1"), 12_000_000),
        (16, 16384, (), 20_000_000),
        (16, 9000, ("-s", "1"), 40_000_000),
        (32, 40000, ("-s", "1"), 50_000_000),
        (12, 4000, ("-S", "2048"), 6_000_000),
    ],
)
def test_file_of_an_image_of_mkfs_is_replaced_and_the_image_stays_clean(
    tmp_path: Path, bits: int, kilobytes: int, extra: tuple[str, ...], size: int
) -> None:
    path = tmp_path / "image"
    label = ("-n", "GRUB", "-i", "1234abcd")
    run(require("mkfs.fat"), "-C", "-F", str(bits), *label, *extra, path, str(kilobytes))
    run(require("mmd"), "-i", path, "::/boot", "::/boot/a long folder name")
    contents = {"boot/a long folder name/grub.cfg": b"menu\n", "boot/other": b"o" * 50_000}
    for name, content in contents.items():
        (tmp_path / "content").write_bytes(content)
        with_mtools(require("mcopy"), "-i", path, tmp_path / "content", f"::/{name}")
    with_mtools(require("mattrib"), "+h", "+s", "-i", path, "::/boot/other")
    new = {b"boot/a long folder name/grub.cfg": bytes(range(250)) * (size // 250)}
    image = replace_files_in_fat(Input(path.read_bytes(), name="x"), new)
    path = written(image, tmp_path / "image")
    check(path)
    assert names_of_mtools(path) == {"boot", "boot/a long folder name", *contents}
    for name, content in {**contents, **{key.decode(): new[key] for key in new}}.items():
        assert with_mtools(require("mtype"), "-i", path, f"::/{name}") == content
    said = run(require("blkid"), "-p", "-o", "export", path).decode().splitlines()
    assert {"LABEL=GRUB", "UUID=1234-ABCD"} <= set(said)
    assert b" SH " in b" " + with_mtools(require("mattrib"), "-i", path, "::/boot/other") + b" "


@pytest.mark.parametrize(
    ("bits", "kilobytes", "extra", "names"),
    [
        (12, 1440, (), 40),
        (12, 1440, ("-s", "1"), 250),  # more than the root folder holds
        (12, 4000, ("-S", "2048"), 300),
        (16, 9000, ("-s", "1"), 250),
        (32, 40000, ("-s", "1"), 250),
    ],
)
def test_files_added_to_an_image_of_mkfs_are_those_of_mtools_and_the_image_stays_clean(
    tmp_path: Path, bits: int, kilobytes: int, extra: tuple[str, ...], names: int
) -> None:
    path = tmp_path / "image"
    run(require("mkfs.fat"), "-C", "-F", str(bits), "-n", "GRUB", *extra, path, str(kilobytes))
    run(require("mmd"), "-i", path, "::/boot", "::/boot/a long folder name")
    (tmp_path / "content").write_bytes(b"o" * 50_000)
    for name in ("boot/a long folder name/other", "gone", "kept"):
        with_mtools(require("mcopy"), "-i", path, tmp_path / "content", f"::/{name}")
    with_mtools(require("mattrib"), "+h", "+s", "-i", path, "::/kept")
    with_mtools(require("mdel"), "-i", path, "::/gone")
    old = ["boot/a long folder name/other", "kept"]
    new = {
        **{b"initrd number %d.gz" % number: b"%d" % number * 900 for number in range(names)},
        b"Boot/a long folder name/CHANGES.GZ": b"c" * 2_000_000,
        "loader/einträge/x.conf".encode(): b"title x\n",
    }
    image = put_files_in_fat(Input(path.read_bytes(), name="x"), new, timestamp=TIME)
    path = written(image, tmp_path / "image")
    check(path)
    files = {key.decode().replace("Boot/", "boot/"): content for key, content in new.items()}
    folders = {"boot", "boot/a long folder name", "loader", "loader/einträge"}
    assert names_of_mtools(path) == names_of_7z(path) == {*folders, *old, *files}
    out = tmp_path / "out"
    out.mkdir()
    with_mtools(require("mcopy"), "-s", "-n", "-i", path, "::", out)
    contents = {name: (out / name).read_bytes() for name in (*old, *files)}
    assert contents == {**dict.fromkeys(old, b"o" * 50_000), **files}
    assert b" SH " in b" " + with_mtools(require("mattrib"), "-i", path, "::/kept") + b" "


def test_files_added_by_mtools_leave_the_image_clean(tmp_path: Path) -> None:
    """A stick that purekernel writes is used further."""
    tree = file_tree({"A.TXT": b"a", "long name.conf": b"b"}, mtime=FIRST_TIME)
    path = written(build_fat(tree, timestamp=TIME, free_bytes=1 << 20), tmp_path / "image")
    (tmp_path / "content").write_bytes(b"new" * 1000)
    with_mtools(require("mmd"), "-i", path, "::/new folder")
    with_mtools(require("mcopy"), "-i", path, tmp_path / "content", "::/new folder/long name 2")
    with_mtools(require("mdel"), "-i", path, "::/A.TXT")
    check(path)
    assert names_of_mtools(path) == {"long name.conf", "new folder", "new folder/long name 2"}


def test_mkfs_agrees_on_the_usual_floppy(tmp_path: Path) -> None:
    floppy = tmp_path / "theirs"
    run(require("mkfs.fat"), "-C", "-i", "00000001", floppy, "1440")
    theirs = subprocess.run(
        [require("fsck.fat"), "-n", "-v", str(floppy)], capture_output=True, check=True
    ).stdout.decode()
    options = FatOptions(media=0xF0, heads=2, track_sectors=18, volume_id=1)
    image = build_fat(Tree(), timestamp=0, size_bytes=1440 << 10, options=options)
    ours = check(written(image, tmp_path / "ours"))
    fields = r"Media byte|bytes per|reserved|FATs|root directory|data clusters|track|total"
    same = [
        [line for line in said.splitlines() if re.search(fields, line)] for said in (theirs, ours)
    ]
    assert same[0] == same[1]
