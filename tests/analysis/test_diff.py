"""Test what two images differ in, with a pair for each kind of change."""

from __future__ import annotations

import bz2
import gzip as python_gzip
import lzma
from pathlib import Path

import pytest
from attrs import evolve

from fixtures.compress import gzip
from fixtures.core import make_core_tree
from fixtures.core_iso import ISOLINUX_CFG, make_core_iso
from fixtures.kernel import make_kernel
from fixtures.kernel_module import make_module
from purekernel.analysis.diff.compare import MAX_DEPTH, compare, compare_items
from purekernel.analysis.diff.containers import estimate_packed
from purekernel.analysis.diff.model import Aspect, ChangeKind, Comparison
from purekernel.analysis.diff.render import Shown, comparison_json, render
from purekernel.errors import FormatError, InputError
from purekernel.formats.address import item_of
from purekernel.formats.cpio import build_cpio
from purekernel.formats.elf import ET_DYN
from purekernel.formats.iso import VolumeFields, build_iso
from purekernel.formats.ld_cache import CacheFormat, LdCacheEntry, build_ld_cache
from purekernel.formats.module_index import IndexValue, build_index
from purekernel.formats.partitions import (
    EFI_SYSTEM,
    Mbr,
    MbrPartition,
    build_mbr,
)
from purekernel.formats.tar import build_tar
from purekernel.input import Input, Limits
from purekernel.tree import Device, DeviceKind, Directory, File, Metadata, Tree, put_file
from tests.analysis.images import library, pack, tree_of
from tests.hybrids import GRUB_MENU, make_uefi_iso

PLAIN = Metadata(mode=0o644, mtime=1_000_000_000)
CONTENT = b"some words that are the same\n" * 4


def compare_data(
    old: bytes, new: bytes, *, limits: Limits | None = None, **options: object
) -> Comparison:
    olds, news = (
        item_of(Input(data, name=name, limits=limits or Limits().budgeted()))
        for name, data in (("old", old), ("new", new))
    )
    return compare_items(olds, news, **options)  # type: ignore[arg-type]


def compare_trees(old: Tree, new: Tree, **options: object) -> Comparison:
    return compare_data(build_tar(old), build_tar(new), **options)


def compare_files(path: str, old: bytes, new: bytes) -> list[str]:
    """Return the lines about a file with two contents, without those about the archives."""
    comparison = compare_trees(tree_of({path: old}), tree_of({path: new}))
    return lines_of(comparison)[1:]


def lines_of(comparison: Comparison) -> list[str]:
    """Return the lines, without the two of the head and the summary."""
    assert not comparison.faults
    return render(comparison)[2:-1]


def changes_of(comparison: Comparison) -> list[tuple[str, str, bytes, tuple[str, ...]]]:
    assert not comparison.faults
    return [
        (each.kind.value, each.place, each.path, tuple(aspect.value for aspect in each.aspects))
        for each in comparison.changes
    ]


def one_file(content: bytes = CONTENT, metadata: Metadata = PLAIN) -> Tree:
    tree = Tree()
    tree.add(b"file", File(metadata=metadata, content=content))
    return tree


# Files.


def test_equal_images_do_not_differ() -> None:
    comparison = compare_trees(one_file(), one_file())
    assert comparison.is_same
    assert render(comparison) == []


def test_added_and_removed_files_are_listed_with_their_size() -> None:
    old, new = tree_of({"a": b"12345"}), tree_of({"b": b"123"})
    comparison = compare_trees(old, new)
    assert lines_of(comparison) == ["removed  a: -5 bytes", "added    b: +3 bytes"]
    assert render(comparison)[-1].startswith("1 added, 1 removed; ")


