from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError, UnsupportedError
from purekernel.formats.iso import build_iso, parse_iso, parse_iso_files
from purekernel.formats.iso.zisofs import ZisofsEntry, unpack_zisofs
from purekernel.input import Input, Limits
from purekernel.tree import File, Tree
from tests.formats.iso.disks import FIELDS
from tests.formats.iso.handmade import ROOT_EXTENT, ce, image, nm, px, record
from tests.oracles import require, run

CONTENT = bytes(40_000) + b"some words " * 3000 + bytes(70_000)


def pack(content: bytes, version: int = 1, *, block_log: int = 15) -> bytes:
    """Return ``content`` as mkzftree packs it; blocks of zeros have no bytes."""
    size = 1 << block_log
    blocks = [content[start : start + size] for start in range(0, len(content), size)]
    packed = [zlib.compress(block) if any(block) else b"" for block in blocks]
    if version == 1:
        header = b"\x37\xe4\x53\x96\xc9\xdb\xd6\x07" + struct.pack(
            "<IBBH", len(content), 4, block_log, 0
        )
    else:
        header = b"\xef\x22\x55\xa1\xbc\x1b\x95\xa0" + struct.pack(
            "<BBBBQI", 0, 6, 1, block_log, len(content), 0
        )
    letter = "I" if version == 1 else "Q"
    offset = len(header) + struct.calcsize(letter) * (len(blocks) + 1)
    offsets = [offset + sum(map(len, packed[:count])) for count in range(len(packed) + 1)]
    return header + struct.pack(f"<{len(offsets)}{letter}", *offsets) + b"".join(packed)


def zf(size: int, version: int = 1, *, block_log: int = 15, signature: bytes = b"ZF") -> bytes:
    if version == 1:
        return (
            signature
            + struct.pack("<BB2sBBI", 16, 1, b"pz", 4, block_log, size)
            + struct.pack(">I", size)
        )
    return signature + struct.pack("<BB2sBBQ", 16, 2, b"PZ", 6, block_log, size)


def disc(packed: bytes, system_use: bytes) -> bytes:
    entry = record(b"A.;1", ROOT_EXTENT + 1, len(packed), 0, nm(b"a") + px() + system_use)
    return image([entry], after=packed, rock_ridge=True)


def read(data: bytes, limits: Limits | None = None) -> Tree:
    return parse_iso(Input(data, name="disk.iso", limits=limits or Limits())).tree


def content(tree: Tree, path: bytes) -> bytes:
    node = tree[path]
    assert isinstance(node, File)
    return bytes(node.content)


@pytest.mark.parametrize(
    ("version", "block_log", "signature"),
    [(1, 15, b"ZF"), (1, 17, b"ZF"), (2, 15, b"ZF"), (2, 20, b"ZF"), (2, 17, b"Z2")],
)
@pytest.mark.parametrize("data", [CONTENT, b"", b"x" * 32768, bytes(100)])
def test_packed_file_has_its_unpacked_content(
    version: int, block_log: int, signature: bytes, data: bytes
) -> None:
    mark = zf(len(data), version, block_log=block_log, signature=signature)
    tree = read(disc(pack(data, version, block_log=block_log), mark))
    assert content(tree, b"a") == data
    # The output has the plain file.
    again = build_iso(tree, fields=FIELDS, boot=None, timestamp=0)
    assert content(read(again), b"a") == data


def test_packed_file_is_unpacked_on_access_when_files_are_listed() -> None:
    data = disc(pack(CONTENT), zf(len(CONTENT)))
    tree = parse_iso_files(Input(data, name="disk.iso"))
    node = tree[b"a"]
    assert isinstance(node, File)
    assert node.size_bytes == len(CONTENT)
    assert bytes(node.content) == CONTENT
    damaged = parse_iso_files(Input(disc(pack(CONTENT)[:60], zf(len(CONTENT))), name="disk.iso"))
    with pytest.raises(FormatError, match=r"^disk\.iso: 'a'"):
        content(damaged, b"a")


def test_entry_in_a_continuation_is_read() -> None:
    packed = pack(CONTENT)
    area = zf(len(CONTENT)) + nm(b"b")
    block = ROOT_EXTENT + 1
    entry = record(b"A.;1", block + 1, len(packed), 0, nm(b"a") + px() + ce(block, 100, len(area)))
    after = (bytes(100) + area).ljust(2048, b"\0") + packed
    data = image([entry], after=after, rock_ridge=True)
    assert content(read(data), b"ab") == CONTENT


def test_packed_file_without_entry_keeps_its_bytes() -> None:
    assert content(read(disc(pack(CONTENT), b"")), b"a") == pack(CONTENT)
    # Padding that looks like the entry is not one.
    padding = b"PD" + zf(len(CONTENT))[2:]
    assert content(read(disc(pack(CONTENT), padding)), b"a") == pack(CONTENT)


