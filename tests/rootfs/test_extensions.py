from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from purekernel.errors import (
    CombinedError,
    ConflictError,
    MissingPathError,
    PathError,
    TreeError,
    UsageError,
)
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.iso import parse_iso
from purekernel.formats.squashfs import parse_squashfs
from purekernel.input import Input
from purekernel.rootfs.extensions import cut_files, merge_extension
from purekernel.tree import Directory, File, Metadata, Node, Symlink, Tree
from tests import shared
from tests.oracles import require, run
from tests.strategies import trees

NOW = 1_500_000_000
OLD = 1_400_000_000

# The relevant part of Core's tce-setup.
SETUP = b'if [ -s /tmp/setup.lst ]; then\n\tfor F in `cat /tmp/setup.lst`; do "$F"; done\nfi\n'

SCRIPT = b"#!/bin/sh\necho hello\n"


def meta(mode: int, uid: int = 0, gid: int = 0) -> Metadata:
    return Metadata(mode=mode, uid=uid, gid=gid, mtime=OLD)


def make_tree(files: dict[bytes, bytes | str | Metadata | File]) -> Tree:
    """Make a tree: bytes are the content of a file, text a link's target, metadata a folder's."""
    tree = Tree()
    for path, said in files.items():
        tree.add_parents(path)
        if isinstance(said, File):
            tree.add(path, said)
        elif isinstance(said, bytes):
            tree.add(path, File(metadata=meta(0o644), content=said))
        elif isinstance(said, str):
            tree.add(path, Symlink(metadata=meta(0o777), target=said.encode()))
        else:
            tree.add(path, Directory(metadata=said))
    return tree


def base() -> Tree:
    return make_tree(
        {
            b"bin": meta(0o755),
            b"bin/sh": b"base's",
            b"etc/sysconfig": meta(0o775),
            b"tmp": meta(0o1777),
            b"usr/bin/tce-setup": SETUP,
            b"usr/local": meta(0o755),
            b"usr/local/tce.installed": meta(0o775, 0, 50),
        }
    )


def content(tree: Tree, path: bytes) -> bytes:
    node = tree[path]
    assert isinstance(node, File)
    return bytes(node.content)


def owner(tree: Tree, path: bytes) -> tuple[int, int, int]:
    metadata = tree[path].metadata
    return metadata.uid, metadata.gid, metadata.mode


def core() -> Tree:
    iso = parse_iso(Input(shared.core_iso().read_bytes(), name="Core-current.iso")).tree
    packed = iso[b"boot/core.gz"]
    assert isinstance(packed, File)
    return parse_cpio(Input(gzip.decompress(packed.content), name="core.gz"))


def extension(name: str) -> Tree:
    return parse_squashfs(Input(shared.extension(name).read_bytes(), name=name))


# Cutting


TOOLS: dict[bytes, bytes | str | Metadata | File] = {
    b"usr/local": meta(0o775, 1001, 50),
    b"usr/local/bin/lscpu": b"lscpu",
    b"usr/local/bin/lsblk": b"lsblk",
    b"usr/local/lib/libx.so": "libx.so.1",
    b"usr/local/lib/libx.so.1": b"library",
    b"usr/local/sbin": meta(0o750),
    b"usr/local/sbin/sfdisk": File(metadata=meta(0o4755, 1001, 50), content=b"sfdisk"),
    b"usr/local/share/a[1]": b"odd",
}


def names(tree: Tree) -> list[bytes]:
    """Return the paths in a tree without implied folders."""
    return [path for path, _node in tree.walk() if path and not tree.is_implied(path)]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], []),
        ([b"usr/local/bin/lscpu"], [b"usr/local/bin/lscpu"]),
        ([b"/usr/local/bin/lscpu", b"./usr//local/bin/lscpu"], [b"usr/local/bin/lscpu"]),
        ([b"usr/local/bin/ls*"], [b"usr/local/bin/lsblk", b"usr/local/bin/lscpu"]),
        ([b"**/libx.so"], [b"usr/local/lib/libx.so"]),
        ([b"usr/local/sbin/"], [b"usr/local/sbin", b"usr/local/sbin/sfdisk"]),
        ([b"usr/local/s*n"], [b"usr/local/sbin", b"usr/local/sbin/sfdisk"]),
        ([b"usr/local/share/a[1]"], [b"usr/local/share/a[1]"]),
        ([b"usr/local/bin"], [b"usr/local/bin/lsblk", b"usr/local/bin/lscpu"]),
    ],
)
def test_matching_files_are_cut(patterns: list[bytes], found: list[bytes]) -> None:
    tree = make_tree(TOOLS)
    cut = cut_files(tree, patterns)
    assert names(cut) == found
    assert all(cut[path] == tree[path] for path in found)
    assert tree == make_tree(TOOLS)