def test_changed_text_is_a_unified_diff() -> None:
    old = b"".join(b"line %d\n" % number for number in range(12))
    new = old.replace(b"line 5\n", b"line five\nand more\n")
    assert compare_files("etc/a", old, new) == [
        "    @@ -3,7 +3,8 @@",
        "     line 2",
        "     line 3",
        "     line 4",
        "    -line 5",
        "    +line five",
        "    +and more",
        "     line 6",
        "     line 7",
        "     line 8",
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"mode": 0o755}, "mode 0644 -> 0755"),
        ({"uid": 1001, "gid": 50}, "owner 0:0 -> 1001:50"),
        ({"mtime": 1_000_000_001}, "time 2001-09-09 01:46:40 -> 2001-09-09 01:46:41"),
    ],
)
def test_changed_metadata_is_one_line(changed: dict[str, int], expected: str) -> None:
    new = evolve(PLAIN, **changed)
    comparison = compare_trees(one_file(), one_file(metadata=new))
    assert lines_of(comparison) == [f"changed  file: {expected}"]


def test_changed_xattrs_of_an_extension_are_named() -> None:
    capable = evolve(PLAIN, xattrs=((b"security.capability", b"\1"),))
    comparison = compare_data(pack(one_file()), pack(one_file(metadata=capable)))
    assert lines_of(comparison) == ["changed  file: xattrs none -> security.capability"]


def test_changed_link_shows_both_targets() -> None:
    comparison = compare_trees(tree_of({"sh": b"->busybox"}), tree_of({"sh": b"->bash"}))
    assert lines_of(comparison) == ["changed  sh: link busybox -> bash, -3 bytes"]


def test_changed_device_shows_both_numbers() -> None:
    trees = []
    for minor in (3, 5):
        tree = Tree()
        tree.add(b"null", Device(metadata=PLAIN, kind=DeviceKind.CHARACTER, major=1, minor=minor))
        trees.append(tree)
    assert lines_of(compare_trees(*trees)) == [
        "changed  null: device character 1:3 -> character 1:5"
    ]


def test_file_that_becomes_a_link_is_changed_in_type() -> None:
    comparison = compare_trees(tree_of({"sh": b"12"}, mode=0o777), tree_of({"sh": b"->busybox"}))
    assert lines_of(comparison) == ["changed  sh: type a file -> a symbolic link, +5 bytes"]


def test_folder_that_becomes_a_file_loses_what_is_in_it() -> None:
    comparison = compare_trees(tree_of({"a/b": b"1"}), tree_of({"a": b"2"}))
    assert [each[:3] for each in changes_of(comparison)] == [
        ("changed", "", b"a"),
        ("removed", "", b"a/b"),
    ]


def test_hard_link_that_becomes_a_copy_is_a_change() -> None:
    linked, copied = one_file(), one_file()
    linked.link(b"other", b"file")
    copied.add(b"other", File(metadata=PLAIN, content=CONTENT))
    assert lines_of(compare_trees(linked, copied)) == [
        "changed  file: hard links other -> none",
        "changed  other: hard links file -> none",
    ]


def test_renamed_file_is_one_line() -> None:
    comparison = compare_trees(tree_of({"a/x": CONTENT}), tree_of({"a/y": CONTENT}))
    assert lines_of(comparison) == ["renamed  a/x -> a/y"]


def test_renamed_file_with_another_mode_says_so() -> None:
    comparison = compare_trees(tree_of({"x": CONTENT}), tree_of({"y": CONTENT}, mode=0o600))
    assert lines_of(comparison) == ["renamed  x -> y: mode 0755 -> 0600"]


def test_renamed_folder_is_one_line_for_all_that_is_in_it() -> None:
    files = {"lib/1.9/a": CONTENT, "lib/1.9/b/c": b"c", "lib/1.9/link": b"->a", "lib/x": b"x"}
    renamed = {path.replace("1.9", "2.0"): content for path, content in files.items()}
    comparison = compare_trees(tree_of(files), tree_of(renamed))
    assert lines_of(comparison) == ["renamed  lib/1.9 -> lib/2.0/: 5 names"]


