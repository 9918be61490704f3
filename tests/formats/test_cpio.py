from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError, PurekernelError, UnrepresentableError
from purekernel.formats.cpio import build_cpio, count_archives, iter_members, parse_cpio
from purekernel.input import Input, Limits
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Metadata,
    Socket,
    Symlink,
    Tree,
    describe,
)
from tests.oracles import require, run
from tests.strategies import trees

META = Metadata(mode=0o644, uid=1, gid=2, mtime=3)


def record(
    name: bytes,
    content: bytes = b"",
    *,
    mode: int = 0o100644,
    ino: int = 0,
    nlink: int = 1,
    magic: bytes = b"070701",
    check: int = 0,
    size: int | None = None,
    namesize: int | None = None,
) -> bytes:
    numbers = (
        ino, mode, 0, 0, nlink, 0, len(content) if size is None else size, 0, 0, 0, 0,
        len(name) + 1 if namesize is None else namesize, check,
    )  # fmt: skip
    head = magic + b"".join(b"%08x" % number for number in numbers) + name + b"\0"
    head += bytes(-len(head) % 4)
    return head + content + bytes(-len(content) % 4)


TRAILER = record(b"TRAILER!!!", mode=0)


def sample() -> Tree:
    tree = Tree(Directory(metadata=Metadata(mode=0o755, mtime=9)))
    tree.add(b"bin", Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"bin/su", File(metadata=Metadata(mode=0o4755), content=b"program"))
    tree.link(b"bin/sudo", b"bin/su")
    tree.link(b"aaa", b"bin/su")
    tree.add(b"tmp", Directory(metadata=Metadata(mode=0o1777)))
    tree.add(b"dev", Directory(metadata=Metadata(mode=0o755)))
    tree.add(
        b"dev/console",
        Device(metadata=Metadata(mode=0o600), kind=DeviceKind.CHARACTER, major=5, minor=1),
    )
    tree.add(
        b"dev/sda1",
        Device(metadata=Metadata(mode=0o660, gid=6), kind=DeviceKind.BLOCK, major=8, minor=1),
    )
    tree.add(b"dev/initctl", Fifo(metadata=Metadata(mode=0o600)))
    tree.add(b"dev/log", Socket(metadata=Metadata(mode=0o666)))
    tree.add(b"lib", Symlink(metadata=Metadata(mode=0o777), target=b"usr/lib"))
    tree.add(b"n\xe9ant", File(metadata=META))
    return tree


@pytest.mark.slow
@given(trees(any_links=True))
@settings(max_examples=150, deadline=None)
def test_tree_round_trips(tree: Tree) -> None:
    assert parse_cpio(Input(build_cpio(tree), name="x")) == tree


def test_contents_are_views_into_the_archive() -> None:
    data = build_cpio(sample())
    content = parse_cpio(Input(data, name="x"))[b"bin/su"].content
    assert isinstance(content, memoryview)
    assert content.obj is data


def test_parents_precede_children_and_hard_linked_content_comes_last() -> None:
    members = list(iter_members(sample()))
    paths = [member.path for member in members]
    assert paths == [
        b"", b"aaa", b"bin", b"bin/su", b"bin/sudo", b"dev", b"dev/console", b"dev/initctl",
        b"dev/log", b"dev/sda1", b"lib", b"n\xe9ant", b"tmp", b"TRAILER!!!",
    ]  # fmt: skip
    contents = {member.path: bytes(member.content) for member in members}
    assert contents[b"aaa"] == contents[b"bin/su"] == b""
    assert contents[b"bin/sudo"] == b"program"
    numbers = {member.path: int(member.head[6:14], 16) for member in members}
    assert numbers[b"aaa"] == numbers[b"bin/su"] == numbers[b"bin/sudo"] == 1
    assert {numbers[path] for path in paths if b"bin/" not in path and path != b"aaa"} == {0}


def test_archive_is_padded_to_512_bytes_and_members_to_4() -> None:
    data = build_cpio(sample())
    assert len(data) % 512 == 0
    assert all(member.size_bytes % 4 == 0 for member in iter_members(sample()))


