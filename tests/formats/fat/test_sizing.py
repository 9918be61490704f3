from __future__ import annotations

import mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import PurekernelError, UnrepresentableError, UsageError, split_errors
from purekernel.formats.fat import FatOptions, build_fat, parse_fat
from purekernel.formats.fat.layout import parse_boot_sector
from purekernel.formats.fat.sizing import geometry_for_clusters, geometry_for_size
from purekernel.input import Input
from purekernel.tree import File, LazyContent, Metadata, Tree
from tests.formats.fat.trees import file_tree, read_back

# The limits of the types, by the number of clusters.
LIMITS = [(12, 1), (12, 4084), (16, 4085), (16, 65524), (32, 65525)]

FILES = {"EFI/BOOT/BOOTX64.EFI": b"MZ" * 4000, "A.TXT": b"a"}


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "clusters"), LIMITS)
def test_size_of_exactly_a_limit_gives_its_type(bits: int, clusters: int) -> None:
    cluster_bytes = 512
    size = geometry_for_clusters(clusters, bits, cluster_bytes, root_entries=512).size_bytes
    options = FatOptions(cluster_bytes=cluster_bytes)
    tree = file_tree(FILES if clusters > 1 else {"A.TXT": b"a"})
    image = build_fat(tree, timestamp=0, size_bytes=size, options=options)
    assert (image.geometry.bits, image.geometry.clusters) == (bits, clusters)
    data = image.to_bytes()
    assert len(data) == size
    assert parse_boot_sector(Input(data, name="x")).geometry == image.geometry
    assert parse_fat(Input(data, name="x")) == tree


@pytest.mark.slow
@given(st.sampled_from([4084, 65524]), st.integers(-60, 60), st.sampled_from([512, 1024, 8192]))
def test_any_size_near_a_limit_has_a_type_that_its_clusters_agree_with(
    limit: int, distance: int, cluster_bytes: int
) -> None:
    bits = 12 if limit == 4084 else 16
    geometry = geometry_for_clusters(limit, bits, cluster_bytes, root_entries=512)
    size = geometry.size_bytes + distance * 512
    options = FatOptions(cluster_bytes=cluster_bytes)
    image = build_fat(Tree(), timestamp=0, size_bytes=size, options=options)
    head = b"".join(bytes(part.content) for part in image.parts[:1])
    found = image.geometry
    assert found.size_bytes == size
    assert found.bits == (12 if found.clusters < 4085 else 16 if found.clusters < 65525 else 32)
    assert found.table_sectors * 512 * 8 >= (found.clusters + 2) * found.bits
    assert head[54:59] == b"FAT%d" % found.bits or head[82:87] == b"FAT32"


@pytest.mark.parametrize(("needed", "limit"), [(4085, 4084), (4070, 4084), (65525, 65524)])
def test_free_size_keeps_16_clusters_away_from_a_limit(needed: int, limit: int) -> None:
    content = LazyContent(needed * 1024, lambda: b"")
    tree = Tree()
    tree.add(b"A", File(metadata=Metadata(mode=0o644), content=content))
    options = FatOptions(cluster_bytes=1024, volume_id=1)
    image = build_fat(tree, timestamp=0, options=options)
    assert image.geometry.clusters == limit + 17


def test_free_cluster_size_keeps_16_clusters_away_from_a_limit() -> None:
    size = geometry_for_clusters(4090, 16, 1024, root_entries=512).size_bytes
    image = build_fat(Tree(), timestamp=0, size_bytes=size)
    assert abs(image.geometry.clusters - 4084.5) > 16
    assert image.geometry.cluster_bytes != 1024


@pytest.mark.slow
@given(st.integers(40, 1 << 32), st.sampled_from([12, 16, 32]), st.sampled_from([512, 4096, 32768]))
def test_geometry_of_a_size_has_a_table_for_all_clusters(
    sectors: int, bits: int, cluster_bytes: int
) -> None:
    geometry = geometry_for_size(sectors, bits, cluster_bytes, root_entries=512)
    if geometry is None:
        return
    assert geometry.sectors == sectors
    needed = geometry.needed_table_sectors(geometry.clusters)
    assert needed <= geometry.table_sectors <= needed + 1
    assert geometry.data_offset % cluster_bytes == 0
    # At most one cluster, and what its entry takes in the tables, is wasted.
    used = geometry.data_sector + geometry.clusters * geometry.cluster_sectors
    assert 0 <= sectors - used < geometry.cluster_sectors