def test_renamed_file_out_of_a_removed_folder_is_not_counted_as_removed() -> None:
    old = tree_of({"old/a": CONTENT, "old/b": b"b"})
    comparison = compare_trees(old, tree_of({"new": CONTENT}))
    assert lines_of(comparison) == [
        "renamed  old/a -> new",
        "removed  old/: 2 names, -1 bytes",
    ]


def test_empty_files_are_not_renamed() -> None:
    comparison = compare_trees(tree_of({"a": b""}), tree_of({"b": b""}))
    assert [each[0] for each in changes_of(comparison)] == ["removed", "added"]


def test_added_folder_is_one_line_unless_expanded() -> None:
    old, new = tree_of({"x": b"x"}), tree_of({"doc/a": b"1", "doc/b/c": b"23", "x": b"x"})
    assert lines_of(compare_trees(old, new)) == ["added    doc/: 4 names, +3 bytes"]
    assert lines_of(compare_trees(old, new, is_expanded=True)) == [
        "added    doc/",
        "added    doc/a: +1 bytes",
        "added    doc/b/",
        "added    doc/b/c: +2 bytes",
    ]


def test_many_files_with_the_same_change_of_owner_are_one_line() -> None:
    old, new = Tree(), Tree()
    for number in range(9):
        name = b"f%d" % number
        old.add(name, File(metadata=PLAIN, content=name))
        new.add(name, File(metadata=evolve(PLAIN, gid=50, mtime=number), content=name))
    assert lines_of(compare_trees(old, new)) == [
        "changed  9 names, such as f0: owner 0:0 -> 0:50, time"
    ]


def test_ignored_aspects_are_no_difference() -> None:
    new = evolve(PLAIN, mtime=5, gid=50)
    comparison = compare_trees(
        one_file(), one_file(metadata=new), ignore=[Aspect.TIME, Aspect.OWNER]
    )
    assert comparison.is_same


def test_folder_without_an_entry_of_its_own_has_no_metadata_to_compare() -> None:
    stated = Tree()
    stated.add(b"etc", Directory(metadata=Metadata(mode=0o700, uid=5)))
    stated.add(b"etc/a", File(metadata=PLAIN, content=b"a"))
    implied = Tree()
    implied.add_parents(b"etc/a")
    implied.add(b"etc/a", File(metadata=PLAIN, content=b"a"))
    data = build_tar(implied)
    assert changes_of(compare_data(build_tar(stated), data)) in (
        [],
        [("changed", "", b"etc", ("mode", "owner"))],
    )


# What files mean.


def test_changed_library_shows_its_needed_libraries_soname_and_versions() -> None:
    old = library(b"libx.so.1", b"libc.so.6", b"libz.so.1", versions=[b"libx.so.1", b"X_1"])
    new = library(b"libx.so.2", b"libc.so.6", b"libssl.so.3", versions=[b"libx.so.2", b"X_2"])
    assert compare_files("lib/libx.so", old, new) == [
        "    needed libraries: - libz.so.1, + libssl.so.3",
        "    defined versions: - libx.so.1, - X_1, + libx.so.2, + X_2",
        "    soname: libx.so.1 -> libx.so.2",
    ]


def test_needed_versions_are_listed_in_the_order_of_their_numbers() -> None:
    needs = {b"libc.so.6": [b"GLIBC_2.34", b"GLIBC_2.4", b"GLIBC_2.28"]}
    new = library(b"l", b"libc.so.6", needed_versions=needs)
    assert compare_files("lib/l", library(b"l", b"libc.so.6"), new) == [
        "    needed versions: + libc.so.6 GLIBC_2.4, + libc.so.6 GLIBC_2.28, + libc.so.6 GLIBC_2.34"
    ]


def test_library_for_another_machine_shows_both_machines() -> None:
    old, new = library(b"l"), library(b"l", machine=62, bits=64, kind=ET_DYN)
    assert compare_files("lib/l", old, new) == ["    machine: x86 -> x86_64"]


