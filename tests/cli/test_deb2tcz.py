from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from purekernel.cli import main
from purekernel.formats.squashfs import open_squashfs, parse_squashfs
from purekernel.formats.tinycore import parse_dependencies, parse_md5
from purekernel.input import Input
from purekernel.rootfs.debian import listing
from purekernel.tree import File
from tests import debian
from tests.debs import COMPRESSIONS, ar, control, deb, entry
from tests.oracles import require, run
from tests.workshop import two_lines

POSTINST = b"#!/bin/sh\necho configured\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tool_1.0-1_i386.deb"
    text = control(fields={"Depends": "libc6 (>= 2.7), libpci3"})
    path.write_bytes(deb(text, scripts={"postinst": POSTINST}))
    return path


def tool(*options: str | Path) -> int:
    return main(["tool", "deb2tcz", *map(str, options)])


def test_package_inside_an_archive_is_converted(package: Path) -> None:
    with tarfile.open("many.tar", "w") as archive:
        archive.add(package.name)
    assert tool(package.name, "plain.tcz") == 0
    assert tool(f"many.tar:{package.name}", "inner.tcz") == 0
    plain, inner = (
        parse_squashfs(Input(Path(name).read_bytes(), name=name))
        for name in ("plain.tcz", "inner.tcz")
    )
    assert b"usr/local/tce.installed/inner" in inner
    assert listing(inner) == listing(plain).replace(b"plain", b"inner")