@pytest.mark.oracle
def test_gnu_cpio_lists_the_same_metadata() -> None:
    listing = run(require("cpio"), "-itv", "--numeric-uid-gid", stdin=build_cpio(sample())).decode(
        "latin-1"
    )
    rows = [row.split(None, 8) for row in listing.splitlines()]
    listed = {row[-1]: (row[0], row[1], row[2], row[3]) for row in rows if row[0][0] not in "bc"}
    assert listed["."] == ("drwxr-xr-x", "1", "0", "0")
    assert listed["bin/su"] == ("-rwsr-xr-x", "3", "0", "0")
    assert listed["tmp"] == ("drwxrwxrwt", "1", "0", "0")
    assert listed["lib -> usr/lib"] == ("lrwxrwxrwx", "1", "0", "0")
    assert listed["dev/initctl"][0] == "prw-------"
    assert listed["dev/log"][0] == "srw-rw-rw-"
    assert "crw-------   1 0        0          5,   1" in listing
    assert "brw-rw----   1 0        6          8,   1" in listing


@pytest.mark.oracle
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="devices need root")
def test_gnu_cpio_unpacks_the_same_tree(tmp_path: Path) -> None:
    run(require("cpio"), "-idm", "--no-preserve-owner", stdin=build_cpio(sample()), cwd=tmp_path)
    assert (tmp_path / "bin/su").read_bytes() == b"program"
    assert (tmp_path / "aaa").stat().st_ino == (tmp_path / "bin/sudo").stat().st_ino
    assert (tmp_path / "lib").readlink() == Path("usr/lib")
    assert (tmp_path / "dev/sda1").stat().st_rdev == os.makedev(8, 1)
    assert (tmp_path / "tmp").stat().st_mode & 0o7777 == 0o1777


@pytest.mark.oracle
def test_bsdtar_lists_devices_and_links() -> None:
    listing = run(require("bsdtar"), "-tvf", "-", stdin=build_cpio(sample())).decode("latin-1")
    rows = listing.splitlines()
    assert any(row.startswith("crw-------") and "5,1" in row for row in rows)
    assert any(row.endswith("lib -> usr/lib") for row in rows)
    assert sum("link to" in row for row in rows) == 2
    assert len(rows) == 13


@pytest.mark.oracle
@pytest.mark.parametrize("packer", ["cpio-newc", "cpio-crc", "bsdcpio"])
def test_archive_of_another_program_is_read(packer: str, tmp_path: Path) -> None:
    command = {
        "cpio-newc": [require("cpio"), "-o", "-H", "newc"],
        "cpio-crc": [require("cpio"), "-o", "-H", "crc"],
        "bsdcpio": [require("bsdcpio"), "-o", "-H", "newc"],
    }[packer]
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o750)
    (tmp_path / "a/one").write_bytes(b"1" * 5000)
    (tmp_path / "a/two").hardlink_to(tmp_path / "a/one")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("a/one")
    os.mkfifo(tmp_path / "fifo")
    names = b".\na\na/one\na/two\nempty\nlink\nfifo\n"
    tree = parse_cpio(Input(run(*command, stdin=names, cwd=tmp_path), name=packer))
    assert [path for path, _node in tree.walk()] == [
        b"", b"a", b"a/one", b"a/two", b"empty", b"fifo", b"link",
    ]  # fmt: skip
    assert bytes(tree[b"a/one"].content) == b"1" * 5000
    assert list(tree.hard_links().values()) == [[b"a/one", b"a/two"]]
    assert tree[b"link"].target == b"a/one"
    assert isinstance(tree[b"fifo"], Fifo)
    assert tree[b"a"].metadata.mode == 0o750


def test_later_archives_replace_files_of_earlier_ones() -> None:
    early = record(b"kernel", mode=0o40755) + record(b"kernel/x86", b"microcode") + TRAILER
    late = record(b"kernel", mode=0o40700) + record(b"etc", mode=0o40755) + TRAILER
    late += bytes(512) + record(b"kernel/x86", b"newer") + TRAILER + bytes(100)
    for packed in (late, gzip.compress(late), lzma.compress(late, check=lzma.CHECK_CRC32)):
        tree = parse_cpio(Input(early + bytes(1024) + packed, name="x"))
        assert bytes(tree[b"kernel/x86"].content) == b"newer"
        assert tree[b"kernel"].metadata.mode == 0o700
        assert b"etc" in tree
    packed = gzip.compress(early)
    tree = parse_cpio(Input(packed + bytes(-len(packed) % 4) + late, name="x"))
    assert bytes(tree[b"kernel/x86"].content) == b"newer"