def test_parent_folders_are_implied() -> None:
    cut = cut_files(make_tree(TOOLS), [b"usr/local/sbin/sfdisk"])
    assert cut.implied() == [b"usr", b"usr/local", b"usr/local/sbin"]
    assert owner(cut, b"usr/local/sbin") == (0, 0, 0o755)
    assert owner(cut, b"usr/local/sbin/sfdisk") == (1001, 50, 0o4755)


@pytest.mark.parametrize("everything", [b"/", b".", b"**", b"*", b"usr"])
def test_pattern_for_all_files_keeps_the_whole_tree(everything: bytes) -> None:
    tree = make_tree(TOOLS)
    cut = cut_files(tree, [everything])
    assert cut == tree
    assert cut.implied() == tree.implied()


def test_hard_links_are_kept() -> None:
    tree = make_tree({b"a/one": b"x", b"b/three": b"y"})
    tree.link(b"b/two", b"a/one")
    cut = cut_files(tree, [b"a", b"b"])
    assert cut == tree
    assert cut.inode(b"a/one") == cut.inode(b"b/two")
    alone = cut_files(tree, [b"b/two"])
    assert content(alone, b"b/two") == b"x"


def test_missing_paths_are_reported_with_similar_ones() -> None:
    wrong = [b"usr/sbin/sfdisk", b"usr/local/bin/lscpuu", b"usr/local/bin/lscpu", b"qqq/*"]
    with pytest.raises(CombinedError) as caught:
        cut_files(make_tree(TOOLS), wrong)
    assert [(error.message, error.hint) for error in caught.value.errors] == [
        (
            "'usr/sbin/sfdisk': not found in the extension",
            "use the similar path 'usr/local/sbin/sfdisk'",
        ),
        (
            "'usr/local/bin/lscpuu': not found in the extension",
            "use the similar path 'usr/local/bin/lscpu'",
        ),
        ("'qqq/*': not found in the extension", "check its list of files"),
    ]
    with pytest.raises(MissingPathError):
        cut_files(make_tree(TOOLS), [b"x"])
    with pytest.raises(PathError):
        cut_files(make_tree(TOOLS), [b"usr/../etc"])


@pytest.mark.slow
def test_search_for_similar_paths_is_bounded() -> None:
    tree = make_tree({b"%d/" % number + b"a" * 250: b"" for number in range(3000)})
    with pytest.raises(CombinedError) as caught:
        cut_files(tree, [b"%d/" % number + b"b" * 250 for number in range(100)])
    assert len(caught.value.errors) == 100


@pytest.mark.slow
@settings(max_examples=40)
@given(trees())
def test_cut_of_all_files_is_equal(tree: Tree) -> None:
    paths = [path for path, _node in tree.walk() if path]
    cut = cut_files(tree, paths)
    assert {path: cut[path] for path in paths} == {path: tree[path] for path in paths}
    assert sorted(cut.hard_links().values()) == sorted(tree.hard_links().values())


def test_razor_tools_of_util_linux_are_cut() -> None:
    tree = extension("util-linux")
    cut = cut_files(tree, [b"usr/local/sbin/sfdisk", b"usr/local/bin/lscpu"])
    assert names(cut) == [b"usr/local/bin/lscpu", b"usr/local/sbin/sfdisk"]
    assert cut[b"usr/local/bin/lscpu"] == tree[b"usr/local/bin/lscpu"]
    assert names(cut_files(tree, [b"usr/local/sbin/*fdisk"])) == [
        b"usr/local/sbin/cfdisk",
        b"usr/local/sbin/fdisk",
        b"usr/local/sbin/sfdisk",
    ]


# Merging


