"""Write a tree as a FAT volume.

The same tree gives the same bytes: files lie one after the other in the order of their paths, and
the serial number of the volume is a digest of what it holds.

Source: Microsoft's "FAT: General Overview of On-Disk Format", 1.03.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from attrs import field

from purekernel.errors import (
    PurekernelError,
    UsageError,
    raise_all,
)
from purekernel.formats.fat.folders import PlannedFolder, plan_folders
from purekernel.formats.fat.layout import (
    BACKUP_SECTOR,
    ENTRY_BYTES,
    FIRST_CLUSTER,
    INFORMATION_SECTOR,
    LABEL_BYTES,
    NO_LABEL,
    NOT_BOOTABLE,
    UNKNOWN,
    BootSector,
    Extent,
    Geometry,
    build_boot_sector,
    build_information,
    new_table,
)
from purekernel.formats.fat.names import (
    build_long_entries,
    is_short,
)
from purekernel.formats.fat.sizing import FatOptions, Needs, choose_geometry
from purekernel.formats.fat.volume import ARCHIVE, FOLDER, LABEL, READ_ONLY
from purekernel.formats.sparse import SparseImage
from purekernel.input import Buffer, Report, ignore_note
from purekernel.records import frozen
from purekernel.tree import (
    ROOT,
    Directory,
    File,
    LazyContent,
    Metadata,
    Tree,
    display,
    loaded,
    with_example,
)
from purekernel.tree.path import parent

_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
DOT, DOT_DOT = b".".ljust(LABEL_BYTES), b"..".ljust(LABEL_BYTES)

_FIRST_TIME = int(datetime(1980, 1, 1, tzinfo=UTC).timestamp())
_LAST_TIME = int(datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC).timestamp())

# What FAT says of every file, whether it is read-only or not.
_PLAIN_MODES = (0o644, 0o755, 0o444, 0o555)

# Of a label, Windows allows what a short name may have, and blanks.
_LABEL_FORBIDDEN = frozenset(b'"*+,./:;<=>?[\\]|')

DEFAULT_OPTIONS = FatOptions()


@frozen
class FatImage(SparseImage):
    """A FAT volume.

    Attributes:
        geometry: how it is divided.
        extents: where the content of each file lies. An empty file has none; another has one, if
            the volume was written by :func:`build_fat`.
    """

    geometry: Geometry = field(kw_only=True)
    extents: Mapping[bytes, tuple[Extent, ...]] = field(kw_only=True, repr=False)


def build_fat(
    tree: Tree,
    *,
    timestamp: int,
    size_bytes: int | None = None,
    free_bytes: int = 0,
    label: bytes = b"",
    hidden_sectors: int = 0,
    options: FatOptions = DEFAULT_OPTIONS,
    report: Report = ignore_note,
) -> FatImage:
    """Return ``tree`` as a FAT volume: FAT12, FAT16 or FAT32 by its size.

    A file without write permission gets the attribute "read-only", as Linux does it. Times are in
    UTC and steps of two seconds; those before 1980 or after 2107 become the first or the last
    that FAT has. Hard links become copies; owners, other modes and extended attributes are left
    out. Both are reported.

    Args:
        tree: the tree to write.
        timestamp: the time of the label, in seconds since 1970, UTC.
        size_bytes: the size of the volume; ``None`` for the smallest.
        free_bytes: the space that must be left for other files.
        label: the label, in ASCII without lower case; empty for none.
        hidden_sectors: the number of sectors of the disk before the volume.
        options: type, clusters and other fields.
        report: called with each note.

    Raises:
        UnrepresentableError: FAT cannot hold something in the tree, or the size is too small.
            A :class:`~purekernel.errors.CombinedError` has all that is wrong.
        UsageError: the label or an option is invalid, or no volume has that size.
    """
    errors = [*options.check(), *_check_label(label)]
    if not 0 <= hidden_sectors <= 0xFFFFFFFF:
        errors.append(
            UsageError(
                f"a FAT file system must begin in the first 2 TiB, got sector {hidden_sectors}",
                hint="put its partition nearer to the start",
            )
        )
    folders, found = plan_folders(tree)
    errors += found
    needs = Needs(
        file_sizes=tuple(
            node.size_bytes for folder in folders.values() for _name, node in folder.files()
        ),
        folder_sizes=tuple(
            folder.entries * ENTRY_BYTES for path, folder in folders.items() if path != ROOT
        ),
        root_entries=folders[ROOT].entries - 2 + bool(label),
        free_bytes=free_bytes,
    )
    geometry = None
    try:
        if not options.check():
            geometry = choose_geometry(needs, size_bytes=size_bytes, options=options)
    except PurekernelError as error:
        errors.append(error)
    raise_all(errors)
    if geometry is None:  # an error was raised
        raise AssertionError
    _report_losses(tree, report)
    volume_id = options.volume_id
    if volume_id is None:
        volume_id = _digest(tree, label, geometry)
    boot = BootSector(
        geometry=geometry,
        label=label.ljust(LABEL_BYTES) if label else NO_LABEL,
        volume_id=volume_id,
        hidden_sectors=hidden_sectors,
        media=options.media,
        heads=options.heads,
        track_sectors=options.track_sectors,
        root_cluster=FIRST_CLUSTER if geometry.bits == 32 else 0,
        information_sector=INFORMATION_SECTOR if geometry.bits == 32 else 0,
        backup_sector=BACKUP_SECTOR if geometry.bits == 32 else 0,
    )
    return _Writer(folders, boot, timestamp, label, options.code or NOT_BOOTABLE).write()


class _Writer:
    """Write planned folders as a volume."""

    def __init__(
        self,
        folders: Mapping[bytes, PlannedFolder],
        boot: BootSector,
        timestamp: int,
        label: bytes,
        code: bytes,
    ) -> None:
        self._folders = folders
        self._boot = boot
        self._geometry = boot.geometry
        self._label = label
        self._timestamp = timestamp
        self._code = code
        self._first: dict[bytes, int] = {}
        self._chains: list[tuple[int, int]] = []
        self._next = FIRST_CLUSTER

    def write(self) -> FatImage:
        geometry = self._geometry
        extents = self._allocate()
        parts: list[tuple[int, Buffer | LazyContent]] = list(self._reserved())
        table = new_table(geometry, self._next - FIRST_CLUSTER, self._boot.media)
        for first, count in self._chains:
            table.set_chain(first, count)
        parts += (
            (geometry.tables_offset + number * geometry.table_bytes, table.data)
            for number in range(geometry.tables)
        )
        for path, folder in self._folders.items():
            offset = (
                geometry.cluster_offset(self._first[path])
                if path in self._first
                else geometry.root_offset
            )
            parts.append((offset, self._records(path, folder)))
            for entry, node in folder.files():
                parts += ((extent.offset, node.source) for extent in extents[entry.path])
        image = SparseImage.of(geometry.size_bytes, parts)
        return FatImage(image.size_bytes, image.parts, geometry=geometry, extents=extents)

    def _allocate(self) -> dict[bytes, tuple[Extent, ...]]:
        """Give each file and folder its clusters, in the order of their paths."""
        extents: dict[bytes, tuple[Extent, ...]] = {}
        if self._geometry.bits == 32:
            entries = self._folders[ROOT].entries - 2 + bool(self._label)
            self._first[ROOT] = self._take(entries * ENTRY_BYTES or 1)
        pending = [iter(self._folders[ROOT].names)]
        while pending:
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
            elif isinstance(entry.node, Directory):
                folder = self._folders[entry.path]
                self._first[entry.path] = self._take(folder.entries * ENTRY_BYTES)
                pending.append(iter(folder.names))
            else:
                extents[entry.path] = ()
                if size_bytes := entry.node.size_bytes:
                    first = self._first[entry.path] = self._take(size_bytes)
                    extent = Extent(self._geometry.cluster_offset(first), size_bytes)
                    extents[entry.path] = (extent,)
        return extents

    def _take(self, size_bytes: int) -> int:
        first = self._next
        count = -(-size_bytes // self._geometry.cluster_bytes)
        self._chains.append((first, count))
        self._next += count
        return first

    def _reserved(self) -> Iterator[tuple[int, bytes]]:
        geometry = self._geometry
        sector = build_boot_sector(self._boot, self._code)
        yield 0, sector
        if geometry.bits == 32:
            free = geometry.clusters - (self._next - FIRST_CLUSTER)
            information = build_information(free, self._next if free else UNKNOWN)
            for start in (0, BACKUP_SECTOR):
                if start:
                    yield start * geometry.sector_bytes, sector
                yield (start + INFORMATION_SECTOR) * geometry.sector_bytes, information

    def _records(self, path: bytes, folder: PlannedFolder) -> bytes:
        """Return the entries of a folder."""
        records: list[bytes] = []
        if path == ROOT:
            if self._label:
                label = self._label.ljust(LABEL_BYTES)
                records.append(build_record(label, LABEL, 0, 0, self._timestamp))
        else:
            above = parent(path)
            # The root folder is 0 here, also on FAT32.
            up = self._first.get(above, 0) if above != ROOT else 0
            records.append(build_record(DOT, FOLDER, self._first[path], 0, folder.mtime))
            records.append(build_record(DOT_DOT, FOLDER, up, 0, folder.mtime))
        for entry in folder.names:
            if not is_short(entry.text, entry.short):
                records.append(build_long_entries(entry.text, entry.short))
            cluster = self._first.get(entry.path, 0)
            if isinstance(entry.node, File):
                mode = entry.node.metadata.mode
                attributes = ARCHIVE if mode & 0o222 else ARCHIVE | READ_ONLY
                size_bytes = entry.node.size_bytes
            else:
                attributes, size_bytes = FOLDER, 0
            mtime = entry.node.metadata.mtime
            records.append(build_record(entry.short, attributes, cluster, size_bytes, mtime))
        return b"".join(records)


def build_record(short: bytes, attributes: int, cluster: int, size_bytes: int, mtime: int) -> bytes:
    """Return an entry. All its times are ``mtime``; FAT has no others to copy from the tree."""
    date, time = fat_time(mtime)
    return _ENTRY.pack(
        short, attributes, 0, 0, time, date, date, cluster >> 16, time, date, cluster & 0xFFFF,
        size_bytes,
    )  # fmt: skip


def fat_time(mtime: int) -> tuple[int, int]:
    """Return a date and a time of FAT for a time in seconds since 1970, UTC.

    Odd seconds become the even ones before. Times outside of 1980 to 2107 become the first or the
    last of FAT.
    """
    moment = datetime.fromtimestamp(min(max(mtime, _FIRST_TIME), _LAST_TIME), tz=UTC)
    date = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    return date, moment.hour << 11 | moment.minute << 5 | moment.second // 2


def _check_label(label: bytes) -> list[PurekernelError]:
    """Return the errors of a label."""
    if not label:
        return []
    if len(label) > LABEL_BYTES:
        fault = f"must have at most {LABEL_BYTES} characters"
    elif any(byte < 0x20 or byte > 0x7E or byte in _LABEL_FORBIDDEN for byte in label):
        fault = 'must be ASCII without any of " * + , . / : ; < = > ? [ \\ ] |'
    elif label != label.upper():
        fault = "must be in upper case"
    elif label != label.strip(b" "):
        fault = "must not begin or end with a blank"
    else:
        return []
    return [UsageError(f"the FAT label {display(label)} {fault}", hint="choose another label")]


def _digest(tree: Tree, label: bytes, geometry: Geometry) -> int:
    """Return a serial number for a volume with this content; never 0, which some take for none."""
    digest = hashlib.sha256(repr((label, geometry)).encode())
    for path, node in tree.walk():
        size_bytes = node.size_bytes if isinstance(node, File) else -1
        digest.update(repr((path, node.metadata.mode, node.metadata.mtime, size_bytes)).encode())
        if isinstance(node, File):
            digest.update(loaded(node.source))
    return int.from_bytes(digest.digest()[:4], "little") or 1


def _report_losses(tree: Tree, report: Report) -> None:
    """Report what FAT cannot hold and what is not worth an error."""
    copies = [path for paths in tree.hard_links().values() for path in paths[1:]]
    if copies:
        note = with_example(len(copies), "hard link", display(copies[0]))
        report(f"FAT has no hard links; each became a copy: {note}")
    losers = [path for path, node in tree.walk() if path and _loses(node.metadata)]
    if losers:
        note = with_example(len(losers), "file", display(losers[0]))
        report(f"FAT has no owners, modes and extended attributes; some are left out: {note}")


def _loses(metadata: Metadata) -> bool:
    is_plain = metadata.mode in _PLAIN_MODES and not (metadata.uid or metadata.gid)
    return not is_plain or bool(metadata.xattrs)