def test_wrong_checksum_is_refused() -> None:
    good = record(b"f", b"abc", magic=b"070702", check=sum(b"abc")) + TRAILER
    assert bytes(parse_cpio(Input(good, name="x"))[b"f"].content) == b"abc"
    bad = record(b"f", b"abc", magic=b"070702", check=1) + TRAILER
    with pytest.raises(FormatError) as caught:
        parse_cpio(Input(bad, name="x"))
    assert str(caught.value) == (
        "x, byte 112: expected content with the checksum 0x00000001, got 0x00000126"
    )


def test_content_of_hard_links_is_with_first_or_last_name() -> None:
    first = record(b"a", b"data", ino=5, nlink=2) + record(b"b", ino=5, nlink=2) + TRAILER
    last = record(b"a", ino=5, nlink=2) + record(b"b", b"data", ino=5, nlink=2) + TRAILER
    for data in (first, last):
        tree = parse_cpio(Input(data, name="x"))
        assert bytes(tree[b"a"].content) == bytes(tree[b"b"].content) == b"data"
        assert len(tree.hard_links()) == 1


def test_equal_inode_numbers_with_link_count_1_are_not_hard_links() -> None:
    tree = parse_cpio(
        Input(record(b"a", b"1", ino=7) + record(b"b", b"2", ino=7) + TRAILER, name="x")
    )
    assert tree.hard_links() == {}


def test_missing_parents_are_made_and_links_in_paths_are_followed() -> None:
    data = (
        record(b"usr/lib/x", b"1")
        + record(b"lib", b"/usr/lib", mode=0o120777)
        + record(b"lib/y", b"2")
        + record(b"lib/deep/z", b"3")
        + record(b"usr", mode=0o40700)
        + TRAILER
    )
    tree = parse_cpio(Input(data, name="x"))
    assert bytes(tree[b"usr/lib/y"].content) == b"2"
    assert bytes(tree[b"usr/lib/deep/z"].content) == b"3"
    assert tree[b"usr"].metadata.mode == 0o700
    assert tree[b"usr/lib"].metadata == Metadata(mode=0o755)


DAMAGE: list[tuple[bytes, str]] = [
    (b"", "x, byte 0: expected a cpio archive, got no data"),
    (bytes(64), "x, byte 0: expected a cpio archive, got no data"),
    (
        b"not a cpio",
        "x, byte 0: expected a cpio archive (070701), plain or compressed, got b'not a '",
    ),
    (
        b"070707" + bytes(70),
        (
            "x, byte 0: expected a cpio archive (070701), plain or compressed, "
            "got the old portable format (odc)"
        ),
    ),
    (TRAILER[:60], "x, byte 60: expected a cpio header of 110 bytes, got the end of the archive"),
    (
        record(b"f", b"abc") + b"junk",
        "x, byte 120: expected a cpio header of 110 bytes, got the end of the archive",
    ),
    (
        record(b"f", b"abc")[:-3],
        "x, byte 113: expected 3 bytes of content, got the end of the archive",
    ),
    (
        record(b"f", size=0xFFFFFFFF) + TRAILER,
        "x, byte 236: expected 4294967295 bytes of content, got the end of the archive",
    ),
    (
        record(b"f", namesize=0) + TRAILER,
        "x, byte 0: expected a name of 1 to 4096 bytes, got 0",
    ),
    (
        record(b"f", namesize=5000) + TRAILER,
        "x, byte 0: expected a name of 1 to 4096 bytes, got 5000",
    ),
    (
        record(b"f\0g") + TRAILER,
        "x, byte 110: expected a name with NUL only at its end, got b'f\\x00g\\x00'",
    ),
    (
        b"070701" + b" " * 104 + b"f\0" + TRAILER,
        "x, byte 6: expected 104 hexadecimal digits, got b'" + " " * 24 + "'…",
    ),
    (record(b"/../etc") + TRAILER, "x, byte 0: the name '../etc' contains '..'"),
    (record(b"a/../../b") + TRAILER, "x, byte 0: the name 'a/../../b' contains '..'"),
    (
        record(b"f") + record(b"./f", mode=0o40755) + TRAILER,
        "x, byte 112: expected 'f' to be a file, as at byte 0, got a folder",
    ),
    (
        record(b"f", mode=0o40755) + record(b"f") + TRAILER,
        "x, byte 112: expected 'f' to be a folder, as at byte 0, got a file",
    ),
    (
        record(b"f", mode=0o40755) + record(b"f", b"x", mode=0o120777) + TRAILER,
        "x, byte 112: expected 'f' to be a folder, as at byte 0, got a symbolic link",
    ),
    (
        record(b"f") + record(b"f/g") + TRAILER,
        "x, byte 112: 'f' must be a folder to hold 'f/g', got a file",
    ),
    (
        record(b"d", b"x", mode=0o40755) + TRAILER,
        "x, byte 0: expected no content in 'd', which is not a file or link, got 1 bytes",
    ),
    (
        record(b"f", mode=0o30644) + TRAILER,
        "x, byte 0: expected a file type that Linux supports, got mode 0o30644 for 'f'",
    ),
    (
        record(b"l", mode=0o120777) + TRAILER,
        "x, byte 0: expected a target for the link 'l', got an empty target",
    ),
    (
        record(b".") + TRAILER,
        "x, byte 0: expected a folder at '.', got a file",
    ),
    (
        TRAILER + bytes(2) + TRAILER,
        (
            "x, byte 126: expected an archive that starts at a multiple of 4 bytes, "
            "got an unaligned archive, which the kernel refuses"
        ),
    ),
    (
        gzip.compress(gzip.compress(TRAILER, mtime=0), mtime=0),
        (
            "x, byte 0: expected a cpio archive (070701), plain or compressed, "
            "got b'\\x1f\\x8b\\x08\\x00"
        ),
    ),
]


