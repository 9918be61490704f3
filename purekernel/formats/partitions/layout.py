"""Define partition tables: the MBR and the GPT, for sectors of 512 bytes.

A sector number counts from the start of the disk.

Source: UEFI specification 2.10, chapter 5 (MBR, protective MBR, GPT); gdisk(8) for hybrid MBRs.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from uuid import UUID

from attrs import field

from purekernel.records import frozen

SECTOR_BYTES = 512

# Types of MBR partitions.
EFI_SYSTEM = 0xEF
PROTECTIVE = 0xEE
EXTENDED = (0x05, 0x0F, 0x85)

# Types of GPT partitions.
GPT_EFI_SYSTEM = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
GPT_BASIC_DATA = UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
GPT_LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
GPT_BIOS_BOOT = UUID("21686148-6449-6e6f-744e-656564454649")

# The names of these, and of others that images and disks of Linux have.
# (Source: fdisk(8) and sfdisk(8) of util-linux; gdisk(8).)
MBR_NAMES = {
    0x01: "FAT12", 0x04: "FAT16 below 32M", 0x05: "extended", 0x06: "FAT16", 0x07: "NTFS or exFAT",
    0x0B: "FAT32", 0x0C: "FAT32 LBA", 0x0E: "FAT16 LBA", 0x0F: "extended LBA",
    0x17: "hidden NTFS (isohybrid)", 0x82: "Linux swap", 0x83: "Linux", 0x85: "Linux extended",
    0x8E: "Linux LVM", 0xCD: "ISO 9660", PROTECTIVE: "GPT protective", EFI_SYSTEM: "EFI system",
}  # fmt: skip
GPT_NAMES = {
    GPT_EFI_SYSTEM: "EFI system",
    GPT_BASIC_DATA: "basic data",
    GPT_LINUX: "Linux file system",
    GPT_BIOS_BOOT: "BIOS boot",
    UUID("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"): "Linux swap",
    UUID("48465300-0000-11aa-aa11-00306543ecac"): "Apple HFS+",
    UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"): "Linux root (x86-64)",
    UUID("44479540-f297-41b2-9af7-d131d5f0458a"): "Linux root (x86)",
}

# An attribute of GPT partitions of type "basic data": Windows mounts them read-only.
GPT_READ_ONLY = 1 << 60

# The code in an MBR ends where the disk's id begins; entries and the signature follow.
CODE_BYTES = 440
MBR_ENTRIES_AT = 446
MBR_ENTRY = struct.Struct("<B3sB3sII")
BOOT_SIGNATURE = b"\x55\xaa"
ACTIVE = 0x80

GPT_SIGNATURE = b"EFI PART"
GPT_HEADER = struct.Struct("<8sIIII4Q16sQIII")
GPT_ENTRY = struct.Struct("<16s16sQQQ72s")
GPT_ENTRIES = 128

# The sectors that a GPT of 128 entries takes at each end of the disk, besides the MBR.
GPT_SECTORS = 1 + GPT_ENTRIES * GPT_ENTRY.size // SECTOR_BYTES


@frozen(kw_only=True)
class MbrPartition:
    """A partition of an MBR.

    Attributes:
        number: 1 to 4 for the entries of the MBR; from 5 for logical partitions.
        kind: the type, such as :data:`EFI_SYSTEM`.
        first: its first sector.
        sectors: its size in sectors; never 0.
        is_active: whether a BIOS may boot it.
    """

    number: int
    kind: int
    first: int
    sectors: int
    is_active: bool = False

    @property
    def end(self) -> int:
        """The sector after the last one."""
        return self.first + self.sectors


@frozen(kw_only=True)
class Mbr:
    """A master boot record.

    Attributes:
        partitions: the partitions with their numbers; empty entries are left out.
        disk_id: the disk's number, which Linux shows as the start of PARTUUID; 32 bits.
        code: the boot code: at most :data:`CODE_BYTES` bytes.
    """

    partitions: tuple[MbrPartition, ...] = ()
    disk_id: int = 0
    code: bytes = field(default=b"", repr=False)

    @property
    def is_protective(self) -> bool:
        """Whether an entry says that the disk has a GPT; there may be others (a hybrid MBR)."""
        return any(each.kind == PROTECTIVE for each in self.partitions)


@frozen(kw_only=True)
class GptPartition:
    """A partition of a GPT.

    Attributes:
        number: its place in the table, from 1.
        kind: the type, such as :data:`GPT_EFI_SYSTEM`.
        id: its own id, which Linux shows as PARTUUID.
        first: its first sector.
        sectors: its size in sectors.
        name: at most 36 UTF-16 units.
        attributes: flags, such as :data:`GPT_READ_ONLY`.
    """

    number: int
    kind: UUID
    id: UUID
    first: int
    sectors: int
    name: str = ""
    attributes: int = 0

    @property
    def end(self) -> int:
        """The sector after the last one."""
        return self.first + self.sectors


@frozen(kw_only=True)
class Gpt:
    """A GUID partition table.

    Attributes:
        disk_id: the id of the disk.
        partitions: the partitions with their numbers; empty entries are left out.
        first_usable: the first sector that a partition may have.
        end_usable: the sector after the last one that a partition may have.
        sectors: the size of the disk that the table describes, in sectors.
    """

    disk_id: UUID
    partitions: tuple[GptPartition, ...]
    first_usable: int
    end_usable: int
    sectors: int


Partition = MbrPartition | GptPartition


def kind_name(partition: Partition) -> str:
    """Return the name of a partition's type; empty for one that is not known."""
    if isinstance(partition, MbrPartition):
        return MBR_NAMES.get(partition.kind, "")
    return GPT_NAMES.get(partition.kind, "")


