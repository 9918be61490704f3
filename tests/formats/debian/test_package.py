from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError, PathError, PurekernelError
from purekernel.formats.debian import DebianPackage, parse_deb
from purekernel.formats.tar import parse_tar
from purekernel.input import DEFAULT_LIMITS, Input
from purekernel.tree import File, content_bytes
from tests import debian
from tests.debs import COMPRESSIONS, TOOL, ar, control, deb, entry, tar
from tests.oracles import require, run

BINARY = (b"debian-binary", b"2.0\n")
CONTROL = (b"control.tar", tar([entry("./control", control())]))
DATA = (b"data.tar", tar(TOOL))


@pytest.mark.parametrize("packed", COMPRESSIONS)
def test_package_of_each_compression_is_read(packed: str) -> None:
    package = parse_deb(
        Input(
            deb(packed=packed, control_packed=packed, scripts={"postinst": b"#!/bin/sh\n"}),
            name="tool.deb",
        )
    )
    assert str(package.record) == "tool 1.0-1 (i386)"
    assert bytes(package.control[b"postinst"]) == b"#!/bin/sh\n"
    assert package.newest == 1_300_000_000
    tree = package.unpack()
    assert isinstance(tree[b"usr/bin/tool"], File)
    assert tree[b"usr/bin/tool"].metadata.mode == 0o755


def test_later_minor_formats_and_extra_members_are_accepted() -> None:
    data = ar(
        [
            (b"debian-binary", b"2.17\nand more\n"),
            (b"_early", b"x"),
            CONTROL,
            (b"_gpgorigin", b"x"),
            DATA,
            (b"later", b"y"),
        ]
    )
    assert b"usr/bin/tool" in parse_deb(Input(data, name="x")).unpack()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\3\4", "x.deb, byte 0: expected an ar archive, which starts with '!<arch>\\n'"),
        (ar([]), "x.deb: expected a Debian package, whose first member is 'debian-binary', got"),
        (ar([CONTROL, BINARY, DATA]), "x.deb, byte 8: expected a Debian package, whose first mem"),
        (
            ar([(b"debian-binary", b"3.0\n"), CONTROL, DATA]),
            "x.deb, byte 8: expected a package of format 2.0 or a later 2, got '3.0'",
        ),
        (
            ar([BINARY, DATA, CONTROL]),
            "x.deb, byte 72: expected control.tar after debian-binary, got 'data.tar'",
        ),
        (ar([BINARY, CONTROL]), "x.deb: expected data.tar after control.tar, got the end of the"),
        (
            ar([BINARY, CONTROL, (b"other", b""), DATA]),
            "expected data.tar after control.tar, got 'other'",
        ),
        (
            ar([BINARY, (b"control.tar.br", b"x"), DATA]),
            "x.deb, byte 72: expected control.tar with the ending .gz, .xz, .zst, .bz2, .lzma or n",
        ),
        (
            ar([BINARY, CONTROL, (b"data.tar.Z", b"x")]),
            "expected data.tar with the ending .gz, .xz, .zst, .bz2, .lzma or none, got 'data.ta",
        ),
        (
            ar([BINARY, (b"control.tar.gz", b"BZh9"), DATA]),
            "x.deb: control.tar.gz, byte 0: expected data in the format .gz, got 42 5a 68 39",
        ),
        (
            ar([BINARY, (b"control.tar", b"no tar"), DATA]),
            "x.deb: control.tar, byte 0: expected a tar archive, got 6e 6f 20 74 61 72",
        ),
        (
            ar([BINARY, (b"control.tar", COMPRESSIONS[".gz"](CONTROL[1])), DATA]),
            "x.deb: control.tar, byte 0: expected a tar archive, got 1f 8b",
        ),
        (
            ar([BINARY, (b"control.tar", tar([entry("./other", b"")])), DATA]),
            "x.deb: control.tar: expected a file named 'control', got none",
        ),
        (
            ar([BINARY, (b"control.tar", tar([entry("./control")])), DATA]),
            "x.deb: control.tar: expected a file named 'control', got a folder",
        ),
        (
            deb(b"no field\n", control_packed=""),
            "x.deb: control.tar: control, line 1: expected a field: 'Name: value', got 'no field'",
        ),
        (
            deb(b"Package: a\nVersion: 1\n", control_packed=""),
            "x.deb: control.tar: control, lines 1 to 2: expected a field 'Architecture', got none",
        ),
    ],
)
def test_malformed_package_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_deb(Input(data, name="x.deb"))
    assert message in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["/../etc/passwd", "../etc/passwd", "./usr/../../etc/passwd"])