@pytest.mark.parametrize(("data", "message"), DAMAGE, ids=range(len(DAMAGE)))
def test_damaged_archive_is_refused_with_its_offset(data: bytes, message: str) -> None:
    with pytest.raises(PurekernelError) as caught:
        parse_cpio(Input(data, name="x"))
    assert str(caught.value).startswith(message)


def noted(data: bytes) -> tuple[Tree, list[str]]:
    notes: list[str] = []
    return parse_cpio(Input(data, name="x", limits=Limits(report=notes.append))), notes


def test_record_split_across_gzip_members_is_read() -> None:
    data = record(b"f", b"abcdefgh") + TRAILER
    tree, notes = noted(gzip.compress(data[:116]) + gzip.compress(data[116:]))
    assert tree.read("f") == b"abcdefgh"
    assert notes == []


OPEN_NOTE = "x: the record TRAILER!!! at its end is missing, so it may have been cut off"


@pytest.mark.parametrize(
    "data",
    [
        record(b"f", b"abc"),
        record(b"f", b"abc")[:-1],  # without its padding
        record(b"f", b"abc") + bytes(400),
        gzip.compress(record(b"f", b"abc"), mtime=0),
        record(b"f", b"abc") + bytes(4) + gzip.compress(record(b"g") + TRAILER, mtime=0),
    ],
)
def test_archive_without_trailer_is_read_and_reported(data: bytes) -> None:
    tree, notes = noted(data)
    assert tree.read("f") == b"abc"
    assert notes == [OPEN_NOTE]


def test_zeros_between_parts_of_every_kind_are_skipped() -> None:
    parts = [record(b"%d" % number, b"x") + TRAILER for number in range(6)]
    packed = [parts[0], gzip.compress(parts[1]), gzip.compress(parts[2]), bz2.compress(parts[3])]
    packed += [lzma.compress(parts[4], lzma.FORMAT_XZ, lzma.CHECK_CRC32)]
    data = b"".join(part + bytes(-len(part) % 4 + 512) for part in (*packed, parts[5]))
    for whole in (data, bytes(8) + data):
        tree, notes = noted(whole)
        assert tree.entries(b"") == [b"%d" % number for number in range(6)]
        assert notes == []
        assert count_archives(Input(whole, name="x")) == 6


def test_last_record_of_a_name_counts_and_is_reported() -> None:
    data = record(b"f", b"old") + record(b"g") + record(b"./f", b"newer", mode=0o100600) + TRAILER
    tree, notes = noted(data)
    assert (tree.read("f"), tree[b"f"].metadata.mode) == (b"newer", 0o600)
    assert notes == [
        (
            "x: 1 member replaces an earlier one of the same name: "
            "'f' at byte 228 replaces the one at byte 0"
        )
    ]
    assert noted(record(b"f", b"x") * 2 + TRAILER)[1] == []


def test_record_of_a_later_archive_is_not_reported() -> None:
    tree, notes = noted(record(b"f", b"old") + TRAILER + record(b"f", b"new") + TRAILER)
    assert (tree.read("f"), notes) == (b"new", [])


