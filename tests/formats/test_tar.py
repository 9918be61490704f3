"""Test the tar reader and writer with archives of other programs and damaged archives."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import (
    ConflictError,
    FormatError,
    LimitError,
    PathError,
    PurekernelError,
    UnrepresentableError,
)
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.tar import build_tar, parse_tar
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
)
from tests.oracles import require, run
from tests.strategies import trees

META = Metadata(mode=0o644, mtime=1_400_000_000)
FOLDER = Directory(metadata=Metadata(mode=0o755, mtime=1_400_000_000))
END = bytes(1024)


def sample() -> Tree:
    """Return a tree with every type of node that tar supports, and unusual names."""
    tree = Tree()
    for path in (b"dev", b"etc", b"tmp", b"usr", b"usr/" + b"d" * 120):
        tree.add(path, FOLDER)
    tree.add(b"tmp", Directory(metadata=Metadata(mode=0o1777, mtime=5)))
    tree.add(b"etc/shadow", File(metadata=Metadata(mode=0o640, gid=50, mtime=7), content=b"tc:x\n"))
    tree.add(b"etc/empty", File(metadata=META))
    tree.add(b"usr/su", File(metadata=Metadata(mode=0o6755, uid=1001, mtime=9), content=b"e" * 512))
    tree.link(b"usr/sudo", b"usr/su")
    tree.add(b"usr/" + b"d" * 120 + b"/" + b"f" * 200, File(metadata=META, content=b"long"))
    tree.add(b"usr/long", Symlink(metadata=Metadata(mode=0o777, mtime=3), target=b"t" * 300))
    tree.add(b"etc/\xff\xfe name\n", File(metadata=META, content=b"bytes"))
    tree.add(b"etc/\xc3\xa9", File(metadata=META, content=b"utf-8"))
    tree.add(
        b"dev/sda300",
        Device(
            metadata=Metadata(mode=0o660, mtime=1), kind=DeviceKind.BLOCK, major=259, minor=70000
        ),
    )
    tree.add(
        b"dev/null",
        Device(metadata=Metadata(mode=0o666), kind=DeviceKind.CHARACTER, major=1, minor=3),
    )
    tree.add(b"dev/initctl", Fifo(metadata=Metadata(mode=0o600, uid=4_000_000_000, mtime=2)))
    return tree


def member(
    name: str, content: bytes = b"", *, tar_format: int = tarfile.GNU_FORMAT, **fields: object
) -> bytes:
    """Return a member as the standard library writes it."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    header = info.tobuf(tar_format, "utf-8", "surrogateescape")
    return header + content + bytes(-len(content) % 512)


def pax(**records: str) -> bytes:
    """Return a PAX header for the next member."""
    return tarfile.TarInfo._create_pax_generic_header(  # type: ignore[attr-defined]
        {key.replace("__", "."): value for key, value in records.items()},
        tarfile.XHDTYPE,
        "utf-8",
    )


def raw_pax(content: bytes, kind: bytes = b"x") -> bytes:
    return member("x", content, type=kind)


def parse(data: bytes, limits: Limits | None = None) -> Tree:
    return parse_tar(Input(data, name="a.tar", limits=limits or Limits()))


# Round trips


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(trees())
def test_tree_round_trips(tree: Tree) -> None:
    assert parse(build_tar(tree, top=True)) == tree


def test_every_type_of_node_round_trips() -> None:
    assert parse(build_tar(sample())) == sample()


def test_contents_are_views_of_the_archive() -> None:
    data = build_tar(sample())
    node = parse(data)[b"usr/su"]
    assert isinstance(node, File)
    assert isinstance(node.content, memoryview)
    assert node.content.obj is data


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_compressed_archive_is_read(pack: object) -> None:
    assert parse(pack(build_tar(sample()))) == sample()  # type: ignore[operator]


def test_archive_is_padded_to_10240_bytes_and_has_no_user_names() -> None:
    data = build_tar(sample())
    assert len(data) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {(info.uname, info.gname) for info in archive.getmembers()} == {("", "")}


def test_root_is_written_only_with_top() -> None:
    tree = Tree(Directory(metadata=Metadata(mode=0o700, uid=3, mtime=4)))
    assert build_tar(tree) == bytes(10240)
    assert build_tar(tree, top=True).startswith(b"./\0")
    assert parse(build_tar(tree, top=True)) == tree


