"""Replace the content of files in a FAT volume, and leave all else as it is.

Other files keep their clusters, names, times and attributes, and the volume its label, serial
number and boot code. If there is no room, the volume grows: clusters are added at its end, and if
the tables are too small for them, what lies after the tables moves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from itertools import islice, pairwise

from attrs import evolve

from purekernel.errors import (
    ConflictError,
    MissingPathError,
    PurekernelError,
    UnrepresentableError,
    raise_all,
)
from purekernel.formats.fat.folders import MOST_FILE_BYTES
from purekernel.formats.fat.layout import (
    BACKUP_SECTOR,
    BAD_CLUSTER,
    CODE_OFFSET,
    END_OF_CHAIN,
    ENTRY_BYTES,
    FIRST_CLUSTER,
    INFORMATION,
    INFORMATION_SECTOR,
    INFORMATION_SIGNATURES,
    LEAST_CLUSTERS,
    MOST_CLUSTERS,
    NOT_BOOTABLE,
    UNKNOWN,
    BootSector,
    Extent,
    Geometry,
    WritableTable,
    build_boot_sector,
    build_information,
    cluster_extents,
    new_table,
    set_sizes,
)
from purekernel.formats.fat.names import fold
from purekernel.formats.fat.sizing import MARGIN, RESERVED_SECTORS
from purekernel.formats.fat.volume import FatEntry, Volume
from purekernel.formats.fat.writer import FatImage, fat_time
from purekernel.formats.sparse import SparseImage
from purekernel.input import Buffer, Input
from purekernel.tree import ROOT, display

_NEXT_TYPE = {12: 16, 16: 32}

# The boot sector of Syslinux has the numbers of this file's sectors, and the file itself has them.
_FIXED = b"LDLINUX SYS"

_OEM_NAME = slice(3, 11)


def replace_files_in_fat(
    image: Input, files: Mapping[bytes, Buffer], *, timestamp: int | None = None
) -> FatImage:
    """Return ``image`` with other contents of some files.

    Args:
        image: a FAT volume.
        files: the contents by path. Names are compared without case, as FAT does.
        timestamp: the time of the changed files, in seconds since 1970, UTC; ``None`` to keep
            their times.

    Returns:
        The volume, as large as ``image``, or larger if the new contents need it. All other bytes
        of ``image`` are views.

    Raises:
        FormatError: ``image`` is not a FAT file system, or is damaged.
        LimitError: it exceeds the limits.
        MissingPathError: it has no such file. A :class:`~purekernel.errors.CombinedError` has all
            errors about ``files``.
        ConflictError: a path is a folder.
        UnrepresentableError: a content has 4 GiB or more, or what must move cannot be moved.
    """
    return Editor(image, files, timestamp).edit()


class Editor:
    """Gives files of a volume other contents, and the volume room for them."""

    def __init__(self, image: Input, files: Mapping[bytes, Buffer], timestamp: int | None) -> None:
        self._image = image
        self._view = image.view
        self._volume = Volume(image)
        self._timestamp = timestamp
        self._old: Geometry = self._volume.geometry
        self._new: Geometry = self._old
        self._table = WritableTable(bytearray(self._volume.table.data), self._old.bits)
        self._entries = dict(self._volume.walk())
        self._contents = self._find(files)
        # Of what is written anew, by path.
        self._sizes = {path: len(content) for path, content in self._contents.items()}

    def edit(self) -> FatImage:
        """Return the changed volume.

        Raises:
            PurekernelError: as for :func:`replace_files_in_fat`.
        """
        chains = {path: self._old_chain(path) for path in self._sizes}
        used = self._used_by_others()
        seen = set(used)
        for path, chain in chains.items():
            if not seen.isdisjoint(chain):
                raise self._image.fail(
                    None, "each cluster in one file", f"clusters of {display(path)} in another too"
                )
            seen.update(chain)
        cluster_bytes = self._old.cluster_bytes
        needed = {path: -(-size_bytes // cluster_bytes) for path, size_bytes in self._sizes.items()}
        for path, chain in chains.items():
            for cluster in chain[needed[path] :]:
                self._table[cluster] = 0
            del chain[needed[path] :]
        free = [
            cluster
            for cluster in range(FIRST_CLUSTER, self._old.clusters + FIRST_CLUSTER)
            if not self._table[cluster] and cluster not in used
        ]
        missing = sum(needed[path] - len(chain) for path, chain in chains.items()) - len(free)
        root: list[int] = []
        if missing > 0 or self._root_bytes > self._old.root_entries * ENTRY_BYTES:
            self._new = self._grown(max(missing, 0))
            self._check_move()
            self._table = self._moved_table()
            last = self._new.clusters + FIRST_CLUSTER
            free += range(self._old.clusters + FIRST_CLUSTER, last)
            if self._is_root_moved:
                count = self._root_clusters()
                root, free = free[:count], free[count:]
                self._link(root)
        unused = iter(free)
        for path, chain in chains.items():
            chain.extend(islice(unused, needed[path] - len(chain)))
            self._link(chain)
        return self._assemble(chains, root)

    @property
    def _is_root_moved(self) -> bool:
        """Whether the root folder becomes a chain of clusters, as FAT32 has it."""
        return self._new.bits == 32 and self._old.bits != 32

    @property
    def _root_bytes(self) -> int:
        """The size of the root folder where it is no chain of clusters, in bytes."""
        return self._old.root_entries * ENTRY_BYTES

    def _root_folder(self, _chains: Mapping[bytes, list[int]]) -> Buffer:
        """Return the content of the root folder where it is no chain of clusters."""
        start = self._old.root_offset
        return self._view[start : start + self._root_bytes]

    def _content(self, path: bytes, _chains: Mapping[bytes, list[int]]) -> Buffer:
        """Return what is written to the clusters of a path."""
        return self._contents[path]

    def _old_chain(self, path: bytes) -> list[int]:
        return self._whole_chain(self._entries[path])

    def _find(self, files: Mapping[bytes, Buffer]) -> dict[bytes, Buffer]:
        """Return the contents by the paths that the volume has."""
        folded = {fold_path(path): path for path in self._entries}
        found: dict[bytes, Buffer] = {}
        errors: list[PurekernelError] = []
        for wanted, content in sorted(files.items()):
            path = folded.get(fold_path(wanted))
            name = self._image.name
            if path is None:
                errors.append(
                    MissingPathError(
                        f"{name} has no file {display(wanted)}",
                        hint=f"'purekernel ls {name}:' lists its files",
                    )
                )
            elif self._entries[path].is_folder:
                errors.append(
                    ConflictError(
                        f"{display(wanted)} in {name} must be a file, got a folder",
                        hint=f"'purekernel ls {name}:' lists its files",
                    )
                )
            elif len(content) > MOST_FILE_BYTES:
                errors.append(
                    UnrepresentableError(f"FAT cannot hold a file of 4 GiB: {display(wanted)}")
                )
            elif path in found:
                errors.append(ConflictError(f"{display(wanted)} in {name} has two contents"))
            elif self._entries[path].short == _FIXED:
                errors.append(_fixed(path, "be replaced"))
            else:
                found[path] = memoryview(content).cast("B")
        raise_all(errors)
        return found

    def _whole_chain(self, entry: FatEntry) -> list[int]:
        """Return all clusters of a file, also those that its size does not need."""
        clusters: dict[int, None] = {}
        cluster, last = entry.cluster, self._old.clusters + FIRST_CLUSTER
        while FIRST_CLUSTER <= cluster < last and cluster not in clusters:
            clusters[cluster] = None
            cluster = self._table[cluster]
        return list(clusters)

    def _used_by_others(self) -> set[int]:
        used: set[int] = set()
        if self._is_32 and ROOT not in self._sizes:
            used.update(self._volume.chain(self._volume.boot.root_cluster, ROOT))
        for path, entry in self._entries.items():
            if path not in self._sizes:
                used.update(self._whole_chain(entry))
        return used

    @property
    def _is_32(self) -> bool:
        return self._old.bits == 32

    def _link(self, chain: list[int]) -> None:
        for cluster, following in pairwise([*chain, END_OF_CHAIN[self._new.bits]]):
            self._table[cluster] = following

    # Growing

    def _grown(self, missing: int) -> Geometry:
        """Return the geometry with ``missing`` more clusters, and those of the root if it moves."""
        old = self._old
        bits, clusters = old.bits, old.clusters + missing
        while clusters > MOST_CLUSTERS[bits]:
            if bits == 32:
                raise UnrepresentableError(
                    f"{self._image.name} cannot have {clusters} clusters of "
                    f"{old.cluster_bytes} bytes",
                    hint="use smaller files, or an image with larger clusters",
                )
            bits = _NEXT_TYPE[bits]
            clusters += self._root_clusters() if bits == 32 else 0
        if bits != old.bits:
            clusters = max(clusters, LEAST_CLUSTERS[bits] + MARGIN)
        grown = evolve(old, bits=bits, root_entries=self._root_bytes // ENTRY_BYTES)
        if bits == 32 and not self._is_32:
            reserved = max(old.reserved_sectors, RESERVED_SECTORS[32])
            grown = evolve(grown, reserved_sectors=reserved, root_entries=0)
        needed = grown.needed_table_sectors(clusters)
        grown = evolve(grown, table_sectors=max(old.table_sectors, needed))
        # Clusters stay aligned as they are.
        padding = (old.data_sector - grown.data_sector) % old.cluster_sectors
        grown = evolve(grown, reserved_sectors=grown.reserved_sectors + padding)
        return evolve(grown, sectors=grown.data_sector + clusters * old.cluster_sectors)

    def _root_clusters(self) -> int:
        return -(-self._root_bytes // self._old.cluster_bytes)

    def _check_move(self) -> None:
        """Raise an error if something cannot be moved, or would be overwritten."""
        name = self._image.name
        tail = bytes(self._view[self._old.size_bytes :])
        if tail.strip(b"\0"):
            raise UnrepresentableError(
                f"{name} has no room for the new files, and data follow its file system",
                hint="use an image with more free space",
            )
        fixed = [path for path, entry in self._entries.items() if entry.short == _FIXED]
        if fixed and self._new.data_offset != self._old.data_offset:
            raise _fixed(fixed[0], f"be moved, and {name} has no room for the new files")

    def _moved_table(self) -> WritableTable:
        """Return the table for the new number of clusters; the new ones are free."""
        old, new = self._old, self._new
        if new.bits == old.bits:
            table = WritableTable(self._table.data.ljust(new.table_bytes, b"\0"), new.bits)
            for cluster in range(old.clusters + FIRST_CLUSTER, new.clusters + FIRST_CLUSTER):
                table[cluster] = 0
            return table
        table = new_table(new, new.clusters, self._volume.boot.media)
        bad = BAD_CLUSTER[old.bits]
        for cluster in range(FIRST_CLUSTER, old.clusters + FIRST_CLUSTER):
            value = self._table[cluster]
            if value >= bad:
                value = BAD_CLUSTER[new.bits] if value == bad else END_OF_CHAIN[new.bits]
            table[cluster] = value
        return table

    # Putting together

    def _assemble(self, chains: Mapping[bytes, list[int]], root: list[int]) -> FatImage:
        old, new, view = self._old, self._new, self._view
        size_bytes, end = max(len(view), old.size_bytes), len(view)
        if new != old:
            size_bytes, end = new.size_bytes, old.cluster_offset(old.clusters + FIRST_CLUSTER)
        parts: list[tuple[int, Buffer]] = [(0, self._reserved(root))]
        parts += (
            (new.tables_offset + number * new.table_bytes, self._table.data)
            for number in range(new.tables)
        )
        root_folder = self._root_folder(chains)
        if not root:
            parts.append((new.root_offset, root_folder))
        # An image may be shorter than its file system, and longer.
        parts.append((new.data_offset, view[old.data_offset : end]))
        changes: list[tuple[int, Buffer]] = []
        extents: dict[bytes, tuple[Extent, ...]] = {}
        shift = new.data_offset - old.data_offset
        for path, entry in self._entries.items():
            if not entry.is_folder and path not in chains:
                found = self._volume.file_extents(entry, path)
                extents[path] = tuple(Extent(offset + shift, size) for offset, size in found)
        for path, chain in chains.items():
            content = self._content(path, chains)
            pieces = list(_spread(new, chain, content))
            changes += pieces
            if padding := -len(content) % new.cluster_bytes:
                offset, piece = pieces[-1]
                changes.append((offset + len(piece), bytes(padding)))
            if path in self._contents:
                extents[path] = tuple(Extent(offset, len(piece)) for offset, piece in pieces)
                where = self._moved(self._entries[path].offset, root)
                changes.append((where, self._record(path, chain)))
        moved = SparseImage.of(size_bytes, parts).replaced(_spread(new, root, root_folder))
        assembled = moved.replaced(changes)
        return FatImage(assembled.size_bytes, assembled.parts, geometry=new, extents=extents)

    def _record(self, path: bytes, chain: list[int]) -> bytes:
        """Return the changed entry of a file."""
        entry = self._entries[path]
        record = bytearray(self._view[entry.offset : entry.offset + ENTRY_BYTES])
        first = chain[0] if chain else 0
        if self._new.bits == 32:
            struct.pack_into("<H", record, 20, first >> 16)
        struct.pack_into("<HI", record, 26, first & 0xFFFF, len(self._contents[path]))
        if self._timestamp is not None:
            date, time = fat_time(self._timestamp)
            struct.pack_into("<H", record, 18, date)
            struct.pack_into("<HH", record, 22, time, date)
        return bytes(record)

    def _moved(self, offset: int, root: list[int]) -> int:
        """Return where what was at ``offset`` lies now."""
        old, new = self._old, self._new
        if offset >= old.data_offset:
            return offset + new.data_offset - old.data_offset
        if root:
            number, within = divmod(offset - old.root_offset, new.cluster_bytes)
            return new.cluster_offset(root[number]) + within
        return offset + new.root_offset - old.root_offset

    def _reserved(self, root: list[int]) -> bytes:
        """Return the reserved sectors, with the fields that changed."""
        old, new = self._old, self._new
        reserved = bytearray(
            self._view[: old.tables_offset].tobytes().ljust(new.tables_offset, b"\0")
        )
        boot = self._volume.boot
        if new.bits != old.bits:
            boot = self._other_type(boot, reserved, root)
        elif new != old:
            for sector in {0, boot.backup_sector}:
                set_sizes(reserved, sector * new.sector_bytes, new)
        if boot.information_sector:
            self._count_free(reserved, boot.information_sector)
            if boot.backup_sector:
                self._count_free(reserved, boot.backup_sector + boot.information_sector)
        return bytes(reserved)

    def _other_type(self, boot: BootSector, reserved: bytearray, root: list[int]) -> BootSector:
        """Write a boot sector for the new type; return its fields."""
        old, new = self._old, self._new
        boot = evolve(boot, geometry=new)
        code = bytes(reserved[CODE_OFFSET[old.bits] : 510])
        if code.rstrip(b"\0") not in (b"", NOT_BOOTABLE):
            self._image.note(
                f"it became FAT{new.bits} to hold the new files, and its boot code for "
                f"FAT{old.bits} " + ("was replaced" if root else "may not start")
            )
        oem_name = reserved[_OEM_NAME]
        if root:
            boot = evolve(
                boot,
                root_cluster=root[0],
                information_sector=INFORMATION_SECTOR,
                backup_sector=BACKUP_SECTOR,
            )
            code = NOT_BOOTABLE
            reserved[:] = bytes(len(reserved))
        sector = bytearray(build_boot_sector(boot, code))
        sector[_OEM_NAME] = oem_name
        for number in {0, boot.backup_sector}:
            start = number * new.sector_bytes
            reserved[start : start + len(sector)] = sector
            if root:
                start += INFORMATION_SECTOR * new.sector_bytes
                reserved[start : start + INFORMATION.size] = build_information(0, UNKNOWN)
        return boot

    def _count_free(self, reserved: bytearray, sector: int) -> None:
        """Set the number of free clusters in an information sector, if it has one."""
        start = sector * self._new.sector_bytes
        if start + INFORMATION.size > len(reserved):
            return
        first, second, free, following, third = INFORMATION.unpack_from(reserved, start)
        if (first, second, third) != INFORMATION_SIGNATURES or free == UNKNOWN:
            return
        last = self._new.clusters + FIRST_CLUSTER
        free = sum(not self._table[cluster] for cluster in range(FIRST_CLUSTER, last))
        INFORMATION.pack_into(reserved, start, first, second, free, following, third)


def _spread(
    geometry: Geometry, clusters: list[int], content: Buffer
) -> Iterator[tuple[int, Buffer]]:
    """Yield the pieces of a content that lie in neighbouring clusters, with their offsets."""
    view, start = memoryview(content), 0
    for offset, size_bytes in cluster_extents(geometry, clusters):
        yield offset, view[start : start + size_bytes]
        start += size_bytes


def fold_path(path: bytes) -> str:
    """Return a text that is equal for paths that FAT takes for one."""
    return fold(path.decode("utf-8", "surrogateescape"))


def _fixed(path: bytes, what: str) -> PurekernelError:
    return UnrepresentableError(
        f"{display(path)} of Syslinux cannot {what}: boot code has the numbers of its sectors",
        hint="install Syslinux anew, or use another image",
    )