@frozen(kw_only=True)
class PartitionTable:
    """The partition tables of a disk.

    Attributes:
        mbr: its MBR.
        gpt: its GPT; ``None`` if it has none.
    """

    mbr: Mbr
    gpt: Gpt | None

    @property
    def partitions(self) -> Sequence[Partition]:
        """The partitions that Linux and UEFI use: those of a GPT count if the MBR refers to it."""
        if self.gpt is not None and self.mbr.is_protective:
            return self.gpt.partitions
        return self.mbr.partitions


# Ids: all are derived from a digest that the caller makes of the content.


def make_id(seed: bytes, purpose: str) -> UUID:
    """Return an id that depends only on the arguments: a UUID of version 8 (RFC 9562, 5.8)."""
    digest = bytearray(hashlib.sha256(purpose.encode() + b"\0" + seed).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


def make_disk_id(seed: bytes) -> int:
    """Return a number for :attr:`Mbr.disk_id` that depends only on ``seed``; never 0."""
    return int.from_bytes(hashlib.sha256(b"disk\0" + seed).digest()[:4], "little") or 1


# Checking. A fault is what must be, and what is there.

Fault = tuple[str, str]


def mbr_faults(mbr: Mbr, sectors: int) -> Iterator[Fault]:
    """Yield the faults of an MBR on a disk of that size; a protective entry has none."""
    real = [each for each in mbr.partitions if each.kind != PROTECTIVE]
    logical = [each for each in real if each.number > 4]
    containers = [each for each in real if each.number <= 4 and each.kind in EXTENDED]
    yield from _faults([each for each in real if each.number <= 4], 0, sectors)
    yield from _faults(logical, 0, sectors)
    for each in logical:
        if not any(box.first < each.first and each.end <= box.end for box in containers):
            yield (
                "logical partitions inside the extended one",
                f"{show_partition(each)} outside of it",
            )


def gpt_faults(gpt: Gpt, sectors: int) -> Iterator[Fault]:
    """Yield the faults of a GPT on a disk of ``sectors`` sectors."""
    yield from _faults(gpt.partitions, gpt.first_usable, min(sectors, gpt.end_usable))


def _faults(partitions: Sequence[Partition], start: int, end: int) -> Iterator[Fault]:
    """Yield the faults of partitions that must be apart, from sector ``start`` up to ``end``."""
    last: Partition | None = None
    for each in sorted(partitions, key=lambda each: (each.first, each.number)):
        if each.first < start or each.end > end:
            yield f"partitions in the sectors {start} to {end - 1}", show_partition(each)
        if last is not None and each.first < last.end:
            yield (
                "partitions that do not overlap",
                f"{show_partition(last)} and {show_partition(each)}",
            )
        if last is None or each.end > last.end:
            last = each


def show_partition(partition: Partition) -> str:
    """Return the number of a partition, and its first and last sector, for messages."""
    return f"partition {partition.number} in sectors {partition.first} to {partition.end - 1}"
