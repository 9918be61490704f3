"""Choose the size, the type and the clusters of a FAT volume for what it is to hold.

The number of clusters alone decides the type. Some drivers compare with limits that are off by a
few, so a count near a limit is avoided wherever size or clusters are free.

Source: Microsoft's "FAT: General Overview of On-Disk Format", 1.03, "FAT Type Determination" and
"FAT Volume Initialization".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import evolve

from purekernel.errors import PurekernelError, UnrepresentableError, UsageError
from purekernel.formats.fat.layout import (
    CODE_OFFSET,
    ENTRY_BYTES,
    HARD_DISK,
    LEAST_CLUSTERS,
    MOST_CLUSTERS,
    MOST_ROOT_ENTRIES,
    SECTOR_BYTES,
    Geometry,
    count_table_sectors,
)
from purekernel.records import frozen

# How far the specification advises to stay from the limits of the types.
MARGIN = 16

_MOST_SECTORS = 0xFFFFFFFF
_MOST_RESERVED = 0xFFFF
# FAT32 has the information sector and the copy of the boot sector there.
RESERVED_SECTORS = {12: 1, 16: 1, 32: 32}
# What all systems expect of a disk. A floppy disk of 1440 KiB has 224.
_ROOT_ENTRIES = 512
_FLOPPY_ROOT_ENTRIES = 224

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30

# The usual type and size of clusters of volumes up to a size, from the tables of Windows. Volumes
# of FAT12 have none there.
_USUAL = (
    (2 * _MIB, 12, 512),
    (4 * _MIB, 12, 1 * _KIB),
    (16 * _MIB, 16, 1 * _KIB),
    (128 * _MIB, 16, 2 * _KIB),
    (256 * _MIB, 16, 4 * _KIB),
    (512 * _MIB, 16, 8 * _KIB),
    (8 * _GIB, 32, 4 * _KIB),
    (16 * _GIB, 32, 8 * _KIB),
    (32 * _GIB, 32, 16 * _KIB),
    (_MOST_SECTORS * SECTOR_BYTES, 32, 32 * _KIB),
)
# The same for volumes whose type is given, where it is not the usual one.
_USUAL_OF_TYPE = (
    (8 * _MIB, 12, 2 * _KIB),
    (16 * _MIB, 12, 4 * _KIB),
    (32 * _MIB, 12, 8 * _KIB),
    (64 * _MIB, 12, 16 * _KIB),
    (128 * _MIB, 12, 32 * _KIB),
    (1 * _GIB, 16, 16 * _KIB),
    (2 * _GIB, 16, 32 * _KIB),
    (260 * _MIB, 32, 512),
)
_CLUSTER_SIZES = tuple(SECTOR_BYTES << shift for shift in range(8))
# The largest that every system reads.
_MOST_CLUSTER_BYTES = 32 * _KIB


@frozen(kw_only=True)
class FatOptions:
    """How a volume is laid out. By default, all is chosen by its size.

    Attributes:
        bits: the type: 12, 16 or 32. It decides the number of clusters, not the reverse.
        cluster_bytes: the size of a cluster, a power of two from 512 to 65536.
        alignment_bytes: the clusters begin at a multiple of this; ``None`` for that of a cluster.
        media: the kind of medium: 0xF8 for a disk, 0xF0 for a floppy disk.
        heads: of the disk, for a BIOS that is asked for cylinder, head and sector.
        track_sectors: the number of sectors in a track, for the same.
        volume_id: the serial number; ``None`` for a digest of the content.
        code: what the BIOS runs, at most 448 bytes (420 on FAT32); by default, code that
            continues with the next device.
    """

    bits: int | None = None
    cluster_bytes: int | None = None
    alignment_bytes: int | None = None
    media: int = HARD_DISK
    heads: int = 255
    track_sectors: int = 63
    volume_id: int | None = None
    code: bytes = b""

    def check(self) -> list[PurekernelError]:
        """Return an error for each invalid option."""
        wrong = {
            "bits": (self.bits, "12, 16 or 32", self.bits in (None, 12, 16, 32)),
            "cluster_bytes": (
                self.cluster_bytes,
                "a power of two from 512 to 65536",
                self.cluster_bytes in (None, *_CLUSTER_SIZES),
            ),
            "alignment_bytes": (
                self.alignment_bytes,
                "a multiple of 512 up to 16 MiB",
                self.alignment_bytes is None
                or (
                    0 < self.alignment_bytes <= 16 * _MIB
                    and not self.alignment_bytes % SECTOR_BYTES
                ),
            ),
            "code": (
                f"{len(self.code)} bytes",
                "at most 420 bytes, or 448 with bits = 12 or 16",
                len(self.code) <= 510 - CODE_OFFSET.get(self.bits or 32, CODE_OFFSET[32]),
            ),
        }
        return [
            UsageError(
                f"{name} of a FAT file system must be {right}, got {value}",
                hint="correct the value, or leave it out",
            )
            for name, (value, right, is_valid) in wrong.items()
            if not is_valid
        ]


@frozen(kw_only=True)
class Needs:
    """What a volume is to hold.

    Attributes:
        file_sizes: the size of each file, in bytes.
        folder_sizes: the size of each folder except the root, in bytes.
        root_entries: the number of entries in the root folder.
        free_bytes: the space that must be left for other files.
    """

    file_sizes: tuple[int, ...]
    folder_sizes: tuple[int, ...]
    root_entries: int
    free_bytes: int

    def clusters(self, cluster_bytes: int, bits: int) -> int:
        """Return the number of clusters that all of it takes."""
        root = (self.root_entries * ENTRY_BYTES or 1,) if bits == 32 else ()
        sizes = (*self.file_sizes, *self.folder_sizes, *root, self.free_bytes)
        return sum(-(-size // cluster_bytes) for size in sizes)


def geometry_for_clusters(
    clusters: int, bits: int, cluster_bytes: int, *, root_entries: int = 0, alignment_bytes: int = 0
) -> Geometry:
    """Return the smallest volume with so many clusters.

    Args:
        clusters: their number, which must be one of the type.
        bits: the type.
        cluster_bytes: the size of a cluster.
        root_entries: the number of entries of the root folder of FAT12 and FAT16.
        alignment_bytes: the clusters begin at a multiple of this.
    """
    cluster_sectors = cluster_bytes // SECTOR_BYTES
    geometry = Geometry(
        bits=bits,
        cluster_sectors=cluster_sectors,
        reserved_sectors=RESERVED_SECTORS[bits],
        table_sectors=count_table_sectors(clusters, bits),
        root_entries=0 if bits == 32 else -(-root_entries // 16) * 16,
        sectors=0,
    )
    geometry = _aligned(geometry, alignment_bytes or cluster_bytes)
    return evolve(geometry, sectors=geometry.data_sector + clusters * cluster_sectors)


def geometry_for_size(
    sectors: int,
    bits: int,
    cluster_bytes: int,
    *,
    root_entries: int = 0,
    alignment_bytes: int = 0,
    most_clusters: int | None = None,
) -> Geometry | None:
    """Return the volume of ``sectors`` with the most clusters; ``None`` if the type has others.

    Args:
        sectors: the size of the volume.
        bits: the type.
        cluster_bytes: the size of a cluster.
        root_entries: the number of entries of the root folder of FAT12 and FAT16.
        alignment_bytes: the clusters begin at a multiple of this.
        most_clusters: makes the volume have at most so many, by more reserved sectors.
    """
    cluster_sectors = cluster_bytes // SECTOR_BYTES
    # The number of clusters that fit shrinks as the table grows, so there is one first size of
    # the table that is enough.
    low, high = 0, min(sectors // cluster_sectors, most_clusters or sectors)
    while low < high:
        middle = (low + high + 1) // 2
        fitting = geometry_for_clusters(
            middle, bits, cluster_bytes, root_entries=root_entries, alignment_bytes=alignment_bytes
        )
        if fitting.sectors <= sectors:
            low = middle
        else:
            high = middle - 1
    geometry = geometry_for_clusters(
        low, bits, cluster_bytes, root_entries=root_entries, alignment_bytes=alignment_bytes
    )
    geometry = evolve(geometry, sectors=sectors)
    if geometry.clusters > low:
        step = (alignment_bytes or cluster_bytes) // SECTOR_BYTES
        excess = sectors - geometry.data_sector - (low + 1) * cluster_sectors + 1
        reserved = geometry.reserved_sectors + -(-excess // step) * step
        geometry = evolve(geometry, reserved_sectors=reserved)
    is_right = LEAST_CLUSTERS[bits] <= geometry.clusters <= MOST_CLUSTERS[bits]
    return geometry if is_right and geometry.reserved_sectors <= _MOST_RESERVED else None


def _aligned(geometry: Geometry, alignment_bytes: int) -> Geometry:
    """Return the geometry with more reserved sectors, so that the clusters are aligned."""
    missing = -geometry.data_offset % alignment_bytes // SECTOR_BYTES
    return evolve(geometry, reserved_sectors=geometry.reserved_sectors + missing)


def choose_geometry(needs: Needs, *, size_bytes: int | None, options: FatOptions) -> Geometry:
    """Return the geometry of a volume that holds ``needs``.

    Args:
        needs: what it holds.
        size_bytes: the size of the volume; ``None`` for the smallest.
        options: type, clusters and alignment, if they are given.

    Raises:
        UsageError: there is no such volume.
        UnrepresentableError: the volume is too small.
    """
    least = _FLOPPY_ROOT_ENTRIES if options.media != HARD_DISK else _ROOT_ENTRIES
    root_entries = max(least, needs.root_entries)
    types = [12, 16, 32] if options.bits is None else [options.bits]
    if root_entries > MOST_ROOT_ENTRIES:
        types = [bits for bits in types if bits == 32]
    if size_bytes is None:
        return _smallest(needs, types, root_entries, options)
    return _of_size(needs, size_bytes, types, root_entries, options)


def _smallest(needs: Needs, types: list[int], root_entries: int, options: FatOptions) -> Geometry:
    for most_bytes, bits, cluster_bytes in _by_size(types, options):
        least = LEAST_CLUSTERS[bits] + (MARGIN if bits != 12 else 0)
        clusters = max(least, needs.clusters(cluster_bytes, bits))
        if clusters > MOST_CLUSTERS[bits] - MARGIN:
            continue
        geometry = geometry_for_clusters(
            clusters,
            bits,
            cluster_bytes,
            root_entries=root_entries,
            alignment_bytes=options.alignment_bytes or 0,
        )
        if geometry.size_bytes <= most_bytes:
            return geometry
    total = sum(needs.file_sizes) + needs.free_bytes
    raise UnrepresentableError(
        f"{total} bytes of files and free space exceed a FAT{_type(options)} file system"
        + _of_clusters(options),
        hint="leave files out, or allow larger clusters or another type",
    )


def _by_size(types: list[int], options: FatOptions) -> Iterator[tuple[int, int, int]]:
    """Yield sizes, types and sizes of clusters to try, in this order."""
    most_bytes = _MOST_SECTORS * SECTOR_BYTES
    if options.cluster_bytes is not None:
        yield from ((most_bytes, bits, options.cluster_bytes) for bits in types)
    elif options.bits is None:
        yield from (usual for usual in _USUAL if usual[1] in types)
    else:
        yield from sorted(usual for usual in (*_USUAL, *_USUAL_OF_TYPE) if usual[1] in types)
        yield from ((most_bytes, bits, _MOST_CLUSTER_BYTES) for bits in types)


def _of_size(
    needs: Needs, size_bytes: int, types: list[int], root_entries: int, options: FatOptions
) -> Geometry:
    sectors, excess = divmod(size_bytes, SECTOR_BYTES)
    if excess or not 0 < sectors <= _MOST_SECTORS:
        raise UsageError(
            f"the size of a FAT file system must be a multiple of 512 bytes and less than 2 TiB, "
            f"got {size_bytes}",
            hint="give another size",
        )
    alignment_bytes = options.alignment_bytes or 0
    pairs = list(_by_distance(size_bytes, types, options))
    best: tuple[int, int] | None = None
    # Counts near a limit, and volumes with unused sectors, are for sizes that allow no other.
    for margin, fills in ((MARGIN, True), (0, True), (MARGIN, False)):
        for bits, cluster_bytes in pairs:
            geometry = geometry_for_size(
                sectors,
                bits,
                cluster_bytes,
                root_entries=root_entries,
                alignment_bytes=alignment_bytes,
                most_clusters=None if fills else MOST_CLUSTERS[bits] - MARGIN,
            )
            if geometry is None or (margin and _is_near_limit(geometry)):
                continue
            needed = needs.clusters(cluster_bytes, bits)
            if needed <= geometry.clusters:
                return geometry
            found = (
                (needed - geometry.clusters) * cluster_bytes,
                geometry.clusters * cluster_bytes,
            )
            best = found if best is None else min(best, found)
    if best is None:
        raise UsageError(
            f"a FAT{_type(options)} file system{_of_clusters(options)} cannot have "
            f"{size_bytes} bytes",
            hint="give another size, or leave out the type and the size of clusters",
        )
    raise UnrepresentableError(
        f"a FAT file system of {size_bytes} bytes has room for {best[1]} bytes of files, and needs "
        f"{best[0]} more",
        hint="give a larger size, or leave files out",
    )


def _by_distance(
    size_bytes: int, types: list[int], options: FatOptions
) -> Iterator[tuple[int, int]]:
    """Yield types and sizes of clusters for a volume of a size, the usual ones first."""
    usual_bits = next(usual[1] for usual in _USUAL if size_bytes <= usual[0])
    for bits in sorted(types, key=lambda bits: (abs(bits - usual_bits), bits)):
        of_type = sorted(usual for usual in (*_USUAL, *_USUAL_OF_TYPE) if usual[1] == bits)
        fitting = [usual[2] for usual in of_type if size_bytes <= usual[0]]
        usual_bytes = fitting[0] if fitting else _MOST_CLUSTER_BYTES
        sizes: Iterable[int] = (
            (size for size in _CLUSTER_SIZES if size <= _MOST_CLUSTER_BYTES)
            if options.cluster_bytes is None
            else (options.cluster_bytes,)
        )
        # Smaller clusters hold more files, so they come before larger ones.
        for size in sorted(
            sizes, key=lambda size: (abs(size.bit_length() - usual_bytes.bit_length()), size)
        ):
            yield bits, size


def _is_near_limit(geometry: Geometry) -> bool:
    """Return whether a driver that is off by a few takes the volume for one of another type."""
    clusters, bits = geometry.clusters, geometry.bits
    is_few = bits != 12 and clusters < LEAST_CLUSTERS[bits] + MARGIN
    return is_few or (bits != 32 and clusters > MOST_CLUSTERS[bits] - MARGIN)


def _type(options: FatOptions) -> str:
    return "" if options.bits is None else str(options.bits)


def _of_clusters(options: FatOptions) -> str:
    size = options.cluster_bytes
    return "" if size is None else f" with clusters of {size} bytes"