def test_extension_is_written_with_its_side_files(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool(package.name, "--dep", "pci-utils") == 0
    content = (tmp_path / "tool.tcz").read_bytes()
    assert capsys.readouterr().out == (
        f"tool.tcz  {len(content)} bytes, from tool 1.0-1 (i386)\n"
        "depends on: libc6 (>= 2.7), libpci3\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "tool.tcz", "tool.tcz.dep", "tool.tcz.info", "tool.tcz.list", "tool.tcz.md5.txt",
        "tool_1.0-1_i386.deb",
    ]  # fmt: skip
    facts = open_squashfs(Input(content, name="x")).facts
    assert (facts.block_bytes, facts.mkfs_time) == (4096, 1_300_000_000)
    tree = parse_squashfs(Input(content, name="x"))
    script = tree[b"usr/local/tce.installed/tool"]
    assert isinstance(script, File)
    assert bytes(script.content) == (b"#!/bin/sh\n/usr/local/postinst/tool configure 2>/dev/null\n")
    assert (script.metadata.uid, script.metadata.gid, script.metadata.mode) == (1001, 50, 0o755)
    assert (tmp_path / "tool.tcz.list").read_bytes() == listing(tree)
    digest = parse_md5(Input((tmp_path / "tool.tcz.md5.txt").read_bytes(), name="x"))
    assert digest == hashlib.md5(content).hexdigest()
    needs = parse_dependencies(Input((tmp_path / "tool.tcz.dep").read_bytes(), name="x"))
    assert needs == ("pci-utils.tcz",)


def test_name_folder_and_script_options(package: Path, tmp_path: Path) -> None:
    (tmp_path / "more").write_bytes(b"echo more\n")
    (tmp_path / "out").mkdir()
    assert tool("-q", "--script", "more", package, "out/other.tcz") == 0
    tree = parse_squashfs(Input((tmp_path / "out/other.tcz").read_bytes(), name="x"))
    script = tree[b"usr/local/tce.installed/other"]
    assert isinstance(script, File)
    assert bytes(script.content).endswith(
        b"/usr/local/postinst/other configure 2>/dev/null\necho more\n"
    )
    assert not (tmp_path / "out/other.tcz.dep").exists()


def test_dropped_files_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = [
        entry("./usr/share/doc/tool/README", b"r"),
        entry("./var/empty/"),
        entry("./lib/i386-linux-gnu/libx.so.1", b"\x7fELF"),
    ]
    Path("tool.deb").write_bytes(deb(data=data))
    assert tool("-q", "tool.deb", "plain.tcz") == 0
    assert (
        tool("-q", "--keep-doc", "--keep-empty", "--no-library-links", "tool.deb", "full.tcz") == 0
    )
    paths = {
        name: [
            path.decode()
            for path, _node in parse_squashfs(Input(Path(name).read_bytes(), name="x")).walk()
        ]
        for name in ("plain.tcz", "full.tcz")
    }
    assert paths["plain.tcz"] == [
        "", "lib", "lib/i386-linux-gnu", "lib/i386-linux-gnu/libx.so.1", "lib/libx.so.1",
    ]  # fmt: skip
    assert paths["full.tcz"] == [
        "", "lib", "lib/i386-linux-gnu", "lib/i386-linux-gnu/libx.so.1", "usr", "usr/share",
        "usr/share/doc", "usr/share/doc/tool", "usr/share/doc/tool/README", "var", "var/empty",
    ]  # fmt: skip


def test_existing_files_are_replaced_only_by_force(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tool.tcz.dep").write_text("older.tcz\n")
    assert tool(package) == 1
    assert two_lines(capsys.readouterr().err) == [
        ("tool.tcz.dep exists already", "add -f to overwrite it")
    ]
    assert not (tmp_path / "tool.tcz").exists()
    assert tool("-f", package) == 0
    # The old side files describe another extension.
    assert not (tmp_path / "tool.tcz.dep").exists()
    assert (tmp_path / "tool.tcz").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK", "bad.deb, byte 0: expected an ar archive"),
        (deb()[:100], "bad.deb, byte 72: expected a header of 60 bytes, got the end of the file"),
        (
            deb(data=[entry("/../x", b"")]),
            "bad.deb: data.tar.xz, byte 0: the name '../x' contains '..'",
        ),
        (
            deb(data=[entry("../x", b"")]),
            "bad.deb: data.tar.xz, byte 0: the name '../x' contains '..'",
        ),
        (
            ar([(b"debian-binary", b"2.0\n"), (b"control.tar.br", b"")]),
            "bad.deb, byte 72: expected control.tar with the ending .gz",
        ),
    ],
)
def test_invalid_package_is_reported_in_two_lines_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: bytes,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.deb").write_bytes(data)
    assert tool("bad.deb") == 1
    ((said, hint),) = two_lines(capsys.readouterr().err)
    assert said.startswith(message)
    assert hint
    assert [path.name for path in tmp_path.iterdir()] == ["bad.deb"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("out.deb",), "out.deb: must be the name of an extension"),
        (("a b.tcz",), "a b.tcz: must be the name of an extension"),
        (("--dep", "x.deb"), "--dep x.deb: must be an extension"),
        (("--dep", "a b"), "--dep: expected the name of an extension"),
    ],
)
def test_invalid_names_are_refused(
    package: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert tool(package, *options) in (1, 2)
    assert message in capsys.readouterr().err


@pytest.mark.oracle
@pytest.mark.parametrize("packed", COMPRESSIONS)
def test_unsquashfs_extracts_the_same_files(package: Path, tmp_path: Path, packed: str) -> None:
    program = require("unsquashfs")
    package.write_bytes(deb(packed=packed, control_packed=packed, scripts={"postinst": POSTINST}))
    assert tool("-q", package) == 0
    lines = run(program, "-lln", "tool.tcz", cwd=tmp_path).decode().splitlines()
    found = {
        line.split()[-1].partition("/")[2]: line.split()[:2]
        for line in lines
        if "squashfs-root" in line
    }
    assert found["usr/local/tce.installed"] == ["drwxrwxr-x", "0/50"]
    assert found["usr/local/tce.installed/tool"] == ["-rwxr-xr-x", "1001/50"]
    assert found["usr/local/postinst/tool"] == ["-rwxr-xr-x", "0/0"]
    assert found["usr/bin/tool"] == ["-rwxr-xr-x", "0/0"]
    run(require("md5sum"), "-c", "tool.tcz.md5.txt", cwd=tmp_path)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["lshw", "man-db", "tzdata"])
def test_extension_of_a_real_package_has_its_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tool("-q", debian.package(name)) == 0
    run(require("unsquashfs"), "-n", "-d", "root", f"{name}.tcz")
    listed = (tmp_path / f"{name}.tcz.list").read_text().splitlines()
    top = tmp_path / "root"
    assert set(listed) == {
        path.relative_to(top).as_posix()
        for path in top.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    tree = parse_squashfs(Input((tmp_path / f"{name}.tcz").read_bytes(), name=name))
    for path, node in tree.walk():
        if isinstance(node, File):
            assert (top / path.decode()).read_bytes() == bytes(node.content)
