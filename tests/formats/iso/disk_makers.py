"""Put partition tables and boot code around an ISO, as xorriso and isohybrid do."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from purekernel.records import frozen

ISOLINUX_CODE = b"\xfa\x66\xa1\xb0\x07isolinux.bin missing or corrupt.\r\n"
GRUB_CODE = b"\xeb\x63" + b"\x90" * 30 + b"\x66\x8b\x1e\xb0\x7dGRUB \0Geom\0"
BASIC_DATA = bytes.fromhex("a2a0d0ebe5b9334487c068b6b72699c7")
HFS_PLUS = bytes.fromhex("005346480000aa11aa1100306543ecac")
MIB_SECTORS = 2048
TABLE_BYTES = 8 * 128
TABLE_SECTORS = TABLE_BYTES // 512


@frozen
class Part:
    """A partition: its first sector and the one after its last, and what a table says of it."""

    start: int
    end: int
    kind: int = 0x17
    name: str = "ISOHybrid"
    guid: bytes = BASIC_DATA


def chs(sector: int) -> bytes:
    """Return the address of a sector with 64 heads and 32 sectors in a track."""
    track, index = divmod(sector, 32)
    cylinder, head = divmod(track, 64)
    return bytes([head, index + 1, cylinder])


def make_disk(
    iso: bytes,
    mbr: Sequence[Part],
    *,
    code: bytes = ISOLINUX_CODE,
    address: int = 0,
    gpt: Sequence[Part] | None = None,
) -> bytes:
    """Return ``iso`` as a disk whose size is a multiple of 1 MiB.

    Args:
        iso: the ISO, and what follows its volume.
        mbr: the partitions of its MBR.
        code: the code in the MBR.
        address: the sector that the code loads.
        gpt: the partitions of its GPT; ``None`` for no GPT.
    """
    tail = 0 if gpt is None else (TABLE_SECTORS + 1) * 512
    image = bytearray(iso)
    image += bytes(-(len(iso) + tail) % (MIB_SECTORS * 512) + tail)
    image[: len(code)] = code
    struct.pack_into("<Q", image, 432, address)
    for number, part in enumerate(mbr):
        struct.pack_into(
            "<B3sB3sII", image, 446 + 16 * number, 0x80 * (not number), chs(part.start),
            part.kind, chs(part.end - 1), part.start, part.end - part.start,
        )  # fmt: skip
    image[510:512] = b"\x55\xaa"
    if gpt is not None:
        add_gpt(image, gpt)
    return bytes(image)


def add_gpt(image: bytearray, parts: Sequence[Part]) -> None:
    """Write a GPT into an image with space for it at the end."""
    table = b"".join(
        struct.pack(
            "<16s16sQQQ72s",
            part.guid,
            bytes([number + 1]) * 16,
            part.start,
            part.end - 1,
            0,
            part.name.encode("utf-16-le"),
        )
        for number, part in enumerate(parts)
    ).ljust(TABLE_BYTES, b"\0")
    last = len(image) // 512 - 1
    usable_end = last - TABLE_SECTORS
    backup_table = last - TABLE_SECTORS
    for own, other, at in ((1, last, 2), (last, 1, backup_table)):

        def header(check: int, own: int = own, other: int = other, at: int = at) -> bytes:
            return struct.pack(
                "<8sIIII4Q16sQIII", b"EFI PART", 0x10000, 92, check, 0, own, other, 34,
                usable_end - 1, b"disk".ljust(16, b"d"), at, 8, 128, zlib.crc32(table),
            )  # fmt: skip

        packed = header(zlib.crc32(header(0)))
        image[own * 512 : own * 512 + 92] = packed
        image[at * 512 : at * 512 + TABLE_BYTES] = table


def add_apple_map(image: bytearray, entries: Sequence[tuple[bytes, bytes, int, int]]) -> None:
    """Write an Apple partition map of 2048-byte blocks: name, type, block, blocks of each."""
    image[:32] = b"ER\x08\x00\x00\x00\x90\x90".ljust(32, b"\0")
    every = [(b"Apple", b"Apple_partition_map", 1, len(entries) + 1), *entries]
    for number, (name, kind, block, blocks) in enumerate(every):
        struct.pack_into(
            ">2sHIII32s32sII", image, 2048 * (number + 1), b"PM", 0, len(every), block, blocks,
            name, kind, 0, blocks,
        )  # fmt: skip