def test_unknown_entries_are_ignored() -> None:
    """The kernel ignores them too; mkisofs -apple writes AA and BA, the latter of version 2."""
    unknown = b"AA\x0e\x02" + bytes(10) + b"QQ\x04\x09" + b"BA\x08\x01" + bytes(4)
    assert content(read(disc(b"hello", unknown + zf(5)[:0])), b"a") == b"hello"
    assert content(read(disc(pack(CONTENT), unknown + zf(len(CONTENT)))), b"a") == CONTENT


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:10], "byte 0: expected a zisofs header (37 e4 53 96 c9 db d6 07)"),
        (lambda data: b"x" + data[1:], "byte 0: expected a zisofs header (37 e4 53 96 c9 db"),
        (
            lambda data: data[:8] + b"\1" + data[9:],
            "byte 8: expected the header, block and file sizes of Rock Ridge, 16, 2^15 and",
        ),
        (lambda data: data[:30], "byte 16: expected 6 pointers to zisofs blocks, got the end"),
        (
            lambda data: data[:16] + b"\xff\xff\xff\0" + data[20:],
            "byte 16: expected a block between byte 40 and ",
        ),
        (lambda data: data[:-1], "byte 32: expected a block between byte 40 and "),
        (lambda data: data[:50] + b"xx" + data[52:], "expected a valid zlib stream, got Error"),
    ],
)
def test_damaged_file_is_refused_with_its_path(
    spoil: Callable[[bytes], bytes], message: str
) -> None:
    noise = zlib.compress(b"words") * 13_000
    data = spoil(pack(noise[:140_000]))
    with pytest.raises(FormatError) as caught:
        read(disc(data, zf(140_000)))
    assert str(caught.value).startswith("disk.iso: 'a', ")
    assert message in str(caught.value)


def test_block_of_another_size_is_refused() -> None:
    for size in (99, 101):
        packed = pack(b"x" * size)
        packed = packed[:8] + struct.pack("<I", 100) + packed[12:]
        with pytest.raises(FormatError, match="expected a complete block of 100 bytes, got"):
            read(disc(packed, zf(100)))


def test_unsupported_algorithm_or_block_size_is_named() -> None:
    packed = pack(CONTENT, 2)
    with pytest.raises(UnsupportedError, match="version 0 with algorithm 4, which is not support"):
        read(disc(packed[:10] + b"\4" + packed[11:], zf(len(CONTENT), 2)))
    with pytest.raises(UnsupportedError, match=r"2.14 bytes, which is not supported"):
        read(disc(pack(b"x", block_log=14), zf(1, block_log=14)))


def test_unpacked_size_above_the_limit_is_refused() -> None:
    """A pointer of 4 bytes stands for 32 KiB of zeros."""
    packed = pack(bytes(10 << 20))
    assert len(packed) < 2000
    with pytest.raises(LimitError, match="expected at most 1048576 bytes unpacked"):
        read(disc(packed, zf(10 << 20)), Limits(unpacked_bytes=1 << 20))
    with pytest.raises(FormatError, match="pointers to zisofs blocks, got the end of the file"):
        read(disc(pack(b"x")[:8] + b"\xff\xff\xff\x0f" + pack(b"x")[12:], zf(0x0FFFFFFF)))


@given(st.binary(max_size=200), st.integers(1, 2), st.integers(0, 1 << 20))
def test_any_file_is_read_or_refused(data: bytes, version: int, size: int) -> None:
    entry = ZisofsEntry(version=version, header_bytes=16, block_log=15, size_bytes=size)
    header = pack(b"", version)[:16]
    with suppress(FormatError):
        assert len(unpack_zisofs(Input(header + data, name="x"), entry)) == size


# Independent checkers


@pytest.mark.oracle
@pytest.mark.parametrize("options", [[], ["-zisofs", "version_2=on:by_magic=on"]])
def test_image_of_xorriso_is_read(tmp_path: Path, options: list[str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    long = "n" * 180  # its entries are in a continuation
    for name in ("a", long):
        (folder / name).write_bytes(CONTENT)
    output = tmp_path / "x.iso"
    run(
        require("xorriso"), "-outdev", str(output), *options, "-map", str(folder), "/",
        "-set_filter_r", "--zisofs", "/", "--", "-commit",
    )  # fmt: skip
    data = output.read_bytes()
    tree = read(data)
    assert b"ZF\x10" in data
    assert content(tree, b"a") == content(tree, long.encode()) == CONTENT
    plain = tmp_path / "plain.iso"
    plain.write_bytes(build_iso(tree, fields=FIELDS, boot=None, timestamp=0))
    assert run(require("bsdtar"), "-xOf", str(plain), "a") == CONTENT
