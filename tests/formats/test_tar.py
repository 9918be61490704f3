"""Test the tar reader and writer with archives of other programs and damaged archives."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import subprocess
import tarfile
from collections.abc import Iterator
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
from purekernel.formats.detect import FileKind, detect, tar_checksums
from purekernel.formats.tar import build_tar, headers, iter_tar, parse_tar, reader
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

REFUSED: list[tuple[str, bytes, type[PurekernelError], str]] = [
    (
        "absolute name with '..'",
        member("/../etc/passwd"),
        PathError,
        "a.tar, byte 0: the name '../etc/passwd' contains '..'",
    ),
    (
        "absolute hard link with '..'",
        member("a") + member("b", type=b"1", linkname="//../a"),
        PathError,
        "a.tar, byte 512: the name '../a' contains '..'",
    ),
    (
        "absolute hard link to a missing file",
        member("b", type=b"1", linkname="/etc/passwd"),
        FormatError,
        (
            "a.tar, byte 0: expected an earlier file as the target of the hard link 'b', "
            "got '/etc/passwd'"
        ),
    ),
    (
        "absolute name through a link",
        member("a", type=b"2", linkname="/etc") + member("/a/passwd"),
        ConflictError,
        "a.tar, byte 512: 'a' must be a folder to hold 'a/passwd', got a symbolic link",
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
        "folder over file",
        member("a") + member("a/", type=b"5"),
        FormatError,
        "a.tar, byte 512: expected 'a' to be a file, as at byte 0, got a folder",
    ),
    (
        "folder over link",
        member("a", type=b"2", linkname="b") + member("a/", type=b"5"),
        FormatError,
        "a.tar, byte 512: expected 'a' to be a symbolic link, as at byte 0, got a folder",
    ),
    (
        "file over folder",
        member("a/", type=b"5") + member("a"),
        FormatError,
        "a.tar, byte 512: expected 'a' to be a folder, as at byte 0, got a file",
    ),
    (
        "file over the folder of another",
        member("a/b") + member("a"),
        FormatError,
        "a.tar, byte 512: expected 'a' to be a folder, as the folder of other members, got a file",
    ),
    (
        "hard link over folder",
        member("a/", type=b"5") + member("b") + member("a", type=b"1", linkname="b"),
        FormatError,
        "a.tar, byte 1024: expected 'a' to be a folder, as at byte 0, got a file",
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
        "a.tar, byte 0: expected a folder at '.', got a file",
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
            "got a part of a multi-volume archive, which is not supported"
        ),
    ),
    (
        "multi-volume, PAX",
        pax(GNU__volume__filename="a") + member("a"),
        FormatError,
        (
            "a.tar, byte 512: expected a complete archive, "
            "got a part of a multi-volume archive, which is not supported"
        ),
    ),
    (
        "old sparse without a size",
        member("a", type=b"S"),
        FormatError,
        (
            "a.tar, byte 0: expected an octal or binary number in the map of a sparse file, "
            "got '" + r"\x00" * 12 + "'"
        ),
    ),
    (
        "unknown sparse",
        pax(GNU__sparse__major="2", GNU__sparse__minor="0") + member("a"),
        FormatError,
        (
            "a.tar, byte 1024: expected a sparse file of version 0.0, 0.1 or 1.0, "
            "got version 2.0, which is not supported"
        ),
    ),
    *(
        (
            f"sparse map of {what}",
            pax(GNU__sparse__map=extents, GNU__sparse__size="100") + member("a", content),
            FormatError,
            f"a.tar, byte 1024: expected {message}",
        )
        for what, extents, content, message in (
            (
                "two extents that overlap",
                "0,4,2,4",
                b"x" * 8,
                "an extent of a sparse file between 4 and 100, got one from 2 to 6",
            ),
            (
                "two extents in reverse order",
                "50,4,0,4",
                b"x" * 8,
                "an extent of a sparse file between 54 and 100, got one from 0 to 4",
            ),
            (
                "an extent after the end",
                "98,4",
                b"x" * 4,
                "an extent of a sparse file between 0 and 100, got one from 98 to 102",
            ),
            (
                "less than the data",
                "0,4",
                b"x" * 8,
                "4 bytes of data, as in the map of a sparse file, got 8",
            ),
            (
                "more than the data",
                "0,4,10,8",
                b"x" * 8,
                "12 bytes of data, as in the map of a sparse file, got 8",
            ),
            (
                "half an extent",
                "0,4,10",
                b"x" * 4,
                "pairs of decimal numbers in the map of a sparse file, got '0,4,10'",
            ),
            (
                "a negative number",
                "-1,4",
                b"x" * 4,
                "pairs of decimal numbers in the map of a sparse file, got '-1,4'",
            ),
        )
    ),
    (
        "sparse file without a size",
        pax(GNU__sparse__map="0,1") + member("a", b"x"),
        FormatError,
        "a.tar, byte 1024: expected the size of a sparse file as a decimal number, got ''",
    ),
    (
        "sparse sizes without offsets",
        pax(GNU__sparse__size="9", GNU__sparse__numbytes="1") + member("a", b"x"),
        FormatError,
        (
            "a.tar, byte 533: expected an offset and a size for each extent of a sparse file, "
            "got the PAX keyword 'GNU.sparse.numbytes'"
        ),
    ),
    (
        "sparse map that is cut off",
        pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize="9")
        + member("a", b"2\n0\n4\n"),
        FormatError,
        (
            "a.tar, byte 1542: expected a decimal number and a newline in the map of a sparse "
            "file, got ''"
        ),
    ),
    (
        "star's sparse",
        pax(SCHILY__realsize="1") + member("a"),
        FormatError,
        (
            "a.tar, byte 512: expected sparse files in a form of GNU tar, "
            "got the PAX keyword 'SCHILY.realsize', which is not supported"
        ),
    ),
    (
        "global path",
        raw_pax(b"9 path=a\n", b"g") + member("a"),
        FormatError,
        (
            "a.tar, byte 512: expected names, sizes and maps only in PAX headers for one member, "
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
        raw_pax(bytes((1 << 24) + 1)),
        FormatError,
        "a.tar, byte 0: expected a PAX header of at most 16777216 bytes, got 16777217",
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


MAY_BE_CUT_OFF = "a.tar: the zeros at its end are missing, so it may have been cut off"


@pytest.mark.slow
def test_every_truncation_is_refused_or_reported() -> None:
    data = build_tar(sample())
    end = len(data.rstrip(b"\0"))
    end += -end % 512
    accepted = refused = 0
    for cut in range(512, end + 512, 37):
        notes: list[str] = []
        try:
            tree = parse(data[:cut], Limits(report=notes.append))
        except FormatError:
            refused += 1
        else:
            assert notes == [MAY_BE_CUT_OFF]
            assert all(sample()[path] == node for path, node in tree.walk() if path)
            accepted += 1
    assert accepted > 20
    assert refused > 200
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


SPARSE_EXTENTS: dict[str, tuple[int, list[tuple[int, int]]]] = {
    "hole": (10_000_000, []),
    "hole at the end": (3_000_001, [(0, 5)]),
    "hole at the start": (2_000_000, [(1_999_999, 1)]),
    "many holes": (30_000_000, [(number << 16, 4096) for number in range(300)]),
    "n" * 120: (20_000_000, [(8192, 10), (19_999_000, 1000)]),
    "no hole": (1000, [(0, 1000)]),
    "empty": (0, []),
}


@pytest.mark.oracle
@pytest.mark.parametrize(
    "command",
    [
        "tar --sparse --format=oldgnu",
        "tar --sparse --format=gnu",
        "tar --sparse --format=posix --sparse-version=0.0",
        "tar --sparse --format=posix --sparse-version=0.1",
        "tar --sparse --format=posix --sparse-version=1.0",
        "bsdtar --read-sparse",
        "bsdtar --read-sparse --format=pax",
    ],
)
def test_sparse_files_have_the_same_content(command: str, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name, (size, extents) in SPARSE_EXTENTS.items():
        with (tmp_path / "d" / name).open("wb") as stream:
            stream.truncate(size)
            for start, length in extents:
                stream.seek(start)
                stream.write(b"x" * length)
    program, *options = command.split()
    packed = run(require(program), *options, "-cf", "-", "d", cwd=tmp_path)
    assert len(packed) < 2_000_000  # the file system and the program support holes
    tree = parse(packed)
    assert tree.entries(b"d") == sorted(map(os.fsencode, SPARSE_EXTENTS))
    for name in SPARSE_EXTENTS:
        assert tree.read(f"d/{name}") == (tmp_path / "d" / name).read_bytes()


def test_sparse_files_above_the_limit_are_refused() -> None:
    one = pax(GNU__sparse__map="6000,0", GNU__sparse__size="6000") + member("a")
    assert len(parse(one + END, Limits(unpacked_bytes=10_000)).read("a")) == 6000
    with pytest.raises(LimitError) as caught:
        parse(one + one + END, Limits(unpacked_bytes=10_000))
    assert str(caught.value) == (
        "a.tar, byte 2560: expected at most 10000 bytes unpacked, got 12000 or more"
    )


def test_sparse_file_with_too_many_extents_is_refused() -> None:
    records = {"GNU__sparse__major": "1", "GNU__sparse__minor": "0", "GNU__sparse__realsize": "1"}
    with pytest.raises(LimitError, match="at most 1048576 extents in a sparse file, got more"):
        parse(pax(**records) + member("a", b"1048577\n") + END)


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (raw_pax(b"5 a=\n" * 101) + member("a"), 1012),
        (raw_pax(b"5 a=\n" * 101, b"g") + member("a"), 1012),
        # 20 records of each header are not counted.
        ((raw_pax(b"5 a=\n" * 71) + member("a")) * 2, 1536),
        (raw_pax(b"5 a=\n" * 71, b"g") * 2 + member("a"), 1024),
        (
            (pax(GNU__sparse__map="0,0," * 50 + "0,0", GNU__sparse__size="0") + member("a")) * 2,
            2560,
        ),
    ],
    ids=["one-header", "global-header", "several-headers", "global-headers", "extents"],
)
def test_archive_with_too_many_pax_records_is_refused(
    data: bytes, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("purekernel.formats.tar.pax.MAX_RECORDS", 100)
    with pytest.raises(LimitError) as caught:
        parse(data + END)
    assert str(caught.value) == (
        f"a.tar, byte {offset}: expected at most 100 PAX records and extents of sparse files, "
        "got more"
    )
    assert "pack its files again" in caught.value.hint


def test_archive_with_few_pax_records_for_each_member_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("purekernel.formats.tar.pax.MAX_RECORDS", 100)
    data = b"".join(raw_pax(b"5 a=\n" * 20) + member(f"f{number}") for number in range(50))
    assert len(parse(data + END).entries(b"")) == 50


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["gnu", "posix"])
def test_second_volume_of_gnu_tar_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 30_000)
    volumes = [word for number in (1, 2, 3, 4) for word in ("-f", f"{number}.tar")]
    run(require("tar"), f"--format={name}", "-cML20", *volumes, "f", cwd=tmp_path)
    with pytest.raises(
        FormatError, match="a part of a multi-volume archive, which is not"
    ) as caught:
        parse((tmp_path / "2.tar").read_bytes())
    assert caught.value.hint == (
        "unpack all volumes with tar -M, and pack the files again as one archive"
    )


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["gnu", "posix"])
def test_label_of_an_archive_is_not_a_volume(name: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    packed = run(require("tar"), f"--format={name}", "-V", "label", "-cf", "-", "f", cwd=tmp_path)
    assert parse(packed).entries(b"") == [b"f"]


# Members that replace others, absolute names, and the end of an archive


def noted(data: bytes) -> tuple[Tree, list[str]]:
    notes: list[str] = []
    return parse(data, Limits(report=notes.append)), notes


def test_last_member_of_a_name_counts_and_is_reported() -> None:
    data = member("a", b"old", mode=0o644) + member("b", b"x") + member("./a", b"new", mode=0o755)
    tree, notes = noted(data + END)
    assert (tree.read("a"), tree[b"a"].metadata.mode) == (b"new", 0o755)
    assert notes == [
        (
            "a.tar: 1 member replaces an earlier one of the same name: "
            "'a' at byte 2048 replaces the one at byte 0"
        )
    ]


def test_many_replaced_members_give_one_note() -> None:
    data = b"".join(member(name, text) for text in (b"1", b"2", b"3") for name in ("a", "b"))
    tree, notes = noted(data + END)
    assert (tree.read("a"), tree.read("b")) == (b"3", b"3")
    assert notes == [
        (
            "a.tar: 4 members replace earlier ones of the same name; for example "
            "'a' at byte 2048 replaces the one at byte 0"
        )
    ]


@pytest.mark.parametrize(
    "again",
    [
        member("a", b"x"),
        member("d/", type=b"5", mtime=9),
        member("b", type=b"1", linkname="a"),
        member("l", type=b"2", linkname="a"),
    ],
    ids=["file", "folder with another time", "hard link", "symbolic link"],
)
def test_repeated_member_without_a_difference_is_not_reported(again: bytes) -> None:
    data = member("a", b"x") + member("d/", type=b"5") + member("b", type=b"1", linkname="a")
    data += member("l", type=b"2", linkname="a")
    tree, notes = noted(data + again + END)
    assert tree == parse(data + END) or again == member("d/", type=b"5", mtime=9) or b"a\0" in again
    assert notes == []


@pytest.mark.parametrize(
    ("again", "node"),
    [
        (member("a", type=b"2", linkname="b"), "a symbolic link"),
        (member("a", type=b"3", devmajor=1, devminor=3), "a character device"),
        (member("a", type=b"6"), "a fifo"),
        (member("a", mode=0o600), "a file"),
        (member("a", b"y"), "a file"),
        (member("a", uid=5), "a file"),
        (member("c", b"z") + member("a", type=b"1", linkname="c"), "a file"),
    ],
)
def test_file_is_replaced_by_another_kind_or_metadata(again: bytes, node: str) -> None:
    tree, notes = noted(member("a", b"x", mode=0o644) + again + END)
    assert describe(tree[b"a"]) == node
    assert len(notes) == 1
    assert "replaces an earlier one" in notes[0]


def test_replaced_device_has_the_last_numbers() -> None:
    tree, _notes = noted(
        member("n", type=b"3", devmajor=1, devminor=3)
        + member("n", type=b"4", devmajor=8, devminor=1)
        + END
    )
    node = tree[b"n"]
    assert isinstance(node, Device)
    assert (node.kind, node.major, node.minor) == (DeviceKind.BLOCK, 8, 1)


def test_hard_link_keeps_the_older_copy_of_a_replaced_file() -> None:
    data = member("a", b"old") + member("b", type=b"1", linkname="a") + member("a", b"new")
    tree, _notes = noted(data + END)
    assert (tree.read("a"), tree.read("b")) == (b"new", b"old")
    tree, _notes = noted(data + member("c", type=b"1", linkname="a") + END)
    assert tree.inode(b"c") == tree.inode(b"a")


def test_name_through_a_link_that_replaced_a_file_is_refused() -> None:
    data = member("a", b"x") + member("a", type=b"2", linkname="/etc") + member("a/passwd", b"y")
    with pytest.raises(ConflictError, match="'a' must be a folder to hold 'a/passwd'"):
        parse(data + END)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (
            member("a", type=b"2", linkname="/etc") + member("a/passwd", b"y"),
            "pack the archive again without members below a file or link",
        ),
        (
            member("b", type=b"1", linkname="/etc/passwd"),
            "pack the archive again with the target of the link, or with --hard-dereference",
        ),
    ],
    ids=["name through a link", "hard link to a missing file"],
)
def test_archive_that_is_not_damaged_has_a_hint_that_fits(data: bytes, hint: str) -> None:
    with pytest.raises(PurekernelError) as caught:
        parse(data + END)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "name", ["/etc/one", "//etc/one", "/./etc//one", "///etc/./one", "/" + "d/" * 60 + "one"]
)
@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_absolute_name_is_read_as_relative(name: str, tar_format: int) -> None:
    tree, notes = noted(member(name, b"x", tar_format=tar_format) + END)
    assert tree.read(name.replace("//", "/").replace("./", "")) == b"x"
    assert notes == [f"a.tar: removed the leading '/' from 1 name: '{name}'"]


def test_absolute_names_of_folder_links_and_root_give_one_note() -> None:
    data = member("/", type=b"5", mode=0o700) + member("/a", b"x")
    data += member("/b", type=b"1", linkname="/a") + member("/c", type=b"2", linkname="/a")
    tree, notes = noted(data + END)
    assert tree[b""].metadata.mode == 0o700
    assert tree.inode(b"b") == tree.inode(b"a")
    assert tree[b"c"] == Symlink(metadata=tree[b"c"].metadata, target=b"/a")
    assert notes == ["a.tar: removed the leading '/' from 5 names, such as '/'"]


def test_missing_zeros_at_the_end_are_reported() -> None:
    data = member("a", b"x") + member("b", b"y")
    for cut in (len(data), len(data) - 511, len(data) + 100):
        tree, notes = noted((data + END)[:cut])
        assert tree.entries(b"") == [b"a", b"b"]
        assert notes == [MAY_BE_CUT_OFF]


def test_empty_file_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        parse(b"")
    assert str(caught.value) == (
        "a.tar, byte 0: expected a tar header of 512 bytes, got the end of the file"
    )


def test_one_block_of_zeros_ends_an_archive() -> None:
    assert noted(member("a", b"x") + bytes(512)) == (parse(member("a", b"x") + END), [])


def test_data_after_the_end_is_reported_and_ignored() -> None:
    sound = member("a", b"x") + END
    tree, notes = noted(sound + bytes(100) + b"junk")
    assert tree == parse(sound)
    assert notes == ["a.tar: ignored 4 bytes after its end, at byte 2148"]


@pytest.mark.parametrize("zeros", [512, 1024, 10_240])
def test_archive_after_the_end_is_reported_and_ignored(zeros: int) -> None:
    tree, notes = noted(member("a", b"x") + bytes(zeros) + member("b", b"y") + END)
    assert tree.entries(b"") == [b"a"]
    assert notes == [
        (
            f"a.tar: ignored another archive after its end, at byte {1024 + zeros}; "
            "tar -A joins archives to one"
        )
    ]


@pytest.mark.oracle
@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_appended_absolute_and_cut_archives_are_unpacked_alike(
    program: str, tmp_path: Path
) -> None:
    data = member("/d/a", b"old", mode=0o644) + member("d/b", type=b"1", linkname="/d/a")
    data += member("d/l", type=b"2", linkname="b") + member("./d/a", b"new", mode=0o600)
    data += member("d/l", type=b"2", linkname="a") + member("//d/c", type=b"1", linkname="d/a")
    for name, archive in (
        ("cut", data),
        ("one block", data + bytes(512)),
        ("two", data + END + data),
    ):
        folder = tmp_path / name
        folder.mkdir()
        run(require(program), "-xf", "-", stdin=archive, cwd=folder)
        tree, notes = noted(archive)
        for path in (b"d/a", b"d/b", b"d/c"):
            assert (folder / path.decode()).read_bytes() == tree.read(path)
            assert (folder / path.decode()).stat().st_mode & 0o7777 == tree[path].metadata.mode
        assert tree[b"d/l"] == Symlink(metadata=tree[b"d/l"].metadata, target=b"a")
        assert (folder / "d" / "l").readlink() == Path("a")
        assert len(notes) == (2 if name == "one block" else 3)


@pytest.mark.oracle
@pytest.mark.parametrize("option", ["-r", "-u"])
def test_archive_that_gnu_tar_updated_has_the_last_content(option: str, tmp_path: Path) -> None:
    tar = require("tar")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "one").write_bytes(b"old")
    os.utime(tmp_path / "etc" / "one", (5, 5))
    run(tar, "-cf", "a.tar", "etc", cwd=tmp_path)
    (tmp_path / "etc" / "one").write_bytes(b"new")
    run(tar, option, "-f", "a.tar", "etc", cwd=tmp_path)
    tree, notes = noted((tmp_path / "a.tar").read_bytes())
    assert tree.read("etc/one") == b"new"
    assert [note.partition(":")[2][:30] for note in notes] == [" 1 member replaces an earlier "]


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


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"PK\3\4" + bytes(2000), "a zip archive"),
        (bytes(0x438) + b"\x53\xef" + bytes(9000), "an ext2, ext3 or ext4 file system"),
        (gzip.compress(b"070707" + b"0" * 900), "a cpio archive of the old portable format (odc)"),
    ],
)
def test_file_of_another_kind_is_named(data: bytes, named: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_tar(Input(data, name="x"))
    assert str(caught.value) == f"x, byte 0: expected a tar archive, got {named}"
    assert caught.value.hint == "the file may be valid: check its name, or convert it"


XATTRS = [
    pytest.param({"SCHILY.xattr.user.note": "x"}, "user.note", id="star and GNU tar"),
    pytest.param({"LIBARCHIVE.xattr.com.apple.x": "eA"}, "com.apple.x", id="bsdtar"),
    pytest.param({"SCHILY.acl.access": "user::rwx"}, "SCHILY.acl.access", id="ACL"),
    pytest.param({"RHT.security.selinux": "x"}, "security.selinux", id="SELinux label"),
    pytest.param({"SCHILY.fflags": "schg"}, "SCHILY.fflags", id="file flags"),
    pytest.param({"VENDOR.new": "x"}, "VENDOR.new", id="unknown keyword"),
    pytest.param(
        {"SCHILY.xattr.user.note": "x", "SCHILY.xattr.security.capability": "x"},
        "security.capability",
        id="file capabilities before others",
    ),
]


@pytest.mark.parametrize(("records", "name"), XATTRS)
def test_extended_attributes_are_reported_and_ignored(records: dict[str, str], name: str) -> None:
    tree, notes = noted(pax(**records) + member("a", b"x") + END)
    assert tree.entries(b"") == [b"a"]
    assert notes == [
        f"a.tar: ignored the extended attributes, ACLs or file flags of 1 member: {name} of 'a'"
    ]


def test_extended_attributes_of_many_members_give_one_note_about_capabilities() -> None:
    first = pax(**{"SCHILY.xattr.user.note": "x"}) + member("a", b"x")
    second = pax(**{"SCHILY.xattr.security.capability": "x"}) + member("b", b"x")
    _tree, notes = noted(first + second + member("c", b"x") + END)
    assert notes == [
        (
            "a.tar: ignored the extended attributes, ACLs or file flags of 2 members, "
            "for example security.capability of 'b'"
        )
    ]


def test_pax_records_about_the_archive_are_not_reported() -> None:
    records = {
        "atime": "1.5", "ctime": "1", "comment": "x", "uname": "me", "gname": "us",
        "SCHILY.ino": "5", "SCHILY.dev": "1", "SCHILY.nlink": "1", "LIBARCHIVE.creationtime": "1",
        "SCHILY.xattr.user.cancelled": "",
    }  # fmt: skip
    _tree, notes = noted(pax(**records) + member("a", b"x") + END)
    assert notes == []


def test_fraction_of_a_time_is_dropped() -> None:
    tree, notes = noted(pax(mtime="5.75") + member("a", b"x") + END)
    assert tree[b"a"].metadata.mtime == 5
    assert notes == []


@given(st.binary(min_size=512, max_size=512))
def test_checksums_of_headers_are_those_of_the_standard_library(block: bytes) -> None:
    assert tar_checksums(block) == tarfile.calc_chksums(block)


@pytest.mark.parametrize("block", [bytes(512), b"\xff" * 512, b"\x7f" * 512, b"\x80" * 512])
def test_checksums_of_extreme_headers_are_those_of_the_standard_library(block: bytes) -> None:
    assert tar_checksums(block) == tarfile.calc_chksums(block)


@pytest.mark.parametrize(
    ("field", "number"),
    [
        (b"0000644\0", 0o644),
        (b"    644 ", 0o644),
        (b"644\0xyz\0", 0o644),
        (b"\0" * 8, 0),
        (b"        ", 0),
        (b"\x80\0\0\1\0\0\0\0", 1 << 32),
        (b"\xff" * 8, -1),
        (b"\xff\xff\xff\xff\xff\xff\xfe\x00", -512),
    ],
)
def test_numbers_of_headers_are_those_of_the_standard_library(field: bytes, number: int) -> None:
    assert headers._parse_number(field) == number == tarfile.nti(field)  # type: ignore[attr-defined]


def test_header_with_an_invalid_number_is_refused() -> None:
    block = bytearray(member("x", mode=0o644))
    block[100:108] = b"0000648\0"
    block[148:156] = b"%06o\0 " % tar_checksums(bytes(block))[0]
    with pytest.raises(FormatError) as caught:
        parse(bytes(block) + bytes(1024))
    assert str(caught.value) == "a.tar, byte 0: expected a valid tar header, got invalid header"


LINKS = [
    ("relative", [("d/", ""), ("l", "d"), ("l/f", None)]),
    ("chain", [("d/e/", ""), ("m", "d"), ("l", "./m//e"), ("l/f", None)]),
    ("below a folder", [("d/e/", ""), ("d/l", "e"), ("d/l/n/f", None)]),
    ("link that changes", [("d/", ""), ("e/", ""), ("l", "d"), ("l/f", None), ("l", "e"),
                           ("l/g", None)]),
    ("through a folder of the link", [("d/e/", ""), ("l", "d"), ("l/e/f", None)]),
]  # fmt: skip
REFUSED_LINKS = [
    ("absolute", [("d/", ""), ("l", "/d"), ("l/f", None)]),
    ("out of the archive", [("l", "../x"), ("l/f", None)]),
    ("with .. inside the archive", [("d/", ""), ("e/l", "../d"), ("e/l/f", None)]),
    ("to nothing", [("l", "d"), ("l/f", None)]),
    ("to itself", [("l", "l"), ("l/f", None)]),
    ("to a file", [("d", None), ("l", "d"), ("l/f", None)]),
]


def linked(members: list[tuple[str, str | None]]) -> bytes:
    """Return an archive: folders end in a slash, and links have a target."""
    return b"".join(
        member(name, type=b"5", mode=0o755)
        if name.endswith("/")
        else member(name, name.encode(), mode=0o644)
        if target is None
        else member(name, type=b"2", linkname=target)
        for name, target in members
    ) + bytes(1024)


@pytest.mark.oracle
@pytest.mark.parametrize("members", [case[1] for case in LINKS], ids=[case[0] for case in LINKS])
def test_names_through_links_are_unpacked_as_by_gnu_tar(
    members: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    data = linked(members)
    (tmp_path / "a.tar").write_bytes(data)
    (tmp_path / "out").mkdir()
    run(require("tar"), "-xf", "../a.tar", cwd=tmp_path / "out")
    tree = parse(data)
    found = {os.fsencode(path.relative_to(tmp_path / "out")) for path in _every(tmp_path / "out")}
    assert found == {path for path, _node in tree.walk() if path}
    for path, node in tree.walk():
        host = tmp_path / "out" / os.fsdecode(path)
        if isinstance(node, File):
            assert host.read_bytes() == node.content
        elif isinstance(node, Symlink):
            assert os.fsencode(host.readlink()) == node.target.replace(b"./m//e", b"m/e")


@pytest.mark.oracle
@pytest.mark.parametrize(
    "members", [case[1] for case in REFUSED_LINKS], ids=[case[0] for case in REFUSED_LINKS]
)
def test_names_through_links_that_gnu_tar_does_not_follow_are_refused(
    members: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    data = linked(members)
    (tmp_path / "a.tar").write_bytes(data)
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [require("tar"), "-xf", "../a.tar"],
        cwd=tmp_path / "out",
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 2
    with pytest.raises(ConflictError, match=r"l' must be a folder to hold '.*l/f', got a symbolic"):
        parse(data)


def _every(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _every(path)


def test_names_through_a_link_are_in_the_folder_of_its_target() -> None:
    data = linked([("d/e/", ""), ("l", "d"), ("l/e/f", None)])[:-1024]
    data += member("h", type=b"1", linkname="l/e/f")
    tree = parse(data + bytes(1024))
    assert tree.inode(b"h") == tree.inode(b"d/e/f")
    assert tree[b"l"] == Symlink(metadata=Metadata(mode=0o644), target=b"d")


def test_names_through_too_many_links_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_DETOURS", 3)
    members: list[tuple[str, str | None]] = [("d/", "")]
    for index in range(4):
        members += [(f"l{index}", "d"), (f"l{index}/f", None)]
    with pytest.raises(LimitError, match="at most 3 folders that are reached through links"):
        parse(linked(members))


# The format of POSIX, with extended attributes


def posix(tree: Tree, *, top: bool = False) -> bytes:
    return b"".join(iter_tar(tree, top=top, pax=True))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(trees())
def test_tree_round_trips_in_posix_format(tree: Tree) -> None:
    assert parse(posix(tree, top=True)) == tree


def test_every_type_of_node_round_trips_in_posix_format() -> None:
    data = posix(sample())
    assert parse(data) == sample()
    assert len(data) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8") as archive:
        assert len(archive.getnames()) == len(sample()) - 1
    assert b"././@LongLink" not in data


@pytest.mark.parametrize(
    ("path", "extended"),
    [
        (b"a" * 100, False),
        (b"a" * 101, True),
        (b"p" * 155 + b"/" + b"n" * 100, False),
        (b"p" * 156 + b"/" + b"n" * 100, True),
        (b"p" * 155 + b"/" + b"n" * 101, True),
        (b"d/" * 50 + b"n" * 99, False),
        (b"\xff" * 101, True),
    ],
)
def test_long_names_are_split_or_in_a_record(path: bytes, extended: bool) -> None:
    tree = Tree()
    tree.add_parents(path)
    tree.add(path, File(metadata=META, content=b"x"))
    data = posix(tree)
    assert parse(data) == tree
    # The name of a folder has a slash at its end.
    member_bytes = data[: -data[::-1].index(b"x")]
    assert (b" path=" + path + b"\n" in member_bytes) == extended
    assert (b"hdrcharset=BINARY" in data) == (extended and path[:1] == b"\xff")


def test_numbers_beyond_their_fields_are_in_records() -> None:
    tree = Tree()
    metadata = Metadata(mode=0o644, uid=0o7777777, gid=0o10000000, mtime=-5)
    tree.add(b"f", File(metadata=metadata))
    data = posix(tree)
    assert parse(data) == tree
    assert b"15 gid=2097152\n" in data
    assert b"12 mtime=-5\n" in data
    assert b"uid=" not in data


def test_extended_attributes_are_records_of_star() -> None:
    tree = Tree()
    value = b"\x01\x00\x00\x02\xff=\n"
    xattrs = ((b"security.capability", value), (b"user.comment", b"caf\xc3\xa9"))
    tree.add(b"f", File(metadata=Metadata(mode=0o755, xattrs=xattrs), content=b"x"))
    tree.link(b"g", b"f")
    data = posix(tree)
    assert data.count(b" SCHILY.xattr.security.capability=" + value + b"\n") == 1
    assert b"30 SCHILY.xattr.user.comment=caf\xc3\xa9\n" not in data
    assert b"35 SCHILY.xattr.user.comment=caf\xc3\xa9\n" in data
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        assert archive.getmember("f").pax_headers["SCHILY.xattr.user.comment"] == "caf\xe9"
        assert archive.getmember("g").islnk()


def test_posix_format_refuses_what_it_cannot_hold() -> None:
    for node, words in (
        (Socket(metadata=META), "'x': a tar archive cannot contain a socket"),
        (
            Device(metadata=META, kind=DeviceKind.BLOCK, major=1, minor=1 << 21),
            "'x': a tar archive cannot contain the device number 2097152",
        ),
        (
            File(metadata=Metadata(mode=0o644, xattrs=((b"user.a=b", b"1"),))),
            (
                "'x': a tar archive cannot contain the extended attribute 'user.a=b', whose name "
                "has '='"
            ),
        ),
    ):
        tree = Tree()
        tree.add(b"x", node)
        with pytest.raises(UnrepresentableError) as caught:
            posix(tree)
        assert str(caught.value) == words


@pytest.mark.oracle
@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_attributes_and_long_names_are_unpacked(program: str, tmp_path: Path) -> None:
    tree = Tree()
    long_name = b"d" * 120 + b"/" + b"f" * 200
    tree.add_parents(long_name, FOLDER.metadata)
    xattrs = ((b"user.binary", b"\x00\xff\n="), (b"user.comment", b"text"))
    tree.add(long_name, File(metadata=Metadata(mode=0o640, mtime=5, xattrs=xattrs), content=b"x"))
    tree.add(b"long", Symlink(metadata=META, target=b"t" * 300))
    options = ["--xattrs", "--xattrs-include=*"] if program == "tar" else ["--xattrs"]
    run(require(program), *options, "-xpf", "-", stdin=posix(tree), cwd=tmp_path)
    path = tmp_path / os.fsdecode(long_name)
    status = path.stat()
    assert (path.read_bytes(), status.st_mode & 0o7777, status.st_mtime) == (b"x", 0o640, 5)
    assert {name: os.getxattr(path, name) for name in os.listxattr(path)} == {
        name.decode(): value for name, value in xattrs
    }
    assert (tmp_path / "long").readlink() == Path("t" * 300)