@pytest.mark.parametrize(
    ("again", "node"),
    [
        (record(b"f", b"g", mode=0o120777), "a symbolic link"),
        (record(b"f", mode=0o20644), "a character device"),
        (record(b"f", mode=0o10644), "a fifo"),
        (record(b"f", mode=0o140644), "a socket"),
    ],
)
def test_file_is_replaced_by_a_record_of_another_kind(again: bytes, node: str) -> None:
    tree, notes = noted(record(b"f", b"x") + again + TRAILER)
    assert describe(tree[b"f"]) == node
    assert len(notes) == 1


def test_hard_link_keeps_the_older_copy_of_a_replaced_record() -> None:
    links = record(b"a", ino=5, nlink=2) + record(b"b", b"old", ino=5, nlink=2)
    tree, notes = noted(links + record(b"a", b"new", ino=6) + TRAILER)
    assert (tree.read("a"), tree.read("b")) == (b"new", b"old")
    assert len(notes) == 1


def test_appended_record_of_a_hard_link_changes_all_its_names() -> None:
    links = record(b"a", ino=5, nlink=2) + record(b"b", b"old", ino=5, nlink=2)
    tree, _notes = noted(links + record(b"a", b"new", ino=5, nlink=2) + TRAILER)
    assert (tree.read("a"), tree.read("b")) == (b"new", b"new")
    assert tree.inode(b"a") == tree.inode(b"b")


@pytest.mark.parametrize("name", [b"/etc/one", b"//etc/one", b"/./etc//one"])
def test_absolute_name_is_read_as_relative(name: bytes) -> None:
    tree, notes = noted(record(name, b"x") + record(b"/etc/two") + TRAILER)
    assert tree.read("etc/one") == b"x"
    assert notes == [f"x: removed the leading '/' from 2 names, such as '{name.decode()}'"]


@pytest.mark.oracle
def test_core_that_gnu_cpio_appended_to_is_unpacked_alike(tmp_path: Path) -> None:
    cpio = require("cpio")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "one").write_bytes(b"old")
    (tmp_path / "etc" / "two").hardlink_to(tmp_path / "etc" / "one")
    packed = run(cpio, "-oH", "newc", "--quiet", stdin=b"etc\netc/one\netc/two\n", cwd=tmp_path)
    (tmp_path / "a.cpio").write_bytes(packed)
    (tmp_path / "etc" / "one").unlink()
    (tmp_path / "etc" / "one").write_bytes(b"newer")
    names = b"etc/one\n" + os.fsencode(tmp_path / "etc" / "one") + b"\n"
    run(cpio, "-oAH", "newc", "--quiet", "-O", "a.cpio", stdin=names, cwd=tmp_path)
    tree, notes = noted((tmp_path / "a.cpio").read_bytes())
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    options = ("-idumH", "newc", "--quiet", "--no-absolute-filenames")
    run(cpio, *options, stdin=(tmp_path / "a.cpio").read_bytes(), cwd=unpacked)
    for path, node in tree.walk():
        if isinstance(node, File):
            assert (unpacked / os.fsdecode(path)).read_bytes() == node.content
    assert (tree.read("etc/one"), tree.read("etc/two")) == (b"newer", b"old")
    assert len(notes) == 2


def test_archive_above_a_limit_is_refused() -> None:
    many = b"".join(record(b"%d" % number) for number in range(20)) + TRAILER
    with pytest.raises(LimitError, match="at most 10 members"):
        parse_cpio(Input(many, name="x", limits=Limits(members=10)))
    with pytest.raises(LimitError, match="at most 3 folders deep"):
        parse_cpio(Input(record(b"a/b/c/d") + TRAILER, name="x", limits=Limits(depth=3)))
    with pytest.raises(LimitError, match="at most 1000 bytes unpacked"):
        parse_cpio(Input(gzip.compress(many), name="x", limits=Limits(unpacked_bytes=1000)))


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_archive_raises_only_purekernel_errors(data: st.DataObject) -> None:
    archive = bytearray(build_cpio(sample()))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PurekernelError):
        parse_cpio(Input(bytes(archive[: data.draw(st.integers(0, len(archive)))]), name="x"))


def _with_long_target(tree: Tree) -> None:
    tree.add(b"l", Symlink(metadata=META, target=b"x" * 4096))


