"""Read what makes an ISO a disk: the system area, partitions after the volume, the backup of a GPT.

A partition is carried if both of its borders are at something that an output has too: an image, or
an end of the volume or the disk. Code in the MBR is carried if it is known, and the address that it
loads is that of a boot image.

Source: ECMA-119, 7.2.1; UEFI specification 2.10, 5.2 and 5.3; "Inside Macintosh: Devices", 3;
libisofs, doc/boot_sectors.txt; isohdpfx.S of syslinux; grub-core/boot/i386/pc/boot.S of GRUB.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from attrs import evolve

from purekernel.formats.hybrid_mbr import NEXT_DISK, is_hybrid_code
from purekernel.formats.iso.boot import LOAD_BYTES
from purekernel.formats.iso.carried_disk import (
    GPT_AT,
    SECTORS,
    Anchor,
    Border,
    CarriedDisk,
    Image,
    Loaded,
    Moved,
    chs,
)
from purekernel.formats.iso.disk_tables import (
    APPLE_SIGNATURE,
    AREA_SECTORS,
    GPT_ENTRY_BYTES,
    SYSTEM_AREA_BYTES,
    ReadGpt,
    TablePartition,
    has_gpt,
    read_apple,
    read_gpt,
    read_mbr,
)
from purekernel.formats.iso.layout import FIRST_DESCRIPTOR, SECTOR_BYTES
from purekernel.input import Input
from purekernel.records import frozen

_BOOT_SIGNATURE = b"\x55\xaa"
_CODE_BYTES = 440

# The address that code loads has 64 bits here, in both isolinux's and GRUB's code for ISOs.
_ADDRESS_AT = 432

# isolinux's code has moved itself to 0x600 when it loads eax from there. The text is in all
# releases.
_ISOLINUX = (b"isolinux.bin missing or corrupt", b"\x66\xa1\xb0\x07")

# GRUB's boot_hybrid.img stays at 0x7c00, and loads ebx; boot.img has its address elsewhere.
_GRUB = (b"GRUB \0Geom\0", b"\x66\x8b\x1e\xb0\x7d")

# GRUB's code loads what follows cdboot.img, which has one sector of a CD.
_GRUB_OFFSET = SECTORS

# Boot blocks of machines that are no PCs: where a mark of theirs is, the mark, and what they are.
_FOREIGN = (
    (0, b"\x0b\xe5\xa9\x41", "a volume header of SGI for MIPS"),
    (8, b"\x7a\x75\x02\x00", "a boot block of DEC for MIPS"),
    (0, b"Linux/Alpha", "a boot block for DEC Alpha"),
    (508, b"\xda\xbe", "a disk label of SUN for SPARC"),
    (0, b"\x80\x00PALO", "a boot block for HP PA-RISC"),
    (512, b"PM", "an Apple partition map without an MBR"),
)

# What xorriso and isohybrid take: whole cylinders are whole MiB.
_USUAL_GEOMETRY = (64, 32)

# The mock-up of an Apple partition map is over instructions that do nothing, of so many bytes.
_NOP = b"\x90"
_APPLE_HEAD_BYTES = 8
_ISOLINUX_HEAD_BYTES = 32

# The size of the volume in blocks, in the primary descriptor (ECMA-119, 8.4.8).
_VOLUME_BLOCKS = FIRST_DESCRIPTOR * SECTOR_BYTES + 80


@frozen(kw_only=True)
class KnownImage:
    """An image that a partition may hold.

    Attributes:
        image: the file or the area.
        size_bytes: its size.
        is_booted: whether a boot entry names it.
    """

    image: Image
    size_bytes: int
    is_booted: bool


@frozen(kw_only=True)
class ReadDisk:
    """What makes an ISO a disk.

    Attributes:
        disk: what an output can have; ``None`` if there is nothing.
        areas: the partitions outside of the file system: size in bytes by offset in bytes. Those
            that the reader was given come first.
        lost: what an output cannot have, in words for messages.
    """

    disk: CarriedDisk | None
    areas: Mapping[int, int]
    lost: tuple[str, ...]


def read_disk(file: Input, files: Mapping[int, KnownImage], areas: Mapping[int, int]) -> ReadDisk:
    """Return what makes the ISO ``file`` a disk.

    Args:
        file: the ISO.
        files: its files, by their offset in bytes.
        areas: boot images outside of the file system: size in bytes by offset in bytes.
    """
    return _DiskReader(file, files, areas).read()


class _DiskReader:
    def __init__(
        self, file: Input, files: Mapping[int, KnownImage], areas: Mapping[int, int]
    ) -> None:
        self._file = file
        self._view = file.view
        self._area = bytearray(self._view[:SYSTEM_AREA_BYTES])
        self._files = files
        self._given = areas
        self._areas = dict(areas)
        (blocks,) = struct.unpack_from("<I", self._view, _VOLUME_BLOCKS)
        self._volume_end = blocks * SECTORS
        self._disk_end = len(self._view) // LOAD_BYTES
        self._usable_end: int | None = None
        # What was read, in bytes: of the system area, and after the volume.
        self._known = [(0, LOAD_BYTES)]
        self._reasons: list[str] = []
        self._lost: list[str] = []
        # The sectors at which partitions with images begin and end.
        self._starts: dict[int, Border] = {}
        self._ends: dict[int, Border] = {}

    def read(self) -> ReadDisk:
        if not any(self._area):
            return self._without(
                f"{size} after the end of the volume" if (size := self._trailing()) else ""
            )
        if self._area[510:512] != _BOOT_SIGNATURE:
            known = (words for at, mark, words in _FOREIGN if self._area.startswith(mark, at))
            size = f"{sum(map(bool, self._area))} bytes of unknown purpose"
            return self._without(next(known, size))
        mbr = list(read_mbr(self._area))
        found = self._read_gpt()
        gpt, gpt_partitions = (None, ()) if found is None else (found.gpt, found.partitions)
        map_entries = list(read_apple(self._area, self._size_at))
        self._known += [(each.at, each.at + LOAD_BYTES) for each in map_entries]
        apple = [each for each in map_entries if not each.is_map]
        words = self._describe(len(mbr), has_apple=bool(apple))
        every = [*mbr, *gpt_partitions, *apple]
        for each in every:
            self._register(each)
        placed = {each.at: moved for each in every if (moved := self._place(each)) is not None}
        loaded = self._read_code()
        if not self._reasons:
            self._check_rest()
        if self._reasons:
            what = f"{words}, for booting from USB sticks and disks: {'; '.join(self._reasons)}"
            return ReadDisk(disk=None, areas=self._given, lost=(f"its system area, {what}",))
        if any(each.at not in placed for each in apple):
            self._drop_apple(map_entries, loaded)
            apple = []
        for each in gpt_partitions:
            if each.at not in placed:
                self._area[each.at : each.at + GPT_ENTRY_BYTES] = bytes(GPT_ENTRY_BYTES)
        disk = CarriedDisk(
            area=bytes(self._area),
            loaded=loaded,
            mbr=tuple(placed[each.at] for each in mbr),
            gpt=gpt,
            gpt_partitions=tuple(placed[each.at] for each in gpt_partitions if each.at in placed),
            apple=tuple(placed[each.at] for each in apple),
        )
        if size := self._trailing():
            self._lost.append(f"{size} after the end of the volume, which no partition has")
        return ReadDisk(
            disk=self._with_geometry(disk, mbr), areas=self._areas, lost=tuple(self._lost)
        )

    def _without(self, words: str) -> ReadDisk:
        lost = (f"its system area, {words}, for booting from USB sticks and disks",)
        return ReadDisk(disk=None, areas=self._given, lost=lost if words else ())

    def _describe(self, partitions: int, *, has_apple: bool) -> str:
        parts = [f"an MBR with {_count(partitions, 'partition')}"]
        parts += ["a GPT"] * has_gpt(self._area) + ["an Apple partition map"] * has_apple
        return " and ".join(parts)

    def _read_gpt(self) -> ReadGpt | None:
        if not has_gpt(self._area):
            return None
        self._known.append((GPT_AT, GPT_AT + LOAD_BYTES))
        found = read_gpt(self._area, self._size_at)
        if found is None:
            self._reasons.append("its GPT is damaged")
            return None
        self._usable_end = found.usable_end
        self._known.append((found.gpt.table, found.gpt.table + found.gpt.table_bytes))
        start, end = found.backup
        self._known.append((start * LOAD_BYTES, end * LOAD_BYTES))
        return found

    def _drop_apple(self, entries: list[TablePartition], loaded: Loaded | None) -> None:
        """Remove the Apple partition map, whose head is over instructions that do nothing."""
        for each in entries:
            self._area[each.at : each.at + LOAD_BYTES] = bytes(LOAD_BYTES)
        is_isolinux = loaded is not None and not loaded.offset
        size_bytes = _ISOLINUX_HEAD_BYTES if is_isolinux else _APPLE_HEAD_BYTES
        self._area[:size_bytes] = (b"\0" if loaded is None else _NOP) * size_bytes

    # Partitions

    def _image_at(self, sector: int) -> KnownImage | None:
        offset = sector * LOAD_BYTES
        found = self._files.get(offset)
        if found is None and offset in self._areas:
            number = [*self._areas].index(offset)
            return KnownImage(
                image=number, size_bytes=self._areas[offset], is_booted=offset in self._given
            )
        return found

    def _size_at(self, sector: int) -> int | None:
        found = self._image_at(sector)
        return None if found is None else found.size_bytes

    def _register(self, partition: TablePartition) -> None:
        """Note the image of a partition, which may be a new area, and its borders."""
        start, end = partition.start, partition.end
        if start < AREA_SECTORS or partition.is_gap or partition.is_hfs:
            return
        if not start < end <= self._disk_end:
            return
        offset = start * LOAD_BYTES
        if offset not in self._files:
            size_bytes = (end - start) * LOAD_BYTES
            if start >= self._volume_end or offset in self._areas or self._is_fat(offset):
                self._areas[offset] = max(size_bytes, self._areas.get(offset, 0))
        found = self._image_at(start)
        if found is not None:
            self._starts[start] = Border(anchor=Anchor.START, image=found.image)
            self._ends[end] = self._end_of(found, start, end)

    def _is_fat(self, offset: int) -> bool:
        sector = bytes(self._view[offset : offset + LOAD_BYTES])
        return sector[510:] == _BOOT_SIGNATURE and b"FAT" in sector[54:90]

    @staticmethod
    def _end_of(found: KnownImage, start: int, end: int) -> Border:
        """Return the border at the end of a partition that begins with an image."""
        for unit in (1, SECTORS):
            if start + -(-found.size_bytes // (unit * LOAD_BYTES)) * unit == end:
                return Border(anchor=Anchor.END, image=found.image, unit=unit)
        return Border(anchor=Anchor.START, image=found.image, offset=end - start)

    def _place(self, partition: TablePartition) -> Moved | None:
        """Return a partition with its borders; ``None`` if one is at nothing that is known."""
        start, end = self._start(partition), self._end(partition)
        if start is None or end is None or partition.is_hfs:
            if start is not None:
                # What follows a file system of macOS may begin where that began.
                self._ends.setdefault(partition.end, start)
            if partition.is_hfs:
                self._lose("its HFS+ file system, from which Macs boot")
            elif partition.is_gap:
                pass
            elif partition.is_apple:
                self._lose("its Apple partition map, from which Macs boot")
            else:
                self._reasons.append(f"{partition.what} is not over an image that it boots from")
            return None
        return Moved(
            at=partition.at,
            start=start,
            end=end,
            block_bytes=partition.block_bytes,
            count_bytes=partition.count_bytes,
            is_gap=partition.is_gap,
        )

    def _lose(self, words: str) -> None:
        if words not in self._lost:
            self._lost.append(words)

    def _start(self, partition: TablePartition) -> Border | None:
        start = partition.start
        if start > AREA_SECTORS:
            found = self._starts.get(start)
            fills = partition.is_gap or partition.is_hfs
            return self._ends.get(start, found) if fills else found
        descriptor = (start + AREA_SECTORS) * LOAD_BYTES
        if (
            start >= SECTORS
            and not partition.is_gap
            and bytes(self._view[descriptor + 1 : descriptor + 6]) == b"CD001"
        ):
            self._lose(
                f"the second set of folders for a disk whose partition starts at sector {start} "
                "(-partition_offset of xorriso)"
            )
            return Border(anchor=Anchor.FIXED, offset=0)
        return Border(anchor=Anchor.FIXED, offset=start)

    def _end(self, partition: TablePartition) -> Border | None:
        end = partition.end
        if partition.start > AREA_SECTORS and not partition.is_gap:
            found = self._image_at(partition.start)
            if found is None or partition.start not in self._starts:
                return None
            return self._end_of(found, partition.start, end)
        if end in self._starts:
            return self._starts[end]
        # The sectors at which the disk ends, exact ones first.
        known = {self._disk_end: Border(anchor=Anchor.DISK_END)}
        if self._usable_end is not None:
            for unit in (1, SECTORS):
                border = Border(anchor=Anchor.USABLE_END, unit=unit)
                known.setdefault(self._usable_end // unit * unit, border)
        # isohybrid counts one sector too many in a GPT.
        for sector in (self._volume_end, self._volume_end + 1):
            known.setdefault(sector, Border(anchor=Anchor.VOLUME_END))
        if end in known:
            return known[end]
        if end <= AREA_SECTORS:
            return Border(anchor=Anchor.FIXED, offset=end)
        # Transfers add zeros at the end of a disk, or cut those that are there.
        used = max([self._volume_end, *(at // LOAD_BYTES for at in self._areas)])
        return Border(anchor=Anchor.DISK_END) if end > used else None

    # The rest

    def _read_code(self) -> Loaded | None:
        """Return the address in the code of the MBR, if it has any."""
        code = bytes(self._area[:_CODE_BYTES])
        (address,) = struct.unpack_from("<Q", code, _ADDRESS_AT)
        if code.rstrip(b"\0") == NEXT_DISK:
            return None
        if all(mark in code for mark in _ISOLINUX) or is_hybrid_code(code):
            offset = 0
        elif all(mark in code for mark in _GRUB):
            offset = _GRUB_OFFSET
        else:
            head = _APPLE_HEAD_BYTES if code.startswith(APPLE_SIGNATURE) else 0
            if any(code[head:]):
                self._reasons.append(
                    "the code in its MBR is neither isolinux's nor GRUB's for ISOs"
                )
            return None
        found = self._image_at(address - offset)
        if found is None or not found.is_booted:
            self._reasons.append(
                f"the code in its MBR loads sector {address}, which is no boot image"
            )
            return None
        return Loaded(at=_ADDRESS_AT, image=found.image, offset=offset)

    def _check_rest(self) -> None:
        """Note bytes of the system area that are in no table."""
        rest = bytearray(self._area)
        for start, end in self._known:
            if end <= SYSTEM_AREA_BYTES:
                rest[start:end] = bytes(end - start)
        if unknown := sum(map(bool, rest)):
            self._reasons.append(f"{_count(unknown, 'byte')} of unknown purpose are in it")

    def _trailing(self) -> str:
        """Return the size of what is after the volume and in no partition; empty without any."""
        end = self._volume_end * LOAD_BYTES
        if not end or end >= len(self._view):
            return ""
        known = [(at, at + size) for at, size in self._areas.items()]
        known += [(start, stop) for start, stop in self._known if start >= end]
        for start, stop in [*sorted(known), (len(self._view), 0)]:
            if start > end and bytes(self._view[end:start]).strip(b"\0"):
                return _count(len(self._view) - self._volume_end * LOAD_BYTES, "byte")
            end = max(end, stop)
        return ""

    def _with_geometry(self, disk: CarriedDisk, mbr: list[TablePartition]) -> CarriedDisk:
        """Return the disk with the geometry that its MBR has, and the unit of its size."""
        for each in mbr:
            last = bytes(self._area[each.at + 5 : each.at + 8])
            for heads, track in (_USUAL_GEOMETRY, (255, 63), (last[0] + 1, last[1] & 0x3F)):
                if track and last == chs(each.end - 1, heads, track):
                    disk = evolve(disk, heads=heads, track=track)
                    break
            else:
                continue
            break
        ends = {each.end for each in mbr if self._end(each) == Border(anchor=Anchor.DISK_END)}
        for unit in (disk.heads * disk.track, (1 << 20) // LOAD_BYTES):
            if any(end % unit == 0 for end in (self._disk_end, *ends)):
                return evolve(disk, unit=unit)
        return disk


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