def test_changed_kernel_module_shows_what_it_depends_on() -> None:
    old = make_module("m", description="one")
    new = make_module("m", description="two", depends=["usb"], vermagic="9.9 SMP")
    lines = compare_files("lib/modules/1/m.ko", old, new)
    assert "    description: - one, + two" in lines
    assert "    depends: - , + usb" in lines
    assert any(line.startswith("    vermagic: - ") for line in lines)


def test_module_that_is_compressed_in_another_way_means_the_same() -> None:
    module = make_module("m", description="one")
    old, new = python_gzip.compress(module, 1, mtime=0), lzma.compress(module)
    assert compare_files("m.ko", old, new) == ["    the same in meaning"]


def test_compressed_text_is_compared_as_text() -> None:
    old, new = python_gzip.compress(b"a\n", mtime=0), bz2.compress(b"b\n")
    assert compare_files("man", old, new) == ["    @@ -1 +1 @@", "    -a", "    +b"]


def test_modules_dep_in_another_order_means_the_same() -> None:
    old = b"a.ko: b.ko\nb.ko:\n"
    new = b"b.ko:\na.ko:  b.ko\n"
    assert compare_files("modules.dep", old, new) == ["    the same in meaning"]


def test_modules_dep_shows_modules_and_what_they_depend_on() -> None:
    old = b"a.ko: b.ko\nb.ko:\ngone.ko:\n"
    new = b"a.ko: b.ko c.ko\nb.ko:\nc.ko:\n"
    assert compare_files("lib/modules/1/modules.dep", old, new) == [
        "    a.ko: + c.ko",
        "    gone.ko: no other module -> none",
        "    c.ko: none -> no other module",
    ]


def test_binary_index_of_modules_shows_its_entries() -> None:
    old = build_index([IndexValue(b"a", b"x", 1)])
    new = build_index([IndexValue(b"a", b"x", 1), IndexValue(b"b", b"y", 2)])
    assert compare_files("modules.alias.bin", old, new) == ["    entries: + b y"]
    again = build_index([IndexValue(b"a", b"x", 1)], root_first=True)
    assert (
        compare_files("modules.dep.bin", old, again) == ["    the same in meaning"] or old == again
    )


def test_modules_alias_in_another_order_says_so() -> None:
    old, new = b"# by depmod\nalias a x\nalias b y\n", b"alias b y\nalias a x\n"
    assert compare_files("modules.alias", old, new) == ["    lines, in another order"]


def ld_cache(*libraries: str) -> bytes:
    entries = [
        LdCacheEntry(name=each.encode(), path=b"/lib/" + each.encode(), flags=3)
        for each in libraries
    ]
    return build_ld_cache(entries, format=CacheFormat.NEW, generator=b"")


def test_ld_so_cache_shows_its_libraries() -> None:
    assert compare_files("etc/ld.so.cache", ld_cache("a.so"), ld_cache("b.so")) == [
        "    libraries: - a.so (libc6) => /lib/a.so, + b.so (libc6) => /lib/b.so"
    ]


def test_kernel_shows_its_release() -> None:
    lines = compare_files("vmlinuz", make_kernel("1.2.3 (me)"), make_kernel("4.5.6 (me)"))
    assert lines == ["    release: 1.2.3 -> 4.5.6"]


def test_damaged_program_is_changed_without_properties() -> None:
    lines = compare_files("bin/x", library(b"l")[:60], library(b"l")[:70] + b"\0")
    assert lines == []


# Archives in archives.


def test_file_in_the_core_of_an_iso_has_the_address_of_its_archive() -> None:
    root = make_core_tree()
    put_file(root, b"etc/motd", b"hello\n", metadata=PLAIN)
    comparison = compare_data(make_core_iso(), make_core_iso(root=root))
    assert [each[:3] for each in changes_of(comparison)] == [
        ("changed", "", b"boot/core.gz"),
        ("changed" if b"etc/motd" in make_core_tree() else "added", "boot/core.gz", b"etc/motd"),
    ]
    (archive, inner) = comparison.changes
    assert archive.cost is not None
    assert not archive.cost.is_estimate
    assert inner.cost is not None
    assert inner.cost.is_estimate


