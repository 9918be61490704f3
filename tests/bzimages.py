"""Make bzImages around any bytes, packed as the kernel's build packs them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import sys
from collections.abc import Callable
from functools import partial

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def pack_lz4(content: bytes) -> bytes:
    """Return an LZ4 legacy frame that contains only literals."""
    frame = b"\x02\x21\x4c\x18"
    for start in range(0, len(content), 8 << 20):
        piece = content[start : start + (8 << 20)]
        token, rest = min(len(piece), 15) << 4, len(piece) - 15
        lengths = b"" if rest < 0 else b"\xff" * (rest // 255) + bytes([rest % 255])
        block = bytes([token]) + lengths + piece
        frame += struct.pack("<I", len(block)) + block
    return frame


# The kernel packer for each compression.
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "lzma": partial(lzma.compress, format=lzma.FORMAT_ALONE),
    "xz": partial(
        lzma.compress,
        check=lzma.CHECK_CRC32,
        filters=[{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 1}],
    ),
    "lz4": pack_lz4,
    "zstd": zstd.compress,
}


def make_payload(content: bytes, packer: str) -> bytes:
    """Return ``content`` packed, followed by its size unless the packer writes the size itself."""
    packed = PACKERS[packer](content)
    return packed if packer == "gzip" else packed + struct.pack("<I", len(content))


def make_bzimage(
    payload: bytes,
    *,
    version: int = 0x020F,
    setup_sectors: int = 2,
    offset: int = 700,
    payload_bytes: int | None = None,
) -> bytes:
    """Return a bzImage with ``payload`` in its protected-mode code."""
    header = bytearray(0x268)
    header[0x1F1] = setup_sectors
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", header, 0x206, version)
    size_bytes = len(payload) if payload_bytes is None else payload_bytes
    if version >= 0x0208:
        struct.pack_into("<II", header, 0x248, offset, size_bytes)
    setup = bytes(header).ljust(((setup_sectors or 4) + 1) * 512, b"\0")
    return setup + b"\x90" * offset + payload + b"\xcc" * 500
