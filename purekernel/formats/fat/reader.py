"""Read a FAT file system, from which UEFI firmware boots.

Supports FAT12, FAT16 and FAT32 with long names. Attributes and volume labels are ignored.

Source: Microsoft's "FAT: General Overview of On-Disk Format", 1.03; ECMA-107.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime

from attrs import field

from purekernel.input import Input
from purekernel.records import frozen
from purekernel.tree import ROOT, Directory, File, Metadata, Tree, display
from purekernel.tree.path import join

_ENTRY_BYTES = 32
_MAX_FOLDER_ENTRIES = 65536

# From these numbers of clusters, entries of the table have 16 and 32 bits.
_FAT16_CLUSTERS = 4085
_FAT32_CLUSTERS = 65525

_BAD_CLUSTER = {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}

_VOLUME_LABEL = 0x08
_FOLDER = 0x10
_LONG_NAME = 0x0F
_DELETED = 0xE5
_ESCAPED_E5 = 0x05

# Flags of Windows NT in byte 12: the base name, or the extension, is in lower case.
_LOWER_BASE = 0x08
_LOWER_EXTENSION = 0x10


def parse_fat(file: Input) -> Tree:
    """Return the files of the FAT file system in ``file``.

    Names are UTF-8. All files get mode 0644, all folders 0755, and owner 0:0. Times have no zone
    on FAT, and are taken as UTC; the root folder has none, and gets 0.

    Raises:
        FormatError: ``file`` is not a FAT file system, or is damaged.
        LimitError: it exceeds the limits.
        TreeError: a name is invalid or occurs twice.
    """
    return _FatReader(file).read()


@frozen(kw_only=True)
class _Volume:
    """The layout of a volume; offsets are in bytes.

    Attributes:
        view: the whole volume.
        table: the start of the first file allocation table.
        bits: the size of an entry in the table: 12, 16 or 32 bits.
        root: the start and end of the root folder of FAT12 and FAT16.
        root_cluster: the first cluster of FAT32's root folder; 0 otherwise.
        data: the start of cluster 2.
        cluster_bytes: the size of a cluster.
        clusters: the number of clusters.
    """

    view: memoryview = field(repr=False)
    table: int
    bits: int
    root: tuple[int, int]
    root_cluster: int
    data: int
    cluster_bytes: int
    clusters: int


def _parse_boot_sector(file: Input) -> _Volume:
    view = file.view
    if len(view) < 512:
        raise file.fail(None, "a FAT boot sector of 512 bytes", f"{len(view)} bytes")
    sector_bytes, cluster_sectors, reserved, tables, root_entries, total16 = struct.unpack_from(
        "<HBHBHH", view, 11
    )
    table_sectors, total32 = struct.unpack_from("<H8xI", view, 22)
    root_cluster = 0
    if not table_sectors:
        table_sectors, root_cluster = struct.unpack_from("<I4xI", view, 36)
    sectors = total16 or total32
    if (
        sector_bytes not in (512, 1024, 2048, 4096)
        or cluster_sectors not in (1, 2, 4, 8, 16, 32, 64, 128)
        or not (reserved and tables and table_sectors and sectors)
    ):
        raise file.fail(11, "a FAT boot sector", "invalid fields")
    root_sectors = -(-root_entries * _ENTRY_BYTES // sector_bytes)
    root_sector = reserved + tables * table_sectors
    data_sector = root_sector + root_sectors
    clusters = max(0, sectors - data_sector) // cluster_sectors
    bits = 12 if clusters < _FAT16_CLUSTERS else 16 if clusters < _FAT32_CLUSTERS else 32
    if root_cluster:
        bits = 32  # FAT32 has no 16-bit table size, even with fewer clusters than specified
    if (clusters + 2) * bits > 8 * table_sectors * sector_bytes or root_sector * sector_bytes > len(
        view
    ):
        raise file.fail(
            11,
            f"a table for {clusters} clusters",
            f"a table of {table_sectors} sectors in an image of {len(view)} bytes",
        )
    return _Volume(
        view=view,
        table=reserved * sector_bytes,
        bits=bits,
        root=(root_sector * sector_bytes, data_sector * sector_bytes),
        root_cluster=root_cluster,
        data=data_sector * sector_bytes,
        cluster_bytes=cluster_sectors * sector_bytes,
        clusters=clusters,
    )


@frozen(kw_only=True)
class _FatEntry:
    """An entry of a folder: a file or a subfolder."""

    name: bytes
    is_folder: bool
    cluster: int
    size_bytes: int
    mtime: int


class _FatReader:
    def __init__(self, file: Input) -> None:
        self._file = file
        self._volume = _parse_boot_sector(file)

    def read(self) -> Tree:
        volume = self._volume
        tree = Tree(Directory(metadata=Metadata(mode=0o755)))
        start, end = volume.root
        records = (
            self._chain(volume.root_cluster, ROOT)
            if volume.root_cluster
            else bytes(volume.view[start:end])
        )
        pending = [(ROOT, records)]
        seen: set[int] = {volume.root_cluster}
        unpacked_bytes = members = 0
        while pending:
            folder, records = pending.pop()
            for entry in self._entries(records, folder):
                path = join(folder, entry.name)
                members += 1
                self._file.check_members(members)
                self._file.check_depth(path)
                if entry.is_folder:
                    if entry.cluster in seen:
                        raise self._file.fail(
                            None,
                            "each folder at one path",
                            f"{display(path)}, which is at another too",
                        )
                    seen.add(entry.cluster)
                    tree.add(path, Directory(metadata=Metadata(mode=0o755, mtime=entry.mtime)))
                    pending.append((path, self._chain(entry.cluster, path)))
                    continue
                unpacked_bytes = self._file.count_unpacked(
                    entry.size_bytes, already_bytes=unpacked_bytes
                )
                content = self._chain(entry.cluster, path, entry.size_bytes)
                metadata = Metadata(mode=0o644, mtime=entry.mtime)
                tree.add(path, File(metadata=metadata, content=content))
        return tree

    def _entries(self, records: bytes, folder: bytes) -> Iterator[_FatEntry]:
        """Yield the entries of a folder, except "." and "..", with long names if present."""
        long_name: dict[int, bytes] = {}
        for start in range(0, len(records) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
            record = records[start : start + _ENTRY_BYTES]
            if not record[0]:
                return
            attributes = record[11]
            if record[0] == _DELETED:
                long_name.clear()
            elif attributes & 0x3F == _LONG_NAME:
                if record[0] & 0x40:
                    long_name.clear()
                long_name[record[0] & 0x3F] = record[1:11] + record[14:26] + record[28:32]
            elif attributes & _VOLUME_LABEL:
                long_name.clear()
            else:
                short = record[:11]
                name = self._long_name(long_name, folder) or _short_name(record)
                long_name.clear()
                if short.rstrip(b" ") in (b".", b".."):
                    continue
                high, time, date, low, size_bytes = struct.unpack_from("<HHHHI", record, 20)
                cluster = low | (high << 16 if self._volume.bits == 32 else 0)
                yield _FatEntry(
                    name=name,
                    is_folder=bool(attributes & _FOLDER),
                    cluster=cluster,
                    size_bytes=size_bytes,
                    mtime=_parse_time(date, time),
                )

    def _long_name(self, pieces: dict[int, bytes], folder: bytes) -> bytes:
        joined = b"".join(piece for _number, piece in sorted(pieces.items()))
        try:
            return joined.decode("utf-16-le").partition("\0")[0].encode()
        except UnicodeError:
            raise self._file.fail(
                None, "long names in UTF-16", f"an invalid name in /{display(folder)}"
            ) from None

    def _chain(self, cluster: int, path: bytes, size_bytes: int | None = None) -> bytes:
        """Return the content of a chain of clusters, or its first ``size_bytes``."""
        volume = self._volume
        count = -(-size_bytes // volume.cluster_bytes) if size_bytes is not None else None
        most = _MAX_FOLDER_ENTRIES * _ENTRY_BYTES // volume.cluster_bytes + 1
        pieces: list[memoryview] = []
        seen: set[int] = set()
        while count is None or len(pieces) < count:
            if not 2 <= cluster < volume.clusters + 2 or cluster in seen:
                raise self._file.fail(
                    None, f"a valid chain of clusters for /{display(path)}", f"cluster {cluster}"
                )
            seen.add(cluster)
            start = volume.data + (cluster - 2) * volume.cluster_bytes
            piece = volume.view[start : start + volume.cluster_bytes]
            if not piece:
                raise self._file.fail(None, f"cluster {cluster}", "the end of the image")
            pieces.append(piece)
            cluster = self._next(cluster)
            if count is None and (cluster > _BAD_CLUSTER[volume.bits] or len(pieces) >= most):
                break
        content = b"".join(pieces)
        if size_bytes is None:
            return content
        if len(content) < size_bytes:
            raise self._file.fail(
                None, f"{size_bytes} bytes of /{display(path)}", "the end of the image"
            )
        return content[:size_bytes]

    def _next(self, cluster: int) -> int:
        volume = self._volume
        if volume.bits == 12:
            (pair,) = struct.unpack_from("<H", volume.view, volume.table + cluster * 3 // 2)
            return int(pair >> 4 if cluster & 1 else pair & 0xFFF)
        if volume.bits == 16:
            return int(struct.unpack_from("<H", volume.view, volume.table + 2 * cluster)[0])
        (entry,) = struct.unpack_from("<I", volume.view, volume.table + 4 * cluster)
        return int(entry & 0x0FFFFFFF)


def _parse_time(date: int, time: int) -> int:
    """Return a date and a time of FAT in seconds since 1970; 0 for invalid ones, such as none."""
    try:
        parsed = datetime(
            1980 + (date >> 9), date >> 5 & 15, date & 31,
            time >> 11, time >> 5 & 63, 2 * (time & 31),
            tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return 0
    return int(parsed.timestamp())


def _short_name(record: bytes) -> bytes:
    raw = record[:11]
    if raw[0] == _ESCAPED_E5:
        raw = bytes([_DELETED]) + raw[1:]
    base = raw[:8].decode("cp437").rstrip(" ")
    extension = raw[8:].decode("cp437").rstrip(" ")
    base = base.lower() if record[12] & _LOWER_BASE else base
    extension = extension.lower() if record[12] & _LOWER_EXTENSION else extension
    return (f"{base}.{extension}" if extension else base).encode()