@pytest.mark.slow
def test_extension_in_the_core_is_entered_too() -> None:
    isos = []
    for word in (b"one\n", b"two\n"):
        root = make_core_tree()
        extension = pack(tree_of({"usr/hello": word}))
        for path, node in tree_of({"tmp/builtin/optional/x.tcz": extension}).walk():
            root.add(path, node)
        isos.append(make_core_iso(root=root))
    comparison = compare_data(*isos)
    place = "boot/core.gz:tmp/builtin/optional/x.tcz"
    assert changes_of(comparison)[-1] == ("changed", place, b"usr/hello", ("content",))
    assert lines_of(comparison)[-3:] == ["    @@ -1 +1 @@", "    -one", "    +two"]


@pytest.mark.slow
def test_archive_that_is_packed_in_another_way_says_so() -> None:
    data = build_cpio(make_core_tree())
    old = make_core_iso(core=python_gzip.compress(data, 9, mtime=0))
    new = make_core_iso(core=python_gzip.compress(data, 1, mtime=0))
    comparison = compare_data(old, new)
    (change,) = comparison.changes
    assert change.aspects == (Aspect.PACKING,)
    assert compare_data(old, new, ignore=[Aspect.PACKING]).is_same


@pytest.mark.slow
def test_archive_with_another_compression_says_which() -> None:
    data = build_cpio(make_core_tree())
    comparison = compare_data(gzip(data), lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32))
    assert lines_of(comparison) == [
        "changed  the image itself",
        "    compression: a gzip file -> an xz file",
    ]


def test_archive_in_which_all_changes_are_ignored_does_not_differ() -> None:
    old, new = (
        build_tar(tree_of({"core.gz": gzip(build_cpio(one_file(metadata=each)))}))
        for each in (PLAIN, evolve(PLAIN, mtime=7))
    )
    assert not compare_data(old, new).is_same
    assert compare_data(old, new, ignore=[Aspect.TIME]).is_same


def test_folder_of_the_host_and_archive_are_compared_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"one\n")
    (tmp_path / "x.tar").write_bytes(build_tar(tree_of({"a": b"two\n"})))
    comparison = compare(
        str(tmp_path / "folder"), str(tmp_path / "x.tar"),
        ignore=[Aspect.TIME, Aspect.OWNER, Aspect.MODE, Aspect.STRUCTURE],
    )  # fmt: skip
    assert [each[:3] for each in changes_of(comparison)] == [("changed", "", b"a")]


def test_archives_nested_too_deep_are_compared_as_files() -> None:
    old, new = b"one", b"two"
    for _depth in range(MAX_DEPTH + 3):
        old, new = (build_tar(tree_of({"a": each})) for each in (old, new))
    comparison = compare_data(old, new)
    assert len(comparison.changes) == MAX_DEPTH + 1
    assert not comparison.faults


# Boot menus and structure.


def test_boot_menu_is_compared_by_entry() -> None:
    menu = ISOLINUX_CFG.encode() if isinstance(ISOLINUX_CFG, str) else ISOLINUX_CFG
    changed = menu.replace(b"timeout 300", b"timeout 50").replace(b"gz quiet", b"gz loglevel=3")
    changed += b"label rescue\n\tkernel /boot/vmlinuz\n\tappend single\n"
    comparison = compare_data(make_core_iso(menu=menu), make_core_iso(menu=changed))
    lines = lines_of(comparison)[1:]
    assert "    timeout: 30 s -> 5 s" in lines
    assert "    entry quiet: - quiet, + loglevel=3" in lines
    assert "    entry rescue: + title: rescue, + kernel: /boot/vmlinuz, + single" in lines
    assert not any(line.startswith("    @@") for line in lines)


