"""Describe the system area of an ISO: the first 32 KiB, from which firmware boots disks.

Source: ECMA-119, 7.2.1; UEFI specification 2.10, 5.2 and 5.3; "Inside Macintosh: Devices", 3.
"""

from __future__ import annotations

from purekernel.formats.iso.layout import FIRST_DESCRIPTOR, SECTOR_BYTES
from purekernel.tree import Buffer

SYSTEM_AREA_BYTES = FIRST_DESCRIPTOR * SECTOR_BYTES

_PARTITIONS = 446
_PARTITION_BYTES = 16
_BOOT_SIGNATURE = b"\x55\xaa"
_GPT = b"EFI PART"
_GPT_OFFSETS = (512, 2048)
_APPLE_OFFSETS = (512, 2048)
_APPLE_PARTITION = b"PM"

# The offset of the volume's size in blocks, in the primary descriptor (ECMA-119, 8.4.8).
_VOLUME_BLOCKS = FIRST_DESCRIPTOR * SECTOR_BYTES + 80


def describe_system_area(data: Buffer) -> str:
    """Return a description of the system area, or an empty string if it holds only zeros.

    Bytes after the end of the volume count too: they may be partitions or the backup of a GPT.
    """
    view = memoryview(data).cast("B")
    area = bytes(view[:SYSTEM_AREA_BYTES])
    trailing_bytes = _trailing_bytes(view)
    parts: list[str] = []
    if any(area):
        if area[510:512] == _BOOT_SIGNATURE:
            partitions = sum(
                any(area[start : start + _PARTITION_BYTES])
                for start in range(_PARTITIONS, 510, _PARTITION_BYTES)
            )
            parts.append(f"an MBR with {_count(partitions, 'partition')}")
        if any(area[offset : offset + len(_GPT)] == _GPT for offset in _GPT_OFFSETS):
            parts.append("a GPT")
        if any(area[offset : offset + 2] == _APPLE_PARTITION for offset in _APPLE_OFFSETS):
            parts.append("an Apple partition map")
        if not parts:
            parts.append(f"{sum(map(bool, area))} bytes of unknown purpose")
    if trailing_bytes and not parts:
        parts.append(f"{_count(trailing_bytes, 'byte')} after the end of the volume")
    return " and ".join(parts)


def _trailing_bytes(view: memoryview) -> int:
    """Return the number of bytes after the volume; 0 if they are all zero."""
    blocks = int.from_bytes(view[_VOLUME_BLOCKS : _VOLUME_BLOCKS + 4], "little")
    end = blocks * SECTOR_BYTES
    rest = view[end:]
    return len(rest) if end and bytes(rest).strip(b"\0") else 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