def test_merge_adds_files_marker_and_start_script() -> None:
    brought = make_tree(
        {
            b"usr/local/bin/hello": File(metadata=meta(0o4755, 1001, 50), content=b"hello"),
            b"usr/local/tce.installed/hello": SCRIPT,
        }
    )
    root = base()
    merged = merge_extension(root, brought, name="hello", mtime=NOW)
    assert root == base()
    assert merged[b"usr/local/bin/hello"] == brought[b"usr/local/bin/hello"]
    assert content(merged, b"usr/local/tce.installed/hello") == SCRIPT
    assert owner(merged, b"usr/local/tce.installed/hello") == (1001, 50, 0o755)
    assert owner(merged, b"usr/local/tce.installed") == (0, 50, 0o775)
    assert merged[b"tmp/setup.lst"] == File(
        metadata=Metadata(mode=0o664, uid=1001, gid=50, mtime=NOW),
        content=b"/usr/local/tce.installed/hello\n",
    )
    assert owner(merged, b"tmp") == (0, 0, 0o1777)
    assert b"etc/sysconfig/newmodules" not in merged
    assert set(dict(merged.walk())) - set(dict(root.walk())) == {
        b"tmp/setup.lst",
        b"usr/local/bin",
        b"usr/local/bin/hello",
        b"usr/local/tce.installed/hello",
    }


def test_extension_without_script_gets_empty_marker() -> None:
    root = merge_extension(base(), Tree(), name="empty.tcz", mtime=NOW)
    assert root[b"usr/local/tce.installed/empty"] == File(
        metadata=Metadata(mode=0o644, uid=1001, gid=50, mtime=NOW)
    )
    assert b"tmp/setup.lst" not in root
    brought = make_tree({b"usr/local/tce.installed/empty": b""})
    root = merge_extension(base(), brought, name="empty", mtime=NOW)
    assert owner(root, b"usr/local/tce.installed/empty") == (1001, 50, 0o644)
    assert b"tmp/setup.lst" not in root


def test_start_scripts_run_once_in_order_of_merging() -> None:
    root = base()
    root.add(b"tmp/setup.lst", File(metadata=meta(0o600), content=b"/opt/own"))
    for name in ("b", "a", "b", "c.tcz"):
        brought = make_tree({b"usr/local/tce.installed/" + name[:1].encode(): SCRIPT})
        root = merge_extension(root, brought, name=name, mtime=NOW)
    assert content(root, b"tmp/setup.lst") == (
        b"/opt/own\n/usr/local/tce.installed/b\n/usr/local/tce.installed/a\n"
        b"/usr/local/tce.installed/c\n"
    )
    assert owner(root, b"tmp/setup.lst") == (1001, 50, 0o664)


def test_merged_extension_is_not_merged_again() -> None:
    brought = make_tree({b"usr/local/tce.installed/a": SCRIPT, b"usr/local/new": b""})
    root = base()
    root.add(b"usr/local/tce.installed/a", File(metadata=meta(0o644)))
    assert merge_extension(root, brought, name="a", mtime=NOW) == root


def test_existing_files_are_kept() -> None:
    root = base()
    root.add(b"bin/there", Symlink(metadata=meta(0o777), target=b"nowhere"))
    root.add(b"bin/folder", Directory(metadata=meta(0o700)))
    brought = make_tree(
        {
            b"bin": meta(0o700, 1001, 50),
            b"bin/sh": b"extension's",
            b"bin/there": b"x",
            b"bin/folder": b"x",
            b"bin/new": b"x",
            b"tmp": meta(0o755),
        }
    )
    merged = merge_extension(root, brought, name="a", mtime=NOW)
    assert content(merged, b"bin/sh") == b"base's"
    assert merged[b"bin/there"] == root[b"bin/there"]
    assert merged[b"bin/folder"] == root[b"bin/folder"]
    assert content(merged, b"bin/new") == b"x"
    assert merged[b"bin"] == root[b"bin"]
    assert merged[b"tmp"] == root[b"tmp"]


def test_implied_folder_gets_metadata_of_extension() -> None:
    first = merge_extension(base(), make_tree({b"usr/local/x/y/a": b""}), name="a", mtime=NOW)
    assert first.is_implied(b"usr/local/x/y")
    named = make_tree({b"usr/local/x/y": meta(0o700, 1001, 50), b"usr/local/x/b": b""})
    second = merge_extension(first, named, name="b", mtime=NOW)
    assert owner(second, b"usr/local/x/y") == (1001, 50, 0o700)
    assert second.is_implied(b"usr/local/x")