def test_boot_menu_with_another_comment_is_compared_as_text() -> None:
    menu = b"label a\nkernel /boot/vmlinuz\n"
    comparison = compare_data(make_core_iso(menu=menu), make_core_iso(menu=b"# new\n" + menu))
    assert lines_of(comparison)[1:3] == ["    @@ -1,2 +1,3 @@", "    +# new"]


@pytest.mark.slow
def test_menu_of_grub_in_the_image_for_uefi_is_compared_by_entry() -> None:
    changed = GRUB_MENU.replace(b"quiet", b"debug").replace(b"timeout=5", b"timeout=9")
    comparison = compare_data(make_uefi_iso(GRUB_MENU), make_uefi_iso(changed))
    assert lines_of(comparison)[-2:] == [
        "    timeout: 5 s -> 9 s",
        "    entry tc: - quiet, + debug",
    ]


def test_menu_of_systemd_boot_is_compared_by_entry() -> None:
    files = {
        "loader/loader.conf": b"timeout 5\ndefault a.conf\n",
        "loader/entries/a.conf": b"title A\nlinux /vmlinuz\ninitrd /core.gz\noptions quiet\n",
    }
    changed = {**files, "loader/entries/a.conf": files["loader/entries/a.conf"] + b"options x\n"}
    assert lines_of(compare_trees(tree_of(files), tree_of(changed)))[-1] == "    entry a: + x"


def test_menus_that_share_a_file_are_compared_in_the_order_of_their_paths() -> None:
    entry = b"label a\nkernel /%b\n"
    paths = (
        "boot/extlinux/extlinux.conf",
        "boot/syslinux/syslinux.cfg",
        "extlinux/extlinux.conf",
        "syslinux/syslinux.cfg",
    )
    # Each has one entry of the shared file's name more than the one before it; the last one holds
    # for all of the same name.
    menus = {
        path: entry % b"k" * (place + 1) + b"include /boot/more.cfg\n"
        for place, path in enumerate(paths)
    }
    old, new = (tree_of({**menus, "boot/more.cfg": entry % kernel}) for kernel in (b"x", b"y"))
    names = [["a", *(f"a ({each})" for each in range(2, 3 + place))] for place in range(4)]
    assert lines_of(compare_trees(old, new)) == [
        "changed  boot/more.cfg: content, +0 bytes",
        *(f"    entry {name}: - kernel: /x, + kernel: /y" for menu in names for name in menu),
    ]


@pytest.mark.slow
def test_el_torito_entries_and_volume_fields_are_facts() -> None:
    tree = tree_of({"boot/a": b"1" * 2048, "boot/b": b"2" * 2048})
    comparison = compare_data(make_core_iso(), make_core_iso(bootable=False))
    lines = lines_of(comparison)
    assert lines[0] == "changed  the image itself"
    assert lines[1].startswith("    El Torito entry 1: - firmware: BIOS")
    old, new = (
        build_iso(tree, fields=VolumeFields(volume_id=name), boot=None, timestamp=0)
        for name in ("ONE", "TWO")
    )
    assert lines_of(compare_data(old, new)) == [
        "changed  the image itself",
        "    volume: ONE -> TWO",
    ]
    assert compare_data(old, new, ignore=[Aspect.STRUCTURE]).is_same


