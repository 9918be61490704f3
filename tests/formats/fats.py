"""Make small FAT12 file systems by hand."""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR_BYTES = 512
TABLE_SECTORS = 2
ROOT_ENTRIES = 32
SECTORS = 300
FIRST_DATA = 1 + 2 * TABLE_SECTORS + ROOT_ENTRIES * 32 // SECTOR_BYTES


def make_fat12(files: Mapping[str, bytes]) -> bytearray:
    """Return a FAT12 file system with ``files``, by 8.3 paths with slashes."""
    image = bytearray(SECTORS * SECTOR_BYTES)
    image[0:3] = b"\xeb\x3c\x90"
    struct.pack_into("<HBHBHHBH", image, 11, 512, 1, 1, 2, ROOT_ENTRIES, SECTORS, 0xF8, 2)
    image[510:512] = b"\x55\xaa"
    chains: list[tuple[int, int]] = []
    state = {"next": 2}

    def store(content: bytes) -> int:
        count = max(1, -(-len(content) // SECTOR_BYTES))
        first = state["next"]
        state["next"] += count
        start = (FIRST_DATA + first - 2) * SECTOR_BYTES
        image[start : start + len(content)] = content
        chains.append((first, count))
        return first

    def records(folder: str) -> bytes:
        entries: dict[str, bool] = {}
        for path in files:
            if path.startswith(folder):
                head, slash, _rest = path[len(folder) :].partition("/")
                entries[head] = bool(slash)
        result = b""
        for name, is_folder in entries.items():
            path = folder + name
            content = records(path + "/") if is_folder else files[path]
            cluster = store(content) if content or is_folder else 0
            base, _dot, extension = name.partition(".")
            result += struct.pack(
                "<11sB14xHI",
                base.upper().encode().ljust(8) + extension.upper().encode().ljust(3),
                0x10 if is_folder else 0x20,
                cluster,
                0 if is_folder else len(content),
            )
        return result

    root = records("")
    start = (1 + 2 * TABLE_SECTORS) * SECTOR_BYTES
    image[start : start + len(root)] = root
    for first, count in chains:
        for cluster in range(first, first + count):
            set_entry(image, cluster, cluster + 1 if cluster < first + count - 1 else 0xFFF)
    return image


def set_entry(image: bytearray, cluster: int, value: int) -> None:
    """Set the successor of ``cluster`` to ``value`` in both tables."""
    for table in range(2):
        offset = (1 + table * TABLE_SECTORS) * SECTOR_BYTES + cluster * 3 // 2
        (pair,) = struct.unpack_from("<H", image, offset)
        pair = pair & 0x000F | value << 4 if cluster & 1 else pair & 0xF000 | value
        struct.pack_into("<H", image, offset, pair)
