"""Test how a root file system is distributed over initrds."""

from __future__ import annotations

import pytest
from attrs import evolve

from fixtures.core import make_core_tree
from fixtures.core_iso import gzip
from fixtures.kernel import make_kernel
from purekernel.errors import CombinedError, UnrepresentableError, UsageError
from purekernel.formats.core_iso import Base, base_of_files
from purekernel.formats.cpio import build_cpio, parse_initrds
from purekernel.input import Input
from purekernel.recipe.flavour import InitrdLayout
from purekernel.remaster.initrds import (
    InitrdPart,
    arrange_initrds,
    changed_nodes,
    changes_names,
)
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    File,
    Metadata,
    Symlink,
    Tree,
    put_file,
)
from tests.hybrids import make_microcode

FILE = Metadata(mode=0o644)
FOLDER = Metadata(mode=0o755)
MODULE = b"lib/modules/9/kernel/a.ko"


def file(content: bytes, mode: int = 0o644) -> File:
    return File(metadata=Metadata(mode=mode), content=content)


def tree_of(files: dict[bytes, bytes]) -> Tree:
    tree = Tree()
    for path, content in files.items():
        put_file(tree, path, content, metadata=FILE)
    return tree


def base_of(*trees: Tree, early: bytes = b"") -> Base:
    initrds = [
        (f"{number}.gz", Input(early + gzip(build_cpio(tree)), name=f"{number}.gz"))
        for number, tree in enumerate(trees)
    ]
    return base_of_files(Input(make_kernel(), name="vmlinuz"), initrds)


def split_base() -> Base:
    return base_of(tree_of({b"etc/passwd": b"p", b"lib/libc.so": b"c"}), tree_of({MODULE: b"m"}))


def unpacked(parts: list[InitrdPart]) -> Tree:
    """Return what the kernel unpacks from the parts."""
    return parse_initrds([part.tree for part in parts]).tree


def names(part: InitrdPart) -> list[bytes]:
    assert part.tree is not None
    return [path for path, node in part.tree.walk() if not isinstance(node, Directory)]


def test_as_base_keeps_each_file_in_the_initrd_that_has_it() -> None:
    base = split_base()
    root = base.root.copy()
    put_file(root, b"etc/passwd", b"changed", metadata=FILE)
    put_file(root, MODULE, b"changed", metadata=FILE)
    first, second = arrange_initrds(root, base, InitrdLayout.AS_BASE)
    assert (first.path, second.path) == (b"boot/0.gz", b"boot/1.gz")
    assert names(first) == [b"etc/passwd", b"lib/libc.so"]
    assert names(second) == [MODULE]
    assert unpacked([first, second]) == root


def test_as_base_puts_a_new_file_where_its_folder_is() -> None:
    base = split_base()
    root = base.root.copy()
    for path in (b"lib/modules/9/extra/b.ko", b"lib/new.so", b"opt/new"):
        put_file(root, path, b"", metadata=FILE)
    first, second = arrange_initrds(root, base, InitrdLayout.AS_BASE)
    assert names(first) == [b"etc/passwd", b"lib/libc.so", b"lib/new.so", b"opt/new"]
    assert names(second) == [b"lib/modules/9/extra/b.ko", MODULE]


def test_as_base_keeps_hard_links_together() -> None:
    base = split_base()
    root = base.root.copy()
    root.link(b"lib/modules/9/passwd", b"etc/passwd")
    parts = arrange_initrds(root, base, InitrdLayout.AS_BASE)
    assert names(parts[0])[:2] == [b"etc/passwd", b"lib/libc.so"]
    assert unpacked(parts) == root


def test_as_base_forgets_the_older_of_two_files_with_one_path() -> None:
    base = base_of(tree_of({b"etc/a": b"old"}), tree_of({b"etc/a": b"new", b"etc/b": b"b"}))
    first, second = arrange_initrds(base.root, base, InitrdLayout.AS_BASE)
    assert names(first) == []
    assert names(second) == [b"etc/a", b"etc/b"]
    assert base.root.read("etc/a") == b"new"


def test_merged_makes_one_initrd_in_place_of_the_first() -> None:
    base = split_base()
    (only,) = arrange_initrds(base.root, base, InitrdLayout.MERGED)
    assert only == InitrdPart(path=b"boot/0.gz", tree=base.root)


def test_early_archives_stay_in_front_in_each_layout() -> None:
    base = base_of(make_core_tree(), early=make_microcode())
    for layout in (InitrdLayout.AS_BASE, InitrdLayout.MERGED):
        (only,) = arrange_initrds(base.root, base, layout)
        assert bytes(only.early) == make_microcode()