def test_uncompressed_archive_whose_first_name_starts_like_bzip2_is_read() -> None:
    assert b"BZh9" in parse(member("BZh9", b"x") + END)


def test_socket_is_refused() -> None:
    tree = Tree()
    tree.add(b"log", Socket(metadata=META))
    with pytest.raises(
        UnrepresentableError, match=r"^'log': a tar archive cannot contain a socket$"
    ):
        build_tar(tree)


# Archives that are accepted


def test_missing_parents_are_created() -> None:
    tree = parse(member("a/b/c", b"x", mtime=9) + END)
    assert tree[b"a/b"] == Directory(metadata=Metadata(mode=0o755))


def test_metadata_of_a_repeated_folder_is_that_of_the_last_member() -> None:
    data = member("a/f", b"x") + member("./a", type=b"5", mode=0o700)
    tree = parse(data + member("a//", type=b"5", mode=0o711, uid=7) + END)
    assert tree[b"a"].metadata == Metadata(mode=0o711, uid=7)
    assert tree[b"a/f"].metadata.mode == 0o644


def test_member_dot_sets_the_metadata_of_the_root() -> None:
    assert parse(member("./", type=b"5", mode=0o750, gid=50) + END)[b""].metadata == Metadata(
        mode=0o750, gid=50
    )


def test_hard_link_to_itself_is_accepted() -> None:
    data = member("a", b"x") + member("b", type=b"1", linkname="./a")
    data += member("a", type=b"1", linkname="a") + member("b", type=b"1", linkname="a")
    tree = parse(data + END)
    assert tree.hard_links() == {tree.inode(b"a"): [b"a", b"b"]}


def test_pax_records_override_the_header() -> None:
    extended = pax(path="caf\u00e9", uid="70000", gid="3", mtime="-7.9", comment="", x__y="z")
    node = parse(extended + member("short", b"x", uid=1) + END)["caf\u00e9".encode()]
    assert node.metadata == Metadata(mode=0o644, uid=70000, gid=3, mtime=-7)


def test_global_pax_record_applies_until_it_is_cancelled() -> None:
    data = raw_pax(b"9 uid=12\n", b"g") + member("a") + raw_pax(b"7 uid=\n") + member("b")
    tree = parse(data + member("c") + END)
    assert [tree[name].metadata.uid for name in (b"a", b"b", b"c")] == [12, 0, 12]


def test_name_in_pax_record_that_is_not_utf8_is_read() -> None:
    data = raw_pax(b"21 hdrcharset=BINARY\n" + b"11 path=\xff\xfe\n")
    assert b"\xff\xfe" in parse(data + member("x") + END)


def test_size_in_pax_record_overrides_the_header() -> None:
    data = bytearray(member("a", b"x" * 600))
    info = tarfile.TarInfo("a")
    data[:512] = info.tobuf(tarfile.GNU_FORMAT)
    tree = parse(pax(size="600") + bytes(data) + member("b") + END)
    assert tree[b"a"] == File(metadata=Metadata(mode=0o644), content=b"x" * 600)
    assert b"b" in tree


def test_file_type_in_mode_is_ignored_and_v7_folder_is_recognized_by_slash() -> None:
    block = bytearray(member("d", mode=0o100755))
    block[1:2] = b"/"
    block[156:157] = b"\0"
    block[257:265] = bytes(8)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block[:512])
    assert parse(bytes(block) + END)[b"d"] == Directory(metadata=Metadata(mode=0o755))


def test_times_in_gnu_header_are_not_used_as_prefix() -> None:
    block = bytearray(member("f", b""))
    block[345:357] = b"12345670123\0"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block[:512])
    assert [path for path, _ in parse(bytes(block) + END).walk()] == [b"", b"f"]


def test_volume_label_is_skipped_and_dump_folder_is_a_folder() -> None:
    data = member("label", type=b"V") + member("d/", b"Yf\0\0", type=b"D", mode=0o755)
    tree = parse(data + END)
    assert [path for path, _ in tree.walk()] == [b"", b"d"]
    assert isinstance(tree[b"d"], Directory)


def test_empty_archive_is_an_empty_tree() -> None:
    assert len(parse(bytes(10240))) == 1
    assert detect(bytes(10240)) is FileKind.TAR
    assert detect(b"") is not FileKind.TAR
    assert detect(b"\0" * 512) is not FileKind.TAR


