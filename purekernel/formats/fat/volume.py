"""Read a FAT volume: its tables, chains of clusters, and the entries of its folders."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from purekernel.errors import FormatError
from purekernel.formats.fat.layout import (
    BAD_CLUSTER,
    ENTRY_BYTES,
    FIRST_CLUSTER,
    MOST_FOLDER_ENTRIES,
    NO_LABEL,
    BootSector,
    Extent,
    Table,
    cluster_extents,
    parse_boot_sector,
)
from purekernel.formats.fat.names import LONG_NAME, LongName, fold
from purekernel.input import Buffer, Input
from purekernel.records import frozen
from purekernel.tree import ROOT, display, with_example
from purekernel.tree.path import join

READ_ONLY = 0x01
LABEL = 0x08
FOLDER = 0x10
ARCHIVE = 0x20
_ATTRIBUTES = 0x3F

END = 0x00
DELETED = 0xE5
_ESCAPED_E5 = 0x05
_DOTS = (b".          ", b"..         ")

# Flags of Windows NT in byte 12: the base name, or the extension, is in lower case.
_LOWER_BASE = 0x08
_LOWER_EXTENSION = 0x10


@frozen(kw_only=True)
class FatEntry:
    """An entry of a folder: a file, a subfolder or the label of the volume.

    Attributes:
        name: UTF-8; of a label, its 11 bytes.
        short: the short name, 11 bytes.
        attributes: the bits of the attribute byte.
        cluster: the first cluster; 0 for none.
        size_bytes: the size of a file; 0 for others.
        mtime: the time of the last change, in seconds since 1970; 0 for none.
        offset: where the entry lies in the image, in bytes: the one with the short name.
    """

    name: bytes
    short: bytes
    attributes: int
    cluster: int
    size_bytes: int
    mtime: int
    offset: int

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder."""
        return bool(self.attributes & FOLDER)