def test_partitions_of_an_image_are_facts() -> None:
    iso = make_core_iso()
    images = []
    for sectors in (100, 200):
        part = MbrPartition(number=1, kind=EFI_SYSTEM, first=64, sectors=sectors)
        mbr = build_mbr(Mbr(partitions=(part,), disk_id=7, code=b"\xfa"), sectors=len(iso) // 512)
        images.append(mbr + iso[512:])
    assert lines_of(compare_data(*images)) == [
        "changed  the image itself",
        "    MBR partition 1: - 100 sectors, + 200 sectors",
    ]


# Bad input.


def test_damaged_archive_inside_is_a_fault_and_the_rest_is_compared() -> None:
    core = gzip(build_cpio(make_core_tree()))
    comparison = compare_data(
        make_core_iso(beside_boot={b"a": b"1"}),
        make_core_iso(core=core[:200], beside_boot={b"a": b"2"}),
    )
    (fault,) = comparison.faults
    assert isinstance(fault, FormatError)
    assert str(fault).startswith("new:boot/core.gz")
    assert [each.path for each in comparison.changes] == [b"a", b"boot/core.gz"]


def test_truncated_image_is_a_fault_without_changes() -> None:
    iso = make_core_iso()
    comparison = compare_data(iso, iso[: len(iso) // 2])
    assert len(comparison.faults) == 1
    assert comparison.changes == ()


def test_damaged_file_of_an_extension_is_a_fault_and_the_rest_is_compared() -> None:
    files = {"a": bytes(range(256)) * 40, "b": b"b" * 5000}
    old = bytearray(pack(tree_of(files)))
    new = pack(tree_of({**files, "b": b"c" * 5000}))
    old[100:110] = bytes(10)  # the first block
    comparison = compare_data(bytes(old), new)
    assert [fault.code for fault in comparison.faults] == ["format"] * len(comparison.faults)
    assert comparison.faults


def test_images_that_unpack_to_more_than_the_limit_are_a_fault() -> None:
    old, new = (gzip(build_cpio(one_file(bytes([each]) * 9000))) for each in (1, 2))
    limits = Limits(unpacked_bytes=5000, total_bytes=5000).budgeted()
    assert compare_data(old, new, limits=limits).faults


def test_missing_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        compare(str(tmp_path / "none"), str(tmp_path))


def test_control_characters_of_names_texts_and_targets_are_escaped() -> None:
    hostile = "\x1b[2J\u202e"
    old = tree_of({f"a{hostile}": b"old\n", "b": b"x\n"})
    new = tree_of({"b": f"{hostile}\tx\r\n".encode(), "c": b"->" + hostile.encode()})
    lines = render(compare_trees(old, new))
    assert all(line.isprintable() for line in lines)
    assert "removed  a\\x1b[2J\\u202e: -4 bytes" in lines
    assert any(line.startswith("    +\\x1b[2J\\u202e ") and line.endswith("x\\r") for line in lines)


# Output.


def test_output_is_bounded_and_says_how_many_are_left_out() -> None:
    old = tree_of({f"f{number}": b"1\n2\n3\n" for number in range(5)})
    new = tree_of({f"f{number}": b"a\nb\nc\n" for number in range(5)})
    lines = render(compare_trees(old, new), Shown(changes=2, lines=3))
    assert lines.count("    and 4 more lines: --lines 0 shows all") == 2
    assert lines[-2] == "and 3 more changes: --changes 0 shows all"
    shown = comparison_json(compare_trees(old, new), Shown(changes=2, lines=3))
    assert shown["more_changes"] == 3
    changes = shown["changes"]
    assert isinstance(changes, list)
    assert changes[0]["text"] == {
        "removed": 3, "added": 3, "lines": [b"@@ -1,3 +1,3 @@", b"-1", b"-2"], "more_lines": 4,
    }  # fmt: skip


def test_long_lines_are_cut() -> None:
    lines = compare_files("a", b"x\n", b"y" * 5000 + b"\n")
    assert len(lines[-1]) < 500
    assert lines[-1].endswith("…")


@pytest.mark.slow
def test_packed_size_of_a_large_file_is_estimated_from_pieces() -> None:
    content = bytes(20 << 20)
    assert 1000 < estimate_packed(content) < 200_000


def test_counts_are_of_names() -> None:
    files = {"x": b"x", "doc/a": b"1", "doc/b": b"2"}
    comparison = compare_trees(tree_of({"x": b"x"}), tree_of(files))
    assert comparison.count(ChangeKind.ADDED) == 3