# Archives that are refused

SPARSE_HINT = "pack the archive again without --sparse (-S)"

REFUSED: list[tuple[str, bytes, type[PurekernelError], str]] = [
    (
        "absolute",
        member("/etc/passwd"),
        PathError,
        "a.tar, byte 0: the name '/etc/passwd' must be relative, got an absolute path",
    ),
    (
        "name with '..'",
        member("a/../../b"),
        PathError,
        "a.tar, byte 0: the name 'a/../../b' contains '..'",
    ),
    (
        "hard link with '..'",
        member("a") + member("b", type=b"1", linkname="../a"),
        PathError,
        "a.tar, byte 512: the name '../a' contains '..'",
    ),
    (
        "hard link to a missing file",
        member("b", type=b"1", linkname="a"),
        FormatError,
        "a.tar, byte 0: expected an earlier file as the target of the hard link 'b', got 'a'",
    ),
    (
        "hard link to a folder",
        member("a/", type=b"5") + member("b", type=b"1", linkname="a"),
        FormatError,
        "a.tar, byte 512: expected an earlier file as the target of the hard link 'b', got 'a'",
    ),
    (
        "duplicate",
        member("a") + member("./a"),
        FormatError,
        "a.tar, byte 512: expected each name once, got 'a' again",
    ),
    (
        "duplicate by link",
        member("a") + member("b") + member("b", type=b"1", linkname="a"),
        FormatError,
        "a.tar, byte 1024: expected each name once, got 'b' again",
    ),
    (
        "folder over file",
        member("a") + member("a/", type=b"5"),
        FormatError,
        "a.tar, byte 512: expected each name once, got 'a' again",
    ),
    (
        "through a file",
        member("a") + member("a/b"),
        ConflictError,
        "a.tar, byte 512: 'a' must be a folder to hold 'a/b', got a file",
    ),
    (
        "through a link",
        member("a", type=b"2", linkname="/") + member("a/b"),
        ConflictError,
        "a.tar, byte 512: 'a' must be a folder to hold 'a/b', got a symbolic link",
    ),
    (
        "file at root",
        member("."),
        FormatError,
        "a.tar, byte 0: expected a folder at '.', got another type of file",
    ),
    (
        "link without target",
        member("a", type=b"2"),
        FormatError,
        "a.tar, byte 0: expected a target for the link 'a', got an empty target",
    ),
    (
        "unknown type",
        member("a", type=b"Q"),
        FormatError,
        "a.tar, byte 0: expected a file, folder, link, device or fifo, got 'a' of type 'Q'",
    ),
    (
        "multi-volume",
        member("a", type=b"M"),
        FormatError,
        (
            "a.tar, byte 0: expected a complete archive, "
            "got a part of a multi-volume archive, with the rest of 'a'"
        ),
    ),
    (
        "old sparse",
        member("a", type=b"S"),
        FormatError,
        "a.tar, byte 0: expected no sparse files, got the sparse file 'a'",
    ),
    (
        "new sparse",
        pax(GNU__sparse__major="1") + member("a"),
        FormatError,
        "a.tar, byte 512: expected no sparse files, got the PAX keyword 'GNU.sparse.major'",
    ),
    (
        "star's sparse",
        pax(SCHILY__realsize="1") + member("a"),
        FormatError,
        "a.tar, byte 512: expected no sparse files, got the PAX keyword 'SCHILY.realsize'",
    ),
    (
        "global path",
        raw_pax(b"9 path=a\n", b"g") + member("a"),
        FormatError,
        (
            "a.tar, byte 512: expected names and sizes only in PAX headers for one member, "
            "got 'path' in a global header"
        ),
    ),
    (
        "bad record",
        raw_pax(b"99 path=a\n") + member("a"),
        FormatError,
        (
            "a.tar, byte 512: expected a PAX record "
            "(its length, a keyword, '=', a value, a newline), got '99 path=a\\n'"
        ),
    ),
    (
        "endless record",
        raw_pax(b"0 path=a\n") + member("a"),
        FormatError,
        (
            "a.tar, byte 512: expected a PAX record "
            "(its length, a keyword, '=', a value, a newline), got '0 path=a\\n'"
        ),
    ),
    (
        "bad number",
        raw_pax(b"9 uid=-1\n") + member("a"),
        FormatError,
        "a.tar, byte 512: expected a decimal number for the PAX keyword 'uid', got '-1'",
    ),
    (
        "bad time",
        raw_pax(b"13 mtime=1e9\n") + member("a"),
        FormatError,
        (
            "a.tar, byte 512: expected seconds, with or without a fraction "
            "for the PAX keyword 'mtime', got '1e9'"
        ),
    ),
    (
        "negative owner",
        member("a", uid=-2),
        FormatError,
        "a.tar, byte 0: expected an owner from 0 to 4294967295 for 'a', got -2",
    ),
    (
        "negative size",
        member("a", size=-512),
        FormatError,
        "a.tar, byte 0: expected a size from 0 to 1024, the rest of the archive, got -512",
    ),
    (
        "absurd size",
        member("a", size=1 << 80),
        FormatError,
        (
            "a.tar, byte 0: expected a size from 0 to 1024, the rest of the archive, "
            "got 1208925819614629174706176"
        ),
    ),
    (
        "absurd time",
        member("a", mtime=1 << 70),
        FormatError,
        "a.tar, byte 0: expected a 64-bit time for 'a', got 1180591620717411303424",
    ),
    (
        "PAX bomb",
        raw_pax(bytes((1 << 20) + 1)),
        FormatError,
        "a.tar, byte 0: expected a PAX header of at most 1048576 bytes, got 1048577",
    ),
    (
        "name bomb",
        member("x", bytes(70000), type=b"L"),
        FormatError,
        "a.tar, byte 0: expected a long name of at most 65536 bytes, got 70000",
    ),
    (
        "two PAX headers",
        pax(uid="1") + pax(uid="2") + member("a"),
        FormatError,
        "a.tar, byte 1024: expected a member, got a second extension header of type 'x'",
    ),
    (
        "PAX header for nothing",
        pax(uid="1"),
        FormatError,
        (
            "a.tar, byte 0: expected a member after the long name or PAX header, "
            "got the end of the archive"
        ),
    ),
    (
        "damage in the middle",
        member("a", b"x") + b"\1" + member("b")[1:],
        FormatError,
        "a.tar, byte 1024: expected a valid tar header, got bad checksum",
    ),
    (
        "two archives",
        member("a") + END + member("b"),
        FormatError,
        ("a.tar, byte 1536: expected only zeros after the end of the archive, got 62 00 00 00"),
    ),
]


