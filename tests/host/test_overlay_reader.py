"""Test reading overlays of each kind. The content decides the kind."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purekernel.errors import InputError, LimitError, PurekernelError
from purekernel.formats.cpio import build_cpio
from purekernel.formats.tar import build_tar
from purekernel.host.overlay_reader import _FindOnHost as FindOnHost
from purekernel.host.overlay_reader import load_layer, parse_layer
from purekernel.input import Input, Limits
from purekernel.tree import Directory, File, Metadata, Symlink, Tree
from tests.formats.test_squashfs import image

TIME = 1_400_000_000


def sample() -> Tree:
    tree = Tree()
    tree.add(b"etc", Directory(metadata=Metadata(mode=0o755, mtime=5)))
    tree.add(b"etc/conf", File(metadata=Metadata(mode=0o640, gid=50, mtime=6), content=b"x"))
    return tree


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("build", [build_tar, build_cpio])
def test_archive_format_is_detected_by_content(
    build: Callable[[Tree], bytes], pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "no-suffix"
    path.write_bytes(pack(build(sample())))
    layer = load_layer(path, mtime=TIME)
    assert (layer.source, layer.tree, layer.stated) == (str(path), sample(), {})


def test_squashfs_is_detected_by_content(tmp_path: Path) -> None:
    path = tmp_path / "no-suffix"
    path.write_bytes(image())
    assert b"a" in load_layer(path, mtime=TIME).tree


def test_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert b"a" in load_layer(tmp_path, mtime=TIME).tree


def test_archive_in_memory_is_parsed() -> None:
    layer = parse_layer(Input(memoryview(build_tar(sample())), name="dependencies/x.tar"))
    assert (layer.source, layer.tree) == ("dependencies/x.tar", sample())


def test_tar_whose_first_name_starts_like_gzip_is_read_as_tar() -> None:
    tree = Tree()
    tree.add(b"\x1f\x8b", File(metadata=Metadata(mode=0o644)))
    assert parse_layer(Input(build_tar(tree), name="x")).tree == tree


@pytest.mark.parametrize("content", [b"", b"PK\3", b"#!/bin/sh\n", gzip.compress(b"text", mtime=0)])
def test_unknown_format_is_refused_with_accepted_formats(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_layer(path, mtime=0)
    plain = b"text" if content.startswith(b"\x1f") else content
    assert str(caught.value) == (
        f"{path} is not a known kind of overlay: it starts with {plain[:6].hex(' ') or 'nothing'}"
    )
    assert caught.value.hint == (
        "give a folder, a tar archive or a cpio archive of the newc kind (plain or compressed "
        "with gzip, bzip2, xz, lzma, zstd or lz4), a squashfs image (.tcz), or a manifest (#mtree)"
    )


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"PK\3\4" + bytes(60), "a zip archive"),
        (gzip.compress(b"PK\3\4" + bytes(60), mtime=0), "a zip archive"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(60), "a 7z archive"),
        (b"\x89LZO\0\r\n\x1a\n" + bytes(60), "an lzop file"),
        (bytes(0x438) + b"\x53\xef" + bytes(900), "an ext2, ext3 or ext4 file system"),
        (b"LUKS\xba\xbe" + bytes(600), "an encrypted LUKS volume"),
        (b"\x7fELF" + bytes(60), "an ELF file"),
    ],
)
def test_unsupported_kind_is_named(content: bytes, named: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_layer(Input(content, name="x"))
    assert str(caught.value) == f"x is {named}, which is not supported as an overlay"


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nope"):
        load_layer(tmp_path / "nope", mtime=0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fifos")
def test_fifo_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"pipe is neither a file nor a folder$"):
        load_layer(tmp_path / "pipe", mtime=0)


def test_decompression_bomb_is_refused() -> None:
    with pytest.raises(LimitError):
        parse_layer(
            Input(gzip.compress(bytes(1 << 20)), name="x", limits=Limits(unpacked_bytes=1 << 16))
        )


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PurekernelError):
        parse_layer(Input(b"\x01" + data, name="x"))


# Manifests


def spec(folder: Path, text: str) -> Path:
    path = folder / "spec.mtree"
    path.write_text("#mtree\n" + text)
    return path


def test_manifest_file_reads_contents_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_bytes(b"a")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "conf").write_bytes(b"conf")
    layer = load_layer(
        spec(
            tmp_path,
            "etc/conf mode=0640\nopt/a contents=files/a mode=0755\nbin type=link link=usr/bin\n",
        ),
        mtime=TIME,
    )
    folder = Directory(metadata=Metadata(mode=0o755, mtime=TIME))
    expected = Tree(folder)
    expected.add(b"etc", folder)
    expected.add(b"etc/conf", File(metadata=Metadata(mode=0o640, mtime=TIME), content=b"conf"))
    expected.add(b"opt", folder)
    expected.add(b"opt/a", File(metadata=Metadata(mode=0o755, mtime=TIME), content=b"a"))
    expected.add(b"bin", Symlink(metadata=Metadata(mode=0o777, mtime=TIME), target=b"usr/bin"))
    assert layer.tree == expected
    assert layer.stated == {b"etc/conf": {"mode"}, b"opt/a": {"mode"}}


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize("text", ["f contents=out\n", "f contents=folder/out\n", "folder/f\n"])
def test_contents_outside_manifest_folder_are_refused(text: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "out").write_bytes(b"secret")
    (tmp_path / "f").write_bytes(b"secret")
    (inside / "out").symlink_to("../out")
    (inside / "folder").symlink_to("..")
    with pytest.raises(InputError, match="is outside the manifest's folder") as caught:
        load_layer(spec(inside, text), mtime=0)
    assert caught.value.hint == ("put the manifest and all files that it names in one folder")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_inside_folder_are_followed_and_loops_are_missing(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    tree = load_layer(spec(tmp_path, "link type=file\nf contents=link\n"), mtime=0).tree
    for path in (b"link", b"f"):
        node = tree[path]
        assert isinstance(node, File)
        assert node.content == b"x"
    with pytest.raises(InputError):
        load_layer(spec(tmp_path, "f contents=loop\n"), mtime=0)


def test_all_missing_files_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_layer(spec(tmp_path, "a\nb contents=c/d\nspec.mtree/x\n"), mtime=0)
    assert str(caught.value) == (
        f"{tmp_path / 'spec.mtree'} lists missing files: "
        "'a' (line 2), 'c/d' (line 3), 'spec.mtree/x' (line 4)"
    )


def test_total_size_of_contents_is_limited(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(60))
    (tmp_path / "b").write_bytes(bytes(60))
    with pytest.raises(LimitError):
        load_layer(spec(tmp_path, "a\nb\n"), mtime=0, limits=Limits(unpacked_bytes=100))


def test_name_too_long_for_host_is_reported(tmp_path: Path) -> None:
    message = "does not exist" if os.name == "nt" else "cannot be read"
    with pytest.raises(InputError, match=message):
        load_layer(tmp_path / ("x" * 5000), mtime=0)


def test_file_over_size_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(LimitError, match="at most 1073741824 bytes unpacked, got 1099511627776"):
        load_layer(tmp_path / "sparse", mtime=0)


def test_content_used_several_times_counts_each_time(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(1000))
    lines = "".join(f"./x{number} type=file contents=big\n" for number in range(20))
    (tmp_path / ".mtree").write_text(f"#mtree\n{lines}")
    with pytest.raises(LimitError, match="at most 5000 bytes unpacked"):
        load_layer(tmp_path, mtime=0, limits=Limits(unpacked_bytes=5000))


def test_missing_files_after_first_twenty_are_counted(tmp_path: Path) -> None:
    lines = "".join(f"./x{number:02d}\n" for number in range(25))
    (tmp_path / "m.mtree").write_text(f"#mtree\n{lines}")
    with pytest.raises(InputError, match=r"'x19' \(line 21\), and 5 more$"):
        load_layer(tmp_path / "m.mtree", mtime=0)


@pytest.mark.parametrize(
    "path",
    [b"..\\x", b"C:x", b"\\\\srv\\share\\x", b"a:stream", b"nul", b"d/con.txt", b"a.", b"\xff"],
)
def test_invalid_windows_name_in_manifest_is_not_looked_up(
    path: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ok").write_bytes(b"ok")
    finder = FindOnHost(tmp_path, TIME, Limits(), windows=True)
    assert isinstance(finder.node(b"./ok"), File)
    assert isinstance(finder.content(b"x/../ok"), File)
    looked: list[Path] = []
    monkeypatch.setattr(Path, "lstat", looked.append)
    assert finder.node(path) is None
    assert finder.content(path) is None
    assert looked == []
