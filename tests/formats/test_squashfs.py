"""Test the squashfs reader with images of mksquashfs, handmade images and damaged ones."""

from __future__ import annotations

import lzma
import os
import random
import socket
import stat
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from purekernel.encode.blocks import DEFLATERS
from purekernel.encode.encoders import Effort
from purekernel.errors import FormatError, LimitError, PurekernelError
from purekernel.formats.squashfs import Options, build_squashfs, open_squashfs, parse_squashfs
from purekernel.formats.squashfs.codecs import GZIP, Codec, unpacker
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
    file_type,
)
from tests.executors import AtOnce
from tests.oracles import require, run
from tests.shared import mirror

# A handmade image with one file "a" of five bytes in a root of mode 0755. Everything is stored
# uncompressed, so that the tests can damage chosen fields.
NO_TABLE = 0xFFFFFFFFFFFFFFFF


def metadata(content: bytes) -> bytes:
    return struct.pack("<H", 0x8000 | len(content)) + content


def image(
    *,
    content: bytes = b"hello",
    size: int | None = None,
    name: bytes = b"a",
    entry_type: int = 2,
    block: int = 1 << 24 | 5,
    block_log: int = 12,
    fragment: int = 0xFFFFFFFF,
    self_loop: bool = False,
    compression: int = 1,
    count: int = 0,
    xattr: int | None = None,
) -> bytes:
    data_start = 96
    inode_start = data_start + len(content)
    length = 5 if size is None else size
    blocks = -(-length // (1 << block_log)) if fragment == 0xFFFFFFFF else length >> block_log
    file_inode = struct.pack("<HHHHII", 2 if xattr is None else 9, 0o644, 0, 0, 1_400_000_000, 1)
    if xattr is None:
        file_inode += struct.pack("<IIII", data_start, fragment, 0, length)
    else:  # an extended inode with one link
        file_inode += struct.pack("<QQQIIII", data_start, length, 0, 1, fragment, 0, xattr)
    file_inode += struct.pack("<I", block) * min(blocks, 2000)
    listing_size = 12 + 8 + len(name) + 3
    folder_inode = struct.pack("<HHHHII", 1 if xattr is None else 8, 0o755, 0, 0, 1_400_000_000, 2)
    if xattr is None:
        folder_inode += struct.pack("<IIHHI", 0, 2, listing_size, 0, 3)
    else:
        folder_inode += struct.pack("<IIIIHHI", 2, listing_size, 0, 3, 0, 0, xattr)
    inodes = metadata(file_inode + folder_inode)
    root_offset = len(file_inode)
    listing = struct.pack("<III", count, 0, 1)
    listing += struct.pack(
        "<HhHH", root_offset if self_loop else 0, 0, 1 if self_loop else entry_type, len(name) - 1
    )
    directories = metadata(listing + name)
    directory_start = inode_start + len(inodes)
    ids = metadata(struct.pack("<I", 50))
    id_block = directory_start + len(directories)
    id_start = id_block + len(ids)
    used = id_start + 8
    superblock = struct.pack(
        "<4sIIIIHHHHHHQQQQQQQQ",
        b"hsqs", 2, 0, 1 << block_log, 0, compression, block_log, 0, 1, 4, 0, root_offset, used,
        id_start, NO_TABLE, inode_start, directory_start, NO_TABLE, NO_TABLE,
    )  # fmt: skip
    return superblock + content + inodes + directories + ids + struct.pack("<Q", id_block)


def parse(data: bytes, limits: Limits | None = None) -> Tree:
    return parse_squashfs(Input(data, name="x.tcz", limits=limits or Limits()))


def test_image_with_one_file_is_read() -> None:
    tree = parse(image())
    owner = {"uid": 50, "gid": 50, "mtime": 1_400_000_000}
    assert tree[b""] == Directory(metadata=Metadata(mode=0o755, **owner))
    assert tree[b"a"] == File(metadata=Metadata(mode=0o644, **owner), content=b"hello")
    assert len(tree) == 2


@pytest.mark.parametrize("xattr", [0, 1, 77, 0xFFFFFFFE, 0xFFFFFFFF])
def test_xattr_number_is_ignored_without_xattr_table(xattr: int) -> None:
    # squashfs-tools 4.0 left the field at 0 in extended inodes, which hard links have.
    assert parse(image(xattr=xattr)) == parse(image())


def test_xattr_number_out_of_range_is_refused() -> None:
    data = bytearray(image(xattr=0))
    table = len(data)
    data += struct.pack("<QII", 0, 0, 0)
    data[40:48] = struct.pack("<Q", len(data))
    data[56:64] = struct.pack("<Q", table)
    message = "x.tcz: expected an index into 0 sets of extended attributes for '', got 0"
    with pytest.raises(FormatError) as caught:
        parse(bytes(data))
    assert str(caught.value) == message


@pytest.mark.parametrize("garbage", [0, 1, 95, 1 << 40, NO_TABLE])
def test_offsets_of_absent_tables_are_ignored(garbage: int) -> None:
    # The image has no fragments, and the reader does not look up inodes by number.
    data = image()[:80] + struct.pack("<QQ", garbage, garbage) + image()[96:]
    assert parse(data) == parse(image())


@pytest.mark.parametrize("flags", [0x1, 0x4, 0x10, 0x40, 0xC0, 0x1C0, 0x200, 0x8000])
def test_superblock_flags_do_not_change_the_tree(flags: int) -> None:
    data = image(xattr=0)[:24] + struct.pack("<H", flags) + image(xattr=0)[26:]
    assert parse(data) == parse(image())


@pytest.mark.oracle
@pytest.mark.parametrize("xattr", [0, 77])
def test_unsquashfs_ignores_xattr_number_without_xattr_table(xattr: int, tmp_path: Path) -> None:
    (tmp_path / "x.tcz").write_bytes(image(xattr=xattr))
    listing = run(require("unsquashfs"), "-d", "", "-lc", tmp_path / "x.tcz")
    assert listing.splitlines()[-1] == b"/a"
    run(require("unsquashfs"), "-no-xattrs", "-d", tmp_path / "root", tmp_path / "x.tcz")
    assert (tmp_path / "root" / "a").read_bytes() == b"hello"


def test_name_that_is_not_utf8_is_read() -> None:
    assert b"\xff\xfe\n" in parse(image(name=b"\xff\xfe\n"))


def test_padding_after_the_image_is_ignored() -> None:
    assert parse(image() + bytes(4096)) == parse(image())


def packed(content: bytes) -> dict[str, object]:
    return {"content": content, "block": len(content), "size": 4096}


def xz_with_dictionary(size_code: int) -> bytes:
    """Return 4096 zeros in xz whose header asks for a dictionary of a size: 37 is 1.5 GiB.

    An encoder would set aside several times as much: the code is written into its header instead.
    (Source: The .xz File Format, 3.1 "Block Header" and 5.3.1 "LZMA2".)
    """
    stream = bytearray(lzma.compress(bytes(4096), preset=0))
    start, end = 12, 12 + 4 * (stream[12] + 1)
    assert stream[start + 2 : start + 4] == b"\x21\x01"  # LZMA2, with one byte of properties
    stream[start + 4] = size_code
    stream[end - 4 : end] = zlib.crc32(stream[start : end - 4]).to_bytes(4, "little")
    return bytes(stream)


REFUSED: list[tuple[str, bytes, str]] = [
    (
        "empty file",
        b"",
        "x.tcz, byte 0: expected a squashfs image (68 73 71 73), got no bytes in a file of 0 bytes",
    ),
    (
        "zip file",
        b"PK\3\4" + bytes(100),
        ("x.tcz, byte 0: expected a squashfs image (68 73 71 73), got a zip archive"),
    ),
    (
        "lzo",
        image(compression=3),
        (
            "x.tcz, byte 20: expected blocks compressed with gzip, xz, lz4 or zstd, "
            "got lzo, which is not supported"
        ),
    ),
    (
        "version",
        image()[:28] + b"\3" + image()[29:],
        ("x.tcz, byte 28: expected squashfs version 4.0, got version 3.0, which is not supported"),
    ),
    (
        "table outside the image",
        image()[:64] + b"\0" + image()[65:],
        "x.tcz, byte 48: expected tables between byte 96 and 208, got a table at 0",
    ),
    (
        "owner out of range",
        image().replace(struct.pack("<HHHH", 2, 0o644, 0, 0), struct.pack("<HHHH", 2, 0o644, 0, 7)),
        "x.tcz: expected an index into 1 owners and groups, got 7",
    ),
    (
        "unknown inode type",
        image().replace(struct.pack("<HHHH", 2, 0o644, 0, 0), struct.pack("<HHHH", 15, 420, 0, 0)),
        "x.tcz: expected an inode type from 1 to 14, got 15",
    ),
    (
        "block size",
        image(block_log=21),
        "x.tcz, byte 12: expected a block size from 4096 to 1048576, got 2097152 (2^21)",
    ),
    (
        "truncated image",
        image()[:-1],
        "x.tcz, byte 40: expected 208 bytes, as the image states, got 207",
    ),
    ("name '..'", image(name=b".."), "x.tcz: expected a valid name in '', got '..'"),
    ("name with a slash", image(name=b"a/b"), "x.tcz: expected a valid name in '', got 'a/b'"),
    (
        "type differs from inode",
        image(entry_type=3),
        "x.tcz: expected 'a' of inode type 3, as its folder states, got 2",
    ),
    (
        "loop",
        image(self_loop=True),
        "x.tcz: expected each folder at one path, got 'a', which is also at another path",
    ),
    (
        "too many under a header",
        image(count=256),
        "x.tcz, byte 171: expected at most 256 names under one header of a folder, got 257",
    ),
    (
        "short block",
        image(size=7),
        "x.tcz, byte 96: expected 7 bytes in this block of 'a', got 5",
    ),
    (
        "long block",
        image(size=4),
        "x.tcz, byte 96: expected a block of at most 4 bytes, got a longer block",
    ),
    (
        "fragment out of range",
        image(fragment=0),
        "x.tcz: expected a fragment number below 0 for 'a', got 0",
    ),
    (
        "decompression bomb",
        image(**packed(zlib.compress(bytes(1 << 22)))),  # type: ignore[arg-type]
        "x.tcz, byte 96: expected a block of at most 4096 bytes, got a longer block",
    ),
    (
        "truncated block",
        image(**packed(zlib.compress(random.Random(1).randbytes(4096))[:50])),  # type: ignore[arg-type]
        "x.tcz, byte 96: expected a valid compressed block, got the block ends early",
    ),
    (
        "xz dictionary of 1.5 GiB",
        image(**packed(xz_with_dictionary(37)), compression=4),  # type: ignore[arg-type]
        "x.tcz, byte 96: expected a valid compressed block, got Memory usage limit exceeded",
    ),
]


@pytest.mark.parametrize(
    ("data", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_invalid_image_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(data)
    assert str(caught.value) == message
    assert caught.value.hint


def test_unsupported_compression_has_a_hint() -> None:
    with pytest.raises(FormatError) as caught:
        unpacker(3, Input(b"", name="x.tcz"))
    assert caught.value.hint == (
        "build the image again with 'mksquashfs -comp gzip -b 4096', which Tiny Core loads"
    )


def test_holes_above_the_limit_are_refused() -> None:
    with pytest.raises(LimitError) as caught:
        parse(image(size=1 << 31, block=0))
    assert str(caught.value) == (
        "x.tcz: expected at most 1073741824 bytes unpacked, got 2147483648 or more"
    )


def test_names_above_the_limit_are_refused() -> None:
    with pytest.raises(LimitError, match="at most 1 members"):
        parse(image(), Limits(members=1))


def test_every_truncation_is_refused() -> None:
    data = image()
    for cut in range(len(data)):
        with pytest.raises(FormatError):
            parse(data[:cut])


@pytest.mark.slow
def test_damaged_image_raises_only_purekernel_errors() -> None:
    chance = random.Random(2)
    for base in (image(), image(content=zlib.compress(bytes(4096)), size=4096, block=20)):
        for _ in range(4000):
            damaged = bytearray(base)
            for _ in range(chance.randint(1, 3)):
                damaged[chance.randrange(len(damaged))] = chance.choice(
                    (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
                )
            with suppress(PurekernelError):
                parse(bytes(damaged), Limits(unpacked_bytes=1 << 22, members=1000))


# Independent checkers


def plant(folder: Path) -> None:
    """Create every type of file that this user may create."""
    (folder / "d" / "e").mkdir(parents=True)
    chance = random.Random(3)
    for size in (0, 1, 4095, 4096, 4097, 8192, 131072, 131073, 1 << 20, (1 << 20) + 1):
        (folder / f"random{size}").write_bytes(chance.randbytes(size))
        with (folder / f"hole{size}").open("wb") as stream:
            stream.truncate(size)
    (folder / "holes").write_bytes(bytes(4096) + b"x" + bytes(700_000) + b"y" + bytes(5000))
    (folder / "text").write_bytes(b"hello\n" * 100_000)
    (folder / "text2").write_bytes(b"hello\n" * 100_000)
    os.link(folder / "text", folder / "d" / "e" / "hard")
    (folder / "soft").symlink_to("../nowhere")
    os.link(folder / "soft", folder / "soft2", follow_symlinks=False)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server, suppress(OSError):
        old_folder = Path.cwd()
        os.chdir(folder)
        try:
            server.bind("socket")
        finally:
            os.chdir(old_folder)
    with open(os.fsencode(folder) + b"/\xff\xfe \n", "wb") as stream:  # noqa: PTH123
        stream.write(b"bytes")
    many = folder / "many"
    many.mkdir()
    for number in range(1000):
        (many / f"file{number:04}").write_bytes(b"x" * (number % 97))
        os.utime(many / f"file{number:04}", (number, number * 1_000_000))
    (folder / "text").chmod(0o6755)
    (folder / "d").chmod(0o1777)


def check_against_disk(tree: Tree, top: Path, *, root: bool) -> None:
    """Compare a tree with the folder that unsquashfs unpacked."""
    start = os.fsencode(top)
    unpacked = {b""}
    for folder, folders, files in os.walk(start):
        unpacked |= {os.path.relpath(os.path.join(folder, name), start) for name in folders + files}  # noqa: PTH118
    assert {path for path, _ in tree.walk()} == unpacked
    inodes: dict[int, list[bytes]] = {}
    for path, node in tree.walk():
        on_disk = start + b"/" + path if path else start
        status = os.lstat(on_disk)
        assert stat.S_IFMT(status.st_mode) == file_type(node), path
        assert int(status.st_mtime) == node.metadata.mtime, path
        if root:  # only root may set owners and all modes
            assert isinstance(node, Symlink) or stat.S_IMODE(status.st_mode) == node.metadata.mode
            assert (status.st_uid, status.st_gid) == (node.metadata.uid, node.metadata.gid), path
        if isinstance(node, File):
            assert Path(os.fsdecode(on_disk)).read_bytes() == bytes(node.content), path
        if isinstance(node, Symlink):
            assert os.fsencode(Path(os.fsdecode(on_disk)).readlink()) == node.target
        if isinstance(node, Device):
            assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == (node.major, node.minor)
        if not isinstance(node, Directory):
            inodes.setdefault(status.st_ino, []).append(path)
    shared = sorted(sorted(paths) for paths in inodes.values() if len(paths) > 1)
    assert shared == sorted(sorted(paths) for paths in tree.hard_links().values())


def unpack(packed_image: Path, target: Path) -> None:
    run(require("unsquashfs"), "-quiet", "-no-progress", "-no-xattrs", "-d", target, packed_image)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "options",
    [
        "-b 4096",
        "-b 131072 -always-use-fragments",
        "-b 1M",
        "-b 4096 -no-fragments -no-exports",
        "-b 8192 -noI -noD -noF -noX",
        "-b 64K -no-sparse -no-duplicates",
        "-b 1M -comp xz -no-fragments",
        "-b 128K -comp xz -Xbcj x86",
        "-b 128K -comp zstd",
        "-b 4096 -comp lz4",
        "-b 128K -comp lz4 -Xhc",
    ],
)
def test_mksquashfs_image_has_the_files_that_unsquashfs_unpacks(
    options: str, tmp_path: Path
) -> None:
    program = require("mksquashfs")
    source = tmp_path / "source"
    plant(source)
    target = tmp_path / "x.tcz"
    run(program, source, target, "-noappend", "-quiet", "-no-progress", *options.split())
    unpack(target, tmp_path / "unpacked")
    tree = parse(target.read_bytes())
    check_against_disk(tree, tmp_path / "unpacked", root=os.geteuid() == 0)
    assert isinstance(tree[b"pipe"], Fifo)
    assert isinstance(tree[b"socket"], Socket)


@pytest.mark.oracle
def test_mksquashfs_devices_owners_and_attributes_are_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with suppress(OSError):
        os.setxattr(source, "user.note", b"x" * 100)
    run(
        require("mksquashfs"), source, tmp_path / "x.tcz", "-noappend", "-quiet", "-no-progress",
        "-p", "null c 666 0 0 1 3", "-p", "sda9 b 660 4000000000 50 259 300000",
        "-p", "home d 2755 1001 50", "-p", "long s 777 0 0 " + "t" * 3000,
    )  # fmt: skip
    tree = parse((tmp_path / "x.tcz").read_bytes())
    null, disk = tree[b"null"], tree[b"sda9"]
    assert isinstance(null, Device)
    assert (null.kind, null.major, null.minor) == (DeviceKind.CHARACTER, 1, 3)
    assert null.metadata.mode == 0o666
    assert isinstance(disk, Device)
    assert (disk.kind, disk.major, disk.minor) == (DeviceKind.BLOCK, 259, 300000)
    assert (disk.metadata.uid, disk.metadata.gid) == (4_000_000_000, 50)
    assert (tree[b"home"].metadata.mode, tree[b"home"].metadata.uid) == (0o2755, 1001)
    link = tree[b"long"]
    assert isinstance(link, Symlink)
    assert link.target == b"t" * 3000


@pytest.mark.oracle
def test_table_that_fills_its_last_block_is_read(tmp_path: Path) -> None:
    owners = 2048  # of four bytes each: 8192 bytes
    source = tmp_path / "source"
    source.mkdir()
    pseudo = tmp_path / "pseudo"
    pseudo.write_text("".join(f"f{uid} s 777 {uid} {uid} x\n" for uid in range(1, owners)))
    run(
        require("mksquashfs"), source, tmp_path / "x.tcz", "-noappend", "-quiet", "-no-progress",
        "-root-uid", "0", "-root-gid", "0", "-pf", pseudo,
    )  # fmt: skip
    tree = parse((tmp_path / "x.tcz").read_bytes())
    assert len(tree) == owners
    assert all(
        node.metadata.uid == int(path[1:]) == node.metadata.gid
        for path, node in tree.walk()
        if path
    )


@pytest.mark.oracle
def test_damaged_mksquashfs_image_raises_only_purekernel_errors(tmp_path: Path) -> None:
    program = require("mksquashfs")
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    for number in range(20):
        (source / "d" / f"f{number}").write_bytes(b"text %d " % number * 300)
    (source / "soft").symlink_to("x")
    chance = random.Random(4)
    for options in ("-b 4096 -noI -noF -noX", "-b 4096", "-b 4096 -comp xz"):
        target = tmp_path / "x.tcz"
        run(program, source, target, "-noappend", "-quiet", "-no-progress", *options.split())
        data = target.read_bytes()
        for _ in range(600):
            damaged = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(data))] = chance.choice(
                    (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
                )
            with suppress(PurekernelError):
                parse(bytes(damaged), Limits(unpacked_bytes=1 << 22, members=1000))


@pytest.mark.oracle
def test_shared_extension_has_the_files_that_unsquashfs_unpacks(tmp_path: Path) -> None:
    extensions = sorted((mirror() / "4.x" / "x86" / "tcz").glob("*.tcz"))
    assert extensions
    for number, extension in enumerate(extensions):
        unpacked = tmp_path / str(number)
        unpack(extension, unpacked)
        tree = parse(extension.read_bytes())
        check_against_disk(tree, unpacked, root=os.geteuid() == 0)
        # The listing has modes and owners for any user, unlike the unpacked files.
        listing = run(require("unsquashfs"), "-lln", "-no-progress", extension)
        assert sorted(line.split()[:2] for line in listing.splitlines() if b"/" in line) == sorted(
            [
                stat.filemode(file_type(node) | node.metadata.mode).encode(),
                b"%d/%d" % (node.metadata.uid, node.metadata.gid),
            ]
            for _, node in tree.walk()
        )


def test_parts_of_files_are_those_of_their_contents() -> None:
    """Whole blocks, holes, a tail in a fragment, and the end of the file."""
    rng = random.Random(5)
    contents = {
        b"large": rng.randbytes(3 * 4096 + 100),
        b"holes": bytes(2 * 4096) + b"x" * 4096 + bytes(50),
        b"even": rng.randbytes(2 * 4096),
        b"small": b"small",
        b"empty": b"",
    }
    tree = Tree()
    for name, content in contents.items():
        tree.add(name, File(metadata=Metadata(mode=0o644), content=content))
    codec = Codec(compression=GZIP, pack=DEFLATERS[Effort.FAST])
    data = build_squashfs(tree, codec=codec, executor=AtOnce(), options=Options(block_bytes=4096))
    for path, content in contents.items():
        lazy = open_squashfs(Input(data, name="x.tcz")).tree[path]
        assert isinstance(lazy, File)
        for start in (0, 1, 4095, 4096, 8190, 12288, 12300, 20000):
            for size in (0, 1, 4096, 5000, 1 << 20):
                assert bytes(lazy.part(start, size)) == content[start : start + size]


def test_damaged_block_is_refused_only_where_it_is_read() -> None:
    content = b"".join(bytes([letter]) * 4096 for letter in b"abc")
    tree = Tree()
    tree.add(b"a", File(metadata=Metadata(mode=0o644), content=content))
    codec = Codec(compression=GZIP, pack=DEFLATERS[Effort.FAST])
    options = Options(block_bytes=4096)
    data = bytearray(build_squashfs(tree, codec=codec, executor=AtOnce(), options=options))
    data[96 + 8] ^= 0xFF  # in the first block, which follows the superblock
    lazy = open_squashfs(Input(bytes(data), name="x.tcz")).tree[b"a"]
    assert isinstance(lazy, File)
    assert bytes(lazy.part(4096, 8192)) == content[4096:]
    assert bytes(lazy.part(20000, 1)) == b""
    with pytest.raises(FormatError, match=r"^x\.tcz, byte 96: expected a valid compressed block"):
        lazy.part(0, 1)