@pytest.mark.parametrize(
    ("data", "error", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_invalid_archive_is_refused(
    data: bytes, error: type[PurekernelError], message: str
) -> None:
    with pytest.raises(error) as caught:
        parse(data + END)
    assert str(caught.value) == message
    assert caught.value.hint


def test_truncation_between_members_is_refused() -> None:
    data = member("a", b"x") + member("b", b"y")
    with pytest.raises(FormatError) as caught:
        parse(data)
    assert str(caught.value) == (
        "a.tar, byte 2048: expected another member, or the zeros at the end of a tar archive, "
        "got the end of the file"
    )


@pytest.mark.slow
def test_every_truncation_is_refused() -> None:
    data = build_tar(sample())
    end = len(data.rstrip(b"\0"))
    end += -end % 512
    for cut in range(0, end + 512, 37):
        with pytest.raises(FormatError):
            parse(data[:cut])
    assert parse(data[: end + 512]) == sample()


@pytest.mark.slow
def test_damaged_archive_raises_only_purekernel_errors() -> None:
    chance = random.Random(1)
    whole = build_tar(sample()).rstrip(b"\0") + END
    whole += bytes(-len(whole) % 512)
    extended = pax(path="p" * 200, mtime="1.5") + member("x", b"y") + END
    for data in (whole, extended):
        for _ in range(1500):
            damaged = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.choice(b"\0\xff 0179xLKgS/.")
            # With correct checksums, the damage reaches more of the reader.
            for offset in range(0, len(damaged) - 511, 512) if chance.random() < 0.7 else ():
                if damaged[offset + 257 : offset + 262] == b"ustar":
                    damaged[offset + 148 : offset + 156] = b"        "
                    damaged[offset + 148 : offset + 156] = b"%06o\0 " % sum(
                        damaged[offset : offset + 512]
                    )
            with suppress(PurekernelError):
                parse(bytes(damaged))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse(b"\x01" + data)


def test_archive_above_a_limit_is_refused() -> None:
    data = member("a") + member("b") + member("c/d/e") + END
    with pytest.raises(LimitError, match="at most 2 members"):
        parse(data, Limits(members=2))
    with pytest.raises(LimitError, match="at most 2 folders deep"):
        parse(data, Limits(depth=2))
    with pytest.raises(LimitError, match="at most 1000 bytes unpacked"):
        parse(gzip.compress(data), Limits(unpacked_bytes=1000))


# Independent checkers


def plant(folder: Path) -> Tree:
    """Create files in ``folder``, and return the tree that an archive of them has."""
    long = "l" * 120
    (folder / "d" / long).mkdir(parents=True)
    (folder / "d" / long / ("f" * 150)).write_bytes(b"deep" * 1000)
    (folder / "d" / "empty").write_bytes(b"")
    os.link(folder / "d" / "empty", folder / "d" / "hard")
    (folder / "d" / "soft").symlink_to("x" * 150)
    (folder / "d" / "caf\u00e9").write_bytes(b"utf-8")
    with open(os.fsencode(folder) + b"/d/\xff\xfe", "wb") as stream:  # noqa: PTH123
        stream.write(b"bytes")
    os.mkfifo(folder / "d" / "pipe")
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o2750 if path.is_dir() else 0o4640 if path.is_file() else 0o600)
        os.utime(path, (1_400_000_000, 1_400_000_000), follow_symlinks=False)
    owner = {"uid": os.geteuid(), "gid": (folder / "d").stat().st_gid, "mtime": 1_400_000_000}
    file = Metadata(mode=0o4640, **owner)
    tree = Tree()
    for name in (b"d", b"d/" + long.encode()):
        tree.add(name, Directory(metadata=Metadata(mode=0o2750, **owner)))
    tree.add(b"d/" + long.encode() + b"/" + b"f" * 150, File(metadata=file, content=b"deep" * 1000))
    tree.add(b"d/empty", File(metadata=file))
    tree.link(b"d/hard", b"d/empty")
    tree.add(b"d/soft", Symlink(metadata=Metadata(mode=0o777, **owner), target=b"x" * 150))
    tree.add(b"d/\xc3\xa9".replace(b"/", b"/caf"), File(metadata=file, content=b"utf-8"))
    tree.add(b"d/\xff\xfe", File(metadata=file, content=b"bytes"))
    tree.add(b"d/pipe", Fifo(metadata=Metadata(mode=0o600, **owner)))
    return tree


@pytest.mark.oracle
@pytest.mark.parametrize(
    "command",
    [
        ("tar", "--format=gnu", "-cf", "-", "d"),
        ("tar", "--format=posix", "-cf", "-", "d"),
        ("tar", "--format=posix", "-czf", "-", "d"),
        ("tar", "--format=gnu", "-cJf", "-", "./d"),
        ("tar", "--format=gnu", "--label=x", "-cf", "-", "d"),
        ("bsdtar", "--format=pax", "-cf", "-", "d"),
        ("bsdtar", "--format=gnutar", "-cf", "-", "d"),
        ("busybox", "tar", "-cf", "-", "d"),
    ],
    ids=" ".join,
)
def test_archive_of_another_program_is_read(command: tuple[str, ...], tmp_path: Path) -> None:
    program = require(command[0])
    expected = plant(tmp_path)
    assert parse(run(program, *command[1:], cwd=tmp_path)) == expected


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["ustar", "v7"])
@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_ustar_and_v7_archives_are_read(program: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "d" / ("p" * 60)).mkdir(parents=True)
    (tmp_path / "d" / "f").write_bytes(b"x")
    path = b"d/" + b"p" * 60 + (b"/" + b"q" * 60 if name == "ustar" else b"/q")
    (tmp_path / os.fsdecode(path)).write_bytes(b"long")
    packed = run(require(program), f"--format={name}", "-cf", "-", "d", cwd=tmp_path)
    tree = parse(packed)
    assert {p for p, _ in tree.walk()} == {b"", b"d", b"d/" + b"p" * 60, b"d/f", path}


