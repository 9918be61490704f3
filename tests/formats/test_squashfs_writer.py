"""Test the squashfs writer with the reader, unsquashfs and 7z."""

from __future__ import annotations

import io
import os
import random
import struct
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySquashfsImage import SquashFsImage

from purekernel.encode.blocks import DEFLATERS
from purekernel.encode.encoders import Effort
from purekernel.errors import FormatError, PurekernelError, UnrepresentableError, UsageError
from purekernel.formats.squashfs import (
    Options,
    build_squashfs,
    open_squashfs,
    parse_squashfs,
    write_squashfs,
)
from purekernel.formats.squashfs.codecs import GZIP, Codec, lz4_codec, xz_codec, zstd_codec
from purekernel.formats.squashfs.inodes import Entry, build_listing
from purekernel.formats.squashfs.layout import SuperblockFlag
from purekernel.formats.squashfs.metadata import Position
from purekernel.input import Input, Limits
from purekernel.tree import (
    Device,
    DeviceKind,
    Directory,
    Fifo,
    File,
    Metadata,
    Node,
    Socket,
    Symlink,
    Tree,
)
from purekernel.tree.path import join
from tests.formats.test_squashfs import check_against_disk, parse, unpack
from tests.oracles import require, run
from tests.shared import mirror
from tests.strategies import trees

GZIP_CODEC = Codec(compression=GZIP, pack=DEFLATERS[Effort.FAST])

PLAIN = Metadata(mode=0o644)


