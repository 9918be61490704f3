"""Make small ISO images by hand, valid or with chosen faults."""

from __future__ import annotations

import struct

ROOT_EXTENT = 22
SUSP = b"SP\x07\x01\xbe\xef\0"
ER = b"ER\x12\x01\x0a\x00\x00\x01RRIP_1991A"


def both(number: int, letter: str = "I") -> bytes:
    return struct.pack("<" + letter, number) + struct.pack(">" + letter, number)


def px(mode: int = 0o100644, links: int = 1) -> bytes:
    return b"PX\x24\x01" + both(mode) + both(links) + both(0) + both(0)


def nm(name: bytes) -> bytes:
    return b"NM" + bytes([5 + len(name), 1, 0]) + name


def ce(block: int, offset: int, size_bytes: int) -> bytes:
    return b"CE\x1c\x01" + both(block) + both(offset) + both(size_bytes)


def cl(block: int) -> bytes:
    return b"CL\x0c\x01" + both(block)


def record(
    name: bytes, extent: int = 0, size_bytes: int = 0, flags: int = 0, system_use: bytes = b""
) -> bytes:
    body = b"\0" + both(extent) + both(size_bytes) + bytes([114, 5, 13, 16, 53, 20, 0])
    body += bytes([flags, 0, 0]) + both(1, "H") + bytes([len(name)]) + name
    body += b"\0" * (len(name) % 2 == 0) + system_use
    body += b"\0" * (len(body) % 2 == 0)
    return bytes([len(body) + 1]) + body


def directory(extent: int, records: list[bytes], dot: bytes = b"", dot_dot: bytes = b"") -> bytes:
    """Return a folder's extent: "." and "..", then the records."""
    size_bytes = 2048
    while True:
        blocks = [b""]
        for entry in (
            record(b"\0", extent, size_bytes, 2, dot),
            record(b"\1", ROOT_EXTENT, size_bytes, 2, dot_dot),
            *records,
        ):
            if len(blocks[-1]) + len(entry) > 2048:
                blocks.append(b"")
            blocks[-1] += entry
        if len(blocks) * 2048 == size_bytes:
            return b"".join(block.ljust(2048, b"\0") for block in blocks)
        size_bytes = len(blocks) * 2048


def image(records: list[bytes], *, after: bytes = b"", rock_ridge: bool = False) -> bytes:
    """Return an image with ``records`` in its root, and ``after`` after the root."""
    dot = SUSP + px(0o40755) + ER if rock_ridge else b""
    dot_dot = px(0o40755) if rock_ridge else b""
    root = directory(ROOT_EXTENT, records, dot, dot_dot)
    data = bytearray(ROOT_EXTENT * 2048) + root + after
    data += bytes(-len(data) % 2048)
    volume = bytearray(2048)
    volume[0:7] = b"\1CD001\1"
    volume[8:72] = b" " * 64
    volume[80:88] = both(len(data) // 2048)
    volume[120:132] = both(1, "H") + both(1, "H") + both(2048, "H")
    volume[132:140] = both(10)
    volume[140:144] = struct.pack("<I", 20)
    volume[148:152] = struct.pack(">I", 21)
    volume[156:190] = record(b"\0", ROOT_EXTENT, len(root), 2)
    volume[190:813] = b" " * 623
    volume[813:881] = (b"0" * 16 + b"\0") * 4
    volume[881] = 1
    data[16 * 2048 : 17 * 2048] = volume
    data[17 * 2048 : 17 * 2048 + 7] = b"\xffCD001\1"
    data[20 * 2048 : 20 * 2048 + 10] = b"\1\0" + struct.pack("<IH", ROOT_EXTENT, 1) + b"\0\0"
    data[21 * 2048 : 21 * 2048 + 10] = b"\1\0" + struct.pack(">IH", ROOT_EXTENT, 1) + b"\0\0"
    return bytes(data)