def test_hard_links_of_new_files_are_kept() -> None:
    brought = make_tree({b"bin/sh": b"extension's"})
    for path in (b"bin/b", b"bin/c"):
        brought.link(path, b"bin/sh")
    merged = merge_extension(base(), brought, name="a", mtime=NOW)
    assert content(merged, b"bin/sh") == b"base's"
    assert content(merged, b"bin/c") == b"extension's"
    assert merged.inode(b"bin/b") == merged.inode(b"bin/c") != merged.inode(b"bin/sh")


def test_folder_links_are_followed_and_files_conflict() -> None:
    root = base()
    root.add(b"lib", Directory(metadata=meta(0o755)))
    root.add(b"usr/lib", Symlink(metadata=meta(0o777), target=b"/lib"))
    root.add(b"usr/away", Symlink(metadata=meta(0o777), target=b"/no"))
    merged = merge_extension(root, make_tree({b"usr/lib/x/a": b"a"}), name="a", mtime=NOW)
    assert content(merged, b"lib/x/a") == b"a"
    assert merged[b"usr/lib"] == root[b"usr/lib"]
    brought = make_tree({b"bin/sh/x": b"", b"bin/sh/y": b"", b"usr/away/a": b"", b"lib/z": b""})
    with pytest.raises(CombinedError) as caught:
        merge_extension(root, brought, name="a", mtime=NOW)
    assert [str(error) for error in caught.value.errors] == [
        "'bin/sh': must be a folder as in the extension, got a file in the image",
        "'usr/away': must be a folder as in the extension, got a broken symbolic link in the image",
    ]


def test_kernel_modules_trigger_depmod_and_udev() -> None:
    brought = make_tree({b"usr/local/lib/modules/3.0.3-tinycore/kernel/a.ko.gz": b""})
    merged = merge_extension(base(), brought, name="a", mtime=NOW)
    assert merged[b"etc/sysconfig/newmodules"] == File(metadata=Metadata(mode=0o644, mtime=NOW))
    for other in ({b"usr/local/lib/modules": b""}, {b"usr/local/lib/modules/README": b""}):
        merged = merge_extension(base(), make_tree(other), name="a", mtime=NOW)
        assert b"etc/sysconfig/newmodules" not in merged


def test_start_script_needs_tce_setup_with_list() -> None:
    brought = make_tree({b"usr/local/tce.installed/a": SCRIPT})
    root = base()
    root.add(b"usr/bin/tce-setup", File(metadata=meta(0o755), content=b"for F in /tmp/setup_lst"))
    with pytest.raises(TreeError) as caught:
        merge_extension(root, brought, name="a", mtime=NOW)
    assert caught.value.message == (
        "'usr/bin/tce-setup': does not run /tmp/setup.lst in this image, so that "
        "'usr/local/tce.installed/a' would never run"
    )
    assert caught.value.hint == "load the extension at boot instead of merging it"
    # An extension without a start script does not need tce-setup.
    assert b"usr/local/tce.installed/b" in merge_extension(root, Tree(), name="b", mtime=NOW)


def test_start_script_is_a_file_or_a_link_but_not_a_folder() -> None:
    linked = make_tree({b"usr/local/tce.installed/a": "../bin/a", b"usr/local/bin/a": SCRIPT})
    merged = merge_extension(base(), linked, name="a", mtime=NOW)
    assert merged[b"usr/local/tce.installed/a"] == linked[b"usr/local/tce.installed/a"]
    assert owner(merged, b"usr/local/bin/a") == (1001, 50, 0o755)
    assert content(merged, b"tmp/setup.lst") == b"/usr/local/tce.installed/a\n"
    astray = make_tree({b"usr/local/tce.installed/a": "away"})
    merged = merge_extension(base(), astray, name="a", mtime=NOW)
    assert owner(merged, b"usr/local/tce.installed/a") == (1001, 50, 0o644)
    folder = make_tree({b"usr/local/tce.installed/a": meta(0o755)})
    with pytest.raises(ConflictError) as caught:
        merge_extension(base(), folder, name="a", mtime=NOW)
    assert caught.value.message == (
        "'usr/local/tce.installed/a': the start script must be a file, got a folder"
    )