@pytest.mark.parametrize(
    ("size", "bits", "cluster_bytes"),
    [
        (1440 << 10, 12, 512),
        (3 << 20, 12, 1024),
        (10 << 20, 16, 1024),
        (100 << 20, 16, 2048),
        (400 << 20, 16, 8192),
        (600 << 20, 32, 4096),
        (40 << 30, 32, 32768),
    ],
)
def test_size_gives_the_usual_type_and_clusters(size: int, bits: int, cluster_bytes: int) -> None:
    image = build_fat(file_tree(FILES), timestamp=0, size_bytes=size)
    assert (image.geometry.bits, image.geometry.cluster_bytes) == (bits, cluster_bytes)
    assert image.size_bytes == size


def test_image_of_40_gib_is_written_sparse_and_read(tmp_path: Path) -> None:
    tree = file_tree(FILES)
    image = build_fat(tree, timestamp=0, size_bytes=40 << 30)
    assert sum(len(part.content) for part in image.parts) < 100_000
    with (tmp_path / "image").open("w+b") as stream:
        image.write(stream)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = parse_fat(Input(memoryview(data)[: 1 << 30], name="x"))
            assert found == tree
            del found


def test_free_space_is_left() -> None:
    image = build_fat(file_tree(FILES), timestamp=0, free_bytes=1 << 20)
    used = sum(-(-len(content) // 512) for content in FILES.values()) + 2
    assert image.geometry.clusters == used + 2048


def test_clusters_begin_at_the_alignment() -> None:
    options = FatOptions(alignment_bytes=1 << 20)
    image = build_fat(file_tree(FILES), timestamp=0, options=options)
    assert image.geometry.data_offset == 1 << 20
    assert read_back(image) == file_tree(FILES)


def test_floppy_has_the_usual_fields() -> None:
    options = FatOptions(media=0xF0, heads=2, track_sectors=18)
    image = build_fat(Tree(), timestamp=0, size_bytes=1440 << 10, options=options)
    geometry = image.geometry
    assert (geometry.reserved_sectors, geometry.table_sectors, geometry.root_entries) == (1, 9, 224)
    assert geometry.clusters == 2847


@pytest.mark.slow
def test_root_folder_of_5000_long_names_fits() -> None:
    files = {f"a long name with number {number}": b"" for number in range(5000)}
    image = build_fat(file_tree(files), timestamp=0)
    # 100 names of 25 or 26 characters take 3 entries each, the others 4.
    assert image.geometry.root_entries == 3 * 100 + 4 * 4900 + 4
    assert read_back(image) == file_tree(files)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (1000, FatOptions(), "must be a multiple of 512 bytes"),
        (0, FatOptions(), "must be a multiple of 512 bytes"),
        (2 << 40, FatOptions(), "less than 2 TiB"),
        (1 << 20, FatOptions(bits=32), "a FAT32 file system cannot have 1048576 bytes"),
        (
            1 << 30,
            FatOptions(bits=12, cluster_bytes=512),
            "a FAT12 file system with clusters of 512 bytes cannot have 1073741824 bytes",
        ),
    ],
)
def test_size_that_no_volume_has_is_refused(size: int, options: FatOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_fat(Tree(), timestamp=0, size_bytes=size, options=options)


def test_tree_that_does_not_fit_is_refused_with_what_is_missing() -> None:
    with pytest.raises(UnrepresentableError) as caught:
        build_fat(file_tree({"A": bytes(1 << 20)}), timestamp=0, size_bytes=1 << 20)
    assert str(caught.value) == (
        "a FAT file system of 1048576 bytes has room for 1028096 bytes of files, "
        "and needs 20480 more"
    )


def test_small_volume_takes_smaller_clusters_to_hold_more_files() -> None:
    tree = file_tree({f"F{number}": b"x" for number in range(400)})
    image = build_fat(tree, timestamp=0, size_bytes=3 << 19)
    assert read_back(image) == tree


def test_invalid_options_are_named_at_once() -> None:
    options = FatOptions(bits=8, cluster_bytes=1000, alignment_bytes=100, code=bytes(449))
    with pytest.raises(PurekernelError) as caught:
        build_fat(Tree(), timestamp=0, options=options)
    assert [str(error).partition(" of")[0] for error in split_errors([caught.value])] == [
        "bits", "cluster_bytes", "alignment_bytes", "code",
    ]  # fmt: skip