def test_initrd_of_microcode_alone_stays_as_it_is() -> None:
    initrds = [
        ("ucode.cpio", Input(make_microcode(), name="ucode.cpio")),
        ("core.gz", Input(gzip(build_cpio(make_core_tree())), name="core.gz")),
    ]
    base = base_of_files(Input(make_kernel(), name="vmlinuz"), initrds)
    assert base.core_path == b"boot/core.gz"
    for layout in InitrdLayout:
        microcode, *others = arrange_initrds(base.root, base, layout)
        assert microcode == InitrdPart(path=b"boot/ucode.cpio", tree=None)
        assert others


def test_second_initrd_has_only_the_changes() -> None:
    base = base_of(make_core_tree())
    root = base.root.copy()
    put_file(root, b"etc/motd", b"hello", metadata=FILE)
    root.replace(b"etc", Directory(metadata=Metadata(mode=0o700, mtime=9)))
    root.add(b"bin/new", Symlink(metadata=FOLDER, target=b"sh"))
    first, second = arrange_initrds(root, base, InitrdLayout.SECOND)
    assert first == InitrdPart(path=b"boot/0.gz", tree=None)
    assert second.path == b"boot/changes.gz"
    assert second.tree is not None
    assert [path for path, _node in second.tree.walk()] == [
        b"", b"bin", b"bin/new", b"etc", b"etc/motd",
    ]  # fmt: skip
    assert parse_initrds([base.root, second.tree]).tree == root


def test_second_initrd_of_the_second_time_has_another_name() -> None:
    base = base_of(make_core_tree())
    iso = base.iso.copy()
    put_file(iso, b"boot/changes.gz", b"", metadata=FILE)
    parts = arrange_initrds(base.root, evolve(base, iso=iso), InitrdLayout.SECOND)
    assert parts[-1].path == b"boot/changes-2.gz"


def test_times_alone_are_no_change() -> None:
    old = tree_of({b"a": b"x"})
    new = old.copy()
    new.replace(b"a", File(metadata=Metadata(mode=0o644, mtime=77), content=b"x"))
    assert len(changed_nodes(old, new)) == 1


def refusal(old: Tree, new: Tree) -> str:
    with pytest.raises((UnrepresentableError, CombinedError)) as caught:
        changed_nodes(old, new)
    return str(caught.value)


def test_second_initrd_refuses_a_deletion() -> None:
    old = tree_of({b"etc/a": b"", b"etc/b": b"", b"etc/c": b""})
    new = old.copy()
    new.remove(b"etc/a")
    new.remove(b"etc/c")
    assert "cannot delete what the base has: 2 names, for example 'etc/a'" in refusal(old, new)


def test_second_initrd_refuses_to_change_one_name_of_a_hard_link() -> None:
    old = tree_of({b"a": b"x"})
    old.link(b"b", b"a")
    new = old.copy()
    new.add(b"a", file(b"changed"))
    assert "cannot change 'a' alone" in refusal(old, new)
    both = old.copy()
    both.replace(b"a", file(b"changed"))
    assert parse_initrds([old, changed_nodes(old, both)]).tree == both
    # The kernel removes a node of another kind before it makes the new one.
    linked = old.copy()
    linked.add(b"a", Symlink(metadata=FOLDER, target=b"b"))
    assert b"a" in changed_nodes(old, linked)


def test_second_initrd_refuses_another_number_for_a_device() -> None:
    old, new = Tree(), Tree()
    for tree, minor in ((old, 1), (new, 2)):
        tree.add(b"tty", Device(metadata=FILE, kind=DeviceKind.CHARACTER, major=4, minor=minor))
    assert "cannot change the number of the device 'tty'" in refusal(old, new)


def test_second_initrd_refuses_a_base_in_a_folder() -> None:
    base = base_of_files(Input(make_kernel(), name="vmlinuz"), [("root.gz", make_core_tree())])
    with pytest.raises(UsageError, match=r"boot/root\.gz is a folder"):
        arrange_initrds(base.root, base, InitrdLayout.SECOND, place="here")


def test_menu_changes_only_where_the_list_of_initrds_does() -> None:
    initrds = [
        ("ucode.cpio", Input(make_microcode(), name="ucode.cpio")),
        ("core.gz", Input(gzip(build_cpio(make_core_tree())), name="core.gz")),
    ]
    with_microcode = base_of_files(Input(make_kernel(), name="vmlinuz"), initrds)
    for base, changing in (
        (base_of(make_core_tree()), [InitrdLayout.SECOND]),
        (with_microcode, [InitrdLayout.SECOND]),
        (split_base(), [InitrdLayout.MERGED, InitrdLayout.SECOND]),
    ):
        for layout in InitrdLayout:
            parts = arrange_initrds(base.root, base, layout)
            changed = [part.path for part in parts] != [initrd.path for initrd in base.initrds]
            assert changes_names(base, layout) is changed is (layout in changing)