@pytest.mark.oracle
@pytest.mark.parametrize(
    "options",
    [
        ("--format=gnu",),
        ("--format=posix", "--sparse-version=0.0"),
        ("--format=posix", "--sparse-version=0.1"),
        ("--format=posix", "--sparse-version=1.0"),
    ],
    ids=" ".join,
)
def test_sparse_members_of_gnu_tar_are_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as stream:
        stream.truncate(10_000_000)
        stream.seek(5_000_000)
        stream.write(b"x" * 5000)
    packed = run(require("tar"), *options, "-cSf", "-", "f", cwd=tmp_path)
    with pytest.raises(
        FormatError, match=r"expected no sparse files, got the (sparse file 'f'|PAX keyword 'GNU\.)"
    ) as caught:
        parse(packed)
    assert caught.value.hint == SPARSE_HINT


@pytest.mark.oracle
def test_gnu_tar_lists_the_same_metadata() -> None:
    tree = sample()
    output = run(
        require("tar"), "-tvf", "-", "--numeric-owner", "--quoting-style=escape",
        stdin=build_tar(tree),
    )  # fmt: skip
    assert output.decode().splitlines() == [
        "drwxr-xr-x 0/0               0 2014-05-13 16:53 dev/",
        "prw------- 4000000000/0      0 1970-01-01 00:00 dev/initctl",
        "crw-rw-rw- 0/0             1,3 1970-01-01 00:00 dev/null",
        "brw-rw---- 0/0       259,70000 1970-01-01 00:00 dev/sda300",
        "drwxr-xr-x 0/0               0 2014-05-13 16:53 etc/",
        "-rw-r--r-- 0/0               0 2014-05-13 16:53 etc/empty",
        "-rw-r----- 0/50              5 1970-01-01 00:00 etc/shadow",
        "-rw-r--r-- 0/0               5 2014-05-13 16:53 etc/\\303\\251",
        "-rw-r--r-- 0/0               5 2014-05-13 16:53 etc/\\377\\376 name\\n",
        "drwxrwxrwt 0/0               0 1970-01-01 00:00 tmp/",
        "drwxr-xr-x 0/0               0 2014-05-13 16:53 usr/",
        f"drwxr-xr-x 0/0               0 2014-05-13 16:53 usr/{'d' * 120}/",
        f"-rw-r--r-- 0/0               4 2014-05-13 16:53 usr/{'d' * 120}/{'f' * 200}",
        f"lrwxrwxrwx 0/0               0 1970-01-01 00:00 usr/long -> {'t' * 300}",
        "-rwsr-sr-x 1001/0          512 1970-01-01 00:00 usr/su",
        "hrwsr-sr-x 1001/0            0 1970-01-01 00:00 usr/sudo link to usr/su",
    ]


