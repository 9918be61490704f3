from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import FormatError, LimitError, UnrepresentableError, UnsupportedError
from purekernel.formats import zstd
from purekernel.formats.qcow2 import build_qcow2, parse_qcow2
from purekernel.formats.sparse import SparseImage
from purekernel.input import Input, Limits
from tests.formats.qcow2s import (
    CLUSTER_BYTES,
    COPIED,
    DATA,
    L1,
    L2,
    ZERO,
    compressed_entry,
    deflated,
    make_qcow2,
)
from tests.oracles import require, run

CLUSTER = 1 << 16
MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


def parsed(data: bytes | bytearray, *, unpacked_bytes: int = GIB) -> SparseImage:
    limits = Limits(unpacked_bytes=unpacked_bytes)
    return parse_qcow2(Input(bytes(data), name="x.qcow2", limits=limits))


def not_zero(image: SparseImage) -> list[tuple[int, bytes]]:
    return [(number, block) for number, block in image.blocks(CLUSTER) if block.strip(b"\0")]


@given(
    sizes=st.lists(st.integers(1, 3 * CLUSTER), max_size=4),
    holes=st.lists(st.integers(0, 700 * MIB), min_size=5, max_size=5),
    fill=st.sampled_from([b"\0", b"x", b"\0\0\0x"]),
)
def test_image_of_any_parts_round_trips(sizes: list[int], holes: list[int], fill: bytes) -> None:
    parts, end = [], 0
    for size, hole in zip(sizes, holes, strict=False):
        parts.append((end + hole, (fill * size)[:size]))
        end += hole + size
    size_bytes = -(-(end + holes[-1]) // 512) * 512
    image = SparseImage.of(size_bytes, parts)
    again = parsed(build_qcow2(image).to_bytes())
    assert again.size_bytes == image.size_bytes
    assert not_zero(again) == not_zero(image)


def test_empty_disk_of_a_tebibyte_is_only_tables() -> None:
    image = build_qcow2(SparseImage.of(TIB, []))
    # The header, the refcount table, one block of it, and the L1 table.
    assert image.size_bytes == 4 * CLUSTER
    assert parsed(image.to_bytes()) == SparseImage.of(TIB, [])


def test_clusters_of_zeros_are_not_allocated() -> None:
    content = b"a" * CLUSTER + bytes(3 * CLUSTER) + b"b" * CLUSTER
    image = build_qcow2(SparseImage.of(8 * CLUSTER, [(CLUSTER, content)]))
    assert image.size_bytes == (4 + 1 + 2) * CLUSTER


def test_contents_are_views_not_copies() -> None:
    content = random.Random(1).randbytes(5 * CLUSTER)
    image = build_qcow2(SparseImage.of(16 * CLUSTER, [(CLUSTER + 100, content)]))
    views = [part.content for part in image.parts if isinstance(part.content, memoryview)]
    assert [view.obj for view in views] == [content]
    data = image.to_bytes()
    (part,) = parse_qcow2(Input(data, name="x")).parts
    assert isinstance(part.content, memoryview)
    assert part.content.obj is data


def test_disk_that_qemu_cannot_open_is_refused() -> None:
    with pytest.raises(UnrepresentableError, match="at most 2 PiB"):
        build_qcow2(SparseImage.of((2 << 50) + 512, []))


@pytest.mark.parametrize("version", [2, 3])
def test_cluster_of_a_small_image_is_read(version: int) -> None:
    data = make_qcow2({1: DATA | COPIED}, b"x" * CLUSTER_BYTES, version=version)
    assert parsed(data) == SparseImage.of(2048, [(512, b"x" * CLUSTER_BYTES)])


def test_clusters_in_a_row_become_one_part() -> None:
    entries = {0: DATA | COPIED, 1: DATA + 512 | COPIED, 3: DATA + 1024 | COPIED}
    image = parsed(make_qcow2(entries, b"abc" * CLUSTER_BYTES))
    assert [(part.offset, len(part.content)) for part in image.parts] == [(0, 1024), (1536, 512)]


def test_cluster_with_the_zero_flag_is_zeros() -> None:
    entries = {0: ZERO, 1: DATA | COPIED | ZERO}
    assert parsed(make_qcow2(entries, b"x" * CLUSTER_BYTES)).parts == ()


def test_last_cluster_is_cut_at_the_end_of_the_disk() -> None:
    image = parsed(make_qcow2({0: DATA | COPIED}, b"x" * 100, size=100))
    assert image == SparseImage.of(100, [(0, b"x" * 100)])


def test_compressed_clusters_share_a_sector() -> None:
    first, second = deflated(b"a" * 512), deflated(b"b" * 512)
    entries = {
        0: compressed_entry(DATA, len(first)),
        2: compressed_entry(DATA + len(first), len(second)),
    }
    image = parsed(make_qcow2(entries, first + second))
    assert image == SparseImage.of(2048, [(0, b"a" * 512), (1024, b"b" * 512)])


def test_cluster_compressed_with_zstd_is_read() -> None:
    packed = zstd.compress(b"z" * 512)
    entries = {0: compressed_entry(DATA, len(packed))}
    image = parsed(make_qcow2(entries, packed, features=8, compression=1))
    assert image == SparseImage.of(2048, [(0, b"z" * 512)])


def _with(offset: int, layout: str, value: int) -> bytearray:
    image = make_qcow2({})
    struct.pack_into(layout, image, offset, value)
    return image


DAMAGED: dict[str, bytes | bytearray] = {
    "a qcow2 image": b"QFJ\xfb" + bytes(200),
    "a header of 72 bytes": b"QFI\xfb\0\0\0\3",
    "9 to 21 cluster bits": _with(20, ">I", 22),
    "a header of 104 bytes": bytes(make_qcow2({})[:80]),
    "as the size of the header": _with(100, ">I", 96),
    "expected a sound image": _with(72, ">Q", 2),
    "2 entries or more in the L1 table": _with(24, ">Q", 64 * 512 + 1),
    "the offset of the L1 table": _with(40, ">Q", 3 * 512),
    "the offset of a cluster in 1536 bytes": make_qcow2({0: 4096 | COPIED}),
    "a cluster that is used once": make_qcow2({0: L2 | COPIED}),
    "an entry of version 2": make_qcow2({0: ZERO}, version=2),
    "an offset in 1536 bytes": make_qcow2({0: compressed_entry(8192, 1)}),
    "a valid compressed cluster": make_qcow2({0: compressed_entry(DATA, 4)}, b"\xff" * 4),
    "a compressed cluster of 512 bytes": make_qcow2(
        {0: compressed_entry(DATA, 20)}, deflated(b"short")
    ),
}


@pytest.mark.parametrize("expected", DAMAGED)
def test_damaged_image_is_refused(expected: str) -> None:
    with pytest.raises(FormatError, match=expected):
        parsed(DAMAGED[expected])


def test_l2_table_used_twice_is_refused() -> None:
    image = make_qcow2({}, size=128 * CLUSTER_BYTES)
    struct.pack_into(">I", image, 36, 2)
    struct.pack_into(">Q", image, L1 + 8, L2 | COPIED)
    with pytest.raises(FormatError, match="used once"):
        parsed(image)


def _with_backing_file() -> bytearray:
    image = make_qcow2({})
    image[200:210] = b"base.qcow2"
    struct.pack_into(">QI", image, 8, 200, 10)
    return image


UNSUPPORTED = {
    "version 4": _with(4, ">I", 4),
    "the backing file 'base.qcow2'": _with_backing_file(),
    "AES encryption": _with(32, ">I", 1),
    "LUKS encryption": _with(32, ">I", 2),
    "encryption 3": _with(32, ">I", 3),
    "an external data file": _with(72, ">Q", 4),
    "extended L2 entries": _with(72, ">Q", 16),
    "the incompatible features 0x20": _with(72, ">Q", 32),
    "compression 2": make_qcow2({}, features=8, compression=2),
}


@pytest.mark.parametrize("feature", UNSUPPORTED)
def test_unsupported_feature_is_named(feature: str) -> None:
    with pytest.raises(UnsupportedError, match=f"got {feature}, which is not supported"):
        parsed(UNSUPPORTED[feature])


def test_compressed_clusters_count_as_unpacked() -> None:
    packed = deflated(bytes(512))
    entries = dict.fromkeys(range(4), compressed_entry(DATA, len(packed)))
    image = make_qcow2(entries, packed)
    assert not any(parsed(image, unpacked_bytes=2048).to_bytes())
    with pytest.raises(LimitError, match="at most 2047 bytes"):
        parsed(image, unpacked_bytes=2047)


def test_disk_with_an_l1_table_beyond_the_limit_is_refused() -> None:
    with pytest.raises(LimitError, match="L1 table"):
        parsed(_with(24, ">Q", 1 << 60))


def test_internal_snapshots_are_reported() -> None:
    notes: list[str] = []
    data = bytes(_with(60, ">I", 2))
    parse_qcow2(Input(data, name="x.qcow2", limits=Limits(report=notes.append)))
    assert notes == ["x.qcow2: ignored 2 internal snapshots; the disk is read as it was last"]


# With qemu-img.

_SEED = random.Random(2)
DISKS = {
    "empty": SparseImage.of(MIB, []),
    "small": SparseImage.of(100 * 1024, [(0, b"a" * 700), (99 * 1024, b"b" * 1024)]),
    "large": SparseImage.of(
        3 * TIB,
        [(0, _SEED.randbytes(200_000)), (GIB, bytes(3 * CLUSTER) + b"x"), (3 * TIB - 512, b"z")],
    ),
    "long": SparseImage.of(300 * MIB, [(7 * CLUSTER + 100, _SEED.randbytes(5 * MIB))]),
}


def _write(image: SparseImage, path: Path) -> Path:
    with path.open("wb") as stream:
        image.write(stream)
    return path


@pytest.mark.oracle
@pytest.mark.parametrize("name", DISKS)
def test_qemu_img_finds_no_errors_and_the_same_disk(name: str, tmp_path: Path) -> None:
    program = require("qemu-img")
    qcow2 = _write(build_qcow2(DISKS[name]), tmp_path / "x.qcow2")
    raw = _write(DISKS[name], tmp_path / "x.raw")
    run(program, "check", "-f", "qcow2", qcow2)
    run(program, "compare", "-f", "qcow2", "-F", "raw", qcow2, raw)
    info = json.loads(run(program, "info", "-f", "qcow2", "--output=json", qcow2))
    assert info["virtual-size"] == DISKS[name].size_bytes
    assert info["format-specific"]["data"]["compat"] == "1.1"


@pytest.mark.oracle
@pytest.mark.parametrize(
    "options",
    [
        "",
        "-c",
        "-c -o compression_type=zstd",
        "-o cluster_size=512",
        "-c -o cluster_size=2M",
        "-o compat=0.10",
        "-c -o compat=0.10",
    ],
)
@pytest.mark.parametrize("name", ["empty", "small", "long"])
def test_image_of_qemu_img_is_read(name: str, options: str, tmp_path: Path) -> None:
    raw = _write(DISKS[name], tmp_path / "x.raw")
    made = tmp_path / "x.qcow2"
    convert = [require("qemu-img"), "convert", "-f", "raw", "-O", "qcow2"]
    run(*convert, *options.split(), raw, made)
    image = parse_qcow2(Input(made.read_bytes(), name="x.qcow2"))
    assert image.size_bytes == DISKS[name].size_bytes
    assert not_zero(image) == not_zero(DISKS[name])


@pytest.mark.oracle
def test_disk_after_a_snapshot_of_qemu_img_is_the_last_one(tmp_path: Path) -> None:
    program = require("qemu-img")
    made = _write(build_qcow2(DISKS["small"]), tmp_path / "x.qcow2")
    run(program, "snapshot", "-c", "before", made)
    image = parse_qcow2(Input(made.read_bytes(), name="x.qcow2"))
    assert not_zero(image) == not_zero(DISKS["small"])
