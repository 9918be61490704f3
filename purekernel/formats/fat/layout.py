"""Define the layout of a FAT volume: boot sector, tables, and the information sector of FAT32.

A volume consists of reserved sectors, of which the first is the boot sector, the file allocation
tables, the root folder of FAT12 and FAT16, and the clusters, numbered from 2.

Source: Microsoft's "FAT: General Overview of On-Disk Format", 1.03; ECMA-107.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable
from typing import NamedTuple

from attrs import evolve

from purekernel.input import Buffer, Input
from purekernel.records import frozen

SECTOR_BYTES = 512
ENTRY_BYTES = 32
FIRST_CLUSTER = 2

# The number of clusters alone decides the type. The last of FAT32 is 0x0FFFFFF6.
MOST_CLUSTERS = {12: 4084, 16: 65524, 32: 0x0FFFFFF5}
LEAST_CLUSTERS = {12: 1, 16: 4085, 32: 65525}

# A value above this is the end of a chain; one equal to it marks a bad cluster.
BAD_CLUSTER = {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}
END_OF_CHAIN = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}

# DOS and Windows do not read larger folders.
MOST_FOLDER_ENTRIES = 65536
# The field has 16 bits, and the root folder fills whole sectors.
MOST_ROOT_ENTRIES = 65520

NO_LABEL = b"NO NAME    "
LABEL_BYTES = 11

# Where the parameters end and boot code may begin.
CODE_OFFSET = {12: 62, 16: 62, 32: 90}
_SIGNATURE_OFFSET = 510
_SIGNATURE = b"\x55\xaa"

# Interrupt 18h: the BIOS tries the next device, or says that none can be booted. Then a loop.
NOT_BOOTABLE = b"\xcd\x18\xeb\xfe"

# Positions on FAT32, in sectors, that all systems use.
INFORMATION_SECTOR = 1
BACKUP_SECTOR = 6

INFORMATION = struct.Struct("<I480xIII12xI")
INFORMATION_SIGNATURES = (0x41615252, 0x61417272, 0xAA550000)
UNKNOWN = 0xFFFFFFFF

# From here to the total number of sectors, the boot sector of all types is the same.
_COMMON = struct.Struct("<3s8sHBHBHHBHHHII")
_EXTENDED_16 = struct.Struct("<BBBI11s8s")
_EXTENDED_32 = struct.Struct("<IHHIHH12xBBBI11s8s")

_JUMP = {12: b"\xeb\x3c\x90", 16: b"\xeb\x3c\x90", 32: b"\xeb\x58\x90"}
_OEM_NAME = b"PUREKRNL"
_EXTENDED_SIGNATURE = 0x29
HARD_DISK = 0xF8


class Extent(NamedTuple):
    """Where bytes of a file lie in an image.

    Attributes:
        offset: the first byte.
        size_bytes: their number.
    """

    offset: int
    size_bytes: int


@frozen(kw_only=True)
class Geometry:
    """How a volume is divided. All offsets are in bytes from its start.

    Attributes:
        bits: the size of an entry in the tables: 12, 16 or 32 bits.
        sector_bytes: the size of a sector.
        cluster_sectors: the size of a cluster, in sectors.
        reserved_sectors: the number of sectors before the first table.
        tables: the number of tables, which are copies of each other.
        table_sectors: the size of each.
        root_entries: the number of entries of the root folder; 0 on FAT32.
        sectors: the size of the volume.
    """

    bits: int
    sector_bytes: int = SECTOR_BYTES
    cluster_sectors: int
    reserved_sectors: int
    tables: int = 2
    table_sectors: int
    root_entries: int
    sectors: int

    @property
    def size_bytes(self) -> int:
        """The size of the volume."""
        return self.sectors * self.sector_bytes

    @property
    def cluster_bytes(self) -> int:
        """The size of a cluster."""
        return self.cluster_sectors * self.sector_bytes

    @property
    def table_bytes(self) -> int:
        """The size of one table."""
        return self.table_sectors * self.sector_bytes

    @property
    def tables_offset(self) -> int:
        """Where the first table is."""
        return self.reserved_sectors * self.sector_bytes

    @property
    def root_offset(self) -> int:
        """Where the root folder of FAT12 and FAT16 is."""
        return self.tables_offset + self.tables * self.table_bytes

    @property
    def data_sector(self) -> int:
        """The sector of the first cluster."""
        root_sectors = -(-self.root_entries * ENTRY_BYTES // self.sector_bytes)
        return self.reserved_sectors + self.tables * self.table_sectors + root_sectors

    @property
    def data_offset(self) -> int:
        """Where the first cluster is."""
        return self.data_sector * self.sector_bytes

    @property
    def clusters(self) -> int:
        """The number of clusters."""
        return max(0, self.sectors - self.data_sector) // self.cluster_sectors

    def cluster_offset(self, cluster: int) -> int:
        """Return where a cluster is."""
        return self.data_offset + (cluster - FIRST_CLUSTER) * self.cluster_bytes

    def needed_table_sectors(self, clusters: int) -> int:
        """Return the size of a table for so many clusters."""
        return count_table_sectors(clusters, self.bits, self.sector_bytes)


def cluster_extents(geometry: Geometry, clusters: Iterable[int]) -> list[Extent]:
    """Return where ``clusters`` lie; neighbours are one extent."""
    size_bytes = geometry.cluster_bytes
    extents: list[Extent] = []
    for cluster in clusters:
        offset = geometry.cluster_offset(cluster)
        if extents and sum(extents[-1]) == offset:
            extents[-1] = Extent(extents[-1].offset, extents[-1].size_bytes + size_bytes)
        else:
            extents.append(Extent(offset, size_bytes))
    return extents


def count_table_sectors(clusters: int, bits: int, sector_bytes: int = SECTOR_BYTES) -> int:
    """Return the size of a table for so many clusters, in sectors."""
    return -(-(clusters + FIRST_CLUSTER) * bits // (8 * sector_bytes))


@frozen(kw_only=True)
class BootSector:
    """The fields of a boot sector.

    Attributes:
        geometry: how the volume is divided.
        label: 11 bytes, padded with blanks.
        volume_id: the serial number, 32 bits.
        hidden_sectors: the number of sectors of the disk before the volume.
        media: the kind of medium: 0xF8 for a disk, 0xF0 for a floppy disk.
        heads: of the disk, for BIOS calls that take cylinder, head and sector.
        track_sectors: the number of sectors in a track, for the same.
        root_cluster: the first cluster of FAT32's root folder; 0 on FAT12 and FAT16.
        active_table: the number of the table that counts.
        information_sector: the sector with the number of free clusters; 0 for none.
        backup_sector: the sector with a copy of the boot sector; 0 for none.
    """

    geometry: Geometry
    label: bytes = NO_LABEL
    volume_id: int = 0
    hidden_sectors: int = 0
    media: int = HARD_DISK
    heads: int = 255
    track_sectors: int = 63
    root_cluster: int = 0
    active_table: int = 0
    information_sector: int = 0
    backup_sector: int = 0


def parse_boot_sector(file: Input) -> BootSector:
    """Return the fields of the boot sector at the start of ``file``.

    Raises:
        FormatError: it is not one, or it contradicts itself or the size of ``file``.
    """
    view = file.view
    if len(view) < SECTOR_BYTES:
        raise file.fail(None, "a FAT boot sector of 512 bytes", f"{len(view)} bytes")
    (
        _jump, _oem, sector_bytes, cluster_sectors, reserved, tables, root_entries, sectors,
        media, table_sectors, track_sectors, heads, hidden, sectors_32,
    ) = _COMMON.unpack_from(view)  # fmt: skip
    is_32 = not table_sectors
    root_cluster = active = information = backup = 0
    if is_32:
        (
            table_sectors, flags, _version, root_cluster, information, backup,
            _drive, _reserved, signature, volume_id, label, _name,
        ) = _EXTENDED_32.unpack_from(view, _COMMON.size)  # fmt: skip
        # Bit 7: only the table with the number in bits 0 to 3 is kept up to date.
        active = flags & 15 if flags & 0x80 else 0
    else:
        _drive, _reserved, signature, volume_id, label, _name = _EXTENDED_16.unpack_from(
            view, _COMMON.size
        )
    if signature not in (0x28, _EXTENDED_SIGNATURE):  # 0x28: only the serial number follows
        volume_id = 0
    if signature != _EXTENDED_SIGNATURE:
        label = NO_LABEL
    if (
        sector_bytes not in (512, 1024, 2048, 4096)
        or cluster_sectors not in (1, 2, 4, 8, 16, 32, 64, 128)
        or not (reserved and tables and table_sectors and (sectors or sectors_32))
        or (active >= tables)
    ):
        raise file.fail(11, "a FAT boot sector", "invalid fields")
    geometry = Geometry(
        bits=32 if is_32 else 12,
        sector_bytes=sector_bytes,
        cluster_sectors=cluster_sectors,
        reserved_sectors=reserved,
        tables=tables,
        table_sectors=table_sectors,
        root_entries=root_entries,
        sectors=sectors or sectors_32,
    )
    # FAT32 has no 16-bit table size, even with fewer clusters than specified.
    if not is_32 and geometry.clusters > MOST_CLUSTERS[12]:
        bits = 16 if geometry.clusters <= MOST_CLUSTERS[16] else 32
        geometry = evolve(geometry, bits=bits)
    if geometry.needed_table_sectors(
        geometry.clusters
    ) > table_sectors or geometry.root_offset > len(view):
        raise file.fail(
            11,
            f"a table for {geometry.clusters} clusters",
            f"a table of {table_sectors} sectors in an image of {len(view)} bytes",
        )
    return BootSector(
        geometry=geometry,
        label=label,
        volume_id=volume_id,
        hidden_sectors=hidden,
        media=media,
        heads=heads,
        track_sectors=track_sectors,
        root_cluster=root_cluster,
        active_table=active,
        information_sector=information if information < reserved else 0,
        backup_sector=backup if backup < reserved else 0,
    )


def build_boot_sector(boot: BootSector, code: bytes = NOT_BOOTABLE) -> bytes:
    """Return a boot sector of 512 bytes.

    Args:
        boot: the fields.
        code: what the BIOS runs, from :data:`CODE_OFFSET` on; at most to byte 510.
    """
    geometry = boot.geometry
    bits = geometry.bits
    is_small = geometry.sectors < 1 << 16 and bits != 32
    head = _COMMON.pack(
        _JUMP[bits],
        _OEM_NAME,
        geometry.sector_bytes,
        geometry.cluster_sectors,
        geometry.reserved_sectors,
        geometry.tables,
        geometry.root_entries,
        geometry.sectors if is_small else 0,
        boot.media,
        0 if bits == 32 else geometry.table_sectors,
        boot.track_sectors,
        boot.heads,
        boot.hidden_sectors,
        0 if is_small else geometry.sectors,
    )
    # The number that the BIOS gives the first of its hard disks, and of its floppy disks.
    drive = 0x80 if boot.media == HARD_DISK else 0
    common = (drive, 0, _EXTENDED_SIGNATURE, boot.volume_id, boot.label, b"FAT%-5d" % bits)
    if bits == 32:
        head += _EXTENDED_32.pack(
            geometry.table_sectors, 0, 0, boot.root_cluster,
            boot.information_sector, boot.backup_sector, *common,
        )  # fmt: skip
    else:
        head += _EXTENDED_16.pack(*common)
    return (head + code).ljust(_SIGNATURE_OFFSET, b"\0") + _SIGNATURE


def build_information(free_clusters: int, next_cluster: int) -> bytes:
    """Return the information sector of FAT32.

    Args:
        free_clusters: the number of free clusters.
        next_cluster: where a driver begins to look for a free one.
    """
    first, second, third = INFORMATION_SIGNATURES
    return INFORMATION.pack(first, second, free_clusters, next_cluster, third)


class Table:
    """A file allocation table: for each cluster the next one of its chain.

    Args:
        data: the bytes of the table.
        bits: the size of an entry.
    """

    data: Buffer

    def __init__(self, data: Buffer, bits: int) -> None:
        self.data = data
        self.bits = bits

    def __getitem__(self, cluster: int) -> int:
        """Return the entry of a cluster; of FAT32, the 28 bits that count."""
        if self.bits == 12:
            (pair,) = struct.unpack_from("<H", self.data, cluster * 3 // 2)
            return int(pair >> 4 if cluster & 1 else pair & 0xFFF)
        if self.bits == 16:
            return int(struct.unpack_from("<H", self.data, 2 * cluster)[0])
        return int(struct.unpack_from("<I", self.data, 4 * cluster)[0] & 0x0FFFFFFF)


class WritableTable(Table):
    """A table whose entries can be set."""

    data: bytearray

    def __setitem__(self, cluster: int, value: int) -> None:
        """Set the entry of a cluster; the upper four bits of FAT32 are kept."""
        if self.bits == 12:
            start = cluster * 3 // 2
            (pair,) = struct.unpack_from("<H", self.data, start)
            pair = pair & 0x000F | value << 4 if cluster & 1 else pair & 0xF000 | value
            struct.pack_into("<H", self.data, start, pair)
        elif self.bits == 16:
            struct.pack_into("<H", self.data, 2 * cluster, value)
        else:
            (old,) = struct.unpack_from("<I", self.data, 4 * cluster)
            struct.pack_into("<I", self.data, 4 * cluster, old & 0xF0000000 | value)

    def set_chain(self, first: int, count: int) -> None:
        """Make a chain of ``count`` clusters from ``first`` on."""
        end = END_OF_CHAIN[self.bits]
        if self.bits == 12:
            for cluster in range(first, first + count - 1):
                self[cluster] = cluster + 1
            self[first + count - 1] = end
            return
        entries = array("H" if self.bits == 16 else "I", range(first + 1, first + count))
        entries.append(end)
        if sys.byteorder == "big":
            entries.byteswap()
        start = first * self.bits // 8
        self.data[start : start + count * self.bits // 8] = entries.tobytes()


def new_table(geometry: Geometry, clusters: int, media: int) -> WritableTable:
    """Return a table with entries for the first ``clusters`` clusters, all free.

    The first two entries say which medium it is, and that the volume was unmounted cleanly.
    """
    bits = geometry.bits
    size_bytes = -(-(clusters + FIRST_CLUSTER) * bits // 8)
    # An odd number of entries of FAT12 ends within a byte, and its last is set as two bytes.
    table = WritableTable(bytearray(min(size_bytes + 1, geometry.table_bytes)), bits)
    end = END_OF_CHAIN[bits]
    table[0] = end & ~0xFF | media
    table[1] = end
    return table


# In the boot sector: reserved sectors; entries of the root folder; total and table sectors, in 16
# and in 32 bits.
_RESERVED, _ROOT_ENTRIES = 14, 17
_SECTORS_16, _TABLE_16, _SECTORS_32, _TABLE_32 = 19, 22, 32, 36


def set_sizes(reserved: bytearray, start: int, geometry: Geometry) -> None:
    """Set the size of the volume and of its tables in the boot sector at ``start``."""
    is_small = geometry.sectors < 1 << 16 and geometry.bits != 32
    sectors = geometry.sectors
    struct.pack_into("<H", reserved, start + _RESERVED, geometry.reserved_sectors)
    struct.pack_into("<H", reserved, start + _ROOT_ENTRIES, geometry.root_entries)
    struct.pack_into("<H", reserved, start + _SECTORS_16, sectors if is_small else 0)
    struct.pack_into("<I", reserved, start + _SECTORS_32, 0 if is_small else sectors)
    if geometry.bits == 32:
        struct.pack_into("<I", reserved, start + _TABLE_32, geometry.table_sectors)
    else:
        struct.pack_into("<H", reserved, start + _TABLE_16, geometry.table_sectors)