@pytest.mark.oracle
@pytest.mark.parametrize("program", ["bsdtar", "busybox"])
def test_another_program_unpacks_the_same_files(program: str, tmp_path: Path) -> None:
    command = [require(program), *(["tar"] if program == "busybox" else [])]
    tree = sample()
    for path in (b"dev/null", b"dev/sda300", b"dev/initctl"):
        tree.remove(path)
    tree.replace(b"usr/su", File(metadata=META, content=b"e" * 512))
    tree.replace(b"etc/shadow", File(metadata=META, content=b"tc:x\n"))
    run(*command, "-xf", "-", cwd=tmp_path, stdin=build_tar(tree))
    for path, node in tree.walk():
        unpacked = os.path.join(os.fsencode(tmp_path), path)  # noqa: PTH118
        if isinstance(node, File):
            assert Path(os.fsdecode(unpacked)).read_bytes() == node.content
        if isinstance(node, Symlink):
            assert os.fsencode(Path(os.fsdecode(unpacked)).readlink()) == node.target
    assert (tmp_path / "usr/su").samefile(tmp_path / "usr/sudo")


@pytest.mark.oracle
def test_bsdtar_lists_owners_and_devices() -> None:
    output = run(require("bsdtar"), "-tvf", "-", "--numeric-owner", stdin=build_tar(sample()))
    lines = output.decode(errors="replace").splitlines()
    assert any(re.match(r"brw-rw---- +0 0 +0 +259,70000 .* dev/sda300$", line) for line in lines)
    assert any(re.match(r"prw------- +0 4000000000 +0 .* dev/initctl$", line) for line in lines)
    assert any(re.match(r"drwxrwxrwt +0 0 .* tmp/$", line) for line in lines)
    assert any(line.endswith("usr/sudo link to usr/su") for line in lines)