class AtOnce(Executor):
    """Run each task in the caller's thread on submission."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def build(tree: Tree, codec: Codec = GZIP_CODEC, **options: Any) -> bytes:
    return build_squashfs(tree, codec=codec, executor=AtOnce(), options=Options(**options))


def with_files(**contents: bytes) -> Tree:
    tree = Tree()
    for name, content in contents.items():
        tree.add(name.encode(), File(metadata=PLAIN, content=content))
    return tree


def superblock(image: bytes) -> tuple[Any, ...]:
    return struct.unpack_from("<4sIIIIHHHHHHQQQQQQQQ", image)


def varied_tree() -> Tree:
    """Return a tree with every type of node, sizes around block sizes, holes and equal files."""
    chance = random.Random(5)
    tree = Tree(Directory(metadata=Metadata(mode=0o1777, uid=1001, gid=50, mtime=1_300_000_000)))
    for size in (0, 1, 4095, 4096, 4097, 8192, 12_000, 131_072, 131_073, 1 << 20, (1 << 20) + 9):
        noise, text = chance.randbytes(size), (b"line %d\n" % size * size)[:size]
        tree.add(b"noise%d" % size, File(metadata=PLAIN, content=noise))
        tree.add(b"text%d" % size, File(metadata=PLAIN, content=memoryview(text)))
        tree.add(b"hole%d" % size, File(metadata=PLAIN, content=bytes(size)))
    tree.add(b"again", File(metadata=Metadata(mode=0o600), content=tree[b"text12000"].content))  # type: ignore[union-attr]
    holes = bytes(4096) + b"x" * 4096 + bytes(700_000) + b"y" + bytes(5000)
    tree.add(b"holes", File(metadata=PLAIN, content=holes))
    deep = b""
    for _ in range(60):
        deep = join(deep, b"d")
        tree.add(deep, Directory(metadata=Metadata(mode=0o755, uid=chance.randrange(9))))
    tree.link(join(deep, b"hard"), b"text4097")
    tree.add(b"soft", Symlink(metadata=Metadata(mode=0o777, uid=3), target=b"../nowhere"))
    tree.link(b"soft2", b"soft")
    tree.add(b"long", Symlink(metadata=Metadata(mode=0o777), target=b"t" * 4095))
    device = {"metadata": Metadata(mode=0o660, uid=4_000_000_000, gid=6), "kind": DeviceKind.BLOCK}
    tree.add(b"disk", Device(**device, major=259, minor=300_000))  # type: ignore[arg-type]
    tree.link(b"disk2", b"disk")
    tree.add(b"pipe", Fifo(metadata=Metadata(mode=0o600, mtime=0xFFFFFFFF)))
    tree.add(b"socket", Socket(metadata=Metadata(mode=0o755)))
    tree.add(b"\xff\xfe \n", File(metadata=Metadata(mode=0o6755), content=b"bytes"))
    return tree


# Round trips


@pytest.mark.slow
@given(trees(any_links=True), st.sampled_from([4096, 8192, 1 << 20]), st.booleans(), st.booleans())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_tree_round_trips(tree: Tree, block_bytes: int, tails: bool, duplicates: bool) -> None:
    image = build(tree, block_bytes=block_bytes, tails=tails, duplicates=duplicates)
    assert parse(image) == tree


names = st.sampled_from([b"user.a", b"user.note", b"trusted.x", b"security.capability"])
sets = st.dictionaries(names, st.binary(max_size=9000), max_size=4)


@pytest.mark.slow
@given(st.lists(sets, max_size=12))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_extended_attributes_round_trip(xattr_sets: list[dict[bytes, bytes]]) -> None:
    tree = Tree()
    kinds: list[Callable[[Metadata], Node]] = [
        lambda metadata: File(metadata=metadata, content=b"x"),
        lambda metadata: Directory(metadata=metadata),
        lambda metadata: Symlink(metadata=metadata, target=b"t"),
        lambda metadata: Fifo(metadata=metadata),
        lambda metadata: Device(metadata=metadata, kind=DeviceKind.BLOCK, major=1, minor=2),
    ]
    for number, xattrs in enumerate(xattr_sets):
        metadata = Metadata(mode=0o644, xattrs=tuple(sorted(xattrs.items())))
        tree.add(b"%d" % number, kinds[number % len(kinds)](metadata))
    assert parse(build(tree)) == tree
    without_xattrs = parse(build(tree, xattrs=False))
    assert all(node.metadata.xattrs == () for _path, node in without_xattrs.walk())


@pytest.mark.slow
@pytest.mark.parametrize("block_bytes", [4096, 65_536, 1 << 20])
@pytest.mark.parametrize("tails", [True, False])
def test_every_type_of_node_round_trips_with_every_codec(block_bytes: int, tails: bool) -> None:
    tree = varied_tree()
    for codec in (
        GZIP_CODEC,
        xz_codec(block_bytes, is_extreme=False),
        lz4_codec(),
        lz4_codec(is_small=False),
        zstd_codec(3),
    ):
        assert parse(build(tree, codec, block_bytes=block_bytes, tails=tails)) == tree


@pytest.mark.slow
def test_open_squashfs_unpacks_contents_on_access() -> None:
    tree = varied_tree()
    image = bytearray(build(tree))
    opened = open_squashfs(Input(image, name="x"))
    assert opened.facts.block_bytes == 4096
    assert opened.facts.inodes == len({tree.inode(path) for path, _node in tree.walk()})
    for path, node in tree.walk():
        opened_node = opened.tree[path]
        assert opened_node.metadata == node.metadata
        if isinstance(node, File):
            assert isinstance(opened_node, File)
            assert opened_node.content == node.content
    image = bytearray(build(with_files(a=b"text " * 5000)))
    image[96:110] = bytes(14)
    broken = open_squashfs(Input(image, name="x")).tree[b"a"]
    assert isinstance(broken, File)
    with pytest.raises(FormatError, match="x, byte "):
        assert broken.content


# Reproducible images


@pytest.mark.slow
def test_image_is_the_same_with_any_number_of_workers() -> None:
    tree = varied_tree()
    images = {build(tree)}
    for workers in (1, 2, 7):
        with ThreadPoolExecutor(workers) as executor:
            images.add(build_squashfs(tree, codec=GZIP_CODEC, executor=executor))
    with ProcessPoolExecutor(2) as executor:
        images.add(build_squashfs(tree, codec=GZIP_CODEC, executor=executor))
    assert len(images) == 1


@pytest.mark.slow
def test_at_most_16_mib_are_in_flight() -> None:
    class Counting(AtOnce):
        waiting_bytes = most_bytes = 0

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            size = sum(len(block) for block in args[1])
            counting = self

            class Counted(Future[Any]):
                def result(self, timeout: float | None = None) -> Any:
                    counting.waiting_bytes -= size
                    return super().result(timeout)

            self.waiting_bytes += size
            self.most_bytes = max(self.most_bytes, self.waiting_bytes)
            future = Counted()
            future.set_result(fn(*args))
            return future

    chance = random.Random(6)
    tree = with_files(a=chance.randbytes(40 << 20), b=chance.randbytes(5_000_000))
    executor = Counting()
    # The codec compresses nothing, because compression is not tested here.
    codec = Codec(compression=GZIP, pack=bytes)
    image = build_squashfs(tree, codec=codec, executor=executor)
    assert 8 << 20 < executor.most_bytes <= 16 << 20
    assert parse(image) == tree


@pytest.mark.slow
def test_mkfs_time_defaults_to_the_newest_file() -> None:
    tree = varied_tree()
    assert superblock(build(tree))[2] == 0xFFFFFFFF  # the newest time in the tree
    assert superblock(build(tree, mkfs_time=77))[2] == 77


# Layout


def test_ends_of_files_share_a_block_only_with_tails() -> None:
    tree = with_files(a=b"a" * 5000, b=b"b" * 3000)
    assert superblock(build(tree))[4] == 1
    assert superblock(build(tree, tails=False))[4] == 0


def test_inodes_count_names_and_subfolders() -> None:
    tree = with_files(file=b"x", alone=b"y")
    tree.link(b"file2", b"file")
    tree.link(b"file3", b"file")
    for folder in (b"d", b"d/one", b"d/two", b"d/two/three"):
        tree.add(folder, Directory(metadata=Metadata(mode=0o755)))
    tree.add(b"pipe", Fifo(metadata=PLAIN))
    with SquashFsImage.from_bytes(build(tree)) as image:
        # The inode of a file with one name has no number of names.
        links = {inode.path: getattr(inode.inode, "nlink", 1) for inode in image}
    folders = {"/": 3, "/d": 4, "/d/one": 2, "/d/two": 3, "/d/two/three": 2}
    files = {"/file": 3, "/file2": 3, "/file3": 3, "/alone": 1, "/pipe": 1}
    assert links == {**folders, **files}


def test_equal_files_and_tails_are_stored_once() -> None:
    noise = random.Random(7).randbytes(50_000)
    other = random.Random(8).randbytes(40_960)
    twice = with_files(a=noise, b=noise, c=other + noise[-848:])
    once = with_files(a=noise, c=other)
    assert 50_000 % 4096 == 848
    bare = build(twice, padding=False)
    assert len(bare) < len(build(once, padding=False)) + 100
    assert len(build(twice, padding=False, duplicates=False)) > len(bare) + 49_152
    assert parse(bare) == twice


def test_incompressible_content_is_stored_uncompressed() -> None:
    noise = random.Random(9).randbytes(8192)
    assert noise in build(with_files(a=noise))


def test_image_is_padded_and_states_its_size_without_padding() -> None:
    for size in range(0, 9000, 700):
        image = build(with_files(a=random.Random(size).randbytes(size)))
        assert len(image) % 4096 == 0
        bare = build(with_files(a=random.Random(size).randbytes(size)), padding=False)
        assert superblock(image)[11 + 1] == len(bare)
        assert image == bare.ljust(len(image), b"\0")


def test_superblock_flags_match_the_options() -> None:
    tree = with_files(a=b"x")
    usual = SuperblockFlag.ALWAYS_FRAGMENTS | SuperblockFlag.DUPLICATES | SuperblockFlag.EXPORTABLE
    assert superblock(build(tree))[7] == usual
    chosen = {"tails": False, "duplicates": False, "exports": False, "xattrs": False}
    assert (
        superblock(build(tree, **chosen))[7]
        == SuperblockFlag.NO_FRAGMENTS | SuperblockFlag.NO_XATTRS
    )


def test_files_are_ordered_by_priority() -> None:
    noise = {name: random.Random(name).randbytes(4096) for name in "abc"}
    tree = with_files(**noise)
    image = build(tree, priorities={b"c": 5, b"b": -3})
    assert [image.index(noise[name]) for name in "cab"] == [96, 96 + 4096, 96 + 8192]


def test_compressor_options_follow_the_superblock() -> None:
    codec = evolve(GZIP_CODEC, options=struct.pack("<IHH", 9, 15, 0))
    image = build(with_files(a=b"x" * 5000), codec)
    assert image[96:106] == b"\x08\x80" + codec.options
    assert superblock(image)[7] & SuperblockFlag.COMPRESSOR_OPTIONS
    assert parse(image) == with_files(a=b"x" * 5000)


def test_new_header_after_256_entries_or_large_number_difference() -> None:
    places = [Position(0, 0)] * 256 + [Position(8194, 0)]
    entries = [Entry(b"%03d" % at, 2, at, place) for at, place in enumerate(places)]
    data = build_listing(entries).data
    assert struct.unpack_from("<III", data) == (255, 0, 0)
    assert struct.unpack_from("<III", data, 12 + 256 * 11) == (0, 8194, 256)
    apart = [Entry(b"a", 1, 1, Position(0, 0)), Entry(b"b", 1, 0x8001, Position(0, 0))]
    assert struct.unpack_from("<III", build_listing(apart).data, 12 + 9) == (0, 0, 0x8001)
    near = [Entry(b"a", 1, 0x8001, Position(0, 0)), Entry(b"b", 1, 1, Position(0, 0))]
    assert len(build_listing(near).data) == 12 + 9 + 9


def many_names(count: int) -> Tree:
    tree = Tree()
    tree.add(b"many", Directory(metadata=Metadata(mode=0o755)))
    for number in range(count):
        node: Node = Fifo(metadata=PLAIN)
        if number % 1000 == 0:
            node = Directory(metadata=Metadata(mode=0o755))
        tree.add(b"many/name%06d" % number, node)
    return tree


@pytest.mark.slow
def test_long_folder_has_an_index_entry_every_8_kib() -> None:
    listing = build_listing(
        Entry(b"name%06d" % number, 2, number, Position(number // 400 * 5000, 0))
        for number in range(50_000)
    )
    starts = [at for at, _name in listing.marks]
    assert all(8192 - 30 < b - a <= 8192 for a, b in zip([0, *starts], starts, strict=False))
    for at, name in listing.marks:
        assert listing.data[at + 12 + 8 :].startswith(name)


@pytest.mark.nightly
def test_folder_with_40000_names_round_trips() -> None:
    tree = many_names(40_000)
    assert parse(build(tree)) == tree


@pytest.mark.nightly
def test_more_than_65535_owners_are_refused() -> None:
    tree = Tree()
    for number in range(65_535):
        tree.add(b"%d" % number, Fifo(metadata=Metadata(mode=0o600, uid=number)))
    assert superblock(build(tree))[8] == 65_535
    tree.add(b"one", Fifo(metadata=Metadata(mode=0o600, uid=70_000)))
    with pytest.raises(UnrepresentableError) as caught:
        build(tree)
    assert str(caught.value) == (
        "'one': the owner or group must be one of at most 65535 IDs, each from 0 to 4294967295, "
        "got 70000"
    )


class Emptiness(bytes):
    """More than 4 GiB of zeros that take no memory."""

    SIZE = (1 << 32) + 5000
    ZEROS = bytes(1 << 20)

    def __len__(self) -> int:
        return self.SIZE

    def __getitem__(self, part: Any) -> bytes:
        start, stop, _step = part.indices(self.SIZE)
        return self.ZEROS[: stop - start]


def test_file_larger_than_4_gib_is_written() -> None:
    tree = with_files(huge=Emptiness(), small=b"small")
    image = build(tree, block_bytes=1 << 20)
    assert len(image) == 4096
    node = open_squashfs(Input(image, name="x", limits=Limits(unpacked_bytes=1 << 33))).tree[
        b"huge"
    ]
    assert node.size_bytes == Emptiness.SIZE  # type: ignore[union-attr]


# Trees and options that are refused


REFUSED: list[tuple[str, bytes, Node]] = [
    (
        "'a': the modification time must be from 0 to 4294967295 seconds since 1970, got -1",
        b"a",
        Fifo(metadata=Metadata(mode=0o600, mtime=-1)),
    ),
    (
        "'a': the device numbers must be at most 4095, 1048575, got 4096, 0",
        b"a",
        Device(metadata=PLAIN, kind=DeviceKind.BLOCK, major=4096, minor=0),
    ),
    (
        "'a': the target of the symbolic link must be 1 to 4095 bytes without NUL, got ''",
        b"a",
        Symlink(metadata=PLAIN, target=b""),
    ),
    (
        f"'{'n' * 256}': the name must be at most 255 bytes, got 256",
        b"n" * 256,
        Fifo(metadata=PLAIN),
    ),
    (
        (
            "'a': the name of an extended attribute must start with user., trusted. or security., "
            "got 'system.posix_acl_access'"
        ),
        b"a",
        Fifo(metadata=Metadata(mode=0o600, xattrs=((b"system.posix_acl_access", b"x"),))),
    ),
    (
        (
            f"'a': the extended attribute 'user.{'n' * 251}' must have a name of at most "
            "255 bytes and a value of at most 65536, got 256 and 1"
        ),
        b"a",
        Fifo(metadata=Metadata(mode=0o600, xattrs=((b"user." + b"n" * 251, b"x"),))),
    ),
]


@pytest.mark.parametrize(("message", "path", "node"), REFUSED)
def test_unrepresentable_node_is_refused(message: str, path: bytes, node: Node) -> None:
    tree = Tree()
    tree.add(path, node)
    with pytest.raises(UnrepresentableError) as caught:
        build(tree)
    assert str(caught.value) == message
    assert caught.value.hint


@pytest.mark.parametrize("size", [0, 2048, 5000, 1 << 21])
def test_invalid_block_size_is_refused(size: int) -> None:
    with pytest.raises(UsageError) as caught:
        build(Tree(), block_bytes=size)
    assert str(caught.value) == (
        f"the squashfs block size must be a power of two from 4096 to 1048576, got {size}"
    )


@pytest.mark.parametrize("when", [-1, 1 << 32])
def test_mkfs_time_out_of_range_is_refused(when: int) -> None:
    with pytest.raises(UsageError) as caught:
        build(Tree(), mkfs_time=when)
    assert str(caught.value) == (
        f"the squashfs creation time must be from 0 to 4294967295, got {when}"
    )


@pytest.mark.slow
def test_exception_in_a_worker_is_raised() -> None:
    class FaultError(Exception):
        pass

    def pack(_block: bytes) -> bytes:
        raise FaultError

    with ThreadPoolExecutor(2) as executor, pytest.raises(FaultError):
        write_squashfs(
            with_files(a=bytes(range(256)) * 400_000), io.BytesIO(),
            codec=Codec(compression=GZIP, pack=pack), executor=executor,
        )  # fmt: skip


# Damaged images


def test_damaged_extended_attributes_are_refused() -> None:
    tree = Tree()
    xattrs = ((b"user.a", b"1"), (b"user.b", b"22"))
    tree.add(b"a", Fifo(metadata=Metadata(mode=0o600, xattrs=xattrs)))
    # The codec shrinks nothing, so that the tables are stored uncompressed.
    image = build(tree, Codec(compression=GZIP, pack=bytes))
    assert parse(image) == tree
    pair = struct.pack("<HH", 0, 1) + b"a" + struct.pack("<I", 1) + b"1"
    at = image.index(pair)
    second = struct.pack("<HH", 0, 1) + b"b"

    def damaged(start: int, new: bytes) -> bytes:
        return image[:start] + new + image[start + len(new) :]

    cases = [
        (damaged(at, b"\x07"), "expected a valid extended attribute of 'a', got 'a' of type 7"),
        (damaged(at + 4, b"\0"), "expected a valid extended attribute of 'a'"),
        (damaged(image.index(second) + 4, b"a"), "expected each extended attribute once, got"),
        (damaged(at + 5, b"\xff\xff\xff"), "expected a value of at most 65536 bytes, got 16777215"),
        (damaged(at, b"\0\1"), "expected 8 bytes for the location of a value, got 1"),
        (
            damaged(image.index(struct.pack("<QII", 0, 2, 21)) + 8, b"\xff\xff\xff\xff"),
            "x.tcz, byte",
        ),
    ]
    for data, message in cases:
        with pytest.raises(FormatError) as caught:
            parse(data)
        assert message in str(caught.value)


@pytest.mark.slow
def test_damaged_image_raises_only_purekernel_errors() -> None:
    tree = many_names(60)
    xattrs = ((b"user.a", b"1" * 50), (b"user.b", b"22"))
    tree.add(b"a", Fifo(metadata=Metadata(mode=0o600, xattrs=xattrs)))
    tree.add(b"holes", File(metadata=PLAIN, content=bytes(20_000) + b"x"))
    tree.add(b"text", File(metadata=PLAIN, content=b"text " * 3000))
    tree.link(b"text2", b"text")
    chance = random.Random(10)
    # With the last codec the tables are uncompressed, so that damage hits the tables themselves.
    for codec in (GZIP_CODEC, lz4_codec(), Codec(compression=GZIP, pack=bytes)):
        image = build(tree, codec, padding=False)
        errors = 0
        for _ in range(600):
            damaged = bytearray(image)
            for _ in range(chance.randint(1, 3)):
                at = chance.choice((chance.randrange(96), chance.randrange(len(image))))
                damaged[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            try:
                parse(bytes(damaged), Limits(unpacked_bytes=1 << 22, members=2000))
            except PurekernelError:
                errors += 1
        assert errors > 200


@pytest.mark.parametrize("at", [4, 16, 26])
def test_excessive_count_in_the_superblock_is_refused(at: int) -> None:
    image = bytearray(build(with_files(a=b"x" * 5000)))
    image[at : at + 2] = b"\xff\xff"
    if at != 26:  # the count of owners has 16 bits
        image[at + 2 : at + 4] = b"\xff\xff"
    with pytest.raises(FormatError) as caught:
        parse(bytes(image))
    assert str(caught.value).startswith("x.tcz")


# Independent checkers


@pytest.mark.oracle
@pytest.mark.parametrize("options", [{}, {"tails": False, "exports": False}, {"duplicates": False}])
@pytest.mark.parametrize(
    "kind", ["gzip 4096", "gzip 131072", "xz 8192", "lz4 65536", "zstd 1048576"]
)
def test_unsquashfs_unpacks_the_same_tree(
    kind: str, options: dict[str, bool], tmp_path: Path
) -> None:
    compression, block = kind.split()
    codecs = {
        "gzip": GZIP_CODEC, "xz": xz_codec(int(block)), "lz4": lz4_codec(), "zstd": zstd_codec(),
    }  # fmt: skip
    tree = varied_tree()
    if os.geteuid() != 0:
        tree.remove(b"disk")
        tree.remove(b"disk2")
    # Not every file system can store such a time.
    tree.replace(b"pipe", Fifo(metadata=Metadata(mode=0o600, mtime=0x7FFFFFFF)))
    image = tmp_path / "x.tcz"
    image.write_bytes(build(tree, codecs[compression], block_bytes=int(block), **options))
    unpack(image, tmp_path / "unpacked")
    check_against_disk(tree, tmp_path / "unpacked", root=os.geteuid() == 0)


@pytest.mark.oracle
@given(trees(any_links=True))
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
def test_unsquashfs_unpacks_any_tree(tmp_path_factory: Any, tree: Tree) -> None:
    folder = tmp_path_factory.mktemp("any")
    if os.geteuid() != 0:
        for path, node in list(tree.walk()):
            if isinstance(node, Device):
                tree.remove(path)
    (folder / "x.tcz").write_bytes(build(tree))
    unpack(folder / "x.tcz", folder / "unpacked")
    check_against_disk(tree, folder / "unpacked", root=os.geteuid() == 0)


@pytest.mark.oracle
def test_unsquashfs_unpacks_extended_attributes(tmp_path: Path) -> None:
    tree = Tree()
    xattrs = ((b"user.empty", b""), (b"user.note", bytes(range(256)) * 12))
    shared = Metadata(mode=0o644, xattrs=xattrs)
    tree.add(b"a", File(metadata=shared, content=b"x"))
    tree.add(b"b", File(metadata=shared, content=b"x" * 9000))
    tree.add(b"d", Directory(metadata=Metadata(mode=0o755, xattrs=((b"user.d", b"folder"),))))
    (tmp_path / "x.tcz").write_bytes(build(tree))
    run(require("unsquashfs"), "-q", "-n", "-d", tmp_path / "u", tmp_path / "x.tcz")
    for path, node in tree.walk():
        file = tmp_path / "u" / os.fsdecode(path)
        unpacked = {os.fsencode(name): os.getxattr(file, name) for name in os.listxattr(file)}
        assert tuple(sorted(unpacked.items())) == node.metadata.xattrs


@pytest.mark.oracle
def test_7z_accepts_and_lists_an_image(tmp_path: Path) -> None:
    tree = varied_tree()
    (tmp_path / "x.sqfs").write_bytes(build(tree))
    output = run(require("7z"), "t", tmp_path / "x.sqfs")
    assert b"Everything is Ok" in output
    listed = run(require("7z"), "l", "-slt", tmp_path / "x.sqfs")
    assert listed.count(b"\nPath = ") == len(tree)  # the image counts in place of the root


@pytest.mark.oracle
@pytest.mark.nightly
def test_shared_extension_round_trips(tmp_path: Path) -> None:
    extensions = sorted((mirror() / "4.x" / "x86" / "tcz").glob("*.tcz"))
    assert len(extensions) == 29
    total = [0, 0]
    for path in extensions:
        old = path.read_bytes()
        tree = parse_squashfs(Input(old, name=path.name))
        new = build(tree, mkfs_time=superblock(old)[2])
        assert parse(new) == tree
        (tmp_path / "x.tcz").write_bytes(new)
        lists = [
            [line for line in listed.splitlines() if not line.startswith(b"d")]
            for listed in (
                run(require("unsquashfs"), "-ll", image) for image in (path, tmp_path / "x.tcz")
            )
        ]
        assert lists[0] == lists[1]  # without folders: their sizes depend on their headers
        total[0] += len(old)
        total[1] += len(new)
    assert total[1] < 0.995 * total[0]