def test_name_outside_of_the_package_is_refused(name: str) -> None:
    data = deb(data=[entry(name, b"root::0:0::/:/bin/sh\n")])
    package = parse_deb(Input(data, name="x.deb"))
    with pytest.raises(
        PathError, match=r"x\.deb: data\.tar\.xz, byte 0: the name .* contains '\.\.'"
    ):
        package.unpack()
    with pytest.raises(PathError, match=r"x\.deb: control\.tar\.gz, byte"):
        parse_deb(
            Input(
                ar(
                    [
                        BINARY,
                        (
                            b"control.tar.gz",
                            COMPRESSIONS[".gz"](
                                tar([entry("./control", control()), entry(name, b"")])
                            ),
                        ),
                        DATA,
                    ]
                ),
                name="x.deb",
            )
        )


def noted(data: bytes) -> tuple[DebianPackage, list[str]]:
    notes: list[str] = []
    limits = evolve(DEFAULT_LIMITS, report=notes.append)
    return parse_deb(Input(data, name="x.deb", limits=limits)), notes


@pytest.mark.parametrize("rest", [b"\n", b"\n\n", b" \r\n", bytes(4096)])
@pytest.mark.parametrize("data", [DATA, (b"data.tar.gz", gzip.compress(tar(TOOL), mtime=0))])
def test_blanks_after_the_last_member_are_ignored(rest: bytes, data: tuple[bytes, bytes]) -> None:
    package, notes = noted(ar([BINARY, CONTROL, data]) + rest)
    assert b"usr/bin/tool" in package.unpack()
    assert notes == []


@pytest.mark.parametrize(
    "rest", [b"junk", b"x" * 200, b"\njunk", ar([(b"later", b"y")])[8:], b"later   " + b"9" * 52]
)
def test_data_after_the_last_member_is_reported_and_ignored(rest: bytes) -> None:
    sound = ar([BINARY, CONTROL, DATA])
    package, notes = noted(sound + rest)
    assert b"usr/bin/tool" in package.unpack()
    assert notes == [f"x.deb: ignored {len(rest)} bytes after data.tar, at byte {len(sound)}"]


def test_signature_after_the_last_member_is_not_reported() -> None:
    assert noted(ar([BINARY, CONTROL, DATA, (b"_gpgorigin", b"x")]) + b"\n")[1] == []


def test_absolute_and_repeated_names_are_read_and_reported() -> None:
    control_tar = tar([entry("/control", b"Package: old\n"), entry("./control", control())])
    data_tar = tar([entry("/opt/a", b"old"), entry("//opt/a", b"new")])
    package, notes = noted(ar([BINARY, (b"control.tar", control_tar), (b"data.tar", data_tar)]))
    assert str(package.record) == "tool 1.0-1 (i386)"
    assert package.unpack().read("opt/a") == b"new"
    assert [note.partition("; ")[0] for note in notes] == [
        (
            "x.deb: control.tar: 1 member replaces an earlier one of the same name: "
            "'control' at byte 1024 replaces the one at byte 0"
        ),
        "x.deb: control.tar: removed the leading '/' from 1 name: '/control'",
        (
            "x.deb: data.tar: 1 member replaces an earlier one of the same name: "
            "'opt/a' at byte 1024 replaces the one at byte 0"
        ),
        "x.deb: data.tar: removed the leading '/' from 2 names, such as '/opt/a'",
    ]


@pytest.mark.oracle
@pytest.mark.parametrize("rest", [b"", b"\n\n", b"junk" * 40])
def test_dpkg_deb_unpacks_the_same_of_an_unusual_package(rest: bytes, tmp_path: Path) -> None:
    data_tar = tar([entry("/opt/a", b"old"), entry("./opt//a", b"new"), entry("//opt/b", b"x")])
    (tmp_path / "x.deb").write_bytes(ar([BINARY, CONTROL, (b"data.tar", data_tar)]) + rest)
    run(require("dpkg-deb"), "-x", "x.deb", "unpacked", cwd=tmp_path)
    tree = noted((tmp_path / "x.deb").read_bytes())[0].unpack()
    assert tree.entries(b"opt") == [b"a", b"b"]
    for path in ("opt/a", "opt/b"):
        assert (tmp_path / "unpacked" / path).read_bytes() == tree.read(path)