class Volume:
    """The FAT volume in ``file``.

    Raises:
        FormatError: it is not one.
    """

    def __init__(self, file: Input) -> None:
        self.file = file
        self.boot: BootSector = parse_boot_sector(file)
        self.geometry = self.boot.geometry
        geometry = self.geometry
        start = geometry.tables_offset + self.boot.active_table * geometry.table_bytes
        self.table = Table(file.view[start : start + geometry.table_bytes], geometry.bits)
        self._orphans: list[bytes] = []
        self._repeated: list[bytes] = []

    @property
    def label(self) -> bytes:
        """The label: of the root folder, else of the boot sector; empty for none."""
        for entry in self.root_entries():
            if entry.attributes & LABEL:
                return entry.name.rstrip(b" ")
        label = self.boot.label
        return b"" if label == NO_LABEL else label.rstrip(b" ")

    def walk(self) -> Iterator[tuple[bytes, FatEntry]]:
        """Yield each file and folder with its path, a folder before what it contains.

        At the end, entries that are ignored are reported.

        Raises:
            FormatError: the volume is damaged.
            LimitError: it exceeds the limits.
        """
        file = self.file
        pending = [(ROOT, self.boot.root_cluster)]
        seen = {self.boot.root_cluster}
        members = 0
        while pending:
            folder, cluster = pending.pop()
            for entry in self._unique(self._readable(folder, cluster), folder):
                path = join(folder, entry.name)
                members += 1
                file.check_members(members)
                file.check_depth(path)
                if entry.is_folder:
                    if entry.cluster in seen:
                        raise file.fail(
                            entry.offset,
                            "each folder at one path",
                            f"{display(path)}, which is at another too",
                        )
                    seen.add(entry.cluster)
                    pending.append((path, entry.cluster))
                yield path, entry
        self._report()

    def _readable(self, folder: bytes, cluster: int) -> Iterator[FatEntry]:
        """Yield the entries of a folder, up to a fault if those are wanted."""
        try:
            yield from self.entries(folder, cluster)
        except FormatError as error:
            self.file.stop_at(error)

    def root_entries(self) -> Iterator[FatEntry]:
        """Yield the entries of the root folder, with the label."""
        return self.entries(ROOT, self.boot.root_cluster)

    def entries(self, folder: bytes, cluster: int) -> Iterator[FatEntry]:
        """Yield the entries of the folder at ``cluster``, except ``.`` and ``..``."""
        long_name = LongName()
        for offset, record in self._records(folder, cluster):
            if record[0] == END:
                break
            if record[0] == DELETED:
                self._drop(long_name, folder)
                continue
            if record[11] & _ATTRIBUTES == LONG_NAME:
                if not long_name.add(record):
                    self._orphans.append(folder)
                continue
            short = record[:11]
            if short in _DOTS:
                long_name.clear()
                continue
            if record[11] & LABEL:
                self._drop(long_name, folder)
                yield self._entry(record, short, offset)
                continue
            was_long = bool(long_name)
            name = long_name.take(short)
            if was_long and not name:
                self._orphans.append(folder)
            raw = name.encode("utf-8", "surrogatepass") if name else _short_name(record)
            if b"/" in raw or b"\0" in raw or raw in (b"", b".", b".."):
                raise self.file.fail(offset, "the name of a file", display(raw))
            yield self._entry(record, raw, offset)
        self._drop(long_name, folder)

    def chain(self, cluster: int, path: bytes, count: int | None = None) -> list[int]:
        """Return the clusters of a chain, or its first ``count``.

        Args:
            cluster: the first.
            path: whose they are, for messages.
            count: how many are needed; ``None`` for all of a folder.

        Raises:
            FormatError: the chain is shorter, or invalid.
        """
        geometry, table = self.geometry, self.table
        bad = BAD_CLUSTER[geometry.bits]
        last = geometry.clusters + FIRST_CLUSTER
        size_bytes = len(self.file)
        most = MOST_FOLDER_ENTRIES * ENTRY_BYTES // geometry.cluster_bytes + 1
        clusters: list[int] = []
        seen: set[int] = set()
        while count is None or len(clusters) < count:
            if not FIRST_CLUSTER <= cluster < last or cluster in seen:
                raise self.file.fail(
                    None, f"a valid chain of clusters for {display(path)}", f"cluster {cluster}"
                )
            if geometry.cluster_offset(cluster) >= size_bytes:
                raise self.file.fail(
                    None, f"cluster {cluster} of {display(path)}", "the end of the image"
                )
            seen.add(cluster)
            clusters.append(cluster)
            cluster = table[cluster]
            if count is None and (cluster > bad or len(clusters) >= most):
                break
        return clusters

    def file_extents(self, entry: FatEntry, path: bytes) -> list[Extent]:
        """Return where the content of a file lies.

        Raises:
            FormatError: the chain of its clusters is invalid, or the image ends before.
        """
        cluster_bytes = self.geometry.cluster_bytes
        clusters = self.chain(entry.cluster, path, -(-entry.size_bytes // cluster_bytes))
        extents = cluster_extents(self.geometry, clusters)
        excess = len(clusters) * cluster_bytes - entry.size_bytes
        if excess:
            extents[-1] = Extent(extents[-1].offset, extents[-1].size_bytes - excess)
        if any(sum(extent) > len(self.file) for extent in extents):
            raise self.file.fail(
                None, f"{entry.size_bytes} bytes of {display(path)}", "the end of the image"
            )
        return extents

    def content(self, extents: list[Extent]) -> Buffer:
        """Return the bytes of ``extents``; a view if there is only one."""
        view = self.file.view
        pieces = [view[offset : offset + size_bytes] for offset, size_bytes in extents]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def raw_folder(self, path: bytes, cluster: int) -> bytes:
        """Return all entries of a folder, also the free ones.

        Args:
            path: the folder, for messages.
            cluster: its first cluster; 0 for the root folder.

        Raises:
            FormatError: the chain of its clusters is invalid.
        """
        return b"".join(
            record for _offset, record in self._records(path, cluster or self.boot.root_cluster)
        )

    def _records(self, folder: bytes, cluster: int) -> Iterator[tuple[int, bytes]]:
        """Yield the entries of a folder with their positions in the image."""
        geometry, view = self.geometry, self.file.view
        if cluster or geometry.bits == 32:
            extents = cluster_extents(geometry, self.chain(cluster, folder))
        else:
            extents = [Extent(geometry.root_offset, geometry.root_entries * ENTRY_BYTES)]
        for start, size_bytes in extents:
            for offset in range(start, start + size_bytes, ENTRY_BYTES):
                record = bytes(view[offset : offset + ENTRY_BYTES])
                if len(record) < ENTRY_BYTES:
                    return
                yield offset, record

    def _entry(self, record: bytes, name: bytes, offset: int) -> FatEntry:
        high, time, date, low, size_bytes = struct.unpack_from("<HHHHI", record, 20)
        attributes = record[11] & _ATTRIBUTES
        return FatEntry(
            name=name,
            short=record[:11],
            attributes=attributes,
            cluster=low | (high << 16 if self.geometry.bits == 32 else 0),
            size_bytes=0 if attributes & (FOLDER | LABEL) else size_bytes,
            mtime=_parse_time(date, time),
            offset=offset,
        )

    def _unique(self, entries: Iterable[FatEntry], folder: bytes) -> Iterator[FatEntry]:
        """Yield the files and folders among ``entries``; of those with one name, the first."""
        seen: set[str] = set()
        for entry in entries:
            if entry.attributes & LABEL:
                continue
            key = fold(entry.name.decode("utf-8", "surrogatepass"))
            if key in seen:
                self._repeated.append(join(folder, entry.name))
                continue
            seen.add(key)
            yield entry

    def _drop(self, long_name: LongName, folder: bytes) -> None:
        if long_name:
            self._orphans.append(folder)
            long_name.clear()

    def _report(self) -> None:
        if self._repeated:
            example = display(self._repeated[0])
            self.file.note(
                with_example(
                    len(self._repeated), "file", example, clause=" with the name of an earlier one"
                )
                + "; the earlier one counts"
            )
        if self._orphans:
            example = display(self._orphans[0]) if self._orphans[0] else "the root folder"
            self.file.note(
                with_example(len(self._orphans), "damaged long name", f"in {example}")
                + "; the short name counts"
            )


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
        raw = bytes([DELETED]) + raw[1:]
    base = raw[:8].decode("cp437").rstrip(" ")
    extension = raw[8:].decode("cp437").rstrip(" ")
    base = base.lower() if record[12] & _LOWER_BASE else base
    extension = extension.lower() if record[12] & _LOWER_EXTENSION else extension
    return (f"{base}.{extension}" if extension else base).encode()