def _with_long_path(tree: Tree) -> None:
    path = b"/".join([b"y" * 255] * 16)
    tree.add_parents(path)
    tree.add(path, File(metadata=META))


def _with_trailer(tree: Tree) -> None:
    tree.add(b"TRAILER!!!", File(metadata=META))


def _with_large_uid(tree: Tree) -> None:
    tree.add(b"f", File(metadata=Metadata(mode=0, uid=1 << 32)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            _with_long_target,
            (
                "'l': the target of the symbolic link must be at most 4095 bytes for the kernel, "
                "got 4096"
            ),
        ),
        (
            _with_long_path,
            f"'{'y' * 40}'…: the path must be at most 4095 bytes for the kernel, got 4096",
        ),
        (_with_trailer, "'TRAILER!!!': a file must not have the name of the cpio trailer"),
        (
            _with_large_uid,
            (
                "'f': owner, group, time and device numbers must be from 0 to 4294967295, "
                "got 4294967296"
            ),
        ),
    ],
)
def test_node_that_the_kernel_does_not_support_is_refused(
    spoil: Callable[[Tree], None], message: str
) -> None:
    tree = Tree()
    spoil(tree)
    if spoil is _with_long_path:  # 4095 bytes and the NUL are the maximum
        assert len(build_cpio(tree)) > 4095
        return
    with pytest.raises(UnrepresentableError) as caught:
        build_cpio(tree)
    assert str(caught.value) == message


def test_file_of_4_gib_is_refused_without_a_copy() -> None:
    tree = Tree()
    with mmap.mmap(-1, 1 << 32) as zeros:  # untouched pages take no memory
        view = memoryview(zeros)
        tree.add(b"huge", File(metadata=META, content=view))
        with pytest.raises(UnrepresentableError) as caught:
            build_cpio(tree)
        tree.remove(b"huge")
        view.release()
    assert str(caught.value) == (
        "'huge': a file in a cpio archive must be smaller than 4 GiB, got 4294967296 bytes"
    )


def test_time_before_1970_becomes_1970() -> None:
    tree = Tree()
    tree.add(b"f", File(metadata=Metadata(mode=0o644, mtime=-5)))
    assert parse_cpio(Input(build_cpio(tree), name="x"))[b"f"].metadata.mtime == 0


def test_hard_linked_symlinks_become_separate_links() -> None:
    tree = Tree()
    tree.add(b"a", Symlink(metadata=META, target=b"target"))
    tree.link(b"b", b"a")
    read = parse_cpio(Input(build_cpio(tree), name="x"))
    assert read[b"a"] == read[b"b"] == tree[b"a"]
    assert read.hard_links() == {}


@pytest.mark.oracle
def test_gnu_cpio_unpacks_hard_linked_symlinks(tmp_path: Path) -> None:
    tree = Tree()
    tree.add(b"a", Symlink(metadata=META, target=b"target"))
    tree.link(b"b", b"a")
    run(require("cpio"), "-idm", "--no-preserve-owner", stdin=build_cpio(tree), cwd=tmp_path)
    assert (tmp_path / "a").readlink() == (tmp_path / "b").readlink() == Path("target")


def test_symlinks_with_one_inode_number_are_read_as_separate_links() -> None:
    link = {"mode": 0o120777, "ino": 5, "nlink": 2}
    tree = parse_cpio(
        Input(record(b"a", b"x", **link) + record(b"b", b"x", **link) + TRAILER, name="x")
    )
    assert tree[b"a"] == tree[b"b"]
    assert tree.hard_links() == {}


def test_limits_apply_to_all_archives_together() -> None:
    part = gzip.compress(record(b"f", bytes(1000)) + TRAILER)
    limits = Limits(unpacked_bytes=4000, members=3)
    with pytest.raises(LimitError, match="at most 4000 bytes unpacked"):
        parse_cpio(Input(part * 5, name="x", limits=limits))
    plain = record(b"f") + TRAILER
    with pytest.raises(LimitError, match="at most 3 members"):
        parse_cpio(Input((plain + bytes(-len(plain) % 4)) * 5, name="x", limits=limits))


def test_name_padded_with_nuls_is_read() -> None:
    padded = record(b"GenuineIntel.bin\0\0\0\0", b"microcode") + TRAILER
    assert bytes(parse_cpio(Input(padded, name="x"))[b"GenuineIntel.bin"].content) == b"microcode"