def test_missing_folders_are_created_as_in_tiny_core() -> None:
    root = make_tree({b"usr/bin/tce-setup": SETUP})
    brought = make_tree(
        {b"usr/local/tce.installed": meta(0o700), b"usr/local/tce.installed/a": SCRIPT}
    )
    merged = merge_extension(root, brought, name="a", mtime=NOW)
    assert owner(merged, b"tmp") == (0, 0, 0o1777)
    assert owner(merged, b"usr/local/tce.installed") == (0, 50, 0o775)


@pytest.mark.parametrize("name", ["", ".tcz", "a b", "a/b", "..", "-a", "a\n", "é", "a;b"])
def test_invalid_extension_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        merge_extension(base(), Tree(), name=name, mtime=NOW)
    assert caught.value.message == (
        f"{name.removesuffix('.tcz')!r}: not a valid name of an extension"
    )


# Real extensions


@pytest.mark.slow
def test_real_extensions_merge_into_real_core() -> None:
    root = core()
    names = ("bash", "gpm", "ncursesw", "wireless-5.15.10-tinycore", "firmware-zd1211")
    merged = root
    for name in names:
        merged = merge_extension(merged, extension(name), name=name, mtime=NOW)
    assert content(merged, b"tmp/setup.lst") == (
        b"/usr/local/tce.installed/bash\n/usr/local/tce.installed/gpm\n"
        b"/usr/local/tce.installed/firmware-zd1211\n"
    )
    for name in names:
        mark = b"usr/local/tce.installed/" + name.encode()
        assert merged[mark].metadata.uid == 1001
        assert bool(merged[mark].metadata.mode & 0o111) == bool(content(merged, mark))
    assert b"etc/sysconfig/newmodules" in merged
    # Core's own folders are unchanged, although bash.tcz gives /usr to the user.
    assert owner(extension("bash"), b"usr") == (1001, 50, 0o755)
    assert all(merged[path] == node for path, node in root.walk())
    for name in names:
        for path, node in extension(name).walk():
            if isinstance(node, File) and not path.startswith(b"usr/local/tce.installed/"):
                assert merged[path] == (root.get(path) or node), path


# Few distinct names make trees overlap.
PATHS = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=3).map(b"/".join)
KINDS = st.one_of(
    st.just(meta(0o755)),
    st.binary(max_size=3),
    st.sampled_from(["a", "b/c", "away"]),
)


def fitting(files: dict[bytes, bytes | str | Metadata]) -> Tree:
    """Return a tree of the entries whose parents are folders."""
    tree = Tree()
    for path, said in files.items():
        try:
            tree.add_parents(path)
            tree.add(path, make_tree({path: said})[path])
        except ConflictError:
            continue
    return tree


@pytest.mark.oracle
@settings(max_examples=60)
@given(
    st.dictionaries(PATHS, KINDS, max_size=8).map(fitting),
    st.dictionaries(PATHS, KINDS, max_size=8).map(fitting),
)
def test_merge_adds_the_same_files_as_busybox_cp(root: Tree, brought: Tree) -> None:
    """Copy as tce-load does. It skips a folder if the image has a link or a file in its place."""
    for path, node in brought.walk():
        found = root.get(path)
        assume(not isinstance(node, Directory) or isinstance(found, Directory | None))
    merged = merge_extension(root, brought, name="x", mtime=NOW)
    merged.remove(b"usr")
    with tempfile.TemporaryDirectory() as scratch:
        base, extension = Path(scratch, "base"), Path(scratch, "extension")
        unpack(root, base)
        unpack(brought, extension)
        busybox = require("busybox")
        copy = f"yes n | {busybox} cp -ai '{extension}/.' '{base}' 2>&1"
        run(require("sh"), "-c", copy)
        assert read(base) == {path.decode(): essence(node) for path, node in merged.walk()}


def essence(node: Node) -> object:
    if isinstance(node, File):
        return bytes(node.content)
    return os.fsdecode(node.target) if isinstance(node, Symlink) else None


def unpack(tree: Tree, folder: Path) -> None:
    for path, node in tree.walk():
        place = folder / path.decode()
        if isinstance(node, Directory):
            place.mkdir(exist_ok=True)
        elif isinstance(node, Symlink):
            place.symlink_to(os.fsdecode(node.target))
        elif isinstance(node, File):
            place.write_bytes(node.content)


def read(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {"": None}
    for place in folder.rglob("*"):
        path = place.relative_to(folder).as_posix()
        if place.is_symlink():
            found[path] = str(place.readlink())
        else:
            found[path] = place.read_bytes() if place.is_file() else None
    return found