def test_each_truncated_package_is_refused() -> None:
    whole = deb(packed=".gz")
    for end in range(0, len(whole) - 1, 7):
        with pytest.raises(FormatError):
            parse_deb(Input(whole[:end], name="x.deb")).unpack()


def test_decompression_bomb_is_refused() -> None:
    bomb = lzma.compress(bytes(20 << 20), preset=0)
    limits = evolve(DEFAULT_LIMITS, unpacked_bytes=1 << 20)
    package = parse_deb(
        Input(ar([BINARY, CONTROL, (b"data.tar.xz", bomb)]), name="x.deb", limits=limits)
    )
    with pytest.raises(
        LimitError, match=r"x\.deb: data\.tar\.xz, byte 0: expected at most 1048576"
    ):
        package.unpack()
    with pytest.raises(LimitError, match=r"control\.tar\.xz, byte 0: expected at most 1048576"):
        parse_deb(Input(ar([BINARY, (b"control.tar.xz", bomb), DATA]), name="x.deb", limits=limits))


@given(st.data())
def test_random_damage_raises_only_our_errors(data: st.DataObject) -> None:
    whole = bytearray(deb(packed=".gz", control_packed=""))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        tree = parse_deb(Input(bytes(whole), name="x.deb")).unpack()
    except PurekernelError:
        return
    assert content_bytes(tree) < 1 << 20


@pytest.mark.oracle
@pytest.mark.parametrize(
    "compression", ["-Zgzip", "-Zxz", "-Zzstd", "-Znone", "-Zgzip --uniform-compression"]
)
def test_package_built_by_dpkg_deb_is_read(tmp_path: Path, compression: str) -> None:
    program = require("dpkg-deb")
    if "zstd" in compression and b"zstd" not in run(program, "--help"):
        pytest.skip("this dpkg-deb writes no zstd")
    top = tmp_path / "top"
    (top / "DEBIAN").mkdir(parents=True)
    (top / "DEBIAN/control").write_bytes(control("lshw", "1:2-3", "all"))
    (top / "usr/bin").mkdir(parents=True)
    (top / "usr/bin/lshw").write_bytes(b"\x7fELF" * 1000)
    (top / "usr/bin/link").symlink_to("lshw")
    (top / "usr/bin/hard").hardlink_to(top / "usr/bin/lshw")
    built = tmp_path / "out.deb"
    run(program, "--root-owner-group", *compression.split(), "-b", top, built)
    package = parse_deb(Input(built.read_bytes(), name="out.deb"))
    assert str(package.record) == "lshw 1:2-3 (all)"
    assert package.unpack() == parse_tar(Input(run(program, "--fsys-tarfile", built), name="tar"))


@pytest.mark.oracle
def test_dpkg_deb_reads_the_packages_of_these_tests(tmp_path: Path) -> None:
    program = require("dpkg-deb")
    for packed in ("", ".gz", ".xz", ".bz2", ".lzma"):
        (tmp_path / "x.deb").write_bytes(deb(packed=packed))
        assert run(program, "-f", tmp_path / "x.deb", "Version") == b"1.0-1\n"
        listing = run(program, "-c", tmp_path / "x.deb")
        assert listing.endswith(b"./usr/bin/tool\n")


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["hello", "man-db", "tzdata", "lshw"])
def test_real_package_is_read_as_by_dpkg_deb(name: str) -> None:
    package = debian.package(name)
    ours = parse_deb(Input(package.read_bytes(), name=package.name))
    program = require("dpkg-deb")
    fields = run(program, "-f", package, "Package", "Version", "Architecture").decode()
    assert ours.record.architecture in ("i386", "all")
    theirs_fields = dict(line.split(": ") for line in fields.splitlines())
    assert theirs_fields["Package"] == ours.record.name
    assert theirs_fields["Version"] == str(ours.record.version)
    assert theirs_fields["Architecture"] == ours.record.architecture
    theirs = parse_tar(Input(run(program, "--fsys-tarfile", package), name="tar"))
    assert ours.unpack() == theirs
    assert set(ours.control) == {
        path
        for path, node in parse_tar(
            Input(run(program, "--ctrl-tarfile", package), name="tar")
        ).walk()
        if isinstance(node, File)
    }
    assert len(theirs) > 10