def test_later_archive_replaces_nodes_of_another_type() -> None:
    folder = {"mode": 0o40755}
    first = record(b"a", b"to", mode=0o120777) + record(b"b", **folder) + record(b"c", b"1")
    later = record(b"a", **folder) + record(b"a/x") + record(b"b", b"2") + record(b"c", **folder)
    tree = parse_cpio(Input(first + TRAILER + later + TRAILER, name="x"))
    assert b"a/x" in tree
    assert bytes(tree[b"b"].content) == b"2"
    assert isinstance(tree[b"c"], Directory)
    full = record(b"d", **folder) + record(b"d/x") + TRAILER
    with pytest.raises(PurekernelError, match="'d' is a folder, and a file cannot replace it"):
        parse_cpio(Input(full + record(b"d", b"3") + TRAILER, name="x"))


def test_link_target_longer_than_4095_bytes_is_refused() -> None:
    with pytest.raises(FormatError, match="a target of at most 4095 bytes, as the kernel requires"):
        parse_cpio(Input(record(b"l", b"x" * 4096, mode=0o120777) + TRAILER, name="x"))


def test_folders_without_a_record_count_as_members() -> None:
    deep = b"/".join([b"%d"] * 100)
    data = b"".join(record(deep % ((number,) * 100)) for number in range(50)) + TRAILER
    with pytest.raises(LimitError, match="at most 3000 members"):
        parse_cpio(Input(data, name="x", limits=Limits(members=3000)))


@pytest.mark.slow
def test_paths_through_links_are_limited_in_length_and_number() -> None:
    chain = b"".join(
        record(b"l%d" % number, b"./" * 1500 + b"l%d" % (number + 1), mode=0o120777)
        for number in range(30)
    )
    far = chain + record(b"l30", mode=0o40755) + record(b"l0/x") + TRAILER
    assert b"l30/x" in parse_cpio(Input(far, name="x"))
    steps = chain.replace(b"./" * 1500, b"a/../" * 600)
    with pytest.raises(PurekernelError, match="takes more than 1000 steps to resolve"):
        parse_cpio(
            Input(
                record(b"a", mode=0o40755)
                + steps
                + record(b"l30", mode=0o40755)
                + record(b"l0/x")
                + TRAILER,
                name="x",
            )
        )
    many = b"".join(record(b"l/%d/x" % number) for number in range(10_001))
    with pytest.raises(LimitError, match="at most 10000 folders that are missing"):
        parse_cpio(
            Input(
                record(b"l", b"d", mode=0o120777) + record(b"d", mode=0o40755) + many + TRAILER,
                name="x",
            )
        )


def test_link_replaced_by_a_later_archive_is_resolved_again() -> None:
    link = {"mode": 0o120777}
    folder = {"mode": 0o40755}
    first = record(b"a", **folder) + record(b"b", **folder) + record(b"l", b"a", **link)
    first += record(b"l/1") + record(b"l/2") + TRAILER
    second = record(b"l", b"b", **link) + record(b"l/3") + TRAILER
    tree = parse_cpio(Input(first + second, name="x"))
    assert (tree.entries(b"a"), tree.entries(b"b")) == ([b"1", b"2"], [b"3"])


def test_path_through_a_link_replaces_the_record_of_its_real_path() -> None:
    data = (
        record(b"lib", mode=0o40755) + record(b"l2", b"lib", mode=0o120777)
        + record(b"lib/x", b"1") + record(b"l2/x", b"2") + TRAILER
    )  # fmt: skip
    tree, notes = noted(data)
    assert tree.read("lib/x") == b"2"
    assert "'lib/x' at byte" in notes[0]


def test_path_through_a_file_has_a_hint_about_the_archive() -> None:
    data = record(b"a", b"x") + record(b"a/b", b"y") + TRAILER
    with pytest.raises(PurekernelError, match="'a' must be a folder to hold 'a/b'") as caught:
        parse_cpio(Input(data, name="x"))
    assert caught.value.hint == "pack the archive again without members below a file or link"


def test_path_through_more_than_40_links_is_refused() -> None:
    loop = record(b"s", b".", mode=0o120777)
    assert b"x" in parse_cpio(Input(loop + record(b"s/" * 40 + b"x") + TRAILER, name="x"))
    with pytest.raises(PurekernelError, match="passes through more than 40 symbolic links"):
        parse_cpio(Input(loop + record(b"s/" * 41 + b"x") + TRAILER, name="x"))
